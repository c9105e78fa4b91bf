// Softmax and its logarithm along one axis.
import { checkDType, derive, record } from '../record.js';
import { normalizeAxis, sizeOf } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { exp, mul, sub } from './elementwise.js';
import { sum } from './reduce.js';

export interface AxisOptions {
  axis?: number;
}

function along(op: string, kernel: string, x: Tensor, options: AxisOptions): { y: Tensor; axis: number } {
  checkDType(op, 'x', x, 'f32');
  const axis = normalizeAxis(op, options.axis ?? -1, x.shape);
  const params = { outer: sizeOf(x.shape.slice(0, axis)), axis: x.shape[axis], inner: sizeOf(x.shape.slice(axis + 1)) };
  return { y: record(kernel, { inputs: [x], outputs: [{ shape: x.shape }], params })[0], axis };
}

/** e^x / sum e^x along an axis, shifted by the maximum so that it cannot overflow. */
export function softmax(x: Tensor, options: AxisOptions = {}): Tensor {
  const { y, axis } = along('softmax', 'softmax', x, options);
  return derive('softmax', y, [x], [(dy) => mul(y, sub(dy, sum(mul(dy, y), { axes: [axis], keepDims: true })))]);
}

/** x - log sum e^x along an axis. */
export function logSoftmax(x: Tensor, options: AxisOptions = {}): Tensor {
  const { y, axis } = along('logSoftmax', 'log_softmax', x, options);
  return derive('logSoftmax', y, [x], [(dy) => sub(dy, mul(exp(y), sum(dy, { axes: [axis], keepDims: true })))]);
}
