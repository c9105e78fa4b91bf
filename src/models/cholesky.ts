// The small dense solver of the fitters: symmetric positive definite systems of a few hundred unknowns, in float64.

/**
 * Solves A x = b for a symmetric positive definite A (row-major [n, n], only its lower triangle is read). Neither argument is changed.
 * Returns undefined when A is not positive definite to working precision.
 */
export function solveCholesky(a: Float64Array, b: Float64Array): Float64Array | undefined {
  const n = b.length;
  if (a.length !== n * n) throw new RangeError(`solveCholesky: wanted [${n}, ${n}], got ${a.length} numbers`);
  const l = Float64Array.from(a);
  for (let j = 0; j < n; j++) {
    let pivot = l[j * n + j];
    for (let k = 0; k < j; k++) pivot -= l[j * n + k] * l[j * n + k];
    if (!(pivot > 1e-13 * Math.abs(a[j * n + j]))) return undefined;
    pivot = Math.sqrt(pivot);
    l[j * n + j] = pivot;
    for (let i = j + 1; i < n; i++) {
      let sum = l[i * n + j];
      for (let k = 0; k < j; k++) sum -= l[i * n + k] * l[j * n + k];
      l[i * n + j] = sum / pivot;
    }
  }
  const x = Float64Array.from(b);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] -= l[i * n + k] * x[k];
    x[i] /= l[i * n + i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] -= l[k * n + i] * x[k];
    x[i] /= l[i * n + i];
  }
  return x;
}
