import { rand, randn } from '../../src/tensor/random.js';
import type { Case } from './case.js';

/** Word i of Philox 4x32-10 with the given state, in BigInt arithmetic. */
function philox(state: Float64Array, i: number): number {
  const mask = 0xffffffffn;
  const word = (v: number) => BigInt(v) & mask;
  let [k0, k1] = [word(state[0]), word(state[1])];
  const counter = ((word(state[3]) << 32n) | word(state[2])) + BigInt(Math.floor(i / 4));
  let c = [counter & mask, (counter >> 32n) & mask, 0n, 0n];
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c[0];
    const p1 = 0xcd9e8d57n * c[2];
    c = [(p1 >> 32n) ^ c[1] ^ k0, p1 & mask, (p0 >> 32n) ^ c[3] ^ k1, p0 & mask];
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return Number(c[i % 4] >> 8n) / 2 ** 24;
}

const cases: Case = {
  kernels: {
    random_uniform({ state, y }, { size }) {
      for (let i = 0; i < size; i++) y[i] = philox(state, i);
    },
    random_normal({ state, y }, { size }) {
      for (let i = 0; i < size; i++) {
        const pair = i - (i % 2);
        const r = Math.sqrt(-2 * Math.log(1 - philox(state, pair)));
        const t = 2 * Math.PI * philox(state, pair + 1);
        y[i] = i % 2 === 0 ? r * Math.cos(t) : r * Math.sin(t);
      }
    },
    random_advance({ state }, { size }) {
      const counter = (BigInt(state[3] >>> 0) << 32n) + BigInt(state[2] >>> 0) + BigInt(Math.ceil(size / 4));
      state[2] = Number(counter & 0xffffffffn) | 0;
      state[3] = Number((counter >> 32n) & 0xffffffffn) | 0;
    },
    adam({ step, lr }, { beta1, beta2, eps, weight_decay }, { sizes }, lists) {
      for (const [k, size] of sizes.entries()) {
        const [parameter, m, v, gradient] = [lists.parameter[k], lists.m[k], lists.v[k], lists.gradient[k]];
        for (let i = 0; i < size; i++) {
          const d = gradient[i] + weight_decay * parameter[i];
          m[i] = beta1 * m[i] + (1 - beta1) * d;
          v[i] = beta2 * v[i] + (1 - beta2) * d * d;
          const corrected = Math.sqrt(v[i] / (1 - beta2 ** step[0])) + eps;
          parameter[i] -= (lr[0] * (m[i] / (1 - beta1 ** step[0]))) / corrected;
        }
      }
    },
  },
  samples: [
    {
      name: 'rand',
      inputs: { x: [1] },
      run: (t) => rand([5, 13], { seed: 7, device: t.x.device }),
      differentiable: [],
    },
    {
      name: 'randn',
      inputs: { x: [1] },
      run: (t) => randn([5, 13], { seed: 123456789012, device: t.x.device }),
      differentiable: [],
      tolerance: 1e-5,
    },
  ],
  benchmarks: [{ name: 'randn 1M', inputs: { x: [1] }, run: () => randn([1 << 20]), differentiable: [] }],
  errors: [
    { name: 'shape', run: () => rand([2, -1]), message: 'rand: a shape is a list of whole numbers >= 0, got [2,-1]' },
  ],
};

export default cases;
