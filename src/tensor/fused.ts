// Ops of one fused kernel, forward or backward: their results are those of a composition of ops, which is their definition and what they are
// differentiated through where no kernel does it.
import { gradient } from './gradient.js';
import { mul } from './ops/elementwise.js';
import { cast } from './ops/layout.js';
import { sum } from './ops/reduce.js';
import { share } from './record.js';
import type { Gradient, Tensor } from './tensor.js';

/**
 * The derivatives of what `composed` makes of its inputs, for each of them. It gets them without their origins: one may depend on another, which is no
 * business of this op; and as f32, in which the kernel computes too.
 */
export function throughComposition<T extends readonly (Tensor | undefined)[]>(
  composed: (...inputs: T) => Tensor,
  inputs: T,
): (Gradient | undefined)[] {
  return inputs.map((input, i) => {
    if (!input) return undefined;
    return (dy: Tensor): Tensor => {
      const leaves = inputs.map((x) => x && share(x, x.shape)) as unknown as T;
      const wide = leaves.map((x) => x && cast(x, 'f32')) as unknown as T;
      return gradient(sum(mul(composed(...wide), cast(dy, 'f32'))), leaves[i] as Tensor);
    };
  });
}

/** One backward kernel gives the gradients of all inputs: it runs once for a dy, whichever of them asks first. */
export function oncePerGradient<T>(make: (dy: Tensor) => T): (dy: Tensor) => T {
  let last: { dy: Tensor; made: T } | undefined;
  return (dy) => {
    if (last?.dy !== dy) last = { dy, made: make(dy) };
    return last.made;
  };
}
