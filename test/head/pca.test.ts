import { expect, test } from 'vitest';
import { principalComponents, symmetricEigen } from '../../src/head/pca.js';
import { Random } from '../../src/head/random.js';

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
  expect(Array.from(modes, (x) => Math.round(x * 1e9) / 1e9 + 0)).toEqual([0, 1, 0, 0]);
  expect(std[0]).toBeCloseTo(3, 10);
});
