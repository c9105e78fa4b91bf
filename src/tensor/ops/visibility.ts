// What of a surface a photo saw, asked of the depth map of the whole mesh (paper-spec 2.3).
import { checkDType, record } from '../record.js';
import { ShapeError, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';

/** Lengths are in the units of the points unless they are said to be of the depth map. */
export interface VisibilityOptions {
  /** Point (x, y) lies at pixel (scale x + shift[0], scale y + shift[1]) of the depth map. */
  scale: number;
  shift: readonly [number, number];
  /** [left, top, right, bottom] of the photo: nothing beyond was seen. */
  bounds: readonly [number, number, number, number];
  /** Cosine between normal and view at or below which a point counts as unseen, from 0. */
  minimumCosine: number;
  /** Depth, and depth per unit of slope, by which a point may lie behind what is drawn and still be it. */
  tolerance: number;
  toleranceSlope: number;
  /** The depth map must show mesh so many of its pixels to the left, right, above and below. */
  step: number;
  /** Radius in pixels of the depth map of the circle on which eight places tell an outline. */
  radius: number;
  /** Depth, and depth per unit of slope, by which such a place must lie behind to be beyond an outline. */
  gap: number;
  gapSlope: number;
}

/**
 * Points of a surface f32 [rows, columns, 4], each x, y, z (larger is nearer) and the cosine between normal and view, asked of
 * depth f32 [h, w] (-inf where no mesh is) -> mask u8 [rows, columns], 1 where a point and its eight neighbours in the map
 * of points were seen, and confidence f32 [rows, columns]: there the cosine times 1 away from outlines of the mesh, falling by
 * a quarter with every place on the circle beyond one. Pixels further than the depth map reads at its rim.
 * Not differentiable. Throws ShapeError.
 */
export function visibility(
  points: Tensor,
  depth: Tensor,
  { scale, shift, bounds, minimumCosine, step, radius, tolerance, toleranceSlope, gap, gapSlope }: VisibilityOptions,
): { mask: Tensor; confidence: Tensor } {
  checkDType('visibility', 'points', points, 'f32');
  checkDType('visibility', 'depth', depth, 'f32');
  const [rows, columns, four] = points.shape;
  const [h, w] = depth.shape;
  if (points.shape.length !== 3 || four !== 4 || depth.shape.length !== 2) {
    throw new ShapeError(
      `visibility: wants points [rows, columns, 4] and depth [h, w], got ${showShape(points.shape)}, ${showShape(depth.shape)}`,
    );
  }
  const rim = 2 * Math.max(step, radius) + 1;
  if (![step, radius].every((n) => Number.isInteger(n) && n >= 0) || h < rim || w < rim) {
    throw new ShapeError(
      `visibility: step ${step} and radius ${radius} must be whole numbers that depth ${showShape(depth.shape)} has room for`,
    );
  }
  const numbers = [scale, ...shift, ...bounds, minimumCosine, tolerance, toleranceSlope, gap, gapSlope];
  if (!numbers.every(Number.isFinite) || minimumCosine < 0) {
    throw new ShapeError('visibility: all numbers must be finite, and minimumCosine not below 0');
  }
  const [mask, confidence, seen] = record('visibility', {
    inputs: [points, depth],
    outputs: [
      { shape: [rows, columns], dtype: 'u8' },
      { shape: [rows, columns] },
      { shape: [rows, columns], dtype: 'u8' },
    ],
    params: {
      ...{ rows, columns, h, w, step, radius, diagonal: Math.round(radius * Math.SQRT1_2) },
      ...{ left: bounds[0], top: bounds[1], right: bounds[2], bottom: bounds[3] },
      ...{ scale, shift_x: shift[0], shift_y: shift[1], minimum_cosine: minimumCosine },
      ...{ tolerance, tolerance_slope: toleranceSlope, gap, gap_slope: gapSlope },
    },
  });
  seen.dispose();
  return { mask, confidence };
}
