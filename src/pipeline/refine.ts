// A fit brought nearer to the photo itself: analysis by synthesis. The face is drawn in colours and light that are estimated from the
// photo, and camera, shape and expression move by Gauss-Newton so that the drawing comes nearer to it. Contract: a refined fit never
// draws the photo worse than the one it started from, and is the same every time.

import { FitError } from '../models/landmark-problem.js';
import type { MorphableModel } from '../models/morphable.js';
import { type Fit, movedFit } from './fit-face.js';
import { cropRoi, type Pixels, resizeBilinear, roundRoi } from './image.js';
import { type FaceState, RefineProblem } from './refine-step.js';
import { boxOf } from './regression.js';

export interface RefineOptions {
  model: MorphableModel;
  /** Gauss-Newton steps at most, per level of sharpness; 6 by default. */
  iterations?: number;
}

/** What refinement did. */
export interface Refinement {
  /** Root mean square difference of drawing and photo over the face, robust, in levels 0..255, at the start and at the end. */
  before: number;
  after: number;
  /** Steps that were taken. */
  steps: number;
  /** Pixels of the face that were compared. */
  pixels: number;
}

/** The face is compared in a square of so many pixels, so many times as large as the box around its landmarks. */
const SIDE = 96;
const AROUND = 1.35;
/** Radii of the blurs, from rough to fine, in pixels of that square; the last one's error is what is reported. */
const BLURS = [2, 1];

/**
 * Moves a fit so that the face, drawn with brows, lips, eyes and skin of colours and a light (second-order spherical harmonics) that the
 * photo itself gives, agrees better with the photo: robust least squares over the visible pixels, with the landmarks and coefficients that
 * it started from as priors (what is drawn, and all constants, are our choice). The derivative goes through the surface point at each pixel
 * and through the turning of its normal; which pixels show the face is found anew at each step. Throws FitError for a face outside the photo.
 */
export function refineFit(
  photo: Pixels,
  fit: Fit,
  { model, iterations = 6 }: RefineOptions,
): Fit & { refinement: Refinement } {
  const square = squareOf(photo, fit);
  const start: FaceState = { camera: square.camera, alpha: fit.alpha, beta: fit.beta };
  const problem = new RefineProblem(model, start, SIDE);
  let state = start;
  let steps = 0;
  const finest = blurred(square.image, BLURS[BLURS.length - 1]);
  const before = problem.look(state, finest);
  for (const radius of BLURS) {
    const image = blurred(square.image, radius);
    for (let i = 0; i < iterations; i++) {
      const next = problem.step(state, image);
      if (!next) break;
      state = next;
      steps++;
    }
  }
  const { scale } = before.appearance;
  const error = before.appearance.error(scale);
  const after = problem.look(state, finest).appearance.error(scale);
  const better = after < error;
  const moved = better ? movedFit(model, fit, state.alpha, state.beta, square.toPhoto(state.camera)) : fit;
  const refinement = {
    before: error,
    after: better ? after : error,
    steps: better ? steps : 0,
    pixels: before.seen.count,
  };
  return { ...moved, refinement };
}

interface Square {
  /** [SIDE, SIDE, 3], 0..255 */
  image: Float32Array;
  camera: Float64Array;
  toPhoto(camera: Float64Array): Float64Array;
}

function squareOf(photo: Pixels, { landmarks, camera }: Fit): Square {
  const [left, top, right, bottom] = boxOf(landmarks, 3);
  if (right <= 0 || bottom <= 0 || left >= photo.width || top >= photo.height) {
    throw new FitError(`refineFit: the face lies outside the photo of ${photo.width}x${photo.height}`);
  }
  const half = (AROUND / 2) * Math.max(right - left, bottom - top);
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  const roi = roundRoi([x - half, y - half, x + half, y + half]);
  let image = cropRoi(photo, roi);
  // Halves are means of four pixels, so that a large face is not sampled here and there.
  while (image.width >= 2 * SIDE) image = resizeBilinear(image, image.height >> 1, image.width >> 1);
  const pixels = resizeBilinear(image, SIDE, SIDE);
  const k = (roi[2] - roi[0]) / SIDE;
  const shift = (axis: number) => (0.5 - roi[axis]) / k - 0.5;
  const inSquare = Float64Array.from(camera, (m) => m / k);
  inSquare[3] += shift(0);
  inSquare[7] += shift(1);
  const toPhoto = (c: Float64Array): Float64Array => {
    const out = c.slice();
    out[3] -= shift(0);
    out[7] -= shift(1);
    return out.map((m) => m * k);
  };
  return { image: Float32Array.from(pixels.data), camera: inSquare, toPhoto };
}

/** Means over (2 r + 1)^2 pixels, twice, edges repeated. */
function blurred(image: Float32Array, radius: number): Float32Array {
  let from = image;
  for (const stride of [1, SIDE, 1, SIDE]) {
    const to = new Float32Array(from.length);
    for (let p = 0; p < SIDE * SIDE; p++) {
      const at = Math.floor(p / stride) % SIDE;
      for (let d = -radius; d <= radius; d++) {
        const q = p + (Math.max(0, Math.min(SIDE - 1, at + d)) - at) * stride;
        for (let c = 0; c < 3; c++) to[3 * p + c] += from[3 * q + c] / (2 * radius + 1);
      }
    }
    from = to;
  }
  return from;
}
