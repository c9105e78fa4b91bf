// Left-right reversal of images.
import { concat, flip } from '../tensor/ops/layout.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** x [n, h, w, c] with its columns in reverse order. Throws ShapeError. */
export function mirrored(x: Tensor): Tensor {
  if (x.shape.length !== 4) throw new ShapeError(`mirrored: x must be [n,h,w,c], got ${showShape(x.shape)}`);
  return flip(x, { axes: [2] });
}

/** x [n, h, w, c] beside its mirror image: [n, h, w, 2c], what UV-GAN's six-channel generator takes. Throws ShapeError. */
export const withMirror = (x: Tensor): Tensor => concat([x, mirrored(x)], { axis: -1 });
