// Differences of tensors relative to the largest magnitude of the expected one.
import { asNumbers, type Tensor } from '../src/tensor/tensor.js';

export type Numbers = Tensor | ArrayLike<number>;

export const numbers = (x: Numbers): ArrayLike<number> => ('dataSync' in x ? asNumbers(x.dataSync(), x.dtype) : x);

/** The largest difference over the largest magnitude expected; NaN where any difference is NaN. Throws RangeError for other lengths. */
export function relativeDifference(actual: Numbers, expected: Numbers): number {
  const [a, b] = [numbers(actual), numbers(expected)];
  if (a.length !== b.length) throw new RangeError(`${a.length} numbers, expected ${b.length}`);
  let scale = 0;
  let worst = 0;
  for (let i = 0; i < b.length; i++) {
    scale = Math.max(scale, Math.abs(b[i]));
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= worst) && !Number.isNaN(worst)) worst = difference; // NaN stays
  }
  return worst / Math.max(scale, 1e-30);
}
