// Fast normalised fusion as a module: two learned, non-negative shares (paper Eq. 8).
import { ones } from '../tensor/create.js';
import { maximum } from '../tensor/ops/elementwise.js';
import { fastNormalizedFusion } from '../tensor/ops/fast_normalized_fusion.js';
import { variable } from '../tensor/record.js';
import { tidy } from '../tensor/scope.js';
import type { Tensor, Variable } from '../tensor/tensor.js';
import { Module } from './module.js';

const SMALLEST = 1e-3;

/** (w1 a + w2 b) / (w1 + w2 + eps), w = ReLU(weight), weight [2] from ones. */
export class FastNormalizedFusion extends Module {
  readonly weight: Variable = tidy(() => variable(ones([2])));

  constructor(readonly eps = 1e-4) {
    super();
  }

  /** a and b of one shape -> that shape. Throws ShapeError. */
  forward(a: Tensor, b: Tensor): Tensor {
    return fastNormalizedFusion(a, b, this.weight, { eps: this.eps });
  }

  /** Keeps shares at 0.001 and above: with both below 0 the result would be 0 and no gradient would pass (our choice). */
  override constrain(): void {
    tidy(() => void this.weight.assign(maximum(this.weight, SMALLEST)));
  }
}
