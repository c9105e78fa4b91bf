// One face's texture layout brought to another's, so that a network that knows one can complete the other. Contract: both are
// cylindrical unwraps (u along the angle, v along the height), which differ by where they are cut and by the faces they are of.
import { solveCholesky } from './cholesky.js';
import { MorphableModel } from './morphable.js';

/** Reach of a landmark's correction, in UV; half a face's width (our choice). */
const REACH = 0.12;
/** What a correction costs: landmarks of different faces agree to a few pixels only (our choice). */
const RIDGE = 0.05;

/**
 * The model with texture coordinates that put its landmarks where `reference` has its own: scaled and shifted along each axis by
 * least squares, then corrected around the landmarks, smoothly (Gaussian kernels, ridge regression). Coordinates that leave the map are
 * held at its edge.
 */
export function inLayoutOf(model: MorphableModel, reference: MorphableModel): MorphableModel {
  const uv = Float32Array.from(model.uv);
  const from = rowsAt(model.uv, model.landmarks);
  const to = rowsAt(reference.uv, reference.landmarks);
  const count = from.length / 2;
  const kernel = (x: number, y: number, k: number) =>
    Math.exp(-((x - from[2 * k]) ** 2 + (y - from[2 * k + 1]) ** 2) / (2 * REACH * REACH));
  const gram = Float64Array.from({ length: count * count }, (_, i) => {
    const [row, column] = [Math.floor(i / count), i % count];
    return kernel(from[2 * row], from[2 * row + 1], column) + (row === column ? RIDGE : 0);
  });
  const [u, v] = [0, 1].map((axis) => {
    const { scale, shift } = line(from, to, axis);
    const left = Float64Array.from({ length: count }, (_, k) => to[2 * k + axis] - scale * from[2 * k + axis] - shift);
    return { scale, shift, weights: solveCholesky(gram, left) ?? new Float64Array(count) };
  });
  for (let i = 0; i < uv.length; i += 2) {
    let x = u.scale * model.uv[i] + u.shift;
    let y = v.scale * model.uv[i + 1] + v.shift;
    for (let k = 0; k < count; k++) {
      const near = kernel(model.uv[i], model.uv[i + 1], k);
      x += u.weights[k] * near;
      y += v.weights[k] * near;
    }
    uv[i] = Math.max(0, Math.min(1, x));
    uv[i + 1] = Math.max(0, Math.min(1, y));
  }
  return new MorphableModel({ ...model, uv });
}

function rowsAt(uv: Float32Array, vertices: Int32Array): Float64Array {
  const out = new Float64Array(2 * vertices.length);
  vertices.forEach((vertex, i) => {
    out[2 * i] = uv[2 * vertex];
    out[2 * i + 1] = uv[2 * vertex + 1];
  });
  return out;
}

/** to = scale from + shift along one axis, in least squares. */
function line(from: Float64Array, to: Float64Array, axis: number): { scale: number; shift: number } {
  const n = from.length / 2;
  let [fx, tx, xx, xt] = [0, 0, 0, 0];
  for (let i = axis; i < from.length; i += 2) {
    fx += from[i] / n;
    tx += to[i] / n;
  }
  for (let i = axis; i < from.length; i += 2) {
    xx += (from[i] - fx) ** 2;
    xt += (from[i] - fx) * (to[i] - tx);
  }
  const scale = xx > 0 ? xt / xx : 1;
  return { scale, shift: tx - scale * fx };
}
