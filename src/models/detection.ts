// What face detectors share: their interface, boxes, and the suppression of overlapping boxes.
import { cast } from '../tensor/ops/layout.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** An axis-aligned box in pixels of the image, x right and y down. */
export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export interface ScoredBox extends Box {
  /** Probability of a face, 0..1. */
  score: number;
}

export interface FaceBox extends ScoredBox {
  /** [x, y] of the image-left eye, image-right eye, nose, image-left and image-right corner of the mouth, where the detector has them. */
  landmarks5?: [number, number][];
}

export interface FaceDetector {
  /** Faces of an RGB image [h, w, 3], u8 or f32 in 0..255, largest first. Throws ShapeError for anything else. */
  detect(image: Tensor): Promise<FaceBox[]>;
}

export const areaOf = ({ left, top, right, bottom }: Box): number => (right - left) * (bottom - top);

export const largestFirst = <T extends Box>(boxes: readonly T[]): T[] =>
  [...boxes].sort((a, b) => areaOf(b) - areaOf(a));

export interface SuppressionOptions {
  /** Boxes that overlap a better one by more than this are dropped. */
  threshold: number;
  /** What the intersection is divided by: the union of the two boxes, or the smaller box. */
  over?: 'union' | 'smaller';
  /** Added to widths and heights: 1 where a box counts its last pixel. */
  border?: 0 | 1;
}

/** Greedy non-maximum suppression: the boxes kept, best score first. */
export function suppress<T extends ScoredBox>(boxes: readonly T[], options: SuppressionOptions): T[] {
  const { threshold, over = 'union', border = 0 } = options;
  const sorted = [...boxes].sort((a, b) => b.score - a.score);
  // Thousands of boxes meet in pairs: flat arrays, and the box at hand in locals.
  const left = Float64Array.from(sorted, (b) => b.left);
  const top = Float64Array.from(sorted, (b) => b.top);
  const right = Float64Array.from(sorted, (b) => b.right + border);
  const bottom = Float64Array.from(sorted, (b) => b.bottom + border);
  const dropped = new Uint8Array(sorted.length);
  for (let i = 0; i < sorted.length; i++) {
    if (dropped[i]) continue;
    const [l, t, r, b] = [left[i], top[i], right[i], bottom[i]];
    const area = (r - l) * (b - t);
    for (let j = i + 1; j < sorted.length; j++) {
      const w = Math.min(r, right[j]) - Math.max(l, left[j]);
      if (w <= 0) continue;
      const h = Math.min(b, bottom[j]) - Math.max(t, top[j]);
      if (h <= 0) continue;
      const other = (right[j] - left[j]) * (bottom[j] - top[j]);
      const whole = over === 'union' ? area + other - w * h : Math.min(area, other);
      if (w * h > threshold * whole) dropped[j] = 1;
    }
  }
  return sorted.filter((_, i) => !dropped[i]);
}

/** The image as f32. Throws ShapeError unless it is [h, w, 3] with pixels, u8 or f32. */
export function checkImage(op: string, image: Tensor): Tensor {
  const { shape, dtype } = image;
  if (shape.length !== 3 || shape[2] !== 3 || image.size === 0 || (dtype !== 'u8' && dtype !== 'f32')) {
    throw new ShapeError(`${op}: the image must be [h,w,3] u8 or f32 in RGB, got ${showShape(shape)} ${dtype}`);
  }
  return dtype === 'f32' ? image : cast(image, 'f32');
}
