import { ones } from '../../src/tensor/create.js';
import * as ops from '../../src/tensor/ops/elementwise.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import type { ReferenceKernel } from '../reference.js';
import { awayFromZero, between, type Case, type Input, type Sample } from './case.js';

const unary =
  (f: (x: number, a: number, b: number) => number): ReferenceKernel =>
  ({ x, y }, { size, a, b }) => {
    for (let i = 0; i < size; i++) y[i] = f(x[i], a, b);
  };

const binary =
  (f: (x: number, y: number, a: number, b: number) => number): ReferenceKernel =>
  ({ x, y, z }, { a, b }, { shape, xs, ys }) => {
    const size = shape.reduce((product, n) => product * n, 1);
    for (let i = 0; i < size; i++) {
      let rest = i;
      let ix = 0;
      let iy = 0;
      for (let d = 5; d >= 0; d--) {
        ix += (rest % shape[d]) * xs[d];
        iy += (rest % shape[d]) * ys[d];
        rest = Math.floor(rest / shape[d]);
      }
      z[i] = f(x[ix], y[iy], a, b);
    }
  };

const logistic = (x: number) => 1 / (1 + Math.exp(-x));
const kinked = awayFromZero([3, 5, 7]);
const positive = between(0.2, 3, [3, 5, 7]);
const one = (name: string, x: Input, run: (x: Tensor) => Tensor, second = true): Sample => ({
  name,
  inputs: { x },
  run: (t) => run(t.x),
  second,
});

type Binary = (x: Tensor, y: Tensor) => Tensor;
type Make = (shape: number[]) => Input;
/** Whole numbers, and whole numbers and a half: never closer than 0.5. */
const whole: Make = (shape) => ({ shape, value: (random) => Math.floor(random() * 7) });
const halves: Make = (shape) => ({ shape, value: (random) => Math.floor(random() * 7) + 0.5 });
const pairs = (name: string, f: Binary, make: Make = (shape) => shape, makeSecond: Make = make): Sample[] =>
  [
    [
      [3, 5, 7],
      [3, 5, 7],
    ],
    [[3, 5, 7], [7]],
    [
      [5, 1],
      [3, 5, 7],
    ],
    [
      [3, 1, 7],
      [1, 5, 1],
    ],
    [
      [2, 1, 3, 1, 2, 1],
      [1, 2, 1, 3, 1, 2],
    ],
    [[], [4]],
    [[1037], [1037]],
  ].map(([x, y]) => ({
    name: `${name} [${x}] [${y}]`,
    inputs: { x: make(x), y: makeSecond(y) },
    run: (t) => f(t.x, t.y),
    bf16Tolerance: x.length === 0 ? 2 ** -3 : undefined, // the gradient is one sum, which may cancel
  }));

const cases: Case = {
  kernels: {
    neg: unary((x) => -x),
    abs: unary(Math.abs),
    sign: unary(Math.sign),
    exp: unary(Math.exp),
    log: unary(Math.log),
    sqrt: unary(Math.sqrt),
    sigmoid: unary(logistic),
    tanh: unary(Math.tanh),
    relu: unary((x) => Math.max(x, 0)),
    softplus: unary((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
    leaky_relu: unary((x, a) => (x < 0 ? a * x : x)),
    clip: unary((x, a, b) => Math.min(Math.max(x, a), b)),
    add: binary((x, y) => x + y),
    sub: binary((x, y) => x - y),
    mul: binary((x, y) => x * y),
    div: binary((x, y) => x / y),
    pow: binary((x, y) => x ** y),
    maximum: binary((x, y) => Math.max(x, y)),
    minimum: binary((x, y) => Math.min(x, y)),
    greater: binary((x, y) => Number(x > y)),
    equal: binary((x, y) => Number(x === y)),
    prelu: binary((x, w) => (x > 0 ? x : x * w)),
    prelu_slope: binary((x, w) => (x > 0 ? 1 : w)),
    relu_grad: binary((x, dy) => (x > 0 ? dy : 0)),
    leaky_relu_grad: binary((x, dy, a) => (x > 0 ? dy : a * dy)),
    clip_grad: binary((x, dy, a, b) => (x >= a && x <= b ? dy : 0)),
    sigmoid_grad: binary((y, dy) => y * (1 - y) * dy),
    tanh_grad: binary((y, dy) => (1 - y * y) * dy),
    select({ condition, x, y, z }, { size }) {
      for (let i = 0; i < size; i++) z[i] = condition[i] !== 0 ? x[i] : y[i];
    },
  },
  maps: ['x', 'y'],
  samples: [
    ...pairs('add', ops.add),
    ...pairs('sub', ops.sub),
    ...pairs('mul', ops.mul),
    ...pairs('div', ops.div, awayFromZero),
    ...pairs('pow', ops.pow, (shape) => between(0.3, 2, shape)),
    ...pairs('maximum', ops.maximum, whole, halves),
    ...pairs('minimum', ops.minimum, whole, halves),
    one('number on the right', [5], (x) => ops.sub(x, 2.5)),
    one('number on the left', kinked, (x) => ops.div(2, x)),
    one('square by pow', kinked, (x) => ops.pow(x, 2)),
    one('neg', [17], ops.neg),
    one('abs', kinked, ops.abs),
    one('exp', [3, 5], ops.exp),
    one('log', positive, ops.log),
    one('sqrt', positive, ops.sqrt),
    one('sigmoid', [3, 5, 7], (x) => ops.sigmoid(ops.mul(x, 4))),
    one('tanh', [3, 5, 7], ops.tanh),
    one('relu', kinked, ops.relu),
    one('softplus', [3, 5, 7], (x) => ops.softplus(ops.mul(x, 10))),
    one('leakyRelu', kinked, (x) => ops.leakyRelu(x, 0.2)),
    one('clip', between(0.6, 3, [31]), (x) => ops.clip(x, 0.5, 3.5)),
    one('clip outside', between(2, 3, [31]), (x) => ops.clip(x, -1, 1)),
    { name: 'prelu', inputs: { x: kinked, w: [7] }, run: (t) => ops.prelu(t.x, t.w) },
    { name: 'scaled', inputs: { x: [3, 5, 7], s: [7] }, run: (t) => ops.scaled(t.x, t.s) },
    {
      name: 'where',
      inputs: {
        c: { shape: [3, 1, 7], dtype: 'u8', value: (random) => Math.floor(random() * 2) },
        x: [5, 7],
        y: [3, 5, 1],
      },
      run: (t) => ops.where(t.c, t.x, t.y),
    },
    { name: 'greater', inputs: { x: [6], y: [6] }, run: (t) => ops.greater(t.x, t.y), differentiable: [] },
    { name: 'equal', inputs: { x: between(0, 1, [6]) }, run: (t) => ops.equal(t.x, t.x), differentiable: [] },
  ],
  benchmarks: [
    { name: 'relu 64 @128', inputs: { x: [1, 128, 128, 64] }, run: (t) => ops.relu(t.x) },
    { name: 'sigmoid 256 @64', inputs: { x: [1, 64, 64, 256] }, run: (t) => ops.sigmoid(t.x) },
    { name: 'add 256 @64', inputs: { x: [1, 64, 64, 256], y: [1, 64, 64, 256] }, run: (t) => ops.add(t.x, t.y) },
    { name: 'mul by a map', inputs: { x: [1, 64, 64, 256], y: [1, 64, 64, 1] }, run: (t) => ops.mul(t.x, t.y) },
  ],
  errors: [
    {
      name: 'broadcast',
      run: () => ops.add(ones([2, 3]), ones([4])),
      message: 'add: x [2,3] and y [4] do not broadcast (3 against 4)',
    },
    {
      name: 'dtype',
      run: () => ops.exp(ones([2], { dtype: 'i32' })),
      message: 'exp: x [2] is i32, wants f32 or bf16; use cast',
    },
    { name: 'clip', run: () => ops.clip(ones([2]), 2, 1), message: 'clip: low 2 must not exceed high 1' },
    {
      name: 'rank',
      run: () => ops.add(ones([2, 1, 2, 1, 2, 1, 2]), ones([1, 2, 1, 2, 1, 2, 1])),
      message: 'add: at most 6 separate dimensions, got [2,2,2,2,2,2,2]',
    },
  ],
};

export default cases;
