// The parameter vector of 3DDFA's journal version (paper-spec 9.1): p = [q0..q3, tx, ty, identity, expression]. Contract: camera
// and crop are y up, V = R(q) S + (tx, ty, 0) in pixels of the crop; a pixel of the crop lies at (Vx, side - 1 - Vy).
import { FaceModelError, type MorphableModel } from './morphable.js';
import { CROP_SIDE, splitParameters62 } from './parameters62.js';
import { affineFromPose, type Pose, poseFromAffine, type Quaternion } from './pose.js';

/** How many coefficients a vector has. */
export interface ParameterCounts {
  identity: number;
  expression: number;
}

/** Numbers of the pose, which come first. */
export const POSE_SIZE = 6;

/** Length of the vector. */
export const parameterCount = ({ identity, expression }: ParameterCounts): number => POSE_SIZE + identity + expression;

/** What the vector says, apart. Missing trailing coefficients are zero. */
export interface FaceParameters {
  /** t[2] is not part of the vector: it moves depth only. */
  pose: Pose;
  alpha: ArrayLike<number>;
  beta: ArrayLike<number>;
}

/** The vector of a face. Throws FaceModelError when there are more coefficients than it has room for. */
export function parameterVector({ pose, alpha, beta }: FaceParameters, counts: ParameterCounts): Float64Array {
  check('alpha', alpha.length, counts.identity);
  check('beta', beta.length, counts.expression);
  const p = new Float64Array(parameterCount(counts));
  p.set(pose.q);
  p.set([pose.t[0], pose.t[1]], 4);
  p.set(Array.from(alpha), POSE_SIZE);
  p.set(Array.from(beta), POSE_SIZE + counts.identity);
  return p;
}

/** The face of a vector; t[2] is 0. Throws FaceModelError for one of another length. */
export function splitParameters(
  p: ArrayLike<number>,
  counts: ParameterCounts,
): { pose: Pose; alpha: Float64Array; beta: Float64Array } {
  const wanted = parameterCount(counts);
  if (p.length !== wanted) throw new FaceModelError('parameters', `wanted ${wanted} numbers, got ${p.length}`);
  const all = Float64Array.from(p);
  return {
    pose: { q: [all[0], all[1], all[2], all[3]], t: [all[4], all[5], 0] },
    alpha: all.slice(POSE_SIZE, POSE_SIZE + counts.identity),
    beta: all.slice(POSE_SIZE + counts.identity),
  };
}

function check(field: string, got: number, room: number): void {
  if (got > room) throw new FaceModelError(field, `wanted at most ${room} coefficients, got ${got}`);
}

/**
 * The vector of 62 parameters of 3DDFA for the same 120x120 crop: the pose nearest to the affine camera (see `poseFromAffine`), moved
 * from pixels counted from 1 to those counted from 0. 40 identity and 10 expression coefficients.
 */
export function vectorFrom62(param: ArrayLike<number>): Float64Array {
  const { camera, alpha, beta } = splitParameters62(param);
  const { q, t } = poseFromAffine(camera).pose;
  const pose: Pose = { q, t: [t[0] - 1, t[1] - 1, 0] };
  return parameterVector({ pose, alpha, beta }, { identity: 40, expression: 10 });
}

/** The 62 parameters of such a vector; the camera's depth offset, which the vector does not have, is 0. */
export function vectorTo62(p: ArrayLike<number>): Float64Array {
  const { pose, alpha, beta } = splitParameters(p, { identity: 40, expression: 10 });
  const camera = affineFromPose({ q: pose.q, t: [pose.t[0] + 1, pose.t[1] + 1, 0] });
  return Float64Array.from([...camera, ...alpha, ...beta]);
}

/** A vector in a crop of another side: scale and position grow with it. */
export function resizeVector(p: ArrayLike<number>, from: number, to: number): Float64Array {
  const out = Float64Array.from(p);
  const f = to / from;
  for (let k = 0; k < 4; k++) out[k] *= Math.sqrt(f);
  // A pixel's centre at x lies at f (x + 1/2) - 1/2.
  for (let k = 4; k < POSE_SIZE; k++) out[k] = f * (out[k] + 0.5) - 0.5;
  return out;
}

/** Position and direction of the pose's quaternion as a vector of a face that looks to the front at scale f. */
export const frontalQuaternion = (f: number): Quaternion => [Math.sqrt(f), 0, 0, 0];

/**
 * p^0 (paper-spec 9.3): the mean face, frontal, its landmarks' extent filling `share` of a crop of `side` pixels and centred in it.
 * The crop is that of a face box, so a box gives f and t2d. The share is our choice: what 3DDFA's crops show on average.
 */
export function initialVector(
  model: MorphableModel,
  counts: ParameterCounts,
  { side = CROP_SIDE, share = 0.62 }: { side?: number; share?: number } = {},
): Float64Array {
  const points = model.landmarksOf(model.mean);
  const low = [Infinity, Infinity];
  const high = [-Infinity, -Infinity];
  for (let i = 0; i < points.length; i++) {
    const c = i % 3;
    if (c === 2) continue;
    low[c] = Math.min(low[c], points[i]);
    high[c] = Math.max(high[c], points[i]);
  }
  const f = (share * side) / Math.max(high[0] - low[0], high[1] - low[1]);
  const middle = (side - 1) / 2;
  const t = [0, 1].map((c) => middle - (f * (low[c] + high[c])) / 2);
  return parameterVector({ pose: { q: frontalQuaternion(f), t: [t[0], t[1], 0] }, alpha: [], beta: [] }, counts);
}

/** Mean and standard deviation of each number of a vector, with which networks see it: z = (p - mean) / std. */
export interface ParameterStatistics {
  mean: Float64Array;
  std: Float64Array;
}

/**
 * Statistics of vectors [n, d], row-major. A number that does not vary gets the deviation 1e-6 of the largest, so that z stays finite.
 * Throws FaceModelError where there are none.
 */
export function parameterStatistics(vectors: ArrayLike<number>, d: number): ParameterStatistics {
  const n = vectors.length / d;
  if (!Number.isInteger(n) || n < 1) {
    throw new FaceModelError('parameters', `wanted rows of ${d} numbers, got ${vectors.length} numbers`);
  }
  const mean = new Float64Array(d);
  const std = new Float64Array(d);
  for (let i = 0; i < vectors.length; i++) mean[i % d] += vectors[i] / n;
  for (let i = 0; i < vectors.length; i++) std[i % d] += (vectors[i] - mean[i % d]) ** 2 / n;
  for (let k = 0; k < d; k++) std[k] = Math.sqrt(std[k]);
  const floor = 1e-6 * Math.max(...std) || 1;
  return { mean, std: std.map((s) => Math.max(s, floor)) };
}

/** z = (p - mean) / std for rows [n, d]. */
export const standardise = (p: ArrayLike<number>, { mean, std }: ParameterStatistics): Float64Array =>
  Float64Array.from(p, (x, i) => (x - mean[i % mean.length]) / std[i % std.length]);

/** p = mean + std z for rows [n, d]. */
export const unstandardise = (z: ArrayLike<number>, { mean, std }: ParameterStatistics): Float64Array =>
  Float64Array.from(z, (x, i) => mean[i % mean.length] + x * std[i % std.length]);
