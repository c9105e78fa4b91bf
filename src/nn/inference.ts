// A trained module made ready for use: its forward pass recorded and frozen.
import { directly } from '../tensor/ops/conv2d_forms.js';
import { type Captured, capture } from '../tensor/plan.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Module } from './module.js';

export interface InferenceOptions {
  /** `exact` keeps convolutions to their direct forms, whose sums round as plain sums do; the default takes Winograd's where it pays. */
  precision?: 'fast' | 'exact';
}

/**
 * The forward pass of a module in evaluation mode, recorded once per combination of input shapes: norms are folded into the convolutions
 * before them, residuals and activations are added in the same pass, weights are brought into their kernels' order once, and all
 * intermediate results share one arena. Weights are those of the first call; results are within 1e-4 of the plain pass, within 1e-5 with
 * `precision: 'exact'`. The weights take their memory once or twice more (four times for transformed 3x3). Free it with `.dispose()`.
 */
export function optimizeForInference<R>(
  module: Module & { forward(x: Tensor): R },
  { precision = 'fast' }: InferenceOptions = {},
): Captured<[Tensor], R> {
  if (precision !== 'fast' && precision !== 'exact') {
    throw new RangeError(`optimizeForInference: precision is fast or exact, got '${precision}'`);
  }
  const forward = (x: Tensor): R => module.eval().forward(x);
  return capture<[Tensor], R>(precision === 'exact' ? (x) => directly(() => forward(x)) : forward, { frozen: true });
}
