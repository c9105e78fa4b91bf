// The 62 parameters of 3DDFA and 3DDFA_V2: a 3x4 affine camera, 40 identity and 10 expression coefficients. Contract: the
// camera speaks of a 120x120 crop, y up and counted from 1; everything returned here is y down and counted from 0.
import { FaceModelError, type MorphableModel } from './morphable.js';
import { applyAffine } from './pose.js';

/** Side of the regressor's input in pixels. */
export const CROP_SIDE = 120;

/** Square region of the photo in pixels: left, top, right, bottom (may lie partly outside the photo). */
export type Roi = readonly [number, number, number, number];

export interface Parameters62 {
  /** Row-major 3x4 [P | t]; P is near a scaled rotation but not constrained to be one. */
  camera: Float64Array;
  /** 40 identity coefficients in the model's units. */
  alpha: Float64Array;
  /** 10 expression coefficients. */
  beta: Float64Array;
}

/** Undo the whitening of the network output: output * std + mean -> [62]. The model must carry the statistics. */
export function unwhiten(output: ArrayLike<number>, model: MorphableModel): Float64Array {
  const { parameterMean, parameterStd } = model;
  if (!parameterMean || !parameterStd) {
    throw new FaceModelError(
      'parameter_mean',
      `${model.name} has no regressor statistics; use the imported model of 3DDFA`,
    );
  }
  return Float64Array.from(parameterMean, (mean, i) => output[i] * parameterStd[i] + mean);
}

/** Split 62 numbers into camera, identity and expression. */
export function splitParameters62(param: ArrayLike<number>): Parameters62 {
  if (param.length !== 62) throw new FaceModelError('param', `wanted 62 parameters, got ${param.length}`);
  const all = Float64Array.from(param);
  return { camera: all.slice(0, 12), alpha: all.slice(12, 52), beta: all.slice(52, 62) };
}

/**
 * Vertices in the crop: x right, y down, in pixels counted from 0, z larger nearer the camera -> [n, 3], for all vertices
 * or for those listed (e.g. `model.landmarks`).
 */
export function cropVertices62(
  model: MorphableModel,
  param: ArrayLike<number>,
  indices?: ArrayLike<number>,
): Float32Array {
  const { camera, alpha, beta } = splitParameters62(param);
  const shape = indices ? model.verticesAt(indices, alpha, beta) : model.vertices(alpha, beta);
  const out = applyAffine(shape, camera);
  for (let i = 0; i < out.length; i += 3) {
    out[i] -= 1;
    out[i + 1] = CROP_SIDE - out[i + 1];
    out[i + 2] -= 1;
  }
  return out;
}

/**
 * Crop coordinates to image coordinates of the roi, in place; z is scaled by the mean of the two scales and its minimum
 * over the points given becomes 0 (3DDFA_V2's convention, so z of 68 landmarks and of all vertices differ by a constant).
 */
export function cropToImage(vertices: Float32Array, roi: Roi): Float32Array {
  const scaleX = (roi[2] - roi[0]) / CROP_SIDE;
  const scaleY = (roi[3] - roi[1]) / CROP_SIDE;
  let nearest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < vertices.length; i += 3) {
    vertices[i] = vertices[i] * scaleX + roi[0];
    vertices[i + 1] = vertices[i + 1] * scaleY + roi[1];
    vertices[i + 2] *= (scaleX + scaleY) / 2;
    nearest = Math.min(nearest, vertices[i + 2]);
  }
  for (let i = 2; i < vertices.length; i += 3) vertices[i] -= nearest;
  return vertices;
}

/**
 * The camera of the 62 parameters as a y-up affine 3x4 in image pixels: x_image = row 0, height - 1 - y_image = row 1.
 * `height` is the photo's height in pixels. z has its own origin (see `cropToImage`).
 */
export function imageCamera62(param: ArrayLike<number>, roi: Roi, height: number): Float64Array {
  const { camera: m } = splitParameters62(param);
  const sx = (roi[2] - roi[0]) / CROP_SIDE;
  const sy = (roi[3] - roi[1]) / CROP_SIDE;
  const sz = (sx + sy) / 2;
  const x = [m[0] * sx, m[1] * sx, m[2] * sx, (m[3] - 1) * sx + roi[0]];
  const y = [m[4] * sy, m[5] * sy, m[6] * sy, height - 1 - ((CROP_SIDE - m[7]) * sy + roi[1])];
  const z = [m[8] * sz, m[9] * sz, m[10] * sz, (m[11] - 1) * sz];
  return Float64Array.from([...x, ...y, ...z]);
}
