// The membrane problem of seamless blending (paper-spec 2.5, step 5).
import { checkDType, record } from '../record.js';
import { ShapeError, sameShape, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';

export interface PoissonOptions {
  /** Of the residual relative to the right-hand side, per channel. f32 ends near 1e-6. */
  tolerance?: number;
  /** At most so many iterations; smooth regions need about twelve. */
  iterations?: number;
}

/**
 * The image that has the values of x where mask is 2, and where mask is 1 the differences gx, gy as nearly as least squares
 * allow: for every free pixel |N| f - sum f_q = sum g, N the 4-neighbours inside the mask. x, gx, gy f32 [h, w, c];
 * gx[i, j] is the wanted f[i, j + 1] - f[i, j], gy[i, j] the wanted f[i + 1, j] - f[i, j]. mask u8 [h, w]: 0 takes no part
 * (x passes through, its rim is a natural boundary), 1 free (x is the first guess), 2 fixed. A region of free pixels that
 * touches no fixed one keeps the mean of x. Not differentiable. Throws ShapeError.
 */
export function poisson(
  x: Tensor,
  mask: Tensor,
  gx: Tensor,
  gy: Tensor,
  { tolerance = 1e-6, iterations = 200 }: PoissonOptions = {},
): Tensor {
  checkDType('poisson', 'x', x, 'f32');
  checkDType('poisson', 'mask', mask, 'u8');
  checkDType('poisson', 'gx', gx, 'f32');
  checkDType('poisson', 'gy', gy, 'f32');
  const [h, w, c] = x.shape;
  const fits =
    x.shape.length === 3 &&
    sameShape(gx.shape, x.shape) &&
    sameShape(gy.shape, x.shape) &&
    sameShape(mask.shape, [h, w]);
  if (!fits || x.size === 0) {
    const shapes = [x, mask, gx, gy].map((t) => showShape(t.shape));
    throw new ShapeError(
      `poisson: wants x, gx, gy [h, w, c] and mask [h, w], got x ${shapes[0]}, mask ${shapes[1]}, gx ${shapes[2]}, gy ${shapes[3]}`,
    );
  }
  if (!(tolerance >= 0) || !Number.isInteger(iterations) || iterations < 0) {
    throw new ShapeError(
      `poisson: tolerance must be >= 0 and iterations a whole number, got ${tolerance}, ${iterations}`,
    );
  }
  const [y, label, scratch] = record('poisson', {
    inputs: [x, mask, gx, gy],
    outputs: [{ shape: [h, w, c] }, { shape: [h, w], dtype: 'i32' }, { shape: [scratchSize(h, w)] }],
    params: { h, w, c, tolerance, iterations },
  });
  label.dispose();
  scratch.dispose();
  return y;
}

/** Floats that native/cpu/poisson.cc carves up: 16 per cell of every level, 8 more on the finest, one per pixel. */
function scratchSize(h: number, w: number): number {
  const cells = (rows: number, columns: number) => (rows + 2) * (columns + 1) + 1;
  let size = 8 * cells(h, w) + h * w;
  let rows = h;
  let columns = w;
  for (;;) {
    size += 16 * cells(rows, columns);
    if (rows <= 2 && columns <= 2) return size;
    rows = Math.ceil(rows / 2);
    columns = Math.ceil(columns / 2);
  }
}
