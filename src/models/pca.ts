// Principal components of scans (equations 1-2): identity on neutral scans, expression on differences expressive - neutral
// of one person, by a truncated SVD whose products run on the engine. Contract: rows are samples; modes are orthonormal over
// all coordinates, so a coefficient carries the unit of the scans and its standard deviation is that of the samples.
import { Random } from '../head/random.js';
import { tensor } from '../tensor/create.js';
import { permute } from '../tensor/ops/layout.js';
import { matmul } from '../tensor/ops/matmul.js';
import { tidy } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import { dot, symmetricEigen } from './eigen.js';

export interface Components {
  /** [dimension] */
  mean: Float64Array;
  /** `count` orthonormal modes, [count, dimension]. */
  modes: Float32Array;
  /** [count] standard deviation of each coefficient. */
  std: Float64Array;
  /** [count] share of the total variance, falling. */
  explained: Float64Array;
}

export interface ComponentOptions {
  /** `false` measures variance about zero (a difference from neutral has no mean to remove: zero is the neutral face). */
  centre?: boolean;
  /** Of the random start where there are many samples and many coordinates. */
  seed?: number;
}

/**
 * The first `count` principal components of samples of equal length, fewer where the samples span fewer. Signs are fixed: the largest
 * number of each mode is positive. Throws RangeError where `count` is more than the samples can span.
 */
export function principalComponents(
  samples: readonly Float32Array[],
  count: number,
  { centre = true, seed = 1 }: ComponentOptions = {},
): Components {
  const m = samples.length;
  const dimension = samples[0].length;
  const degrees = m - (centre ? 1 : 0);
  if (count > degrees) throw new RangeError(`principalComponents: ${count} modes from ${m} samples`);
  const mean = new Float64Array(dimension);
  if (centre) {
    for (const row of samples) for (let i = 0; i < dimension; i++) mean[i] += row[i];
    for (let i = 0; i < dimension; i++) mean[i] /= m;
  }
  const rows = new Float32Array(m * dimension);
  let total = 0;
  samples.forEach((row, r) => {
    const at = r * dimension;
    for (let i = 0; i < dimension; i++) {
      const x = Math.fround(row[i] - mean[i]);
      rows[at + i] = x;
      total += x * x;
    }
  });
  const { values, modes } = truncatedSvd(rows, m, dimension, Math.min(count, dimension), seed);
  const found = values.length;
  for (let k = 0; k < found; k++) {
    const mode = modes.subarray(k * dimension, (k + 1) * dimension);
    let largest = 0;
    for (let i = 1; i < dimension; i++) if (Math.abs(mode[i]) > Math.abs(mode[largest])) largest = i;
    if (mode[largest] < 0) for (let i = 0; i < dimension; i++) mode[i] = -mode[i];
  }
  return {
    mean,
    modes,
    std: values.map((s) => s / Math.sqrt(degrees)),
    explained: values.map((s) => (s * s) / total),
  };
}

/** Up to this many rows or columns, the Gram matrix of that side is diagonalised whole. */
const WHOLE = 600;
/** Directions beyond those asked for that the random start takes along, and how often it is refined. */
const OVERSAMPLING = 20;
const REFINEMENTS = 3;
/** Singular values below this share of the largest are rounding of single precision. */
const NEGLIGIBLE = 2e-7;

/**
 * The largest `count` singular values of a row-major [m, n], falling, and their right singular vectors [count, n]; fewer where the rank
 * is less. With a side of up to 600 the Gram matrix of the smaller side is taken, else a randomised range finder with subspace iteration
 * (Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.1), which needs `count` + 20 rows instead of all. Values and vectors are good to
 * about 1e-6 of the largest value over the gap to the next.
 */
export function truncatedSvd(
  a: Float32Array,
  m: number,
  n: number,
  count: number,
  seed = 1,
): { values: Float64Array; modes: Float32Array } {
  return tidy(() => {
    const matrix = tensor(a, { shape: [m, n] });
    if (Math.min(m, n) > Math.max(WHOLE, count + OVERSAMPLING)) {
      const { values, right } = rowsSvd(range(matrix, count + OVERSAMPLING, seed), count);
      return { values, modes: right };
    }
    if (m <= n) {
      const { values, right } = rowsSvd(matrix, count);
      return { values, modes: right };
    }
    // The Gram matrix of the columns: its eigenvectors are the right singular vectors themselves.
    const { values, left } = rowsSvd(permute(matrix, [1, 0]), count);
    return { values, modes: left };
  });
}

/** Q A [l, n] with l orthonormal rows Q [l, m] that span nearly what the largest l left singular vectors do. */
function range(a: Tensor, l: number, seed: number): Tensor {
  const m = a.shape[0];
  const random = new Random(seed);
  let q = tensor(
    Float32Array.from({ length: l * m }, () => random.normal()),
    { shape: [l, m] },
  );
  for (let i = 0; i < REFINEMENTS; i++) {
    const y = tidy(() => matmul(matmul(q, a), a, { transposeB: true })); // [l, m]
    q = tensor(orthonormalRows(y.dataSync() as Float32Array, l, m), { shape: [l, m] });
  }
  return matmul(q, a);
}

/** Gram-Schmidt, twice, in float64; a row that depends on earlier ones becomes zero. */
function orthonormalRows(data: ArrayLike<number>, l: number, m: number): Float32Array {
  const rows = Array.from({ length: l }, (_, i) => Float64Array.from({ length: m }, (_x, j) => data[i * m + j]));
  const out = new Float32Array(l * m);
  rows.forEach((row, i) => {
    const before = Math.sqrt(dot(row, row));
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        const along = dot(row, rows[j]);
        for (let k = 0; k < m; k++) row[k] -= along * rows[j][k];
      }
    }
    const after = Math.sqrt(dot(row, row));
    const scale = after > 1e-6 * before ? 1 / after : 0;
    for (let k = 0; k < m; k++) row[k] *= scale;
    out.set(row, i * m);
  });
  return out;
}

/**
 * SVD of few rows z [l, n]: the Gram matrix is diagonalised, the rows are turned to its eigenvectors and scaled to unit length, and the
 * Gram matrix of those is diagonalised once more. The first pass alone would lose singular values below 3e-4 of the largest, because a
 * Gram matrix squares them in single precision. `left` [count, l], `right` [count, n].
 */
function rowsSvd(z: Tensor, count: number): { values: Float64Array; left: Float32Array; right: Float32Array } {
  const [l, n] = z.shape;
  const first = symmetricEigen(gram(z)).vectors;
  const turned = tidy(() => matmul(fromRows(first), z)); // [l, n]
  const unit = Float32Array.from(turned.dataSync());
  turned.dispose();
  const lengths = new Float64Array(l);
  let longest = 0;
  for (let i = 0; i < l; i++) {
    const row = unit.subarray(i * n, (i + 1) * n);
    let sum = 0;
    for (let k = 0; k < n; k++) sum += row[k] * row[k];
    lengths[i] = Math.sqrt(sum);
    longest = Math.max(longest, lengths[i]);
  }
  for (let i = 0; i < l; i++) {
    if (!(lengths[i] > NEGLIGIBLE * longest)) lengths[i] = 0;
    const scale = lengths[i] === 0 ? 0 : 1 / lengths[i];
    for (let k = i * n; k < (i + 1) * n; k++) unit[k] *= scale;
  }
  const u = tensor(unit, { shape: [l, n] });
  const inner = gram(u);
  // Of unit length by construction; and lengths are known better than single precision.
  for (let i = 0; i < l; i++) {
    for (let j = 0; j < l; j++) inner[i][j] = (i === j ? 1 : inner[i][j]) * lengths[i] * lengths[j];
  }
  const { values: squares, vectors: second } = symmetricEigen(inner);
  let rank = 0;
  while (rank < Math.min(count, l) && Math.sqrt(Math.max(0, squares[rank])) > NEGLIGIBLE * longest) rank++;
  const values = Float64Array.from({ length: rank }, (_, k) => Math.sqrt(squares[k]));
  if (rank === 0) return { values, left: new Float32Array(0), right: new Float32Array(0) };
  const weights = Array.from({ length: rank }, (_, k) => second[k].map((x, i) => (x * lengths[i]) / values[k]));
  const right = Float32Array.from(matmul(fromRows(weights), u).dataSync()); // [rank, n]
  for (let k = 0; k < rank; k++) {
    const row = right.subarray(k * n, (k + 1) * n);
    let sum = 0;
    for (let i = 0; i < n; i++) sum += row[i] * row[i];
    const scale = 1 / Math.sqrt(sum);
    for (let i = 0; i < n; i++) row[i] *= scale;
  }
  const left = new Float32Array(rank * l);
  for (let k = 0; k < rank; k++) {
    for (let i = 0; i < l; i++) {
      const w = second[k][i];
      if (w !== 0) for (let j = 0; j < l; j++) left[k * l + j] += w * first[i][j];
    }
  }
  return { values, left, right };
}

/** z z^T in single precision, symmetric. */
function gram(z: Tensor): Float64Array[] {
  const l = z.shape[0];
  const g = tidy(() => matmul(z, z, { transposeB: true })).dataSync(); // [l, l]
  return Array.from({ length: l }, (_, i) =>
    Float64Array.from({ length: l }, (_x, j) => (g[i * l + j] + g[j * l + i]) / 2),
  );
}

function fromRows(rows: readonly Float64Array[]): Tensor {
  const width = rows[0].length;
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    data.set(row, i * width);
  });
  return tensor(data, { shape: [rows.length, width] });
}
