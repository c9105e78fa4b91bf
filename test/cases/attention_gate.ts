import { ones } from '../../src/tensor/create.js';
import { attentionGate } from '../../src/tensor/ops/attention_gate.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { between, type Case, type Input } from './case.js';

/** A branch's inputs under the names `weight_x`, `bias_x`, ... */
const branch = (name: string, c: number, f: number): Record<string, Input> => ({
  [`w_${name}`]: [f, 1, 1, c],
  [`b_${name}`]: [f],
  [`weight_${name}`]: between(0.5, 1.5, [f]),
  [`bias_${name}`]: [f],
  [`mean_${name}`]: [f],
  [`var_${name}`]: between(0.5, 1.5, [f]),
});

const paramsOf = (t: Record<string, Tensor>) => {
  const part = (name: string) => ({
    conv: { weight: t[`w_${name}`], bias: t[`b_${name}`] },
    bn: {
      weight: t[`weight_${name}`],
      bias: t[`bias_${name}`],
      runningMean: t[`mean_${name}`],
      runningVar: t[`var_${name}`],
    },
  });
  return { x: part('x'), g: part('g'), psi: part('psi') };
};

const cases: Case = {
  kernels: {}, // a composition
  samples: [
    {
      name: 'attentionGate',
      inputs: {
        x: [2, 3, 4, 5],
        g: [2, 3, 4, 7],
        ...branch('x', 5, 3),
        ...branch('g', 7, 3),
        ...branch('psi', 3, 1),
      },
      differentiable: ['x', 'g', 'w_x', 'b_g', 'weight_psi', 'bias_psi', 'w_psi'],
      run: (t) => attentionGate(t.x, t.g, paramsOf(t)),
    },
    {
      name: 'attentionGate, g of half the size',
      inputs: {
        x: [2, 4, 6, 5],
        g: [2, 2, 3, 7],
        ...branch('x', 5, 3),
        ...branch('g', 7, 3),
        ...branch('psi', 3, 1),
      },
      differentiable: ['x', 'g', 'w_x', 'b_g', 'weight_psi', 'bias_psi', 'w_psi'],
      run: (t) => attentionGate(t.x, t.g, paramsOf(t)),
    },
  ],
  benchmarks: [
    {
      name: 'attentionGate 64x64x256',
      inputs: {
        x: [1, 64, 64, 256],
        g: [1, 64, 64, 128],
        ...branch('x', 256, 64),
        ...branch('g', 128, 64),
        ...branch('psi', 64, 1),
      },
      run: (t) => attentionGate(t.x, t.g, paramsOf(t)),
    },
  ],
  errors: [
    {
      name: 'sizes of x and g',
      run: () => {
        const part = { conv: { weight: ones([1, 1, 1, 1]) }, bn: bn() };
        return attentionGate(ones([1, 4, 4, 1]), ones([1, 3, 3, 1]), { x: part, g: part, psi: part });
      },
      message:
        'attentionGate: x and g must agree in [n,h,w] or g have half the height and width, got x [1,4,4,1], g [1,3,3,1]',
    },
  ],
};

function bn() {
  return { weight: ones([1]), bias: ones([1]), runningMean: ones([1]), runningVar: ones([1]) };
}

export default cases;
