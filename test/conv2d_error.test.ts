// The rounding of every form of convolution at channel counts of real networks: the largest error of many outputs against sums in float64, over the
// root mean square of the outputs. Winograd's F(4x4) may take 2e-5, every other form 5e-6.
import { describe, expect, it } from 'vitest';
import {
  concat,
  conv2d,
  conv2dUpsampled,
  gradient,
  mul,
  randn,
  resize,
  sum,
  type Tensor,
} from '../src/tensor/index.js';
import { withPrecision } from '../src/tensor/ops/conv2d_forms.js';
import { capture } from '../src/tensor/plan.js';
import { randomFrom } from './samples.js';

const [F4, REST] = [2e-5, 5e-6];
const SAMPLED = 1500;

interface Form {
  name: string;
  /** [n, h, w, c] */
  x: number[];
  oc: number;
  k: number;
  stride?: number;
  padding?: number;
  groups?: number;
  /** Channels of a skip connection: the convolution reads x upsampled, and that. */
  skip?: number;
  exact?: boolean;
  /** Bounds of the output, the gradient of x and that of w. */
  bounds: readonly [number, number, number];
  /** What the recorded step must show of the form. */
  kernel: RegExp;
}

const FORMS: readonly Form[] = [
  { name: '1x1', x: [1, 16, 16, 256], oc: 256, k: 1, bounds: [REST, REST, REST], kernel: /^conv2d .*kh=1 / },
  { name: '1x1, many pixels', x: [1, 64, 64, 64], oc: 256, k: 1, bounds: [REST, REST, REST], kernel: /^conv2d / },
  {
    name: '3x3, F(4x4)',
    x: [1, 16, 16, 256],
    oc: 256,
    k: 3,
    padding: 1,
    bounds: [F4, F4, F4],
    kernel: /^winograd .*tile=4/,
  },
  {
    name: '3x3, F(4x4), 64 channels',
    x: [1, 64, 64, 64],
    oc: 64,
    k: 3,
    padding: 1,
    bounds: [F4, F4, F4],
    kernel: /^winograd .*tile=4/,
  },
  {
    name: '3x3, F(2x2)',
    x: [1, 8, 8, 512],
    oc: 256,
    k: 3,
    padding: 1,
    bounds: [REST, REST, REST],
    kernel: /^winograd .*tile=2/,
  },
  {
    name: '3x3, direct',
    x: [1, 16, 16, 256],
    oc: 256,
    k: 3,
    padding: 1,
    exact: true,
    bounds: [REST, REST, REST],
    kernel: /^conv2d /,
  },
  {
    name: '3x3 stride 2',
    x: [1, 32, 32, 256],
    oc: 256,
    k: 3,
    stride: 2,
    padding: 1,
    bounds: [REST, REST, REST],
    kernel: /^conv2d /,
  },
  {
    name: '4x4 stride 2',
    x: [1, 32, 32, 256],
    oc: 256,
    k: 4,
    stride: 2,
    padding: 1,
    bounds: [REST, REST, REST],
    kernel: /^conv2d /,
  },
  {
    name: '7x7 stride 2, 3 channels',
    x: [1, 128, 128, 3],
    oc: 64,
    k: 7,
    stride: 2,
    padding: 3,
    bounds: [REST, REST, REST],
    kernel: /^conv2d /,
  },
  { name: 'narrow', x: [1, 64, 64, 64], oc: 3, k: 3, padding: 1, bounds: [REST, REST, REST], kernel: /^conv2d / },
  {
    name: 'depthwise',
    x: [1, 32, 32, 256],
    oc: 256,
    k: 3,
    padding: 1,
    groups: 256,
    bounds: [REST, REST, REST],
    kernel: /^conv2d /,
  },
  {
    name: 'grouped',
    x: [1, 16, 16, 256],
    oc: 256,
    k: 3,
    padding: 1,
    groups: 4,
    bounds: [REST, REST, REST],
    kernel: /^conv2d /,
  },
  {
    name: 'upsampled',
    x: [1, 16, 16, 256],
    oc: 128,
    k: 3,
    padding: 1,
    skip: 0,
    bounds: [REST, F4, F4],
    kernel: /^winograd_up /,
  },
  {
    name: 'upsampled and a skip',
    x: [1, 8, 8, 256],
    oc: 256,
    k: 3,
    padding: 1,
    skip: 256,
    bounds: [F4, F4, F4],
    kernel: /^winograd_up .*tile=4/,
  },
];

type Sums = { get: (i: number) => number; size: number };

/** Largest error of some of its values over the root mean square of all. */
function error(found: Tensor, { get, size }: Sums, random: () => number): number {
  const values = found.dataSync();
  expect(values.length).toBe(size);
  const rms = Math.sqrt(values.reduce((total, v) => total + v * v, 0) / size);
  expect(rms).toBeGreaterThan(0);
  let worst = 0;
  for (let i = 0; i < SAMPLED; i++) {
    const at = Math.floor(random() * size);
    const off = Math.abs(values[at] - get(at));
    if (!(off <= worst)) worst = off; // NaN stays
  }
  return worst / rms;
}

describe('the error of', () => {
  it.each(FORMS)('$name', (form) => {
    const { x: shape, oc, k, stride = 1, padding = 0, groups = 1, skip, exact = false, bounds, kernel } = form;
    const [n, , , c] = shape;
    const x = randn(shape, { seed: 1 });
    const up = skip === undefined ? 1 : 2;
    const [h, w] = [shape[1] * up, shape[2] * up];
    const beside = skip ? randn([n, h, w, skip], { seed: 2 }) : undefined;
    const joined =
      up === 1 ? x : beside ? concat([resize(x, { size: [h, w] }), beside], { axis: 3 }) : resize(x, { size: [h, w] });
    const ic = joined.shape[3];
    const [icg, ocg] = [ic / groups, oc / groups];
    const weights = randn([oc, k, k, icg], { seed: 3 });
    const run = (x: Tensor) =>
      withPrecision(exact ? 'exact' : 'fast', () =>
        up === 1 ? conv2d(x, weights, { stride, padding, groups }) : conv2dUpsampled(x, weights, { skip: beside }),
      );
    const captured = capture(run);
    const listed = captured(x) && captured.describe().split('\n');
    expect(
      listed.some((line) => kernel.test(line)),
      listed.join('\n'),
    ).toBe(true);
    captured.dispose();

    const y = run(x);
    const dy = randn(y.shape, { seed: 4 });
    const slopes = withPrecision(exact ? 'exact' : 'fast', () => gradient(sum(mul(y, dy)), { x, weights }));
    const [xs, ws, dys] = [joined, weights, dy].map((t) => t.dataSync());
    const [, oh, ow] = y.shape;

    const output = (i: number): number => {
      const [o, ox, oy] = [i % oc, Math.floor(i / oc) % ow, Math.floor(i / oc / ow)];
      let total = 0;
      for (let t = 0; t < k * k; t++) {
        const [iy, ix] = [oy * stride - padding + Math.floor(t / k), ox * stride - padding + (t % k)];
        if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
        const [from, at] = [(iy * w + ix) * ic + Math.floor(o / ocg) * icg, (o * k * k + t) * icg];
        for (let j = 0; j < icg; j++) total += xs[from + j] * ws[at + j];
      }
      return total;
    };
    const inputAt = (iy: number, ix: number, channel: number): number => {
      const [group, j] = [Math.floor(channel / icg), channel % icg];
      let total = 0;
      for (let t = 0; t < k * k; t++) {
        const [y0, x0] = [iy + padding - Math.floor(t / k), ix + padding - (t % k)];
        const [oy, ox] = [y0 / stride, x0 / stride];
        if (y0 % stride || x0 % stride || oy < 0 || oy >= oh || ox < 0 || ox >= ow) continue;
        for (let o = group * ocg; o < (group + 1) * ocg; o++)
          total += dys[(oy * ow + ox) * oc + o] * ws[(o * k * k + t) * icg + j];
      }
      return total;
    };
    // Of an upsampled map the sum over the pixels that each of its own became.
    const input = (i: number): number => {
      const [channel, column, row] = [i % c, Math.floor(i / c) % shape[2], Math.floor(i / c / shape[2])];
      let total = 0;
      for (let p = 0; p < up * up; p++)
        total += inputAt(row * up + Math.floor(p / up), column * up + (p % up), channel);
      return total;
    };
    const weight = (i: number): number => {
      const [j, t, o] = [i % icg, Math.floor(i / icg) % (k * k), Math.floor(i / icg / k / k)];
      let total = 0;
      for (let p = 0; p < oh * ow; p++) {
        const [iy, ix] = [
          Math.floor(p / ow) * stride - padding + Math.floor(t / k),
          (p % ow) * stride - padding + (t % k),
        ];
        if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
        total += xs[(iy * w + ix) * ic + Math.floor(o / ocg) * icg + j] * dys[p * oc + o];
      }
      return total;
    };
    const random = randomFrom(5);
    const errors = [
      error(y, { get: output, size: y.size }, random),
      error(slopes.x, { get: input, size: x.size }, random),
      error(slopes.weights, { get: weight, size: weights.size }, random),
    ];
    for (const [i, part] of ['output', 'gradient of x', 'gradient of w'].entries())
      expect(errors[i], part).toBeLessThanOrEqual(bounds[i]);
  });
});
