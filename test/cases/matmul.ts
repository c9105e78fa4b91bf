import { ones } from '../../src/tensor/create.js';
import { linear, matmul } from '../../src/tensor/ops/matmul.js';
import type { Case, Sample } from './case.js';

const product = (name: string, a: number[], b: number[], options = {}): Sample => ({
  name,
  inputs: { a, b },
  run: (t) => matmul(t.a, t.b, options),
});

const cases: Case = {
  kernels: {
    matmul({ a, b, bias, c }, { batch, m, n, k, ta, tb, astride, bstride }) {
      for (let q = 0; q < batch; q++)
        for (let i = 0; i < m; i++)
          for (let j = 0; j < n; j++) {
            let sum = bias ? bias[j] : 0;
            for (let l = 0; l < k; l++)
              sum += a[q * astride + (ta ? l * m + i : i * k + l)] * b[q * bstride + (tb ? j * k + l : l * n + j)];
            c[(q * m + i) * n + j] = sum;
          }
    },
  },
  maps: ['a', 'b', 'x'],
  samples: [
    { ...product('square', [64, 64], [64, 64]), flops: 2 * 64 ** 3 },
    product('ragged', [7, 13], [13, 5]),
    product('one element', [1, 1], [1, 1]),
    product('long sum', [3, 1031], [1031, 9]),
    product('wide', [5, 3], [3, 211]),
    product('first transposed', [13, 7], [13, 5], { transposeA: true }),
    product('second transposed', [7, 13], [5, 13], { transposeB: true }),
    product('both transposed', [13, 7], [5, 13], { transposeA: true, transposeB: true }),
    product('batched', [2, 3, 4, 5], [2, 3, 5, 6]),
    product('batched against one matrix', [3, 4, 5], [5, 6]),
    product('one matrix against batched', [4, 5], [3, 5, 6], {}),
    // Few rows take the second matrix as it lies.
    { ...product('one row', [1, 700], [700, 1050]), differences: false },
    product('four rows', [4, 33], [33, 21]),
    product('two rows, second transposed', [2, 150], [37, 150], { transposeB: true }),
    {
      name: 'linear of one row',
      inputs: { x: [1, 90], w: [13, 90], bias: [13] },
      run: (t) => linear(t.x, t.w, t.bias),
    },
    // Whole vectors of four, and tiles of several sizes.
    product('vectors', [36, 44], [44, 20]),
    product('vectors, both transposed', [44, 36], [20, 44], { transposeA: true, transposeB: true }),
    { ...product('large tiles', [72, 2052], [2052, 76]), differences: false },
    // Tiles of 128 and 256 columns, which few rows do not fill.
    ...[128, 256].flatMap((n) =>
      [
        product(`${n} columns`, [8500, 32], [32, n]),
        product(`${n} columns, first transposed`, [32, 8504], [32, n], { transposeA: true }),
        product(`${n} columns, second transposed`, [8500, 32], [n, 32], { transposeB: true }),
      ].map((sample) => ({ ...sample, differences: false, differentiable: [] })),
    ),
    { ...product('batched, whole lines', [2, 40, 64], [2, 64, 72]), differences: false },
    { name: 'linear', inputs: { x: [2, 3, 17], w: [11, 17], bias: [11] }, run: (t) => linear(t.x, t.w, t.bias) },
    { name: 'linear without bias', inputs: { x: [4, 9], w: [33, 9] }, run: (t) => linear(t.x, t.w) },
  ],
  benchmarks: [
    { ...product('1024', [1024, 1024], [1024, 1024]), flops: 2 * 1024 ** 3 },
    { ...product('tall', [4096, 256], [256, 64]), flops: 2 * 4096 * 256 * 64 },
  ],
  errors: [
    {
      name: 'inner sizes',
      run: () => matmul(ones([2, 3]), ones([4, 5])),
      message: 'matmul: inner sizes 3 and 4 differ (a [2,3], b [4,5])',
    },
    {
      name: 'vector',
      run: () => matmul(ones([3]), ones([3, 5])),
      message: 'matmul: wants matrices, got a [3], b [3,5]',
    },
    {
      name: 'leading',
      run: () => matmul(ones([2, 3, 4]), ones([3, 4, 5])),
      message: 'matmul: leading dimensions differ (a [2,3,4], b [3,4,5])',
    },
    {
      name: 'linear',
      run: () => linear(ones([2, 3]), ones([4, 5])),
      message: 'linear: x [2,3] and w [4,5] (out, in) do not fit',
    },
    {
      name: 'dtype',
      run: () => matmul(ones([2, 3], { dtype: 'i32' }), ones([3, 5])),
      message: 'matmul: a [2,3] is i32, wants f32 or bf16; use cast',
    },
  ],
};

export default cases;
