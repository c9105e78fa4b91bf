import { expect, test } from 'vitest';
import { Random } from '../src/head/random.js';
import { symmetricEigen } from '../src/models/eigen.js';
import { principalComponents, truncatedSvd } from '../src/models/pca.js';

test('eigenvectors of a symmetric matrix rebuild it', () => {
  const random = new Random(3);
  const n = 23;
  const a = Array.from({ length: n }, () => new Float64Array(n));
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) a[i][j] = a[j][i] = random.normal();
  const { values, vectors } = symmetricEigen(a);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      let product = 0;
      for (let k = 0; k < n; k++) {
        sum += values[k] * vectors[k][i] * vectors[k][j];
        product += vectors[i][k] * vectors[j][k];
      }
      expect(sum).toBeCloseTo(a[i][j], 10);
      expect(product).toBeCloseTo(i === j ? 1 : 0, 10);
    }
  }
  for (let k = 1; k < n; k++) expect(values[k]).toBeLessThanOrEqual(values[k - 1]);
});

test('a planted subspace is found with its deviations', () => {
  const random = new Random(4);
  const dimension = 60;
  const axes = [10, 25, 41];
  const deviations = [5, 2, 0.5];
  const samples = Array.from({ length: 400 }, () => {
    const row = new Float32Array(dimension).fill(1);
    axes.forEach((at, k) => {
      row[at] += deviations[k] * random.normal();
    });
    return row;
  });
  const { mean, modes, std, explained } = principalComponents(samples, 3);
  axes.forEach((at, k) => {
    expect(modes[k * dimension + at]).toBeGreaterThan(0.99);
    expect(std[k] / deviations[k]).toBeGreaterThan(0.9);
    expect(std[k] / deviations[k]).toBeLessThan(1.1);
  });
  expect(mean[0]).toBeCloseTo(1, 6);
  expect(explained[0] + explained[1] + explained[2]).toBeCloseTo(1, 6);
  expect(() => principalComponents(samples.slice(0, 3), 3)).toThrow(/3 modes from 3 samples/);
});

test('about zero, a constant displacement is a mode and not a mean', () => {
  const samples = Array.from({ length: 5 }, () => Float32Array.of(0, 3, 0, 0));
  const { mean, modes, std } = principalComponents(samples, 1, { centre: false });
  expect(Array.from(mean)).toEqual([0, 0, 0, 0]);
  expect(Array.from(modes, (x) => Math.round(x * 1e6) / 1e6 + 0)).toEqual([0, 1, 0, 0]);
  expect(std[0]).toBeCloseTo(3, 6);
});

/** [m, n] with the given singular values, its right singular vectors rows of a random orthonormal set. */
function planted(m: number, n: number, values: readonly number[], seed: number) {
  const random = new Random(seed);
  const set = (count: number, length: number) => {
    const rows: Float64Array[] = [];
    for (let i = 0; i < count; i++) {
      const row = Float64Array.from({ length }, () => random.normal());
      for (let pass = 0; pass < 2; pass++) {
        for (const other of rows) {
          const along = row.reduce((sum, x, k) => sum + x * other[k], 0);
          for (let k = 0; k < length; k++) row[k] -= along * other[k];
        }
      }
      const norm = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
      rows.push(row.map((x) => x / norm));
    }
    return rows;
  };
  const left = set(values.length, m);
  const right = set(values.length, n);
  const a = new Float32Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      values.forEach((s, k) => {
        sum += s * left[k][i] * right[k][j];
      });
      a[i * n + j] = sum;
    }
  }
  return { a, right };
}

test.each([
  { m: 12, n: 500, kind: 'few rows' },
  { m: 500, n: 12, kind: 'few columns' },
  { m: 640, n: 700, kind: 'many of both: the random start' },
])('singular values over four decades are found: $kind', ({ m, n }) => {
  const values = [100, 60, 30, 10, 3, 1, 0.3, 0.03];
  const { a, right } = planted(m, n, values, 7);
  const { values: found, modes } = truncatedSvd(a, m, n, 8);
  expect(found.length).toBe(8);
  values.forEach((s, k) => {
    expect(Math.abs(found[k] - s) / s).toBeLessThan(s < 0.1 ? 2e-3 : 1e-4);
    let along = 0;
    for (let i = 0; i < n; i++) along += modes[k * n + i] * right[k][i];
    expect(Math.abs(along)).toBeGreaterThan(s < 0.1 ? 0.999 : 0.99999);
  });
  for (let i = 0; i < 8; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += modes[i * n + k] * modes[j * n + k];
      expect(Math.abs(sum - (i === j ? 1 : 0))).toBeLessThan(1e-4);
    }
  }
});

test('what the samples do not span is not made up', () => {
  const { a } = planted(20, 90, [5, 2], 8);
  const { values } = truncatedSvd(a, 20, 90, 10);
  expect(values.length).toBe(2);
  expect(truncatedSvd(new Float32Array(60), 6, 10, 3).values.length).toBe(0);
});
