import { ones } from '../../src/tensor/create.js';
import { type ConvOptions, type ConvTransposeOptions, conv2d, convTranspose2d } from '../../src/tensor/ops/conv2d.js';
import { withPrecision } from '../../src/tensor/ops/conv2d_forms.js';
import { record } from '../../src/tensor/record.js';
import type { Case, Sample } from './case.js';

type Numbers = Record<string, number>;

/** Calls visit(x, w, y) for every product of the convolution's definition. */
function products(p: Numbers, visit: (x: number, w: number, y: number) => void): void {
  const [icg, ocg] = [p.ic / p.groups, p.oc / p.groups];
  for (let n = 0; n < p.n; n++)
    for (let oy = 0; oy < p.oh; oy++)
      for (let ox = 0; ox < p.ow; ox++)
        for (let o = 0; o < p.oc; o++)
          for (let ky = 0; ky < p.kh; ky++)
            for (let kx = 0; kx < p.kw; kx++) {
              const [iy, ix] = [oy * p.sh - p.ph + ky * p.dh, ox * p.sw - p.pw + kx * p.dw];
              if (iy < 0 || iy >= p.ih || ix < 0 || ix >= p.iw) continue;
              const first = Math.floor(o / ocg) * icg;
              for (let c = 0; c < icg; c++) {
                visit(
                  ((n * p.ih + iy) * p.iw + ix) * p.ic + first + c,
                  ((o * p.kh + ky) * p.kw + kx) * icg + c,
                  ((n * p.oh + oy) * p.ow + ox) * p.oc + o,
                );
              }
            }
}

/** Index j of w [oc, kh, kw, ic / groups] where every kernel position has `wide` channels. */
const widened = (j: number, { ic, groups }: Numbers, wide: number): number => {
  const c = ic / groups;
  return Math.floor(j / c) * wide + (j % c);
};

const start = (to: Float64Array, size: number, bias: Float64Array | undefined, channels: number): void => {
  for (let i = 0; i < size; i++) to[i] = bias ? bias[i % channels] : 0;
};

/** y = activation(y + residual), slopes one per channel where they are given */
const end = (
  y: Float64Array,
  { residual, slopes }: Record<string, Float64Array | undefined>,
  { activation, slope, oc }: Numbers,
): void => {
  for (let i = 0; i < y.length; i++) {
    const z = y[i] + (residual ? residual[i] : 0);
    const below = slopes ? slopes[i % oc] : slope;
    y[i] = z < 0 && activation > 0 ? (activation === 1 ? 0 : below * z) : z;
  }
};

const conv = (
  name: string,
  x: number[],
  w: number[],
  { bias, ...options }: Omit<ConvOptions, 'bias'> & { bias?: boolean } = {},
): Sample => ({
  name,
  inputs: { x, w, ...(bias ? { bias: [w[0]] } : {}) },
  run: (t) => conv2d(t.x, t.w, { bias: t.bias, ...options }),
  flops: (2 * w.reduce((a, b) => a * b, 1) * x[0] * x[1] * x[2]) / Number(options.stride ?? 1) ** 2,
});

/** A 1x1 convolution of two maps. */
const beside = (name: string, x: number[], oc: number, { bias = false } = {}): Sample => ({
  name,
  inputs: { x, beside: x, w: [oc, 1, 1, 2 * x[3]], ...(bias ? { bias: [oc] } : {}) },
  run: (t) => conv2d(t.x, t.w, { bias: t.bias, beside: t.beside }),
});

const transposed = (
  name: string,
  x: number[],
  w: number[],
  { bias, ...options }: Omit<ConvTransposeOptions, 'bias'> & { bias?: number } = {},
): Sample => ({
  name,
  inputs: { x, w, ...(bias ? { bias: [bias] } : {}) },
  run: (t) => convTranspose2d(t.x, t.w, { bias: t.bias, ...options }),
});

/** Within the rounding of the factors, where the processor multiplies bf16; elsewhere as ever. */
const inBf16 = (name: string, x: number[], w: number[], options: ConvOptions = {}): Sample => ({
  ...conv(`bf16, ${name}`, x, w),
  run: (t) => withPrecision('bf16', () => conv2d(t.x, t.w, options)),
  tolerance: 1e-2,
  differences: false,
  differentiable: [],
});

/** Kernels with what `capture`'s frozen form puts behind them, on the op's own buffers. */
const ended = (
  name: string,
  x: number[],
  w: number[],
  activation: number,
  { padding = 0, groups = 1, prelu = false } = {},
): Sample => {
  const [n, ih, iw, ic] = x;
  const [oc, kh, kw] = w;
  const [oh, ow] = [ih + 2 * padding - kh + 1, iw + 2 * padding - kw + 1];
  const winograd = ic >= 32;
  const size = { n, ih, iw, ic, oh, ow, oc, ph: padding, pw: padding };
  const params = winograd
    ? { ...size, turned: 0, wc: ic, w0: 0, halved: 0, tile: 4, kept: 1, bf16: 0 }
    : { ...size, kh, kw, sh: 1, sw: 1, dh: 1, dw: 1, groups, bf16: 0 };
  const scratch = winograd ? 36 * 64 * 128 * (33 / 32) : kh * kw * 128 * ic;
  return {
    name,
    inputs: { x, w, bias: [oc], residual: [n, oh, ow, oc], ...(prelu ? { slopes: [oc] } : {}) },
    differentiable: [],
    tolerance: winograd ? 1e-5 : undefined,
    run: ({ x, w, bias, residual, slopes }) =>
      record(winograd ? 'winograd' : 'conv2d', {
        inputs: winograd ? [x, w, bias, residual, slopes] : [x, undefined, w, bias, residual, slopes],
        outputs: [{ shape: [n, oh, ow, oc], dtype: x.dtype }, { shape: [scratch] }],
        params: { ...params, activation, slope: 0.2, packed: 0 },
      })[0],
  };
};

const cases: Case = {
  kernels: {
    conv2d({ x, beside, w, bias, residual, slopes, y }, p) {
      start(y, p.n * p.oh * p.ow * p.oc, bias, p.oc);
      const wide = beside ? 2 * p.ic : p.ic / p.groups;
      products(p, (i, j, k) => {
        y[k] += x[i] * w[widened(j, p, wide)];
        if (beside) y[k] += beside[i] * w[widened(j, p, wide) + p.ic];
      });
      end(y, { residual, slopes }, p);
    },
    conv2d_input({ y, w, bias, x }, p) {
      start(x, p.n * p.ih * p.iw * p.ic, bias, p.ic);
      products(p, (i, j, k) => {
        x[i] += y[k] * w[widened(j, p, p.wc) + p.w0];
      });
    },
    conv2d_weight({ x, beside, y, w }, p) {
      const wide = beside ? 2 * p.ic : p.ic / p.groups;
      start(w, p.oc * p.kh * p.kw * wide, undefined, 1);
      products(p, (i, j, k) => {
        w[widened(j, p, wide)] += x[i] * y[k];
        if (beside) w[widened(j, p, wide) + p.ic] += beside[i] * y[k];
      });
    },
    winograd(
      { x, w, bias, residual, slopes, y },
      { n, ih, iw, ic, oh, ow, oc, ph, pw, turned, wc, w0, halved, activation, slope },
    ) {
      const p = { n, ih, iw, ic, oh, ow, oc, kh: 3, kw: 3, sh: 1, sw: 1, ph, pw, dh: 1, dw: 1, groups: 1 };
      start(y, (n * oh * ow * oc) / (halved ? 4 : 1), bias, oc);
      products(p, (i, j, k) => {
        const [o, t, c] = [Math.floor(j / (9 * ic)), Math.floor(j / ic) % 9, j % ic];
        const [row, column] = [Math.floor(k / oc / ow), Math.floor(k / oc) % ow];
        const to = halved ? ((row >> 1) * (ow / 2) + (column >> 1)) * oc + (k % oc) : k;
        y[to] += x[i] * w[turned ? (c * 9 + 8 - t) * wc + w0 + o : j];
      });
      end(y, { residual, slopes }, { activation, slope, oc });
    },
    winograd_weight({ x, y, w }, { n, ih, iw, ic, oh, ow, oc, ph, pw }) {
      start(w, oc * 9 * ic, undefined, 1);
      products(
        { n, ih, iw, ic, oh, ow, oc, kh: 3, kw: 3, sh: 1, sw: 1, ph, pw, dh: 1, dw: 1, groups: 1 },
        (i, j, k) => {
          w[j] += x[i] * y[k];
        },
      );
    },
  },
  maps: ['x', 'beside', 'residual'],
  samples: [
    conv('3x3', [2, 5, 6, 3], [4, 3, 3, 3], { padding: 1, bias: true }),
    conv('3x3, ragged', [1, 7, 5, 19], [37, 3, 3, 19], { padding: 1 }),
    conv('3x3 stride 2', [1, 9, 8, 5], [7, 3, 3, 5], { padding: 1, stride: 2, bias: true }),
    conv('1x1', [2, 5, 5, 17], [33, 1, 1, 17], { bias: true }),
    conv('1x1 stride 2', [1, 7, 7, 6], [5, 1, 1, 6], { stride: 2 }),
    conv('7x7 stride 2', [1, 17, 15, 3], [10, 7, 7, 3], { padding: 3, stride: 2 }),
    conv('4x4 stride 2', [1, 10, 12, 6], [9, 4, 4, 6], { padding: 1, stride: 2, bias: true }),
    conv('4x4 stride 1', [1, 6, 7, 5], [1, 4, 4, 5], { padding: 1 }),
    conv('1x7', [1, 5, 9, 4], [6, 1, 7, 4], { padding: [0, 3] }),
    conv('7x1', [1, 9, 5, 4], [6, 7, 1, 4], { padding: [3, 0] }),
    conv('stride 3 by 2, no padding', [1, 11, 10, 3], [5, 2, 3, 3], { stride: [3, 2] }),
    conv('stride beyond the kernel', [1, 9, 9, 3], [4, 2, 2, 3], { stride: 4, bias: true }),
    conv('dilated', [1, 9, 10, 5], [7, 3, 3, 5], { padding: 2, dilation: 2 }),
    conv('dilated and strided', [1, 13, 12, 3], [5, 3, 2, 3], { padding: [2, 1], dilation: [2, 3], stride: 2 }),
    conv('two groups', [1, 6, 5, 6], [8, 3, 3, 3], { padding: 1, groups: 2, bias: true }),
    conv('depthwise', [2, 7, 6, 19], [19, 3, 3, 1], { padding: 1, groups: 19, bias: true }),
    conv('depthwise stride 2', [1, 8, 9, 5], [5, 3, 3, 1], { padding: 1, stride: 2, groups: 5 }),
    conv('depthwise with two filters a channel', [1, 6, 6, 3], [6, 3, 3, 1], { padding: 1, groups: 3 }),
    conv('deep', [1, 3, 3, 577], [5, 3, 3, 577], { padding: 1 }),
    conv('narrow output', [1, 7, 5, 35], [3, 3, 3, 35], { padding: 1, bias: true }),
    conv('narrow input, stride 2', [1, 10, 9, 3], [21, 4, 4, 3], { padding: 1, stride: 2 }),
    conv('narrow groups', [1, 5, 6, 38], [4, 3, 3, 19], { padding: 1, groups: 2, bias: true }),
    // Whole vectors of four and whole blocks of 32 channels, which cards read in other ways.
    conv('32 channels, stride 2', [2, 9, 8, 32], [68, 3, 3, 32], { padding: 1, stride: 2, bias: true }),
    conv('32 channels, dilated', [1, 9, 9, 32], [16, 3, 3, 32], { padding: 2, dilation: 2 }),
    { ...conv('256 channels', [1, 4, 4, 256], [68, 3, 3, 256], { padding: 1 }), differences: false },
    { ...conv('1x1, many pixels', [1, 33, 33, 490], [5, 1, 1, 490]), differences: false },
    { ...conv('1x1, ranges of pixels', [2, 31, 27, 40], [9, 1, 1, 40]), differences: false },
    conv('1x1 stride 2, two images', [2, 7, 5, 6], [5, 1, 1, 6], { stride: 2 }),
    conv('no images', [0, 5, 6, 20], [9, 3, 3, 20], { padding: 1 }),
    conv('1x1, no images', [0, 5, 6, 20], [9, 1, 1, 20]),
    beside('1x1 of two maps', [2, 5, 6, 19], 37, { bias: true }),
    { ...beside('1x1 of two maps, ranges of pixels', [2, 31, 27, 40], 9), differences: false },
    beside('1x1 of two maps, narrow output', [1, 5, 3, 24], 3),
    beside('1x1 of two maps of few channels', [1, 2, 3, 5], 4),
    conv('1x1 in groups', [2, 3, 4, 12], [6, 1, 1, 4], { groups: 3 }),
    // Winograd's form: its own error against float64 is what the tolerance states.
    {
      ...conv('Winograd, ragged', [1, 33, 34, 37], [35, 3, 3, 37], { padding: 1, bias: true }),
      tolerance: 1e-5,
      differences: false,
    },
    { ...conv('Winograd, batch, no padding', [3, 22, 23, 32], [67, 3, 3, 32]), tolerance: 1e-5, differences: false },
    {
      ...conv('Winograd, padding of 2', [2, 21, 27, 33], [32, 3, 3, 33], { padding: 2 }),
      tolerance: 1e-5,
      differences: false,
    },
    {
      ...conv('Winograd, many channels', [1, 32, 32, 72], [33, 3, 3, 72], { padding: 1 }),
      tolerance: 1e-5,
      differences: false,
    },
    {
      ...conv('Winograd, as few tiles as it takes', [1, 13, 16, 64], [36, 3, 3, 64], { padding: 1 }),
      tolerance: 1e-5,
      differences: false,
    },
    {
      ...conv('Winograd, small map', [1, 8, 7, 300], [33, 3, 3, 300], { padding: 1, bias: true }),
      tolerance: 1e-5,
      differences: false,
    },
    // A few channels beyond whole vectors, of 4 to 16, in every pass.
    ...[
      conv('65 channels, stride 2', [2, 8, 9, 65], [66, 4, 4, 65], { padding: 1, stride: 2, bias: true }),
      conv('17 channels in each of two groups', [1, 6, 5, 34], [38, 3, 3, 17], { padding: 1, groups: 2, bias: true }),
      conv('1x1, 65 channels, ranges of pixels', [1, 31, 27, 65], [67, 1, 1, 65]),
      conv('1x1, three channels', [1, 9, 7, 3], [65, 1, 1, 3]),
      conv('3x1, one channel in each of two groups', [1, 9, 7, 2], [40, 3, 1, 1], { padding: [1, 0], groups: 2 }),
      conv('depthwise, 97 channels, 5x5', [2, 9, 8, 97], [97, 5, 5, 1], { padding: 2, groups: 97 }),
    ].map((sample) => ({ ...sample, differences: false })),
    {
      ...conv('Winograd, 65 channels', [1, 17, 15, 65], [65, 3, 3, 65], { padding: 1, bias: true }),
      tolerance: 1e-5,
      differences: false,
    },
    {
      ...conv('Winograd, 49 channels, few tiles', [1, 8, 7, 49], [50, 3, 3, 49], { padding: 1 }),
      tolerance: 1e-5,
      differences: false,
    },
    conv('few outputs', [2, 9, 21, 16], [3, 3, 3, 16], { padding: 1, bias: true }),
    conv('few outputs, ragged channels, stride 2', [1, 8, 11, 18], [5, 3, 3, 18], { padding: 1, stride: 2 }),
    conv('few outputs, dilated', [1, 9, 7, 12], [2, 2, 3, 12], { padding: 2, dilation: 2, bias: true }),
    conv('few inputs and outputs', [1, 6, 5, 4], [3, 3, 3, 4], { padding: 1, bias: true }),
    {
      ...conv('few inputs, 7x7 stride 2', [2, 19, 37, 3], [20, 7, 7, 3], { padding: 3, stride: 2 }),
      differences: false,
    },
    {
      ...conv('few inputs, 4x4 stride 2, ragged', [1, 18, 35, 6], [70, 4, 4, 6], { padding: 1, stride: 2, bias: true }),
      differences: false,
    },
    { ...conv('few inputs, more tiles than blocks', [530, 1, 1, 2], [9, 1, 1, 2]), differences: false },
    ended('residual and ReLU, few outputs', [2, 5, 6, 16], [3, 3, 3, 16], 1, { padding: 1 }),
    ended('residual and ReLU', [2, 5, 6, 7], [37, 3, 3, 7], 1, { padding: 1 }),
    ended('residual, leaky ReLU, two groups', [1, 5, 6, 8], [6, 3, 3, 4], 2, { groups: 2 }),
    ended('residual and ReLU, depthwise', [1, 6, 5, 19], [19, 3, 3, 1], 1, { padding: 1, groups: 19 }),
    ended('residual and leaky ReLU, narrow output', [1, 5, 5, 17], [3, 1, 1, 17], 2),
    ended('residual alone, 1x1', [1, 9, 9, 24], [70, 1, 1, 24], 0),
    ended('residual and leaky ReLU, Winograd', [1, 34, 33, 32], [67, 3, 3, 32], 2, { padding: 1 }),
    ended('residual and PReLU', [1, 5, 6, 7], [70, 3, 3, 7], 2, { padding: 1, prelu: true }),
    ended('residual and PReLU, two groups', [1, 5, 6, 8], [6, 3, 3, 4], 2, { groups: 2, prelu: true }),
    ended('residual and PReLU, depthwise', [1, 6, 5, 19], [19, 3, 3, 1], 2, { padding: 1, groups: 19, prelu: true }),
    ended('residual and PReLU, narrow output', [1, 5, 5, 17], [3, 1, 1, 17], 2, { prelu: true }),
    ended('residual and PReLU, few outputs beyond vectors', [1, 5, 5, 17], [35, 1, 1, 17], 2, { prelu: true }),
    ended('residual and PReLU, Winograd, few beyond vectors', [1, 9, 10, 32], [35, 3, 3, 32], 2, {
      padding: 1,
      prelu: true,
    }),
    ended('residual and PReLU, Winograd', [1, 9, 10, 32], [37, 3, 3, 32], 2, { padding: 1, prelu: true }),
    inBf16('1x1', [1, 7, 7, 96], [40, 1, 1, 96]),
    inBf16('3x3 stride 2, ragged', [2, 9, 8, 34], [37, 3, 3, 34], { padding: 1, stride: 2 }),
    inBf16('many channels', [1, 3, 3, 1090], [33, 1, 1, 1090]),
    // Lines of 64 channels and more, and parts of one: what warpgroups multiply, in every pass.
    ...[
      conv('64 channels, stride 2', [1, 9, 8, 64], [72, 3, 3, 64], { padding: 1, stride: 2, bias: true }),
      conv('72 channels', [1, 5, 6, 72], [64, 3, 3, 72], { padding: 1, bias: true }),
      conv('72 channels by tiles', [1, 16, 16, 72], [64, 3, 3, 72], { padding: 1 }),
      conv('1x1 of 64 channels, stride 2', [1, 9, 9, 64], [128, 1, 1, 64], { stride: 2, bias: true }),
      conv('40 channels, dilated', [1, 9, 9, 40], [48, 3, 3, 40], { padding: 2, dilation: 2 }),
      conv('4x4 of 128 channels, stride 2', [1, 8, 10, 128], [40, 4, 4, 128], { padding: 1, stride: 2 }),
    ].map((sample) => ({ ...sample, tolerance: 1e-5, differences: false })),
    conv('kernel as large as the input', [2, 4, 5, 6], [3, 4, 5, 6], {}),
    transposed('transposed 4x4 stride 2', [1, 4, 5, 6], [3, 4, 4, 6], { stride: 2, padding: 1, bias: 3 }),
    transposed('transposed 3x3 stride 2, output padding', [2, 4, 5, 3], [4, 3, 3, 3], {
      stride: 2,
      padding: 1,
      outputPadding: 1,
    }),
    transposed('transposed, two groups', [1, 4, 3, 6], [2, 3, 3, 6], { stride: 2, groups: 2, bias: 4 }),
  ],
  benchmarks: [
    conv('1x1 256->64 @64', [1, 64, 64, 256], [64, 1, 1, 256]),
    conv('1x1 64->256 @64', [1, 64, 64, 64], [256, 1, 1, 64]),
    conv('1x1 1024->256 @16', [1, 16, 16, 1024], [256, 1, 1, 1024]),
    conv('3x3 64->64 @64', [1, 64, 64, 64], [64, 3, 3, 64], { padding: 1 }),
    conv('3x3 128->128 @32', [1, 32, 32, 128], [128, 3, 3, 128], { padding: 1 }),
    conv('3x3 256->256 @16', [1, 16, 16, 256], [256, 3, 3, 256], { padding: 1 }),
    conv('3x3 512->512 @8', [1, 8, 8, 512], [512, 3, 3, 512], { padding: 1 }),
    conv('3x3 192->64 @128', [1, 128, 128, 192], [64, 3, 3, 192], { padding: 1 }),
    conv('3x3 32->16 @256', [1, 256, 256, 32], [16, 3, 3, 32], { padding: 1 }),
    conv('3x3 16->3 @256', [1, 256, 256, 16], [3, 3, 3, 16], { padding: 1, bias: true }),
    conv('7x7 s2 3->64 @256', [1, 256, 256, 3], [64, 7, 7, 3], { padding: 3, stride: 2 }),
    conv('4x4 s2 64->128 @128', [1, 128, 128, 64], [128, 4, 4, 64], { padding: 1, stride: 2 }),
    conv('depthwise 3x3 64 @60', [1, 60, 60, 64], [64, 3, 3, 1], { padding: 1, groups: 64 }),
  ],
  errors: [
    {
      name: 'channels',
      run: () => conv2d(ones([1, 5, 5, 3]), ones([8, 3, 3, 4])),
      message: 'conv2d: x has 3 channels, w expects 4 (x [1,5,5,3], w [8,3,3,4])',
    },
    {
      name: 'rank',
      run: () => conv2d(ones([5, 5, 3]), ones([8, 3, 3, 3])),
      message: 'conv2d: x must be [n,h,w,c], got [5,5,3]',
    },
    {
      name: 'kernel',
      run: () => conv2d(ones([1, 3, 3, 2]), ones([4, 5, 3, 2])),
      message: 'conv2d: kernel [5,3] is larger than the padded input [3,3] (x [1,3,3,2], w [4,5,3,2])',
    },
    {
      name: 'groups',
      run: () => conv2d(ones([1, 3, 3, 4]), ones([4, 1, 1, 2]), { groups: 3 }),
      message: 'conv2d: 4 input channels do not divide into 3 groups (x [1,3,3,4], w [4,1,1,2])',
    },
    {
      name: 'bias',
      run: () => conv2d(ones([1, 3, 3, 2]), ones([4, 1, 1, 2]), { bias: ones([3]) }),
      message: 'conv2d: bias must be [4], got [3]',
    },
    {
      name: 'beside',
      run: () => conv2d(ones([1, 3, 3, 2]), ones([4, 1, 1, 4]), { beside: ones([1, 3, 2, 2]) }),
      message:
        "conv2d: beside must have x's shape, w the channels of both and one group, got x [1,3,3,2], beside [1,3,2,2], w [4,1,1,4], 1 groups",
    },
    {
      name: 'stride',
      run: () => conv2d(ones([1, 3, 3, 2]), ones([4, 1, 1, 2]), { stride: 0 }),
      message: 'conv2d: stride must be a whole number >= 1, or [h, w] of such, got 0',
    },
    {
      name: 'transposed channels',
      run: () => convTranspose2d(ones([1, 3, 3, 2]), ones([4, 2, 2, 3])),
      message: 'convTranspose2d: x has 2 channels, w expects 3 (x [1,3,3,2], w [4,2,2,3])',
    },
    {
      name: 'output padding',
      run: () => convTranspose2d(ones([1, 3, 3, 2]), ones([4, 2, 2, 2]), { outputPadding: 1 }),
      message: 'convTranspose2d: outputPadding [1,1] must be less than stride [1,1]',
    },
  ],
};

export default cases;
