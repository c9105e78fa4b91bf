// Comparison of tensors relative to the largest magnitude of the expected one.
import { expect } from 'vitest';
import { asNumbers, type Tensor } from '../src/tensor/tensor.js';

type Values = Tensor | ArrayLike<number>;

const numbers = (x: Values): ArrayLike<number> => ('dataSync' in x ? asNumbers(x.dataSync(), x.dtype) : x);

/** The largest difference over the largest magnitude expected; NaN where any difference is NaN. */
export function relativeDifference(actual: Values, expected: Values): number {
  const [a, b] = [numbers(actual), numbers(expected)];
  expect(a.length).toBe(b.length);
  let scale = 0;
  let worst = 0;
  for (let i = 0; i < b.length; i++) {
    scale = Math.max(scale, Math.abs(b[i]));
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= worst) && !Number.isNaN(worst)) worst = difference; // NaN stays
  }
  return worst / Math.max(scale, 1e-30);
}

export function expectClose(actual: Values, expected: Values, tolerance: number, what: string): void {
  expect(relativeDifference(actual, expected), what).toBeLessThanOrEqual(tolerance);
}

/** Cosine of the angle and ratio of the norms. */
export function alignment(actual: Values, expected: Values): { cosine: number; ratio: number } {
  const [a, b] = [numbers(actual), numbers(expected)];
  expect(a.length).toBe(b.length);
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < b.length; i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return { cosine: ab / Math.sqrt(aa * bb), ratio: Math.sqrt(aa / bb) };
}
