import { ones } from '../../src/tensor/create.js';
import { fmaChain } from '../../src/tensor/ops/fma_chain.js';
import type { Case } from './case.js';

const cases: Case = {
  kernels: {
    fma_chain({ x, y }, { size, rounds, factor, term }) {
      for (let i = 0; i < size; i++) {
        y[i] = x[i];
        for (let round = 0; round < rounds; round++) y[i] = y[i] * factor + term;
      }
    },
  },
  samples: [{ name: '3 rounds', inputs: { x: [5, 211] }, differentiable: [], run: (t) => fmaChain(t.x, 3) }],
  errors: [
    {
      name: 'dtype',
      run: () => fmaChain(ones([3], { dtype: 'i32' }), 1),
      message: 'fmaChain: x [3] is i32, wants f32; use cast',
    },
  ],
};

export default cases;
