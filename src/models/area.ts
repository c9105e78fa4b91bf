// Area resampling of images in host memory: each new pixel is the mean of the old pixels it touches, as PyTorch's
// `interpolate(mode='area')` and `adaptive_avg_pool2d` take it. MTCNN was trained on crops made like this, of one photo some hundred
// times: sums over all rectangles from the corner are made once, and a mean then takes four of them whatever its size.

/** Pixels that pixel i of `to` touches among `from`: [start, end). */
const span = (i: number, from: number, to: number): [number, number] => [
  Math.floor((i * from) / to),
  Math.ceil(((i + 1) * from) / to),
];

/** Part of an image in pixels. */
export interface Window {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** An RGB image [height, width, 3], 0..255, ready to be resampled. May be filled again and again: its memory stays. */
export class AreaImage {
  height = 0;
  width = 0;
  /** [height + 1, width + 1, 3]: sums over all pixels above and to the left; of bytes modulo 2^32, which differences do not mind. */
  private sums: Int32Array | Float64Array = new Int32Array(0);
  private means = new Float32Array(0);

  /** Takes the pixels of an image, row-major. */
  fill(data: ArrayLike<number>, height: number, width: number): this {
    const stride = 3 * (width + 1);
    const count = (height + 1) * stride;
    const Sums = data instanceof Uint8Array ? Int32Array : Float64Array;
    if (!(this.sums instanceof Sums) || this.sums.length < count) this.sums = new Sums(count);
    const { sums } = this;
    sums.fill(0, 0, stride);
    for (let y = 1; y <= height; y++) sums.fill(0, y * stride, y * stride + 3);
    for (let y = 0, from = 0; y < height; y++) {
      let [r, g, b] = [0, 0, 0];
      for (let at = (y + 1) * stride + 3; at < (y + 2) * stride; at += 3, from += 3) {
        r += data[from];
        g += data[from + 1];
        b += data[from + 2];
        sums[at] = sums[at - stride] + r;
        sums[at + 1] = sums[at - stride + 1] + g;
        sums[at + 2] = sums[at - stride + 2] + b;
      }
    }
    this.height = height;
    this.width = width;
    return this;
  }

  /**
   * Windows at size height x width, each value v as (v - 127.5) / 128 -> [windows.length, height, width, 3], in memory that the next
   * call takes again.
   */
  resample(windows: readonly Window[], height: number, width: number): Float32Array {
    const size = 3 * height * width;
    const count = windows.length * size;
    if (this.means.length < count) this.means = new Float32Array(count);
    for (const [i, window] of windows.entries()) this.resize(window, height, width, i * size);
    return this.means.subarray(0, count);
  }

  private resize(window: Window, height: number, width: number, at: number): void {
    const { sums, means: out } = this;
    const stride = 3 * (this.width + 1);
    const columns = Int32Array.from({ length: 2 * width }, (_, i) => {
      const ends = span(i >> 1, window.width, width);
      return 3 * (window.left + ends[i & 1]);
    });
    let next = at;
    for (let y = 0; y < height; y++) {
      const [y0, y1] = span(y, window.height, height);
      const upper = (window.top + y0) * stride;
      const lower = (window.top + y1) * stride;
      for (let x = 0; x < 2 * width; x += 2) {
        const from = columns[x];
        const to = columns[x + 1];
        const scale = 3 / ((y1 - y0) * (to - from));
        const [a, b, c, d] = [upper + from, upper + to, lower + from, lower + to];
        let [red, green, blue] = [0, 0, 0];
        if (sums instanceof Int32Array) {
          red = (sums[d] - sums[c] - sums[b] + sums[a]) >>> 0;
          green = (sums[d + 1] - sums[c + 1] - sums[b + 1] + sums[a + 1]) >>> 0;
          blue = (sums[d + 2] - sums[c + 2] - sums[b + 2] + sums[a + 2]) >>> 0;
        } else {
          red = sums[d] - sums[c] - sums[b] + sums[a];
          green = sums[d + 1] - sums[c + 1] - sums[b + 1] + sums[a + 1];
          blue = sums[d + 2] - sums[c + 2] - sums[b + 2] + sums[a + 2];
        }
        out[next] = (red * scale - 127.5) * 0.0078125;
        out[next + 1] = (green * scale - 127.5) * 0.0078125;
        out[next + 2] = (blue * scale - 127.5) * 0.0078125;
        next += 3;
      }
    }
  }
}
