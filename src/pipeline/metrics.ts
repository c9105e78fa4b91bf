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
const TAPS = (() => {
  const taps = Float64Array.from({ length: RADIUS + 1 }, (_, i) => Math.exp(-0.5 * (i / 1.5) ** 2));
  const total = taps.reduce((sum, v) => sum + 2 * v, -taps[0]);
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
  const { h, w, mask } = pair;
  if (h < 2 * RADIUS + 1 || w < 2 * RADIUS + 1) {
    throw new ShapeError(`ssim: images must be at least 11x11, got ${showShape(a.shape)}`);
  }
  const { mean, count } = meanSsim(ssimMap(pair.a, pair.b, { ...pair, range: options.range }), h, w, mask);
  if (count === 0) throw new ShapeError(`ssim: the mask ${showShape([h, w])} leaves no window`);
  return mean;
}

/** Mean of a `ssimMap` over all positions, or those where the mask [h, w] of the images is not 0; NaN where none is left. */
export function meanSsim(map: Float64Array, h: number, w: number, mask?: ArrayLike<number>) {
  let total = 0;
  let count = 0;
  for (let y = RADIUS, i = 0; y < h - RADIUS; y++)
    for (let x = RADIUS; x < w - RADIUS; x++, i++) {
      if (mask && mask[y * w + x] === 0) continue;
      total += map[i];
      count++;
    }
  return { mean: total / count, count };
}

/**
 * The similarity of two images [h, w, c] in host memory at every position whose window lies inside: [h - 10, w - 10], mean of
 * the channels. Sides must be at least 11.
 */
export function ssimMap(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { h, w, c, range = 255 }: { h: number; w: number; c: number; range?: number },
): Float64Array {
  const c1 = (0.01 * range) ** 2;
  const c2 = (0.03 * range) ** 2;
  const row = w * c;
  const inner = (w - 2 * RADIUS) * c;
  const out = new Float64Array((h - 2 * RADIUS) * (w - 2 * RADIUS));
  // Of a, b, a^2 + b^2 and ab: one row of the images, the last 11 rows filtered along x, one row filtered both ways.
  const make = (length: number) => [0, 1, 2, 3].map(() => new Float64Array(length));
  const [pa, pb, pss, pab] = make(row);
  const rings = make((2 * RADIUS + 1) * inner);
  const [ma, mb, mss, mab] = make(inner);
  for (let y = 0, at = 0; y < h; y++) {
    for (let i = 0, from = y * row; i < row; i++, from++) {
      const va = a[from];
      const vb = b[from];
      pa[i] = va;
      pb[i] = vb;
      pss[i] = va * va + vb * vb;
      pab[i] = va * vb;
    }
    const place = (y % (2 * RADIUS + 1)) * inner;
    alongRow(pa, rings[0], place, inner, c);
    alongRow(pb, rings[1], place, inner, c);
    alongRow(pss, rings[2], place, inner, c);
    alongRow(pab, rings[3], place, inner, c);
    if (y < 2 * RADIUS) continue;
    acrossRows(rings[0], ma, y - RADIUS, inner);
    acrossRows(rings[1], mb, y - RADIUS, inner);
    acrossRows(rings[2], mss, y - RADIUS, inner);
    acrossRows(rings[3], mab, y - RADIUS, inner);
    for (let i = 0; i < inner; at++) {
      let sum = 0;
      for (let k = 0; k < c; k++, i++) {
        const ab = ma[i] * mb[i];
        const squares = ma[i] * ma[i] + mb[i] * mb[i];
        sum += ((2 * ab + c1) * (2 * (mab[i] - ab) + c2)) / ((squares + c1) * (mss[i] - squares + c2));
      }
      out[at] = sum / c;
    }
  }
  return out;
}

/** Window means along one row of `c` channels, to `out` from `place` on. */
function alongRow(p: Float64Array, out: Float64Array, place: number, inner: number, c: number): void {
  const [t0, t1, t2, t3, t4, t5] = TAPS;
  for (let i = 0, m = RADIUS * c; i < inner; i++, m++) {
    out[place + i] =
      t0 * p[m] +
      t1 * (p[m - c] + p[m + c]) +
      t2 * (p[m - 2 * c] + p[m + 2 * c]) +
      t3 * (p[m - 3 * c] + p[m + 3 * c]) +
      t4 * (p[m - 4 * c] + p[m + 4 * c]) +
      t5 * (p[m - 5 * c] + p[m + 5 * c]);
  }
}

/** Window means down the columns of the 11 rows about row `middle`; row y of the image is row y % 11 of the ring. */
function acrossRows(ring: Float64Array, out: Float64Array, middle: number, inner: number): void {
  const [t0, t1, t2, t3, t4, t5] = TAPS;
  const start = (offset: number) => ((middle + offset) % (2 * RADIUS + 1)) * inner;
  const m = start(0);
  const [u1, u2, u3, u4, u5] = [start(-1), start(-2), start(-3), start(-4), start(-5)];
  const [d1, d2, d3, d4, d5] = [start(1), start(2), start(3), start(4), start(5)];
  for (let i = 0; i < inner; i++) {
    out[i] =
      t0 * ring[m + i] +
      t1 * (ring[u1 + i] + ring[d1 + i]) +
      t2 * (ring[u2 + i] + ring[d2 + i]) +
      t3 * (ring[u3 + i] + ring[d3 + i]) +
      t4 * (ring[u4 + i] + ring[d4 + i]) +
      t5 * (ring[u5 + i] + ring[d5 + i]);
  }
}
