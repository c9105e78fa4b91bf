// The costs of fitting a face model by regression (paper-spec 9.4; paper Eq. 6): PDC, VDC, WPDC, OWPDC. Contract: parameters are
// z-scored rows [n, d], `current` = p0 + Dp and `truth` = pg, so that Dp - (pg - p0) is their difference; every cost is the mean over
// rows of the sum that the specification writes, and weights are constant in the gradient.
import { eye } from '../tensor/create.js';
import type { Device } from '../tensor/device.js';
import { boxQuadratic } from '../tensor/ops/box_quadratic.js';
import { abs, add, div, maximum, mul, sqrt, sub } from '../tensor/ops/elementwise.js';
import { concat, detach, reshape, slice } from '../tensor/ops/layout.js';
import { matmul } from '../tensor/ops/matmul.js';
import { mean } from '../tensor/ops/mean.js';
import { expand, max, sum } from '../tensor/ops/reduce.js';
import { persist } from '../tensor/scope.js';
import { ShapeError, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** Where a face's vertices are seen, as a function of z-scored parameters [n, d]. */
export interface FaceProjection {
  /** [n, m]: all coordinates of all vertices that count, in pixels. */
  project(parameters: Tensor): Tensor;
  /** [n, d, m]: their derivatives. */
  jacobian(parameters: Tensor): Tensor;
}

/** By which number the weights of a row are divided: their largest (the journal version, and the code), or their sum (CVPR 2016). */
export type WeightScale = 'max' | 'sum';

export interface WpdcOptions {
  scale?: WeightScale;
}

export interface OwpdcOptions {
  /**
   * lambda as a share of ||V(pc) - V(pg)||^2 / sum(dz^2): 0.17, our choice. With 0 all weights of parameters that matter are 1, which
   * is PDC; the larger, the more the parameters compete.
   */
  regularisation?: number;
}

const identities = new WeakMap<Device, Map<number, Tensor>>();

/** [d, d], made once per device: a captured step cannot upload it. */
function identity(d: number, like: Tensor): Tensor {
  const { owner } = like;
  const known = identities.get(owner) ?? new Map<number, Tensor>();
  identities.set(owner, known);
  const made = known.get(d) ?? owner.outsideCapture(() => persist(() => eye(d, { device: owner.name })));
  known.set(d, made);
  return made;
}

/** Below it a sum of squares counts as nothing: a row that is right already gets finite weights. */
const NOTHING = 1e-20;

function check(op: string, current: Tensor, truth: Tensor): void {
  if (current.shape.length !== 2 || !sameShape(current.shape, truth.shape)) {
    throw new ShapeError(
      `${op}: wants current and truth [n, d], got ${showShape(current.shape)} and ${showShape(truth.shape)}`,
    );
  }
}

const squared = (x: Tensor): Tensor => mul(x, x);

/** E_pdc = ||Dp - (pg - p0)||^2: every parameter counts alike. Throws ShapeError. */
export function parameterDistanceCost(current: Tensor, truth: Tensor): Tensor {
  check('parameterDistanceCost', current, truth);
  return mean(sum(squared(sub(current, truth)), { axes: [1] }));
}

/** E_vdc = ||V(p0 + Dp) - V(pg)||^2: what is seen counts, but its minimum is hard to approach. Throws ShapeError. */
export function vertexDistanceCost(current: Tensor, truth: Tensor, face: FaceProjection): Tensor {
  check('vertexDistanceCost', current, truth);
  return mean(sum(squared(sub(face.project(current), face.project(truth))), { axes: [1] }));
}

/** (Dp - (pg - p0))^T diag(w) (Dp - (pg - p0)) with weights [n, d] that no gradient passes through. Throws ShapeError. */
export function weightedParameterDistance(current: Tensor, truth: Tensor, weights: Tensor): Tensor {
  check('weightedParameterDistance', current, truth);
  check('weightedParameterDistance', current, weights);
  return mean(sum(mul(squared(sub(current, truth)), detach(weights)), { axes: [1] }));
}

/**
 * w_i = ||V(p^{d,i}) - V(pg)|| / Z, p^{d,i} the truth with its i-th entry from `current`: how far the face moves when that
 * parameter alone is wrong -> [n, d]. A row without error gets weights 0. Throws ShapeError.
 */
export function wpdcWeights(
  current: Tensor,
  truth: Tensor,
  face: FaceProjection,
  { scale = 'max' }: WpdcOptions = {},
): Tensor {
  check('wpdcWeights', current, truth);
  const [n, d] = current.shape;
  const [pc, pg] = [detach(current), detach(truth)];
  const single = mul(reshape(sub(pc, pg), [n, 1, d]), identity(d, current)); // [n, d, d]
  const degraded = reshape(add(single, reshape(pg, [n, 1, d])), [n * d, d]);
  const seen = face.project(degraded); // [n d, m]
  const truly = face.project(pg); // [n, m]
  const [, m] = truly.shape;
  const moved = sub(reshape(seen, [n, d, m]), reshape(truly, [n, 1, m]));
  return scaled(sqrt(sum(squared(moved), { axes: [2] })), scale);
}

function scaled(weights: Tensor, scale: WeightScale): Tensor {
  const options = { axes: [1], keepDims: true };
  const total = scale === 'max' ? max(weights, options) : sum(weights, options); // [n, 1]
  return div(weights, maximum(total, NOTHING));
}

/** E_wpdc with `wpdcWeights`. Throws ShapeError. */
export const weightedParameterDistanceCost = (
  current: Tensor,
  truth: Tensor,
  face: FaceProjection,
  options: WpdcOptions = {},
): Tensor => weightedParameterDistance(current, truth, wpdcWeights(current, truth, face, options));

/**
 * The weights of the public training code on the 62 parameters of an affine camera (fWPDC): nothing is projected. `shape` [n, 3, m]:
 * the true faces in model space; `modeLengths` [50]: lengths of the modes over these vertices; std [62] undoes the z-scoring;
 * f: the mean scale of the camera (5.7339936e-4 for the published model). Weights [n, 62], the largest of a row 1. Throws ShapeError.
 */
export function fastWpdcWeights(
  current: Tensor,
  truth: Tensor,
  { shape, modeLengths, std, f = 5.7339936e-4 }: { shape: Tensor; modeLengths: Tensor; std: Tensor; f?: number },
): Tensor {
  check('fastWpdcWeights', current, truth);
  const [n, d] = current.shape;
  if (d !== 62 || shape.shape.length !== 3 || shape.shape[0] !== n || shape.shape[1] !== 3 || modeLengths.size !== 50) {
    throw new ShapeError(
      `fastWpdcWeights: wants parameters [n, 62], shape [n, 3, m] and 50 lengths, got ${showShape(current.shape)}, ${showShape(shape.shape)} and ${showShape(modeLengths.shape)}`,
    );
  }
  const wrong = abs(mul(sub(detach(current), detach(truth)), reshape(std, [1, d]))); // [n, 62]
  const rows = sqrt(sum(squared(detach(shape)), { axes: [2] })); // [n, 3]: what a row of P multiplies
  const one = mul(slice(rows, { start: [0, 0], size: [n, 1] }), 0); // [n, 1]
  const offset = add(one, Math.sqrt(shape.shape[2]));
  // Row-major [P | t]; the offset of depth moves nothing that is seen.
  const camera = [rows, offset, rows, offset, rows, one];
  const modes = expand(reshape(mul(modeLengths, f), [1, 50]), [n, 50]);
  return scaled(add(mul(wrong, concat([...camera, modes], { axis: 1 })), 1e-6), 'max');
}

/**
 * w* = argmin over 0 <= w <= 1 of ||V(pc + w.d) - V(pg)||^2 + lambda ||w.d||^2, d = pg - pc, to first order in V (paper Eq. 6,
 * specification 9.4): how far each parameter should be moved towards the truth now -> [n, d]. Parameters that are right already
 * keep 1/2. Throws ShapeError.
 */
export function owpdcWeights(
  current: Tensor,
  truth: Tensor,
  face: FaceProjection,
  { regularisation = 0.17 }: OwpdcOptions = {},
): Tensor {
  check('owpdcWeights', current, truth);
  const [n, d] = current.shape;
  const [pc, pg] = [detach(current), detach(truth)];
  const away = sub(pg, pc);
  const moves = mul(face.jacobian(pc), reshape(away, [n, d, 1])); // [n, d, m]: H^T
  const gram = matmul(moves, moves, { transposeB: true }); // [n, d, d]
  const error = sum(squared(sub(face.project(pc), face.project(pg))), { axes: [1], keepDims: true }); // [n, 1]
  const size = maximum(sum(squared(away), { axes: [1], keepDims: true }), NOTHING); // [n, 1]
  const lambda = mul(div(error, size), regularisation);
  const penalty = mul(reshape(mul(squared(away), lambda), [n, d, 1]), identity(d, current)); // [n, d, d]
  return boxQuadratic(add(gram, penalty), sum(gram, { axes: [2] }), { low: 0, high: 1 });
}

/** E_owpdc with `owpdcWeights`. Throws ShapeError. */
export const optimisedWeightedParameterDistanceCost = (
  current: Tensor,
  truth: Tensor,
  face: FaceProjection,
  options: OwpdcOptions = {},
): Tensor => weightedParameterDistance(current, truth, owpdcWeights(current, truth, face, options));
