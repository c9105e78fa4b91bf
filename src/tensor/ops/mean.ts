// The mean along axes: a sum and a scale.
import { sizeOf } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { mul } from './elementwise.js';
import { axesOf, type ReduceOptions, sum } from './reduce.js';

/** Mean over axes, f32. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  const count = sizeOf(axesOf('mean', x, options).map((i) => x.shape[i]));
  return mul(sum(x, options), 1 / count);
}
