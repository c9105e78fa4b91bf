// One step of refinement: the normal equations of camera, shape, expression and colours of a face against the pixels that show it.
// Contract: everything lives in a square of `side` pixels, x right, y down; the photo's derivative is taken in the photo.
import { solveCholesky } from '../models/cholesky.js';
import { FitError } from '../models/landmark-problem.js';
import type { MorphableModel } from '../models/morphable.js';
import { Appearance, type SeenPixels, seenPixels } from './refine-appearance.js';

/** A face in the square. */
export interface FaceState {
  /** Row-major 3x4, y down. */
  camera: Float64Array;
  alpha: Float64Array;
  beta: Float64Array;
}

/** Points of the surface: three vertices each, and their weights. */
type Points = Pick<SeenPixels, 'corners' | 'weights'>;

/** Pixels near each other tell much the same: so many independent observations per pixel. */
const INDEPENDENT = 0.02;
/** Standard deviations: of the landmarks that the fit started with, in pixels of the square; of the coefficients' change, in their own. */
const LANDMARK_DEVIATION = 2;
const COEFFICIENT_DEVIATION = 1;
/** Fewer pixels say nothing about a face. */
const LEAST_PIXELS = 100;
/** Rotation, log scale, shift. */
const POSE = 6;

export class RefineProblem {
  /** Of the coefficients. */
  private readonly deviations: Float64Array;
  /** The landmarks as points, and where they were at the start: [68, 2]. */
  private readonly landmarks: Points;
  private readonly marks: Float64Array;
  /** Unknowns of the geometry. */
  private readonly size: number;

  constructor(
    private readonly model: MorphableModel,
    private readonly start: FaceState,
    private readonly side: number,
  ) {
    const { alpha, beta } = start;
    const { identityStd, expressionStd, landmarks } = model;
    this.deviations = Float64Array.of(
      ...identityStd.subarray(0, alpha.length),
      ...expressionStd.subarray(0, beta.length),
    );
    this.size = POSE + this.deviations.length;
    const count = 3 * landmarks.length;
    this.landmarks = {
      corners: Int32Array.from({ length: count }, (_, i) => landmarks[Math.floor(i / 3)]),
      weights: Float64Array.from({ length: count }, (_, i) => Number(i % 3 === 0)),
    };
    this.marks = this.places(start, model.vertices(alpha, beta));
  }

  /** The pixels that show the face, and the colours that draw them best. Throws FitError where hardly any do. */
  look({ camera, alpha, beta }: FaceState, image: Float32Array) {
    const shape = this.model.vertices(alpha, beta);
    const seen = seenPixels(this.model, shape, camera, this.side);
    if (seen.count < LEAST_PIXELS) throw new FitError(`refineFit: only ${seen.count} pixels show the face`);
    return { shape, seen, appearance: new Appearance(seen, image) };
  }

  /** The face after one Gauss-Newton step of geometry and colours together; undefined where the equations have no answer. */
  step(state: FaceState, image: Float32Array): FaceState | undefined {
    const { shape, seen, appearance } = this.look(state, image);
    const g = this.size;
    const a = appearance.size;
    const size = g + 3 * a;
    const h = new Float64Array(size * size); // the lower triangle counts
    const b = new Float64Array(size);
    const [mx, my, row, turn] = [g, g, g, 3].map((n) => new Float64Array(n));
    const weight = INDEPENDENT / appearance.scale ** 2;
    for (let m = 0; m < seen.count; m++) {
      this.motion(state, shape, seen, m, mx, my);
      const w = weight * appearance.weights[m];
      const p = 3 * seen.pixels[m];
      for (let c = 0; c < 3; c++) {
        const gx = (image[p + 3 + c] - image[p - 3 + c]) / 2;
        const gy = (image[p + 3 * this.side + c] - image[p - 3 * this.side + c]) / 2;
        appearance.turning(m, c, turn);
        for (let i = 0; i < g; i++) row[i] = gx * mx[i] + gy * my[i];
        for (let i = 0; i < 3; i++) row[i] -= turn[i];
        const r = appearance.residuals[3 * m + c];
        addRow(h, b, size, row, r, w);
        const from = g + c * a;
        for (let i = 0; i < a; i++) {
          const wi = -w * appearance.basis[m * a + i];
          b[from + i] -= wi * r;
          const at = (from + i) * size;
          for (let j = 0; j < g; j++) h[at + j] += wi * row[j];
          for (let j = 0; j <= i; j++) h[at + from + j] -= wi * appearance.basis[m * a + j];
        }
      }
    }
    this.addPriors(state, shape, h, b, size);
    for (let i = 0; i < size; i++) h[i * size + i] *= 1 + 1e-6;
    const x = solveCholesky(h, b);
    return x && this.moved(state, x);
  }

  /** d (x, y) of surface point m / d (rotation, log scale, shift, coefficients in standard deviations). */
  private motion(
    { camera: p, alpha }: FaceState,
    shape: Float32Array,
    points: Points,
    m: number,
    mx: Float64Array,
    my: Float64Array,
  ): void {
    const { corners, weights } = points;
    const { identity, expression } = this.model;
    let [x, y, z] = [0, 0, 0];
    for (let c = 0; c < 3; c++) {
      const at = 3 * corners[3 * m + c];
      const w = weights[3 * m + c];
      x += w * shape[at];
      y += w * shape[at + 1];
      z += w * shape[at + 2];
    }
    const vx = p[0] * x + p[1] * y + p[2] * z;
    const vy = p[4] * x + p[5] * y + p[6] * z;
    const vz = p[8] * x + p[9] * y + p[10] * z;
    mx.set([0, vz, -vy, vx, 1, 0]);
    my.set([-vz, 0, vx, vy, 0, 1]);
    for (let j = 0; j < this.deviations.length; j++) {
      const own = j < alpha.length;
      const modes = own ? identity : expression;
      const base = (own ? j : j - alpha.length) * shape.length;
      let [dx, dy, dz] = [0, 0, 0];
      for (let c = 0; c < 3; c++) {
        const at = base + 3 * corners[3 * m + c];
        const w = weights[3 * m + c] * this.deviations[j];
        dx += w * modes[at];
        dy += w * modes[at + 1];
        dz += w * modes[at + 2];
      }
      mx[POSE + j] = p[0] * dx + p[1] * dy + p[2] * dz;
      my[POSE + j] = p[4] * dx + p[5] * dy + p[6] * dz;
    }
  }

  /** Landmarks near where they were, coefficients near what they were. */
  private addPriors(state: FaceState, shape: Float32Array, h: Float64Array, b: Float64Array, size: number): void {
    const [mx, my] = [this.size, this.size].map((n) => new Float64Array(n));
    const now = this.places(state, shape);
    const w = 1 / LANDMARK_DEVIATION ** 2;
    for (let m = 0; m < this.marks.length / 2; m++) {
      this.motion(state, shape, this.landmarks, m, mx, my);
      addRow(h, b, size, mx, now[2 * m] - this.marks[2 * m], w);
      addRow(h, b, size, my, now[2 * m + 1] - this.marks[2 * m + 1], w);
    }
    const values = ({ alpha, beta }: FaceState) => [...alpha, ...beta];
    const [first, last] = [values(this.start), values(state)];
    for (const [j, deviation] of this.deviations.entries()) {
      const i = POSE + j;
      h[i * size + i] += 1 / COEFFICIENT_DEVIATION ** 2;
      b[i] -= (last[j] - first[j]) / deviation / COEFFICIENT_DEVIATION ** 2;
    }
  }

  /** x and y of the landmarks, [68, 2]. */
  private places({ camera: p }: FaceState, shape: Float32Array): Float64Array {
    return Float64Array.from({ length: 2 * this.model.landmarks.length }, (_, i) => {
      const at = 3 * this.model.landmarks[i >> 1];
      const r = 4 * (i & 1);
      return p[r] * shape[at] + p[r + 1] * shape[at + 1] + p[r + 2] * shape[at + 2] + p[r + 3];
    });
  }

  /** The state after a step x: the camera turned about its origin, scaled and shifted. */
  private moved({ camera, alpha, beta }: FaceState, x: Float64Array): FaceState {
    const turn = rotationOf(x[0], x[1], x[2]);
    const f = Math.exp(x[3]);
    const out = camera.slice();
    for (let i = 0; i < 3; i++)
      for (let j = 0; j < 3; j++)
        out[4 * i + j] =
          f * (turn[3 * i] * camera[j] + turn[3 * i + 1] * camera[4 + j] + turn[3 * i + 2] * camera[8 + j]);
    out[3] += x[4];
    out[7] += x[5];
    const change = (j: number) => x[POSE + j] * this.deviations[j];
    return {
      camera: out,
      alpha: alpha.map((value, j) => value + change(j)),
      beta: beta.map((value, j) => value + change(alpha.length + j)),
    };
  }
}

/** Adds the equation row x = -r of weight w; row may be shorter than the system. */
function addRow(h: Float64Array, b: Float64Array, size: number, row: Float64Array, r: number, w: number): void {
  for (let i = 0; i < row.length; i++) {
    const wi = w * row[i];
    b[i] -= wi * r;
    for (let j = 0, at = i * size; j <= i; j++) h[at + j] += wi * row[j];
  }
}

/** Rodrigues' formula: the rotation, row-major 3x3, about a vector by its length. */
function rotationOf(x: number, y: number, z: number): Float64Array {
  const angle = Math.hypot(x, y, z);
  const a = angle < 1e-8 ? 1 : Math.sin(angle) / angle;
  const b = angle < 1e-8 ? 0.5 : (1 - Math.cos(angle)) / angle ** 2;
  const c = 1 - b * angle ** 2;
  const first = [c + b * x * x, b * x * y - a * z, b * x * z + a * y];
  const second = [b * x * y + a * z, c + b * y * y, b * y * z - a * x];
  return Float64Array.of(...first, ...second, b * x * z - a * y, b * y * z + a * x, c + b * z * z);
}
