import { ones } from '../../src/tensor/create.js';
import { fastNormalizedFusion } from '../../src/tensor/ops/fast_normalized_fusion.js';
import { between, type Case, type Input, type Sample } from './case.js';

const sample = (name: string, shape: number[], w: Input = between(0.5, 1.5, [2])): Sample => ({
  name,
  inputs: { a: shape, b: shape, w },
  run: (t) => fastNormalizedFusion(t.a, t.b, t.w),
});

const shares = ([u, v]: Float64Array, eps: number) => {
  const [p, q] = [Math.max(u, 0), Math.max(v, 0)];
  return { p: p / (p + q + eps), q: q / (p + q + eps), sum: p + q + eps };
};

const cases: Case = {
  kernels: {
    fusion({ a, b, weight, y }, { size, eps }) {
      const { p, q } = shares(weight, eps);
      for (let i = 0; i < size; i++) y[i] = p * a[i] + q * b[i];
    },
    fusion_grad({ a, b, weight, dy, da, db, dweight }, { size, eps }) {
      const { p, q, sum } = shares(weight, eps);
      dweight.fill(0);
      for (let i = 0; i < size; i++) {
        da[i] = p * dy[i];
        db[i] = q * dy[i];
        const y = p * a[i] + q * b[i];
        if (weight[0] > 0) dweight[0] += (dy[i] * (a[i] - y)) / sum;
        if (weight[1] > 0) dweight[1] += (dy[i] * (b[i] - y)) / sum;
      }
    },
  },
  maps: ['a', 'b'],
  samples: [
    sample('fastNormalizedFusion', [2, 3, 5]),
    { ...sample('many', [1, 40, 50, 33]), differences: false },
    sample('a share below zero', [3, 7], { shape: [2], value: (random) => (random() < 0.5 ? -0.5 : -0.7) }),
    sample('nothing', [0, 4]),
  ],
  benchmarks: [sample('fastNormalizedFusion 128x128x32', [1, 128, 128, 32])],
  errors: [
    {
      name: 'weight',
      run: () => fastNormalizedFusion(ones([2]), ones([2]), ones([3])),
      message: 'fastNormalizedFusion: weight must be [2], got [3]',
    },
    {
      name: 'shapes',
      run: () => fastNormalizedFusion(ones([2]), ones([3]), ones([2])),
      message: 'fastNormalizedFusion: a [2] and b [3] differ',
    },
  ],
};

export default cases;
