import { ones } from '../../src/tensor/create.js';
import { attentionGate } from '../../src/tensor/ops/attention_gate.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { between, type Case, type Input, type Sample } from './case.js';

/** A branch's inputs under the names `weight_x`, `bias_x`, ... */
const branch = (name: string, c: number, f: number): Record<string, Input> => ({
  [`w_${name}`]: [f, 1, 1, c],
  [`b_${name}`]: [f],
  [`weight_${name}`]: between(0.5, 1.5, [f]),
  [`bias_${name}`]: [f],
  [`mean_${name}`]: [f],
  [`var_${name}`]: between(0.5, 1.5, [f]),
});

const paramsOf = (t: Record<string, Tensor>, training: boolean) => {
  const part = (name: string) => ({
    conv: { weight: t[`w_${name}`], bias: t[`b_${name}`] },
    bn: {
      weight: t[`weight_${name}`],
      bias: t[`bias_${name}`],
      runningMean: t[`mean_${name}`],
      runningVar: t[`var_${name}`],
      training,
    },
  });
  return { x: part('x'), g: part('g'), psi: part('psi') };
};

const sample = (
  name: string,
  { x, g, f, training = false }: { x: number[]; g: number[]; f: number; training?: boolean },
): Sample => ({
  name,
  inputs: { x, g, ...branch('x', x[3], f), ...branch('g', g[3], f), ...branch('psi', f, 1) },
  differentiable: [
    'x',
    'g',
    'w_x',
    'w_g',
    'weight_x',
    'bias_x',
    'weight_g',
    'bias_g',
    'weight_psi',
    'bias_psi',
    'w_psi',
  ],
  run: (t) => attentionGate(t.x, t.g, paramsOf(t, training)),
  bf16Tolerance: 0.15, // 0.129 seen: through four maps on the way and a ReLU of what their rounding moves across 0, to sums that cancel
});

type Numbers = Record<string, number>;
type Arrays = Record<string, Float64Array>;

/** Everything between the products and the map. */
function forward(a: Arrays, { n, h, w, f, half, eps_x, eps_g, eps_p }: Numbers) {
  const rows = n * h * w;
  const small = (r: number) => {
    if (!half) return r;
    const [line, x] = [Math.floor(r / w), r % w];
    return (line >> 1) * (w / 2) + (x >> 1);
  };
  const hat = (kind: 'x' | 'g', r: number, j: number): number => {
    const [v, eps] = kind === 'x' ? [a.px[r * f + j], eps_x] : [a.pg[small(r) * f + j], eps_g];
    return (v - a[`mean_${kind}`][j]) / Math.sqrt(a[`variance_${kind}`][j] + eps);
  };
  const z = (r: number, j: number): number =>
    hat('x', r, j) * a.weight_x[j] + a.bias_x[j] + hat('g', r, j) * a.weight_g[j] + a.bias_g[j];
  const p = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    p[r] = a.bias ? a.bias[0] : 0;
    for (let j = 0; j < f; j++) p[r] += Math.max(z(r, j), 0) * a.psi[j];
  }
  const mean = p.reduce((s, v) => s + v, 0) / rows;
  const variance = p.reduce((s, v) => s + (v - mean) ** 2, 0) / rows;
  const root = Math.sqrt(variance + eps_p);
  return { rows, small, hat, z, p, mean, variance, root };
}

const cases: Case = {
  kernels: {
    attention_gate(a, numbers) {
      const { rows, p, mean, variance, root } = forward(a, numbers);
      a.p.set(p);
      [a.mean_p[0], a.variance_p[0]] = [mean, variance];
      const { c } = numbers;
      for (let r = 0; r < rows; r++) {
        a.map[r] = 1 / (1 + Math.exp(-(((p[r] - mean) / root) * a.weight_p[0] + a.bias_p[0])));
        for (let j = 0; j < c; j++) a.y[r * c + j] = a.x[r * c + j] * a.map[r];
      }
    },
    attention_gate_grad(a, numbers) {
      const { c, f, eps_x, eps_g, eps_p } = numbers;
      const { rows, small, hat, z } = forward(a, numbers);
      const root = Math.sqrt(a.variance_p[0] + eps_p);
      for (const name of ['dx', 'dpx', 'dpg', 'dweight_x', 'dweight_g', 'dbias', 'dpsi', 'dweight_p', 'dbias_p'])
        a[name].fill(0);
      const dp = new Float64Array(rows);
      const hatP = (r: number): number => (a.p[r] - a.mean_p[0]) / root;
      for (let r = 0; r < rows; r++) {
        for (let j = 0; j < c; j++) {
          a.dx[r * c + j] = a.dy[r * c + j] * a.map[r];
          dp[r] += a.dy[r * c + j] * a.x[r * c + j] * a.map[r] * (1 - a.map[r]);
        }
        a.dbias_p[0] += dp[r];
        a.dweight_p[0] += dp[r] * hatP(r);
      }
      const [mean, product] = [a.dbias_p[0] / rows, a.dweight_p[0] / rows];
      for (let r = 0; r < rows; r++) dp[r] = (a.weight_p[0] / root) * (dp[r] - mean - hatP(r) * product);
      const dz = (r: number, j: number): number => (z(r, j) > 0 ? dp[r] * a.psi[j] : 0);
      for (let r = 0; r < rows; r++)
        for (let j = 0; j < f; j++) {
          a.dpsi[j] += dp[r] * Math.max(z(r, j), 0);
          a.dbias[j] += dz(r, j);
          a.dweight_x[j] += dz(r, j) * hat('x', r, j);
          a.dweight_g[j] += dz(r, j) * hat('g', r, j);
        }
      for (let r = 0; r < rows; r++)
        for (let j = 0; j < f; j++) {
          const centred = dz(r, j) - a.dbias[j] / rows;
          const [sx, sg] = [Math.sqrt(a.variance_x[j] + eps_x), Math.sqrt(a.variance_g[j] + eps_g)];
          a.dpx[r * f + j] = (a.weight_x[j] / sx) * (centred - (hat('x', r, j) * a.dweight_x[j]) / rows);
          a.dpg[small(r) * f + j] += (a.weight_g[j] / sg) * (centred - (hat('g', r, j) * a.dweight_g[j]) / rows);
        }
    },
  },
  maps: ['x', 'g'],
  samples: [
    sample('attentionGate', { x: [2, 3, 4, 5], g: [2, 3, 4, 7], f: 3 }),
    sample('g of half the size', { x: [2, 4, 6, 5], g: [2, 2, 3, 7], f: 3 }),
    sample('in training', { x: [2, 3, 4, 5], g: [2, 3, 4, 7], f: 3, training: true }),
    sample('in training, g of half the size', { x: [2, 4, 4, 5], g: [2, 2, 2, 7], f: 3, training: true }),
    {
      ...sample('in training, many pixels', { x: [2, 22, 18, 37], g: [2, 11, 9, 40], f: 35, training: true }),
      differences: false,
      second: false,
    },
  ],
  benchmarks: [
    sample('attentionGate 64x64x256', { x: [1, 64, 64, 256], g: [1, 64, 64, 128], f: 64 }),
    sample('attentionGate 64x64x256, in training', { x: [1, 64, 64, 256], g: [1, 32, 32, 128], f: 64, training: true }),
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
