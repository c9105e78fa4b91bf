// Pose, shape and expression of a face model from 68 landmarks in a photo, when there is no network to ask. Contract: image
// coordinates go in and come out (x right, y down, pixels); the pose is y up as in pose.ts, with y_up = -y_image.
import { solveCholesky } from './cholesky.js';
import { COUNT, FitError, normalised, type Problem } from './landmark-problem.js';
import type { MorphableModel } from './morphable.js';
import {
  applyPose,
  type Pose,
  type Quaternion,
  quaternionFromMatrix,
  quaternionScale,
  scaledRotation,
  scaledRotationDerivatives,
} from './pose.js';

export { FitError };

export interface FitterOptions {
  /** [68] confidence of each landmark, 0 = ignore; all 1 by default. */
  weights?: ArrayLike<number>;
  /**
   * Standard deviation of the landmarks' error as a share of their root mean square distance from their centre; a coefficient one standard
   * deviation from the mean costs as much as a landmark off by this. By default it is estimated from the fit itself, so that exact landmarks
   * are followed exactly and rough ones only as far as they can be trusted (our choice).
   */
  noise?: number;
  /** false leaves shape and expression at the mean and fits the pose only. */
  shape?: boolean;
}

export interface LandmarkFit {
  /** V = R(q) S + t, y up (y_up = -y_image), pixels; t[2] = 0. */
  pose: Pose;
  /** Pixels per model unit, ||q||^2. */
  scale: number;
  alpha: Float64Array;
  beta: Float64Array;
  /** [68, 3] the fitted model's landmarks in the image: x right, y down, z larger nearer. */
  landmarks: Float32Array;
  /** Root mean square distance in pixels between these and the landmarks given, weighted. */
  rmse: number;
}

const ITERATIONS = 60;
/** The estimate of the noise starts here, never falls below the second, and is renewed at most so often. */
const NOISE_START = 0.02;
const NOISE_LEAST = 1e-3;
const NOISE_ROUNDS = 8;

interface Estimate {
  q: Quaternion;
  t: [number, number];
  /** Coefficients in standard deviations. */
  c: Float64Array;
}

/**
 * Fits scaled-orthographic pose, alpha and beta to landmarks [68, 2] in pixels (iBUG order). The pose starts from the closed-form affine
 * camera of the mean face (POS) made a rotation; then pose and coefficients move together by Levenberg-Marquardt on
 * sum_i w_i |projection_i - landmark_i|^2 / noise^2 + sum_k (coefficient_k / std_k)^2, the quaternion unnormalised (paper-spec 9.1).
 * Throws FitError for a wrong number of landmarks, numbers that are not finite, or points on a line.
 */
export function fitLandmarks(
  model: MorphableModel,
  landmarks: ArrayLike<number>,
  { weights, noise, shape = true }: FitterOptions = {},
): LandmarkFit {
  if (noise !== undefined && !(noise > 0)) throw new FitError(`fitLandmarks: noise must be > 0, got ${noise}`);
  const problem = normalised(model, landmarks, weights, shape);
  const start: Estimate = { ...affinePose(problem), c: new Float64Array(problem.modes.length) };
  const { q, t, c } = noise === undefined ? refineWithNoise(problem, start) : refine(problem, start, noise);
  const f = Math.sqrt(problem.imageScale / problem.modelScale);
  const scaled: Quaternion = [q[0] * f, q[1] * f, q[2] * f, q[3] * f];
  const r = scaledRotation(scaled);
  const [mx, my, mz] = problem.modelCentre;
  const shift = (row: number) =>
    problem.imageScale * t[row] +
    problem.imageCentre[row] -
    r[3 * row] * mx -
    r[3 * row + 1] * my -
    r[3 * row + 2] * mz;
  const pose: Pose = { q: scaled, t: [shift(0), shift(1), 0] };
  const coefficient = (std: Float32Array, from: number) => Float64Array.from(std, (s, i) => s * (c[from + i] ?? 0));
  const alpha = coefficient(model.identityStd, 0);
  const beta = coefficient(model.expressionStd, model.identityCount);
  const fitted = applyPose(model.verticesAt(model.landmarks, alpha, beta), pose);
  let sum = 0;
  let total = 0;
  for (let i = 0; i < COUNT; i++) {
    fitted[3 * i + 1] *= -1;
    const w = problem.weights[i];
    sum += w * ((fitted[3 * i] - landmarks[2 * i]) ** 2 + (fitted[3 * i + 1] - landmarks[2 * i + 1]) ** 2);
    total += w;
  }
  return { pose, scale: quaternionScale(scaled), alpha, beta, landmarks: fitted, rmse: Math.sqrt(sum / total) };
}

/** POS: the affine camera of the mean face by least squares, its two rows made orthogonal and equally long. */
function affinePose({ points, weights, mean }: Problem): { q: Quaternion; t: [number, number] } {
  const normal = new Float64Array(16);
  const right = [new Float64Array(4), new Float64Array(4)];
  for (let i = 0; i < COUNT; i++) {
    const row = [mean[3 * i], mean[3 * i + 1], mean[3 * i + 2], 1];
    for (let a = 0; a < 4; a++) {
      for (let b = 0; b < 4; b++) normal[4 * a + b] += weights[i] * row[a] * row[b];
      for (let c = 0; c < 2; c++) right[c][a] += weights[i] * row[a] * points[2 * i + c];
    }
  }
  const rows = right.map((b) => solveCholesky(normal, b));
  const [x, y] = rows;
  if (!x || !y) throw new FitError("fitLandmarks: the model's landmarks lie in a plane");
  const [lx, ly] = [Math.hypot(x[0], x[1], x[2]), Math.hypot(y[0], y[1], y[2])];
  const sum = [0, 1, 2].map((c) => x[c] / lx + y[c] / ly);
  const difference = [0, 1, 2].map((c) => x[c] / lx - y[c] / ly);
  const [ls, ld] = [Math.hypot(...sum), Math.hypot(...difference)];
  if (!(ls > 1e-6 && ld > 1e-6)) throw new FitError('fitLandmarks: the landmarks lie on a line');
  const a = sum.map((s, c) => (s / ls + difference[c] / ld) * Math.SQRT1_2);
  const b = sum.map((s, c) => (s / ls - difference[c] / ld) * Math.SQRT1_2);
  const n = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const f = (lx + ly) / 2;
  return { q: quaternionFromMatrix([...a, ...b, ...n].map((v) => v * f)), t: [x[3], y[3]] };
}

/** Shape for coefficients in standard deviations -> [68, 3]. */
function shapeOf({ mean, modes }: Problem, c: Float64Array): Float64Array {
  const s = Float64Array.from(mean);
  for (let k = 0; k < c.length; k++) for (let i = 0; i < s.length; i++) s[i] += c[k] * modes[k][i];
  return s;
}

function costOf(problem: Problem, { q, t, c }: Estimate, noise: number): number {
  const s = shapeOf(problem, c);
  const r = scaledRotation(q);
  let cost = 0;
  for (let i = 0; i < COUNT; i++) {
    for (let row = 0; row < 2; row++) {
      const v = r[3 * row] * s[3 * i] + r[3 * row + 1] * s[3 * i + 1] + r[3 * row + 2] * s[3 * i + 2] + t[row];
      cost += problem.weights[i] * ((v - problem.points[2 * i + row]) / noise) ** 2;
    }
  }
  for (const x of c) cost += x * x;
  return cost;
}

/** Levenberg-Marquardt over q (4), t (2) and the coefficients; stops when the cost falls by less than 1e-8 of itself. */
function refine(problem: Problem, start: Estimate, noise: number): Estimate {
  const unknowns = 6 + problem.modes.length;
  let best = start;
  let cost = costOf(problem, best, noise);
  let damping = 1e-3;
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const { normal, gradient } = linearised(problem, best, noise);
    let gain = 0;
    while (damping < 1e8) {
      const damped = Float64Array.from(normal);
      for (let k = 0; k < unknowns; k++) damped[k * unknowns + k] *= 1 + damping;
      const step = solveCholesky(damped, gradient);
      if (step) {
        const next = moved(best, step);
        const nextCost = costOf(problem, next, noise);
        if (nextCost < cost) {
          gain = cost - nextCost;
          best = next;
          cost = nextCost;
          damping = Math.max(damping / 10, 1e-9);
          break;
        }
      }
      damping *= 10;
    }
    if (gain <= 1e-8 * cost) break;
  }
  return best;
}

/**
 * `refine` with the noise as one more unknown: noise^2 = sum of squared residuals / (numbers observed - parameters that they, not the prior,
 * determine), the usual fixed point of the evidence of a ridge regression.
 */
function refineWithNoise(problem: Problem, start: Estimate): Estimate {
  let noise = NOISE_START;
  let best = start;
  for (let round = 0; round < NOISE_ROUNDS; round++) {
    best = refine(problem, best, noise);
    let residual = costOf(problem, best, noise);
    for (const x of best.c) residual -= x * x;
    const unknowns = 6 + problem.modes.length;
    const { normal } = linearised(problem, best, noise);
    let determined = 6;
    for (let k = 6; k < unknowns; k++) {
      const unit = new Float64Array(unknowns);
      unit[k] = 1;
      const column = solveCholesky(normal, unit);
      determined += column ? 1 - Math.min(1, column[k]) : 0;
    }
    const observed = problem.weights.reduce((n, w) => n + (w > 0 ? 2 : 0), 0);
    const free = Math.max(1, observed - determined);
    const next = Math.max(NOISE_LEAST, noise * Math.sqrt(residual / free));
    if (Math.abs(next - noise) < 0.05 * noise) break;
    noise = next;
  }
  return best;
}

function moved({ q, t, c }: Estimate, step: Float64Array): Estimate {
  return {
    q: [q[0] - step[0], q[1] - step[1], q[2] - step[2], q[3] - step[3]],
    t: [t[0] - step[4], t[1] - step[5]],
    c: c.map((x, k) => x - step[6 + k]),
  };
}

/** J^T J and J^T r of the weighted residuals and the prior. */
function linearised(problem: Problem, { q, t, c }: Estimate, noise: number) {
  const { points, weights, modes } = problem;
  const unknowns = 6 + modes.length;
  const normal = new Float64Array(unknowns * unknowns);
  const gradient = new Float64Array(unknowns);
  const s = shapeOf(problem, c);
  const r = scaledRotation(q);
  const dr = scaledRotationDerivatives(q);
  const j = new Float64Array(unknowns);
  for (let i = 0; i < COUNT; i++) {
    const [x, y, z] = [s[3 * i], s[3 * i + 1], s[3 * i + 2]];
    const w = Math.sqrt(weights[i]) / noise;
    for (let row = 0; row < 2; row++) {
      const at = 3 * row;
      const residual = w * (r[at] * x + r[at + 1] * y + r[at + 2] * z + t[row] - points[2 * i + row]);
      for (let k = 0; k < 4; k++) j[k] = w * (dr[k][at] * x + dr[k][at + 1] * y + dr[k][at + 2] * z);
      j[4] = row === 0 ? w : 0;
      j[5] = row === 1 ? w : 0;
      for (let k = 0; k < modes.length; k++) {
        const m = modes[k];
        j[6 + k] = w * (r[at] * m[3 * i] + r[at + 1] * m[3 * i + 1] + r[at + 2] * m[3 * i + 2]);
      }
      for (let a = 0; a < unknowns; a++) {
        gradient[a] += j[a] * residual;
        for (let b = 0; b <= a; b++) normal[a * unknowns + b] += j[a] * j[b];
      }
    }
  }
  for (let k = 0; k < modes.length; k++) {
    normal[(6 + k) * (unknowns + 1)] += 1;
    gradient[6 + k] += c[k];
  }
  return { normal, gradient };
}
