// Bilinear sampling at positions in pixels (pixel centres at integers, (x, y) order).
import { checkDType, record } from '../record.js';
import { ShapeError, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';

export interface GridSampleOptions {
  /** Outside the image: the nearest edge pixel, or zeros. */
  border?: 'clamp' | 'zeros';
}

/**
 * Image x [h, w, c] read bilinearly at grid [..., 2], (x, y) in pixels: [..., c]. A position that is not a number gives NaN.
 * Differentiable in the image, twice, and in the grid, once (at pixel centres the derivative is the one to the right).
 * Throws ShapeError.
 */
export function gridSample(x: Tensor, grid: Tensor, { border = 'clamp' }: GridSampleOptions = {}): Tensor {
  check('gridSample', x, grid, border);
  return record('grid_sample', {
    inputs: [x, grid],
    outputs: [{ shape: [...grid.shape.slice(0, -1), x.shape[2]] }],
    params: numbers(x.shape, grid, border),
    grads: [(dy) => spread(dy, grid, x.shape, border), (dy) => slope(x, grid, dy, border)],
    op: 'gridSample',
  })[0];
}

/** The adjoint in the image: y [..., c] added into [h, w, c] at the positions of the grid. */
function spread(y: Tensor, grid: Tensor, shape: readonly number[], border: 'clamp' | 'zeros'): Tensor {
  return record('grid_sample_input', {
    inputs: [y, grid],
    outputs: [{ shape }],
    params: numbers(shape, grid, border),
    grads: [(dx) => gridSample(dx, grid, { border }), (dx) => slope(dx, grid, y, border)],
    op: 'gridSample (adjoint)',
  })[0];
}

/** d sum(dy * gridSample(x, grid)) / d grid: [..., 2]. */
function slope(x: Tensor, grid: Tensor, dy: Tensor, border: 'clamp' | 'zeros'): Tensor {
  return record('grid_sample_grid', {
    inputs: [x, grid, dy],
    outputs: [{ shape: grid.shape }],
    params: numbers(x.shape, grid, border),
  })[0];
}

const numbers = ([h, w, c]: readonly number[], grid: Tensor, border: 'clamp' | 'zeros') => ({
  h,
  w,
  c,
  pixels: grid.size / 2,
  border: Number(border === 'clamp'),
});

function check(op: string, x: Tensor, grid: Tensor, border: string): void {
  checkDType(op, 'x', x, 'f32');
  checkDType(op, 'grid', grid, 'f32');
  if (x.shape.length !== 3 || x.shape[0] === 0 || x.shape[1] === 0) {
    throw new ShapeError(`${op}: x must be an image [h, w, c], got ${showShape(x.shape)}`);
  }
  if (grid.shape.at(-1) !== 2) throw new ShapeError(`${op}: grid must be [..., 2], got ${showShape(grid.shape)}`);
  if (border !== 'clamp' && border !== 'zeros') {
    throw new ShapeError(`${op}: border is 'clamp' or 'zeros', got '${border}'`);
  }
}
