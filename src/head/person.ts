// A person who does not exist: shape, expression, skin and light drawn from one integer, for the default face model.
// Contract: the same seed and model give the same person; `albedo` is without light, `texture` is what a camera would see.
import { type Appearance, drawAppearance } from './appearance.js';
import type { FaceGeometry } from './layout.js';
import { bakeLight, drawLight, type Light } from './light.js';
import { Random } from './random.js';
import { drawExpression, ParametricHead } from './scans.js';
import { paintAlbedo } from './skin.js';

/** What drawing a person needs of a face model; a MorphableModel fits. */
export interface DrawableModel extends FaceGeometry {
  identityStd: Float32Array;
  expression: Float32Array;
  expressionStd: Float32Array;
  vertices(alpha: ArrayLike<number>, beta: ArrayLike<number>): Float32Array;
  normals(vertices: ArrayLike<number>): Float32Array;
}

export interface Person {
  seed: number;
  /** Identity and expression coefficients of the model. */
  alpha: Float32Array;
  beta: Float32Array;
  /** The expression's action units and weights (empty for a neutral face). */
  expression: Record<string, number>;
  appearance: Appearance;
  light: Light;
  /** Side of the textures in pixels. */
  size: number;
  /** [size, size, 3] sRGB 0..255 without light. */
  albedo: Float32Array;
  /** [size, size, 3] sRGB 0..255 with the light on this face's own surface: the complete UV map of its photo. */
  texture: Float32Array;
}

/**
 * Draws person `seed` (any integer). `size` is the side of the textures; `expression: false` leaves the face neutral.
 */
export function drawPerson(
  seed: number,
  model: DrawableModel,
  { size = 512, expression: moved = true }: { size?: number; expression?: boolean } = {},
): Person {
  const random = new Random(seed);
  const alpha = Float32Array.from(model.identityStd, (s) => s * random.truncated(2));
  const light = drawLight(random);
  const expression = moved ? drawExpression(random) : {};
  const beta = moved ? expressionCoefficients(model, expression) : new Float32Array(model.expressionStd.length);
  const appearance = drawAppearance(seed);
  const albedo = paintAlbedo(model, appearance, size);
  const vertices = model.vertices(alpha, beta);
  const texture = bakeLight(model, albedo, size, { vertices, normals: model.normals(vertices) }, light);
  return { seed, alpha, beta, expression, appearance, light, size, albedo, texture };
}

/**
 * Coefficients whose face is nearest to given action units: their displacement of the mean head, projected on the model's
 * orthonormal expression modes. For models over another mesh there is no such displacement, and the face stays neutral.
 */
export function expressionCoefficients(model: DrawableModel, units: Readonly<Record<string, number>>): Float32Array {
  const out = new Float32Array(model.expressionStd.length);
  const head = new ParametricHead();
  if (head.vertexCount * 3 !== model.mean.length) return out;
  const neutral = head.neutral();
  const moved = head.expressive(neutral, units);
  for (let m = 0; m < out.length; m++) {
    let sum = 0;
    for (let i = 0; i < neutral.length; i++) sum += model.expression[m * neutral.length + i] * (moved[i] - neutral[i]);
    out[m] = sum;
  }
  return out;
}
