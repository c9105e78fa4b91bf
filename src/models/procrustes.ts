// Procrustes alignment of corresponding points: the rotation, scale and shift that bring one set nearest to another, and the
// generalised form that brings many sets to their common mean. Contract: points are [N, 3], row-major, in the same order
// everywhere; mirror images are never taken.
import { symmetricEigen } from './eigen.js';
import { scaledRotation } from './pose.js';

export interface Similarity {
  scale: number;
  /** Row-major 3x3, determinant +1. */
  rotation: Float64Array;
  shift: [number, number, number];
}

type Points = Float32Array | Float64Array;

/**
 * The similarity (with `scale: false` the rigid motion) that takes `from` nearest to `to` in the weighted least-squares sense, by Horn's
 * quaternion: the eigenvector of a symmetric 4x4. `weights` [N] are 1 by default. Throws RangeError for sets of different size.
 */
export function procrustes(
  from: Points,
  to: Points,
  { scale = true, weights }: { scale?: boolean; weights?: Float64Array } = {},
): Similarity {
  if (from.length !== to.length || from.length === 0 || from.length % 3) {
    throw new RangeError(
      `procrustes: wanted two sets [N, 3] of equal size, got ${from.length / 3} and ${to.length / 3}`,
    );
  }
  const n = from.length / 3;
  const [a, b] = [centroid(from, weights), centroid(to, weights)];
  const s = new Float64Array(9); // sum of w (from - a) (to - b)^T
  let spread = 0;
  for (let i = 0; i < n; i++) {
    const w = weights ? weights[i] : 1;
    for (let r = 0; r < 3; r++) {
      const x = from[3 * i + r] - a[r];
      spread += w * x * x;
      for (let c = 0; c < 3; c++) s[3 * r + c] += w * x * (to[3 * i + c] - b[c]);
    }
  }
  const [xx, xy, xz, yx, yy, yz, zx, zy, zz] = s;
  const { vectors } = symmetricEigen(
    [
      [xx + yy + zz, yz - zy, zx - xz, xy - yx],
      [yz - zy, xx - yy - zz, xy + yx, zx + xz],
      [zx - xz, xy + yx, yy - xx - zz, yz + zy],
      [xy - yx, zx + xz, yz + zy, zz - xx - yy],
    ].map((row) => Float64Array.from(row)),
  );
  const rotation = scaledRotation([...vectors[0]] as [number, number, number, number]); // of a unit quaternion
  let along = 0;
  for (let r = 0; r < 3; r++) for (let c = 0; c < 3; c++) along += rotation[3 * r + c] * s[3 * c + r];
  const factor = scale && spread > 0 ? along / spread : 1;
  const shift = [0, 1, 2].map(
    (r) => b[r] - factor * (rotation[3 * r] * a[0] + rotation[3 * r + 1] * a[1] + rotation[3 * r + 2] * a[2]),
  ) as [number, number, number];
  return { scale: factor, rotation, shift };
}

/**
 * The same with little weight on points that moved on their own (an open jaw, a raised brow): iteratively reweighted, Cauchy's weights with
 * the median residual as their width.
 */
export function robustProcrustes(from: Points, to: Points, { scale = true }: { scale?: boolean } = {}): Similarity {
  let found = procrustes(from, to, { scale });
  const weights = new Float64Array(from.length / 3);
  for (let iteration = 0; iteration < 10; iteration++) {
    const moved = transform(from, found);
    const residuals = weights.map((_, i) =>
      Math.hypot(moved[3 * i] - to[3 * i], moved[3 * i + 1] - to[3 * i + 1], moved[3 * i + 2] - to[3 * i + 2]),
    );
    const width = residuals.slice().sort()[residuals.length >> 1];
    // More than half of the points match as they are.
    if (!(width > 1e-7 * size(to))) break;
    residuals.forEach((r, i) => {
      weights[i] = 1 / (1 + (r / width) ** 2);
    });
    found = procrustes(from, to, { scale, weights });
  }
  return found;
}

/** scale R x + shift for every point. */
export function transform(points: Points, { scale, rotation: r, shift }: Similarity): Float32Array {
  const out = new Float32Array(points.length);
  for (let i = 0; i < points.length; i += 3) {
    const [x, y, z] = [points[i], points[i + 1], points[i + 2]];
    for (let c = 0; c < 3; c++) out[i + c] = scale * (r[3 * c] * x + r[3 * c + 1] * y + r[3 * c + 2] * z) + shift[c];
  }
  return out;
}

/**
 * Generalised Procrustes alignment: the motion of each set that makes their sum of squared distances from the common mean least. The mean
 * stays in the first set's position, and with scales at the sets' average size, so units survive. `mean` [N, 3].
 */
export function generalisedProcrustes(
  sets: readonly Float32Array[],
  { scale = true, iterations = 30 }: { scale?: boolean; iterations?: number } = {},
): { motions: Similarity[]; mean: Float64Array } {
  const average = sets.reduce((sum, set) => sum + size(set), 0) / sets.length;
  let mean: Float64Array = Float64Array.from(sets[0]);
  if (scale) mean = resized(mean, average);
  let motions: Similarity[] = [];
  for (let i = 0; i < iterations; i++) {
    motions = sets.map((set) => procrustes(set, mean, { scale }));
    let next: Float64Array = new Float64Array(mean.length);
    sets.forEach((set, k) => {
      const moved = transform(set, motions[k]);
      for (let j = 0; j < next.length; j++) next[j] += moved[j] / sets.length;
    });
    // Averages shrink a little; and the mean may drift away, since any common motion fits as well.
    if (scale) next = resized(next, average);
    next = Float64Array.from(transform(next, procrustes(next, Float64Array.from(sets[0]), { scale: false })));
    let change = 0;
    for (let j = 0; j < next.length; j++) change = Math.max(change, Math.abs(next[j] - mean[j]));
    mean = next;
    if (change < 1e-6 * average) break;
  }
  return { motions: sets.map((set) => procrustes(set, mean, { scale })), mean };
}

function centroid(points: Points, weights?: Float64Array): [number, number, number] {
  const sum: [number, number, number] = [0, 0, 0];
  let total = 0;
  for (let i = 0; i < points.length; i += 3) {
    const w = weights ? weights[i / 3] : 1;
    total += w;
    for (let c = 0; c < 3; c++) sum[c] += w * points[i + c];
  }
  return sum.map((x) => x / total) as [number, number, number];
}

/** Root mean square distance from the centroid. */
export function size(points: Points): number {
  const at = centroid(points);
  let sum = 0;
  for (let i = 0; i < points.length; i++) sum += (points[i] - at[i % 3]) ** 2;
  return Math.sqrt((3 * sum) / points.length);
}

function resized(points: Float64Array, wanted: number): Float64Array {
  const at = centroid(points);
  const factor = wanted / size(points);
  return points.map((x, i) => at[i % 3] + factor * (x - at[i % 3]));
}
