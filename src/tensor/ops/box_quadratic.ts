// Quadratic functions on a box: many small independent problems at once.
import { checkDType, record } from '../record.js';
import { ShapeError, sameShape, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';

export interface BoxQuadraticOptions {
  /** Bounds of every unknown; 0 and 1 unless given. */
  low?: number;
  high?: number;
  /** A sweep in which no unknown moves by this much is the last one. */
  tolerance?: number;
  /** At most so many sweeps. */
  sweeps?: number;
}

/**
 * argmin of 1/2 w^T Q w - b^T w over low <= w <= high for Q [n, d, d], symmetric and positive semidefinite, and b [n, d]: [n, d], by
 * projected coordinate descent from the middle of the box. An unknown whose diagonal entry is not above 0 stays where it started.
 * Not differentiable. Throws ShapeError.
 */
export function boxQuadratic(
  q: Tensor,
  b: Tensor,
  { low = 0, high = 1, tolerance = 1e-6, sweeps = 1000 }: BoxQuadraticOptions = {},
): Tensor {
  checkDType('boxQuadratic', 'q', q, 'f32');
  checkDType('boxQuadratic', 'b', b, 'f32');
  const [n, d] = b.shape;
  if (b.shape.length !== 2 || !sameShape(q.shape, [n, d, d])) {
    throw new ShapeError(
      `boxQuadratic: wants q [n, d, d] and b [n, d], got ${showShape(q.shape)} and ${showShape(b.shape)}`,
    );
  }
  if (!(low <= high) || !(tolerance >= 0) || !Number.isInteger(sweeps) || sweeps < 0) {
    throw new ShapeError(
      `boxQuadratic: wants low <= high, tolerance >= 0 and whole sweeps, got ${low}, ${high}, ${tolerance}, ${sweeps}`,
    );
  }
  return record('box_quadratic', {
    inputs: [q, b],
    outputs: [{ shape: [n, d] }],
    params: { n, d, sweeps, low, high, tolerance },
    op: 'boxQuadratic',
  })[0];
}
