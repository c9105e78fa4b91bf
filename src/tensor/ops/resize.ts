// Resampling of x [n, h, w, c] to another size. Linear in x: forward and adjoint are each other's derivative.
import { derive, floatType, record } from '../record.js';
import { ShapeError, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { pair } from './pool2d.js';

export interface ResizeOptions {
  /** [h, w] of the result. */
  size: readonly [number, number] | readonly number[];
  /** `nearest` takes pixel floor(o * in / out); `bilinear` clamps at the rim. */
  mode?: 'nearest' | 'bilinear';
  /** Bilinear only: corner pixels map to corner pixels, instead of half-pixel centres. */
  alignCorners?: boolean;
}

/** x [n, h, w, c] at another height and width, without antialiasing (PyTorch's interpolate). */
export function resize(x: Tensor, { size, mode = 'nearest', alignCorners = false }: ResizeOptions): Tensor {
  const dtype = floatType('resize', { x });
  if (x.shape.length !== 4) throw new ShapeError(`resize: x must be [n,h,w,c], got ${showShape(x.shape)}`);
  if (mode !== 'nearest' && mode !== 'bilinear')
    throw new ShapeError(`resize: mode '${mode}' is none of nearest, bilinear`);
  const [oh, ow] = pair('resize', 'size', size, 1);
  const [n, ih, iw, c] = x.shape;
  if (x.size === 0) throw new ShapeError(`resize: x ${showShape(x.shape)} is empty`);
  const params = { n, ih, iw, c, oh, ow, bilinear: Number(mode === 'bilinear'), align_corners: Number(alignCorners) };
  const forward = (x: Tensor): Tensor => {
    const [y] = record('resize', { inputs: [x], outputs: [{ shape: [n, oh, ow, c], dtype }], params });
    return derive('resize', y, [x], [backward]);
  };
  const backward = (dy: Tensor): Tensor => {
    const [dx] = record('resize_input', { inputs: [dy], outputs: [{ shape: [n, ih, iw, c], dtype }], params });
    return derive('resizeInput', dx, [dy], [forward]);
  };
  return forward(x);
}
