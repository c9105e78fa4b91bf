import { eye, ones, tensor, zeros } from '../../src/tensor/create.js';
import { boxQuadratic } from '../../src/tensor/ops/box_quadratic.js';
import { add, mul } from '../../src/tensor/ops/elementwise.js';
import { matmul } from '../../src/tensor/ops/matmul.js';
import type { Case, Sample } from './case.js';

const sample = (name: string, n: number, d: number, options = {}): Sample => ({
  name,
  inputs: { x: [n, d, d], b: [n, d] },
  differentiable: [],
  run: ({ x, b }) => {
    // Positive definite, with eigenvalues from 1/2 to about 4.
    const q = add(mul(matmul(x, x, { transposeB: true }), 1 / d), mul(eye(d, { device: x.device }), 0.5));
    return boxQuadratic(q, b, options);
  },
});

const cases: Case = {
  kernels: {
    // Coordinate descent until nothing moves; that this is the minimum is checked against brute force in nn_parameter_cost.test.ts.
    box_quadratic({ q, b, w }, { n, d, low, high }) {
      for (let k = 0; k < n; k++) {
        const x = w.subarray(k * d, (k + 1) * d);
        x.fill((low + high) / 2);
        for (let moved = Infinity, round = 0; moved > 1e-14 && round < 100000; round++) {
          moved = 0;
          for (let i = 0; i < d; i++) {
            const row = q.subarray((k * d + i) * d, (k * d + i + 1) * d);
            if (!(row[i] > 0)) continue;
            const rest = x.reduce((sum, value, j) => sum + (j === i ? 0 : row[j] * value), 0);
            const next = Math.min(high, Math.max(low, (b[k * d + i] - rest) / row[i]));
            moved = Math.max(moved, Math.abs(next - x[i]));
            x[i] = next;
          }
        }
      }
    },
  },
  samples: [
    sample('one unknown', 5, 1),
    sample('several', 7, 9),
    sample('more unknowns than a warp', 3, 37),
    sample('a box of its own', 4, 12, { low: -0.25, high: 0.4 }),
    sample('no room', 2, 6, { low: 0.3, high: 0.3 }),
    {
      name: 'unknowns that do not matter stay in the middle',
      inputs: { b: [2, 3] },
      differentiable: [],
      run: ({ b }) => boxQuadratic(zeros([2, 3, 3], { device: b.device }), b, { low: 0, high: 3 }),
    },
  ],
  benchmarks: [sample('66 parameters of 32 faces', 32, 66)],
  errors: [
    {
      name: 'shapes',
      run: () => boxQuadratic(ones([2, 3, 4]), ones([2, 3])),
      message: 'boxQuadratic: wants q [n, d, d] and b [n, d], got [2,3,4] and [2,3]',
    },
    {
      name: 'bounds',
      run: () => boxQuadratic(ones([1, 2, 2]), ones([1, 2]), { low: 2, high: 1 }),
      message: 'boxQuadratic: wants low <= high, tolerance >= 0 and whole sweeps, got 2, 1, 0.000001, 1000',
    },
    {
      name: 'element type',
      run: () => boxQuadratic(tensor([1], { shape: [1, 1, 1], dtype: 'i32' }), ones([1, 1])),
      message: 'boxQuadratic: q [1,1,1] is i32, wants f32; use cast',
    },
  ],
};

export default cases;
