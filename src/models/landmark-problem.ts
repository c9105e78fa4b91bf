// What the landmark fitter solves, without units: landmarks of photo and model about their centres at size 1. Contract: y up in both, so the
// image's y is negated here and nowhere else.
import type { MorphableModel } from './morphable.js';

/** Landmarks that no face can be fitted to. */
export class FitError extends Error {
  override readonly name = 'FitError';
}

/** Landmarks of a face. */
export const COUNT = 68;

/** The problem without units: image and model landmarks about their centres, at root mean square distance 1; y up. */
export interface Problem {
  points: Float64Array; // [68, 2]
  weights: Float64Array; // [68]
  mean: Float64Array; // [68, 3]
  /** Displacement of the landmarks per standard deviation of each coefficient. */
  modes: Float64Array[]; // k times [68, 3]
  imageCentre: [number, number];
  imageScale: number;
  modelCentre: [number, number, number];
  modelScale: number;
}

/** Checks the landmarks [68, 2] (pixels, y down) and weights [68] and brings them to the size and place of the model's. Throws FitError. */
export function normalised(
  model: MorphableModel,
  landmarks: ArrayLike<number>,
  given: ArrayLike<number> | undefined,
  shape: boolean,
): Problem {
  if (landmarks.length !== 2 * COUNT) {
    throw new FitError(`fitLandmarks: wanted 68 landmarks [68, 2], got ${landmarks.length} numbers`);
  }
  for (let i = 0; i < landmarks.length; i++) {
    if (!Number.isFinite(landmarks[i])) {
      throw new FitError(`fitLandmarks: landmark ${(i >> 1) + 1} has the coordinate ${landmarks[i]}`);
    }
  }
  if (given && given.length !== COUNT) {
    throw new FitError(`fitLandmarks: wanted 68 weights, got ${given.length}`);
  }
  const weights = given ? Float64Array.from(given) : new Float64Array(COUNT).fill(1);
  const bad = weights.findIndex((w) => !(w >= 0 && w < Infinity));
  if (bad >= 0) throw new FitError(`fitLandmarks: the weight of landmark ${bad + 1} is ${weights[bad]}`);
  const used = weights.reduce((n, w) => n + (w > 0 ? 1 : 0), 0);
  if (used < 6) throw new FitError(`fitLandmarks: wanted at least 6 landmarks of weight > 0, got ${used}`);

  const points = Float64Array.from(landmarks, (v, i) => (i % 2 === 0 ? v : -v));
  const image = centred(points, 2, weights);
  checkSpread(points, weights);
  const mean = Float64Array.from(model.verticesAt(model.landmarks));
  const body = centred(mean, 3, weights);
  const modes: Float64Array[] = [];
  const add = (data: Float32Array, std: Float32Array) => {
    for (let k = 0; k < std.length; k++) {
      const mode = new Float64Array(3 * COUNT);
      for (let i = 0; i < mode.length; i++) {
        mode[i] =
          (std[k] / body.scale) * data[k * model.mean.length + 3 * model.landmarks[Math.floor(i / 3)] + (i % 3)];
      }
      modes.push(mode);
    }
  };
  if (shape) {
    add(model.identity, model.identityStd);
    add(model.expression, model.expressionStd);
  }
  return {
    points,
    weights,
    mean,
    modes,
    imageCentre: [image.centre[0], image.centre[1]],
    imageScale: image.scale,
    modelCentre: [body.centre[0], body.centre[1], body.centre[2]],
    modelScale: body.scale,
  };
}

/** Moves the weighted centre of points to 0 and their root mean square distance from it to 1, in place. */
function centred(points: Float64Array, columns: number, weights: Float64Array): { centre: number[]; scale: number } {
  const total = weights.reduce((a, w) => a + w, 0);
  const centre = Array.from({ length: columns }, (_, c) =>
    weights.reduce((sum, w, i) => sum + (w * points[columns * i + c]) / total, 0),
  );
  let sum = 0;
  for (let i = 0; i < points.length; i++) {
    points[i] -= centre[i % columns];
    sum += weights[Math.floor(i / columns)] * points[i] * points[i];
  }
  const scale = Math.sqrt(sum / total);
  if (!(scale > 1e-6)) throw new FitError('fitLandmarks: all landmarks lie in one point');
  for (let i = 0; i < points.length; i++) points[i] /= scale;
  return { centre, scale };
}

/** A face shows some width at any pose; points on a line are no face. */
function checkSpread(points: Float64Array, weights: Float64Array): void {
  let [xx, xy, yy] = [0, 0, 0];
  for (let i = 0; i < COUNT; i++) {
    const [x, y] = [points[2 * i], points[2 * i + 1]];
    xx += weights[i] * x * x;
    xy += weights[i] * x * y;
    yy += weights[i] * y * y;
  }
  const ratio = (xx * yy - xy * xy) / (xx + yy) ** 2;
  if (!(ratio > 1e-4)) throw new FitError('fitLandmarks: the landmarks lie on a line');
}
