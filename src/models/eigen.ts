// Eigenvalues of small symmetric matrices (a few hundred rows), in float64.

/**
 * Eigenvalues (falling) and eigenvectors (rows) of a symmetric matrix, by Householder reduction to tridiagonal form and
 * implicit QL with shifts.
 */
export function symmetricEigen(matrix: readonly Float64Array[]): { values: Float64Array; vectors: Float64Array[] } {
  const n = matrix.length;
  const a = matrix.map((row) => Float64Array.from(row));
  // q[i] holds row i of the accumulated transformation, transposed: vectors are rows throughout.
  const q = Array.from({ length: n }, (_, i) => Float64Array.from({ length: n }, (_x, j) => (i === j ? 1 : 0)));
  const v = new Float64Array(n);
  const p = new Float64Array(n);
  for (let k = 0; k + 2 < n; k++) {
    let norm = 0;
    for (let i = k + 1; i < n; i++) norm += a[i][k] * a[i][k];
    norm = Math.sqrt(norm);
    if (norm === 0) continue;
    const alpha = a[k + 1][k] > 0 ? -norm : norm;
    v.fill(0);
    for (let i = k + 1; i < n; i++) v[i] = a[i][k];
    v[k + 1] -= alpha;
    const half = dot(v, v) / 2;
    if (half === 0) continue;
    // a <- H a H with H = 1 - v v^T / half, as the rank-two update a - v w^T - w v^T.
    for (let i = k; i < n; i++) p[i] = dot(a[i], v) / half;
    for (let i = 0; i < k; i++) p[i] = 0;
    const mu = dot(p, v) / (2 * half);
    for (let i = k; i < n; i++) p[i] -= mu * v[i];
    for (let i = k; i < n; i++) for (let j = k; j < n; j++) a[i][j] -= v[i] * p[j] + p[i] * v[j];
    // q <- H q
    p.fill(0);
    for (let i = k + 1; i < n; i++) for (let j = 0; j < n; j++) p[j] += v[i] * q[i][j];
    for (let i = k + 1; i < n; i++) for (let j = 0; j < n; j++) q[i][j] -= (v[i] / half) * p[j];
    p.fill(0);
  }
  const d = Float64Array.from(a, (row, i) => row[i]);
  const e = Float64Array.from({ length: n }, (_, i) => (i + 1 < n ? a[i + 1][i] : 0));
  // Relative to the largest: the Gram matrix of few parameters has many eigenvalues that are only rounding.
  let scale = 0;
  for (let i = 0; i < n; i++) scale = Math.max(scale, Math.abs(d[i]) + Math.abs(e[i]));
  for (let l = 0; l < n; l++) {
    for (let iteration = 0; ; iteration++) {
      let m = l;
      while (m + 1 < n && Math.abs(e[m]) > Number.EPSILON * scale) m++;
      if (m === l) break;
      if (iteration === 60) throw new RangeError('symmetricEigen: no convergence in 60 sweeps');
      let g = (d[l + 1] - d[l]) / (2 * e[l]);
      g = d[m] - d[l] + e[l] / (g + (g >= 0 ? Math.hypot(g, 1) : -Math.hypot(g, 1)));
      let s = 1;
      let c = 1;
      let shift = 0;
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i];
        const b = c * e[i];
        const r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1] -= shift;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - shift;
        const t = (d[i] - g) * s + 2 * c * b;
        shift = s * t;
        d[i + 1] = g + shift;
        g = c * t - b;
        const lo = q[i];
        const hi = q[i + 1];
        for (let j = 0; j < n; j++) {
          const x = hi[j];
          hi[j] = s * lo[j] + c * x;
          lo[j] = c * lo[j] - s * x;
        }
      }
      if (i >= l) continue;
      d[l] -= shift;
      e[l] = g;
      e[m] = 0;
    }
  }
  const order = Array.from(d.keys()).sort((x, y) => d[y] - d[x]);
  return { values: Float64Array.from(order, (i) => d[i]), vectors: order.map((i) => q[i]) };
}

/** Sum of products of two vectors of equal length. */
export function dot(a: Float64Array, b: Float64Array): number {
  let s0 = 0;
  let s1 = 0;
  const n = a.length & ~1;
  for (let i = 0; i < n; i += 2) {
    s0 += a[i] * b[i];
    s1 += a[i + 1] * b[i + 1];
  }
  return n < a.length ? s0 + s1 + a[n] * b[n] : s0 + s1;
}
