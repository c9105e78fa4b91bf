// Comparison of tensors relative to the largest magnitude of the expected one.
import { expect } from 'vitest';
import { type Numbers, numbers, relativeDifference } from './difference.js';

export { relativeDifference } from './difference.js';

export function expectClose(actual: Numbers, expected: Numbers, tolerance: number, what: string): void {
  expect(relativeDifference(actual, expected), what).toBeLessThanOrEqual(tolerance);
}

/** Cosine of the angle and ratio of the norms. */
export function alignment(actual: Numbers, expected: Numbers): { cosine: number; ratio: number } {
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
