// Ops of one's own: values made of other ops, with a derivative that is given instead of derived.
import { zeros } from './create.js';
import { derive, share } from './record.js';
import { ShapeError, sameShape, showShape } from './shape.js';
import { Tensor } from './tensor.js';

/**
 * An op from `forward`, which makes a tensor from tensors, and `backward`, which makes the gradients of the inputs (undefined
 * for one that has none) from the gradient of the output and the inputs. Both are made of ops, so the op can be captured and,
 * where `backward` is differentiable, differentiated twice. Throws ShapeError, when differentiated, for a gradient that is not
 * of its input's shape.
 */
export function customOp<X extends Tensor[]>(
  name: string,
  forward: (...inputs: X) => Tensor,
  backward: (dy: Tensor, ...inputs: X) => readonly (Tensor | undefined)[],
): (...inputs: X) => Tensor {
  return (...inputs) => {
    const y = forward(...inputs);
    if (!(y instanceof Tensor)) throw new ShapeError(`${name}: forward must return a tensor`);
    let last: { dy: Tensor; gradients: readonly (Tensor | undefined)[] } | undefined;
    const gradientsFor = (dy: Tensor) => {
      if (last?.dy !== dy) last = { dy, gradients: backward(dy, ...inputs) };
      return last.gradients;
    };
    const rules = inputs.map((x, i) => (dy: Tensor) => {
      const dx = gradientsFor(dy)[i];
      if (!dx) return zeros(x.shape, { dtype: x.dtype, device: x.device });
      if (sameShape(dx.shape, x.shape)) return dx;
      throw new ShapeError(
        `${name}: backward gave ${showShape(dx.shape)} as the gradient of input ${i}, wants ${showShape(x.shape)}`,
      );
    });
    return derive(name, share(y, y.shape), inputs, rules);
  };
}
