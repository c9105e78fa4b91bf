// How a network fits photos: what it wants to see of them, and what it makes of that. The 62-parameter regressor (regression62.ts) and cascades
// (fit-cascade.ts) are such networks.
import { FitError } from '../models/fitter.js';
import type { Roi } from '../models/parameters62.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Pixels } from './image.js';

/** Left, top, right, bottom in pixels. */
export type Box = readonly [number, number, number, number];

/** What a network says of a face. */
export interface FaceAnswer {
  parameters: Float64Array;
  alpha: Float64Array;
  beta: Float64Array;
  /** Row-major 3x4 from model space to the photo, both y up: the photo's y is its negative. */
  upright: Float64Array;
}

/** A network that fits photos. */
export interface Regression {
  /** Side of its crops in pixels. */
  readonly side: number;
  /** Its square of a detector's box, and of the box around landmarks. */
  roiOfBox(box: Box): Roi;
  roiOfExtent(box: Box): Roi;
  /** -> [side, side, 3] */
  crop(photo: Pixels, roi: Roi): Pixels;
  /** u8 [n, side, side, 3] RGB and where they were -> n answers. */
  answer(crops: Tensor, rois: readonly Roi[]): Promise<FaceAnswer[]>;
}

/** The box around points in the photo, [n, columns]; x and y count. */
export function boxOf(points: ArrayLike<number>, columns: 2 | 3): Box {
  const [xs, ys] = [0, 1].map((c) =>
    Array.from({ length: points.length / columns }, (_, i) => points[columns * i + c]),
  );
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** Throws FitError for a box or roi that is none. */
export function checkBox<T extends Box | Roi>(name: string, box: T): T {
  const [left, top, right, bottom] = box;
  if (box.length !== 4 || !box.every(Number.isFinite) || !(right - left >= 2 && bottom - top >= 2)) {
    throw new FitError(`fitPhoto: wanted a ${name} left, top, right, bottom of at least 2 pixels, got ${[...box]}`);
  }
  return box;
}
