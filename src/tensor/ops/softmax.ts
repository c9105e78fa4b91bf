// Softmax and its logarithm along one axis.
import { derive, floatType, record } from '../record.js';
import { normalizeAxis, sizeOf } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { exp, mul, sub } from './elementwise.js';
import { cast } from './layout.js';
import { sum } from './reduce.js';

export interface AxisOptions {
  axis?: number;
}

function along(op: string, kernel: string, x: Tensor, options: AxisOptions): { y: Tensor; axis: number } {
  const dtype = floatType(op, { x });
  const axis = normalizeAxis(op, options.axis ?? -1, x.shape);
  const params = { outer: sizeOf(x.shape.slice(0, axis)), axis: x.shape[axis], inner: sizeOf(x.shape.slice(axis + 1)) };
  return { y: record(kernel, { inputs: [x], outputs: [{ shape: x.shape, dtype }], params })[0], axis };
}

const total = (x: Tensor, axis: number): Tensor => sum(x, { axes: [axis], keepDims: true });

/** f of maps as f32, rounded once to their type. */
const inF32 = (y: Tensor, dy: Tensor, f: (y: Tensor, dy: Tensor) => Tensor): Tensor =>
  cast(f(cast(y, 'f32'), cast(dy, 'f32')), y.dtype);

/** e^x / sum e^x along an axis, shifted by the maximum so that it cannot overflow. */
export function softmax(x: Tensor, options: AxisOptions = {}): Tensor {
  const { y, axis } = along('softmax', 'softmax', x, options);
  return derive('softmax', y, [x], [(dy) => inF32(y, dy, (y, dy) => mul(y, sub(dy, total(mul(dy, y), axis))))]);
}

/** x - log sum e^x along an axis. */
export function logSoftmax(x: Tensor, options: AxisOptions = {}): Tensor {
  const { y, axis } = along('logSoftmax', 'log_softmax', x, options);
  return derive('logSoftmax', y, [x], [(dy) => inF32(y, dy, (y, dy) => sub(dy, mul(exp(y), total(dy, axis))))]);
}
