// A face found in a photo: where it is, its shape, and what of it goes to a file. Contract: a Fit speaks of the photo's pixels (x right,
// y down, pixel centres at integers, z larger nearer); its `vertices` are `camera` applied to the model's shape, nothing else.
import type { MorphableModel } from '../models/morphable.js';
import type { Roi } from '../models/parameters62.js';
import { applyAffine, poseFromAffine } from '../models/pose.js';
import type { Refinement } from './refine.js';
import type { Box } from './regression.js';

export interface Fit {
  method: 'regressor' | 'landmarks';
  /** The face as the detector, the caller or the landmarks' extent have it. */
  box: Box | undefined;
  /** The detector's score, 0..1. */
  score: number | undefined;
  /** The square that the regressor saw. */
  roi: Roi | undefined;
  /** The 62 parameters after undoing their whitening, or a cascade's vector in the frame of its crop; none from landmarks. */
  parameters: Float64Array | undefined;
  alpha: Float64Array;
  beta: Float64Array;
  /** Row-major 3x4 from model space (y up) to the photo. From the regressor it is affine, near a scaled rotation. */
  camera: Float64Array;
  /** Degrees, as in models/pose.ts. */
  yaw: number;
  pitch: number;
  roll: number;
  /** Pixels per model unit. */
  scale: number;
  /** [N, 3] the face without its pose, in model space. */
  shape: Float32Array;
  /** [68, 3]; z starts at 0 at the farthest of the 68. */
  landmarks: Float32Array;
  /** [N, 3]; z starts at 0 at the farthest vertex. */
  vertices: Float32Array;
  /** Root mean square distance in pixels from the landmarks given; landmarks only. */
  rmse: number | undefined;
  /** What refinement did, where it was asked for; `parameters` and `rmse` then speak of the fit before it. */
  refinement?: Refinement;
  /** Quarter turns clockwise that the photo was given before a face was found in it; `roi` and `parameters` speak of that. */
  turned?: number;
}

/** Vertices and landmarks under a y-up camera whose image y is -y, and that camera in image coordinates. */
export function placedBy(model: MorphableModel, alpha: Float64Array, beta: Float64Array, upright: Float64Array) {
  const camera = upright.map((m, i) => (i >= 4 && i < 8 ? -m : m));
  const shape = model.vertices(alpha, beta);
  const vertices = applyAffine(shape, camera);
  camera[11] -= startDepthAtZero(vertices);
  const landmarks = model.landmarksOf(vertices);
  startDepthAtZero(landmarks);
  return { camera, shape, vertices, landmarks };
}

function startDepthAtZero(points: Float32Array): number {
  let farthest = Number.POSITIVE_INFINITY;
  for (let i = 2; i < points.length; i += 3) farthest = Math.min(farthest, points[i]);
  for (let i = 2; i < points.length; i += 3) points[i] -= farthest;
  return farthest;
}

/** A fit with another face in another camera (row-major 3x4 from model space to the photo, y down). */
export function movedFit(
  model: MorphableModel,
  fit: Fit,
  alpha: Float64Array,
  beta: Float64Array,
  camera: Float64Array,
): Fit {
  const upright = camera.map((m, i) => (i >= 4 && i < 8 ? -m : m));
  const { angles, f } = poseFromAffine(upright);
  return { ...fit, alpha, beta, ...angles, scale: f, ...placedBy(model, alpha, beta, upright) };
}

/** What fit.json holds: everything but shape and vertices, as plain numbers. */
export function fitRecord(fit: Fit): Record<string, unknown> {
  const { shape: _, vertices, camera, landmarks, parameters, alpha, beta, ...rest } = fit;
  const rows = (data: ArrayLike<number>, columns: number) =>
    Array.from({ length: data.length / columns }, (_, i) =>
      Array.from({ length: columns }, (_, c) => data[columns * i + c]),
    );
  return {
    ...rest,
    camera: rows(camera, 4),
    landmarks: rows(landmarks, 3),
    alpha: [...alpha],
    beta: [...beta],
    ...(parameters && { parameters: [...parameters] }),
    vertexCount: vertices.length / 3,
  };
}
