import { describe, expect, it } from 'vitest';
import { capture, customOp, gradient, type Tensor, tensor } from '../src/tensor/index.js';

const numbers = (x: Tensor) => Array.from(x.dataSync());

/** exp(x y) with its gradient by hand. */
const power = customOp(
  'power',
  (x: Tensor, y: Tensor) => x.mul(y).exp(),
  (dy, x, y) => {
    const slope = dy.mul(x.mul(y).exp());
    return [slope.mul(y), slope.mul(x)];
  },
);

describe('customOp', () => {
  const x = tensor([0.5, -1, 2]);
  const y = tensor([1, 0.25, -0.5]);

  it('gives the gradient it was given, once and twice, captured too', () => {
    const plain = (a: Tensor, b: Tensor) => a.mul(b).exp();
    for (const op of [power, capture(power)]) expect(numbers(op(x, y))).toEqual(numbers(plain(x, y)));
    const slopes = (op: typeof plain) => gradient(op(x, y).sum(), [x, y]);
    expect(slopes(power).map(numbers)).toEqual(slopes(plain).map(numbers));
    const curvature = (op: typeof plain) => {
      const [dx] = slopes(op);
      return numbers(gradient(dx.mul(dx).sum(), y));
    };
    const wanted = curvature(plain);
    curvature(power).forEach((v, i) => {
      expect(v).toBeCloseTo(wanted[i], 5);
    });
  });

  it('does what no derivative does: rounding lets gradients through, reversal turns them', () => {
    const rounded = customOp(
      'rounded',
      (t: Tensor) => t.add(0.5).cast('i32').cast('f32'),
      (dy) => [dy],
    );
    const reversed = customOp(
      'reversed',
      (t: Tensor) => t,
      (dy) => [dy.neg()],
    );
    const z = tensor([0.2, 1.7]);
    expect(numbers(rounded(z))).toEqual([0, 2]);
    expect(numbers(gradient(rounded(z).mul(3).sum(), z))).toEqual([3, 3]);
    expect(numbers(gradient(reversed(z).mul(3).sum(), z))).toEqual([-3, -3]);
  });

  it('an input may have none; a wrong one is named', () => {
    const half = customOp(
      'half',
      (a: Tensor, b: Tensor) => a.mul(b),
      (dy, _, b) => [dy.mul(b)],
    );
    expect(gradient(half(x, y).sum(), [x, y]).map(numbers)).toEqual([numbers(y), [0, 0, 0]]);
    const wrong = customOp(
      'wrong',
      (a: Tensor) => a.sum(),
      (dy) => [dy],
    );
    expect(() => gradient(wrong(x), x)).toThrow('wrong: backward gave [] as the gradient of input 0, wants [3]');
  });
});
