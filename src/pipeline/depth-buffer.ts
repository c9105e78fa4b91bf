// Where a mesh is drawn to find out what of it the viewer sees: once per photo at a resolution of its own, with a margin so
// that every point has surroundings.

import type { VisibilityOptions } from '../tensor/ops/visibility.js';
import { ShapeError } from '../tensor/shape.js';

/** Bounding box in x, y, z. */
export interface Extent {
  low: [number, number, number];
  high: [number, number, number];
}

/** The extent of vertices [N, 3]. Throws ShapeError when one is not finite. */
export function extentOf(op: string, vertices: Float32Array): Extent {
  let [x0, y0, z0, x1, y1, z1] = [Infinity, Infinity, Infinity, -Infinity, -Infinity, -Infinity];
  let sum = 0; // not a number when one of the values is not finite
  for (let i = 0; i < vertices.length; i += 3) {
    const x = vertices[i];
    const y = vertices[i + 1];
    const z = vertices[i + 2];
    if (x < x0) x0 = x;
    if (x > x1) x1 = x;
    if (y < y0) y0 = y;
    if (y > y1) y1 = y;
    if (z < z0) z0 = z;
    if (z > z1) z1 = z;
    sum += x - x + (y - y) + (z - z);
  }
  if (sum !== 0 || x0 > x1) throw new ShapeError(`${op}: the vertices are not finite numbers`);
  return { low: [x0, y0, z0], high: [x1, y1, z1] };
}

/**
 * Radius, in parts of the mesh's extent, within which an outline makes colours doubtful: the error to expect of a fit. Our
 * choice on real photos at yaw 30-50 degrees.
 */
const OUTLINE = 0.035;

export interface DepthFrame extends Pick<VisibilityOptions, 'scale' | 'tolerance' | 'toleranceSlope' | 'step'> {
  /** [height, width] of the depth map in its pixels. */
  size: [number, number];
  /** What shift, radius, gap and gapSlope of `visibility` are for points in image coordinates. */
  shift: [number, number];
  radius: number;
  gap: number;
  gapSlope: number;
}

/**
 * The depth map of a mesh of this extent (image coordinates), no more than `limit` pixels on the longer side before margins,
 * and what counts as seen in it: a point within 0.5 % of the depth range and 3/4 of a pixel along the slope of what is drawn,
 * one pixel of the photo away from where no mesh is. An outline is where the depth falls by a tenth of the range.
 */
export function depthFrame({ low, high }: Extent, limit: number): DepthFrame {
  const longest = Math.max(high[0] - low[0], high[1] - low[1], 1e-6);
  const pixel = longest / (limit - 1);
  const reach = OUTLINE * longest;
  const step = Math.max(1, Math.min(Math.round(1 / pixel), limit >> 2));
  const radius = Math.round(reach / pixel);
  const margin = Math.max(Math.ceil(reach / pixel), step) + 1;
  const across = (axis: number) => Math.ceil((high[axis] - low[axis]) / pixel) + 1 + 2 * margin;
  const range = high[2] - low[2];
  return {
    size: [across(1), across(0)],
    scale: 1 / pixel,
    shift: [margin - low[0] / pixel, margin - low[1] / pixel],
    tolerance: 0.005 * range,
    toleranceSlope: 0.75 * pixel,
    step,
    radius,
    gap: 0.1 * range,
    gapSlope: 1.5 * reach,
  };
}
