// Pooling over windows of x [n, h, w, c].
import { derive, floatType, record } from '../record.js';
import { ShapeError, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { cast } from './layout.js';
import { mean } from './mean.js';

/** A number for both axes, or [h, w]. */
export type Pair = number | readonly [number, number] | readonly number[];

/** [h, w] of an option, checked to be whole numbers of at least `least`. */
export function pair(op: string, name: string, value: Pair, least: number): [number, number] {
  const [h, w] = typeof value === 'number' ? [value, value] : value;
  if (![h, w].every((n) => Number.isInteger(n) && n >= least) || (typeof value !== 'number' && value.length !== 2)) {
    throw new ShapeError(
      `${op}: ${name} must be a whole number >= ${least}, or [h, w] of such, got ${JSON.stringify(value)}`,
    );
  }
  return [h, w];
}

export interface PoolOptions {
  kernelSize: Pair;
  /** The kernel size unless given. */
  stride?: Pair;
  /** At most half the kernel. */
  padding?: Pair;
}

export interface MaxPoolOptions extends PoolOptions {
  /** A last window that reaches over the edge counts, as in PyTorch; what lies beyond is never chosen. */
  ceilMode?: boolean;
}

function geometry(op: string, x: Tensor, options: MaxPoolOptions) {
  const { kernelSize, stride = kernelSize, padding = 0, ceilMode = false } = options;
  const dtype = floatType(op, { x });
  if (x.shape.length !== 4) throw new ShapeError(`${op}: x must be [n,h,w,c], got ${showShape(x.shape)}`);
  const [n, ih, iw, c] = x.shape;
  const [kh, kw] = pair(op, 'kernelSize', kernelSize, 1);
  const [sh, sw] = pair(op, 'stride', stride, 1);
  const [ph, pw] = pair(op, 'padding', padding, 0);
  if (2 * ph > kh || 2 * pw > kw)
    throw new ShapeError(`${op}: padding [${ph},${pw}] exceeds half the kernel [${kh},${kw}]`);
  const windows = (size: number, k: number, s: number, p: number) => {
    const count = Math[ceilMode ? 'ceil' : 'floor']((size + 2 * p - k) / s) + 1;
    return (count - 1) * s < size + p ? count : count - 1; // a window starts before the edge
  };
  const oh = windows(ih, kh, sh, ph);
  const ow = windows(iw, kw, sw, pw);
  if (oh < 1 || ow < 1) {
    throw new ShapeError(
      `${op}: kernel [${kh},${kw}] is larger than x ${showShape(x.shape)} with padding [${ph},${pw}]`,
    );
  }
  return { params: { n, ih, iw, c, oh, ow, kh, kw, sh, sw, ph, pw }, output: { shape: [n, oh, ow, c], dtype } };
}

type Params = ReturnType<typeof geometry>['params'];

/** Largest value of each window, padding never chosen; NaN wins. The gradient goes to the first of equal maxima. */
export function maxPool2d(x: Tensor, options: MaxPoolOptions): Tensor {
  const { params, output } = geometry('maxPool2d', x, options);
  const outputs = [output, { shape: output.shape, dtype: 'i32' as const }];
  const [y, index] = record('max_pool2d', { inputs: [x], outputs, params });
  return derive('maxPool2d', y, [x], [(dy) => put(dy, index, params)]);
}

/** dy at the positions of the maxima. */
function put(dy: Tensor, index: Tensor, params: Params): Tensor {
  const shape = [params.n, params.ih, params.iw, params.c];
  const [dx] = record('max_pool2d_put', { inputs: [dy, index], outputs: [{ shape, dtype: dy.dtype }], params });
  return derive('maxPool2dPut', dx, [dy, index], [(d) => take(d, index, params), undefined]);
}

/** x at the positions of the maxima. */
function take(x: Tensor, index: Tensor, params: Params): Tensor {
  const outputs = [{ shape: index.shape, dtype: x.dtype }];
  const [y] = record('max_pool2d_take', { inputs: [x, index], outputs, params });
  return derive('maxPool2dTake', y, [x, index], [(dy) => put(dy, index, params), undefined]);
}

/** Mean of each window; padding counts as zeros. */
export function avgPool2d(x: Tensor, options: PoolOptions): Tensor {
  const { params, output } = geometry('avgPool2d', x, options);
  const { shape } = x;
  const forward = (x: Tensor): Tensor =>
    derive('avgPool2d', record('avg_pool2d', { inputs: [x], outputs: [output], params })[0], [x], [backward]);
  const backward = (dy: Tensor): Tensor =>
    derive(
      'avgPool2dInput',
      record('avg_pool2d_input', { inputs: [dy], outputs: [{ ...output, shape }], params })[0],
      [dy],
      [forward],
    );
  return forward(x);
}

/** Mean over height and width: [n, h, w, c] -> [n, 1, 1, c]. */
export function globalAvgPool2d(x: Tensor): Tensor {
  if (x.shape.length !== 4) throw new ShapeError(`globalAvgPool2d: x must be [n,h,w,c], got ${showShape(x.shape)}`);
  return cast(mean(x, { axes: [1, 2], keepDims: true }), x.dtype);
}
