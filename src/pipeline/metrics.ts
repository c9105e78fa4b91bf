// PSNR and SSIM (paper-spec section 12), in float64 on the host.
import { ShapeError, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

export interface MetricOptions {
  /** Data range L: 255 for 8-bit values, 1 for [0, 1]. */
  range?: number;
  /** u8 or f32 [h, w]: only pixels where it is not 0 count. */
  mask?: Tensor;
}

interface Pair {
  a: ArrayLike<number>;
  b: ArrayLike<number>;
  mask: ArrayLike<number> | undefined;
  h: number;
  w: number;
  c: number;
}

function read(op: string, a: Tensor, b: Tensor, { range = 255, mask }: MetricOptions): Pair {
  const [h, w, c = 1] = a.shape;
  if (!sameShape(a.shape, b.shape) || a.shape.length < 2 || a.shape.length > 3 || a.size === 0) {
    throw new ShapeError(`${op}: wants two images [h, w, c], got a ${showShape(a.shape)}, b ${showShape(b.shape)}`);
  }
  if (mask && !sameShape(mask.shape, [h, w])) {
    throw new ShapeError(`${op}: mask ${showShape(mask.shape)} does not fit images ${showShape(a.shape)}`);
  }
  for (const [name, x] of Object.entries({ a, b })) {
    if (x.dtype !== 'u8' && x.dtype !== 'f32') {
      throw new ShapeError(`${op}: ${name} ${showShape(x.shape)} is ${x.dtype}, wants u8 or f32`);
    }
  }
  if (!(range > 0)) throw new ShapeError(`${op}: range must be > 0, got ${range}`);
  return { a: a.dataSync(), b: b.dataSync(), mask: mask?.dataSync(), h, w, c };
}

/**
 * Peak signal-to-noise ratio in dB, 10 log10(L^2 / MSE) with one MSE over all pixels and channels; Infinity for equal
 * images. a, b: u8 or f32 [h, w, c] or [h, w]. Throws ShapeError, also when the mask leaves no pixel.
 */
export function psnr(a: Tensor, b: Tensor, options: MetricOptions = {}): number {
  const pair = read('psnr', a, b, options);
  const { range = 255 } = options;
  let sum = 0;
  let count = 0;
  for (let i = 0; i < pair.a.length; i++) {
    if (pair.mask && pair.mask[Math.floor(i / pair.c)] === 0) continue;
    const difference = pair.a[i] - pair.b[i];
    sum += difference * difference;
    count++;
  }
  if (count === 0) throw new ShapeError(`psnr: the mask ${showShape([pair.h, pair.w])} leaves no pixel`);
  return sum === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10((range * range * count) / sum);
}

const RADIUS = 5;
const WINDOW = (() => {
  const taps = Float64Array.from({ length: 2 * RADIUS + 1 }, (_, i) => Math.exp(-0.5 * ((i - RADIUS) / 1.5) ** 2));
  const total = taps.reduce((sum, v) => sum + v, 0);
  return taps.map((v) => v / total);
})();

/**
 * Structural similarity (Wang et al.): Gaussian window 11x11 of sigma 1.5, K1 0.01, K2 0.03, population covariance, per
 * channel, mean over the positions whose window lies inside the image; equal to scikit-image with gaussian_weights and
 * use_sample_covariance=False. With a mask, the mean over masked positions (their windows still see the whole image).
 * Throws ShapeError for images smaller than 11x11 or a mask that leaves no position.
 */
export function ssim(a: Tensor, b: Tensor, options: MetricOptions = {}): number {
  const pair = read('ssim', a, b, options);
  const { h, w, c, mask } = pair;
  if (h < 2 * RADIUS + 1 || w < 2 * RADIUS + 1) {
    throw new ShapeError(`ssim: images must be at least 11x11, got ${showShape(a.shape)}`);
  }
  const { range = 255 } = options;
  const c1 = (0.01 * range) ** 2;
  const c2 = (0.03 * range) ** 2;
  let total = 0;
  let count = 0;
  for (let k = 0; k < c; k++) {
    const moments = windowed(pair, k);
    for (let y = RADIUS, i = 0; y < h - RADIUS; y++)
      for (let x = RADIUS; x < w - RADIUS; x++, i++) {
        if (mask && mask[y * w + x] === 0) continue;
        const [ma, mb] = [moments.a[i], moments.b[i]];
        const va = moments.aa[i] - ma * ma;
        const vb = moments.bb[i] - mb * mb;
        const cov = moments.ab[i] - ma * mb;
        total += ((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
        count++;
      }
  }
  if (count === 0) throw new ShapeError(`ssim: the mask ${showShape([h, w])} leaves no window`);
  return total / count;
}

/** Window means of a, b and their products for one channel, [h - 10, w - 10] each. */
function windowed({ a, b, h, w, c }: Pair, channel: number) {
  const iw = w - 2 * RADIUS;
  const ih = h - 2 * RADIUS;
  const names = ['a', 'b', 'aa', 'bb', 'ab'] as const;
  const out = {
    a: new Float64Array(0),
    b: new Float64Array(0),
    aa: new Float64Array(0),
    bb: new Float64Array(0),
    ab: new Float64Array(0),
  };
  const plane = new Float64Array(h * w);
  const rows = new Float64Array(h * iw);
  for (const name of names) {
    for (let p = 0, i = channel; p < plane.length; p++, i += c) {
      plane[p] =
        name === 'a'
          ? a[i]
          : name === 'b'
            ? b[i]
            : name === 'aa'
              ? a[i] * a[i]
              : name === 'bb'
                ? b[i] * b[i]
                : a[i] * b[i];
    }
    for (let y = 0; y < h; y++)
      for (let x = 0; x < iw; x++) {
        let sum = 0;
        for (let t = 0; t <= 2 * RADIUS; t++) sum += WINDOW[t] * plane[y * w + x + t];
        rows[y * iw + x] = sum; // [h, w - 10]
      }
    const means = new Float64Array(ih * iw);
    for (let y = 0; y < ih; y++)
      for (let x = 0; x < iw; x++) {
        let sum = 0;
        for (let t = 0; t <= 2 * RADIUS; t++) sum += WINDOW[t] * rows[(y + t) * iw + x];
        means[y * iw + x] = sum; // [h - 10, w - 10]
      }
    out[name] = means;
  }
  return out;
}
