// A small face model for tests, and the face of a parameter vector by plain loops in float64.
import { Random } from '../src/head/random.js';
import { MorphableModel, type ParameterCounts } from '../src/models/index.js';

/** A bulging grid of 12 x 12 vertices, about 80 mm wide, with 4 identity and 3 expression modes; landmarks on the inner 68. */
export function smallModel(): MorphableModel {
  const side = 12;
  const n = side * side;
  const mean = new Float32Array(3 * n);
  const uv = new Float32Array(2 * n);
  for (let r = 0; r < side; r++) {
    for (let c = 0; c < side; c++) {
      const [u, v] = [c / (side - 1), 1 - r / (side - 1)];
      const i = r * side + c;
      const angle = (u - 0.5) * 2.4;
      mean.set([60 * Math.sin(angle), 100 * (v - 0.5), 60 * Math.cos(angle) - 20 * (v - 0.5) ** 2], 3 * i);
      uv.set([u, v], 2 * i);
    }
  }
  const triangles: number[] = [];
  for (let r = 0; r + 1 < side; r++) {
    for (let c = 0; c + 1 < side; c++) {
      const i = r * side + c;
      triangles.push(i, i + side, i + 1, i + 1, i + side, i + side + 1);
    }
  }
  const modes = (count: number, phase: number) =>
    Float32Array.from({ length: count * 3 * n }, (_, at) => {
      const [k, i, c] = [Math.floor(at / (3 * n)), Math.floor(at / 3) % n, at % 3];
      return (
        0.1 * Math.sin(phase + 1.3 * k + 2 * c + (0.4 + 0.1 * k) * (i % side) + 0.3 * (k + 1) * Math.floor(i / side))
      );
    });
  return new MorphableModel({
    mean,
    identity: modes(4, 0.2),
    identityStd: Float32Array.of(20, 12, 8, 5),
    expression: modes(3, 4.1),
    expressionStd: Float32Array.of(15, 9, 4),
    triangles: Int32Array.from(triangles),
    landmarks: Int32Array.from({ length: 68 }, (_, i) => 2 * i + 2),
    uv,
    name: 'grid',
  });
}

/** n vectors, row-major: turned up to 60 degrees, at about 0.6 pixels per mm, in the middle of 120 pixels. */
export function vectors(n: number, { identity, expression }: ParameterCounts, seed: number): Float64Array {
  const random = new Random(seed);
  return Float64Array.from(
    Array.from({ length: n }, () => {
      const f = Math.sqrt(random.uniform(0.5, 0.7));
      const q = [1, 0.4 * random.truncated(2), 0.4 * random.truncated(2), 0.2 * random.truncated(2)];
      const length = Math.hypot(...q);
      const coefficients = Array.from({ length: identity + expression }, () => 8 * random.truncated(2));
      return [...q.map((x) => (f * x) / length), random.uniform(50, 70), random.uniform(50, 70), ...coefficients];
    }).flat(),
  );
}

/** V = R(q) S + (tx, ty, 0) of the listed vertices, [m, 3]. */
export function faceOf(
  model: MorphableModel,
  { identity, expression }: ParameterCounts,
  vertices: ArrayLike<number>,
  p: ArrayLike<number>,
): number[] {
  const [a, b, c, d] = [p[0], p[1], p[2], p[3]];
  const r = [
    [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (a * c + b * d)],
    [2 * (b * c + a * d), a * a - b * b + c * c - d * d, 2 * (c * d - a * b)],
    [2 * (b * d - a * c), 2 * (a * b + c * d), a * a - b * b - c * c + d * d],
  ];
  const stride = model.mean.length;
  return Array.from(vertices).flatMap((vertex) => {
    const s = [0, 1, 2].map((k) => {
      let x = model.mean[3 * vertex + k];
      for (let m = 0; m < identity; m++) x += p[6 + m] * model.identity[m * stride + 3 * vertex + k];
      for (let m = 0; m < expression; m++) x += p[6 + identity + m] * model.expression[m * stride + 3 * vertex + k];
      return x;
    });
    return r.map((row, k) => row[0] * s[0] + row[1] * s[1] + row[2] * s[2] + (k < 2 ? p[4 + k] : 0));
  });
}

/** All x, then all y, of the listed vertices. */
export const projectionOf =
  (model: MorphableModel, counts: ParameterCounts, vertices: ArrayLike<number>) =>
  (p: ArrayLike<number>): number[] => {
    const face = faceOf(model, counts, vertices, p);
    return [0, 1].flatMap((c) => Array.from({ length: face.length / 3 }, (_, i) => face[3 * i + c]));
  };
