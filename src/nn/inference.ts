// A trained module made ready for use: its forward pass recorded and frozen.
import { type ConvPrecision, withPrecision } from '../tensor/ops/conv2d_forms.js';
import { type Captured, capture } from '../tensor/plan.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Module } from './module.js';

export interface InferenceOptions {
  /**
   * `exact` keeps convolutions to their direct forms, whose sums round as plain sums do; the default, `fast`, takes Winograd's where it pays; `bf16` also
   * rounds the factors of products, transformed or not, to bf16 where the processor multiplies that (`rescunet info` says so; on others it is `fast`).
   */
  precision?: ConvPrecision;
  /** Of how many combinations of input shapes plans are kept; all, unless given. The one unused for longest goes. */
  plans?: number;
}

/**
 * The forward pass of a module in evaluation mode, recorded once per combination of input shapes: norms are folded into the convolutions
 * before them, residuals and activations are added in the same pass, weights are brought into their kernels' order once, and all
 * intermediate results share one arena. Weights are those of the first call; results are within 1e-4 of the plain pass, within 1e-5 with
 * `precision: 'exact'`, some 1e-2 with `bf16`. The weights take their memory once or twice more (four times for transformed 3x3). Free it with `.dispose()`.
 */
export function optimizeForInference<R>(
  module: Module & { forward(x: Tensor): R },
  { precision = 'fast', plans }: InferenceOptions = {},
): Captured<[Tensor], R> {
  if (!['fast', 'exact', 'bf16'].includes(precision)) {
    throw new RangeError(`optimizeForInference: precision is fast, exact or bf16, got '${precision}'`);
  }
  return capture<[Tensor], R>((x) => withPrecision(precision, () => module.eval().forward(x)), { frozen: true, plans });
}
