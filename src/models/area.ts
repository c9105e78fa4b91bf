// Area resampling of images in host memory: each new pixel is the mean of the old pixels it touches, as PyTorch's
// `interpolate(mode='area')` and `adaptive_avg_pool2d` take it. MTCNN was trained on crops made like this.

/** Rows [start, end) that pixel i of `to` touches among `from`. */
const span = (i: number, from: number, to: number): [number, number] => [
  Math.floor((i * from) / to),
  Math.ceil(((i + 1) * from) / to),
];

/** A window of an RGB image: data[3 * (y * stride + x) + channel], `left`/`top` its first pixel. */
export interface Window {
  data: ArrayLike<number>;
  /** Pixels in a row of the whole image. */
  stride: number;
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Writes the window at size height x width into out, from `at` on: each value v as (v - 127.5) / 128. */
export function resizeArea(window: Window, height: number, width: number, out: Float32Array, at = 0): void {
  const { data, stride, left, top } = window;
  const columns = new Float64Array(3 * window.width);
  let next = at;
  for (let y = 0; y < height; y++) {
    const [y0, y1] = span(y, window.height, height);
    columns.fill(0);
    for (let row = y0; row < y1; row++) {
      const from = 3 * ((top + row) * stride + left);
      for (let i = 0; i < columns.length; i++) columns[i] += data[from + i];
    }
    for (let x = 0; x < width; x++) {
      const [x0, x1] = span(x, window.width, width);
      const scale = 1 / ((y1 - y0) * (x1 - x0));
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let i = 3 * x0 + c; i < 3 * x1; i += 3) sum += columns[i];
        out[next++] = (sum * scale - 127.5) / 128;
      }
    }
  }
}
