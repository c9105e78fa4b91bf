// The baseline generator: sizes and names of pix2pix's U-Net-256, its arithmetic against its layers written out, its dropout.
import { expect, it } from 'vitest';
import { mirrored, withMirror } from '../src/models/mirror.js';
import { UvGan } from '../src/models/uvgan.js';
import { Dropout } from '../src/nn/dropout.js';
import {
  batchNorm,
  concat,
  conv2d,
  convTranspose2d,
  leakyRelu,
  manualSeed,
  ones,
  randn,
  relu,
  type Tensor,
  tanh,
  tensor,
  tidy,
} from '../src/tensor/index.js';
import { expectClose } from './close.js';

it.each([
  [3, 54_413_955],
  [6, 54_417_027],
])('%i channels: %i parameters', (channels, count) => {
  const net = new UvGan({ channels, initialize: false });
  expect(net.parameterCount()).toBe(count);
  net.dispose();
});

it('names and layouts are those of pix2pix', () => {
  const net = new UvGan({ initialize: false });
  const state = tidy(() => Object.entries(net.stateDict({ to: 'torch' })).map(([name, { shape }]) => [name, shape]));
  const shapes = Object.fromEntries(state);
  const deepest = `model${'.model.1'}${'.model.3'.repeat(6)}`;
  expect(shapes).toMatchObject({
    'model.model.0.weight': [64, 3, 4, 4],
    'model.model.1.model.1.weight': [128, 64, 4, 4],
    'model.model.1.model.2.running_mean': [128],
    'model.model.1.model.3.model.1.weight': [256, 128, 4, 4],
    'model.model.1.model.5.weight': [256, 64, 4, 4],
    'model.model.1.model.6.weight': [64],
    [`${deepest}.model.1.weight`]: [512, 512, 4, 4],
    [`${deepest}.model.3.weight`]: [512, 512, 4, 4],
    [`${deepest}.model.4.running_var`]: [512],
    'model.model.3.weight': [128, 3, 4, 4],
    'model.model.3.bias': [3],
  });
  expect(state.length).toBe(16 + 1 + 13 * 4); // weights, the bias, norms without their counters
  net.dispose();
});

it('three levels written out', () => {
  const net = new UvGan({ baseWidth: 4, levels: 3, seed: 3 }).eval();
  const s = net.stateDict();
  const x = randn([2, 16, 24, 3], { seed: 4 });
  const expected = tidy(() => {
    const how = { stride: 2, padding: 1 };
    const norm = (y: Tensor, name: string): Tensor =>
      batchNorm(y, {
        weight: s[`${name}.weight`],
        bias: s[`${name}.bias`],
        runningMean: s[`${name}.running_mean`],
        runningVar: s[`${name}.running_var`],
        training: false,
      });
    const [one, two] = ['model.model.1', 'model.model.1.model.3'];
    const e1 = conv2d(x, s['model.model.0.weight'], how); // [2, 8, 12, 4]
    const e2 = norm(conv2d(leakyRelu(e1, 0.2), s[`${one}.model.1.weight`], how), `${one}.model.2`); // [2, 4, 6, 8]
    const e3 = conv2d(leakyRelu(e2, 0.2), s[`${two}.model.1.weight`], how); // [2, 2, 3, 16]
    const d3 = norm(convTranspose2d(relu(e3), s[`${two}.model.3.weight`], how), `${two}.model.4`);
    const d2 = norm(
      convTranspose2d(relu(concat([e2, d3], { axis: -1 })), s[`${one}.model.5.weight`], how),
      `${one}.model.6`,
    );
    const bias = s['model.model.3.bias'];
    return tanh(convTranspose2d(relu(concat([e1, d2], { axis: -1 })), s['model.model.3.weight'], { bias, ...how }));
  });
  const { final, aux, attention } = tidy(() => net.forward(x));
  expect(final.shape).toEqual([2, 16, 24, 3]);
  expectClose(final, expected, 1e-6, 'final');
  expect(aux).toBe(final);
  expect(attention).toEqual([]);
});

it('weights start from N(0, 0.02), by seed', () => {
  const weights = (seed: number) => new UvGan({ baseWidth: 8, levels: 5, seed }).parameters();
  const name = 'model.model.1.model.3.model.3.model.1.weight'; // 64 x 32 x 16 numbers
  const w = Array.from(weights(1)[name].dataSync());
  const deviation = Math.sqrt(w.reduce((total, v) => total + v * v, 0) / w.length);
  expect(w.length).toBe(32768);
  expect(Math.abs(deviation - 0.02)).toBeLessThan(0.0005);
  expect(Array.from(weights(1)[name].dataSync())).toEqual(w);
  expect(Array.from(weights(2)[name].dataSync())).not.toEqual(w);
});

it('drops out in training only, from the seeded numbers', () => {
  const x = randn([1, 64, 64, 3], { seed: 5 });
  const run = (net: UvGan, seed: number): number[] => {
    manualSeed(seed);
    return Array.from(tidy(() => net.forward(x).final).dataSync());
  };
  const six = new UvGan({ baseWidth: 4, levels: 6, seed: 6 }); // one level between the fourth and the innermost
  expect(run(six, 1)).toEqual(run(six, 1));
  expect(run(six, 1)).not.toEqual(run(six, 2));
  six.eval();
  expect(run(six, 1)).toEqual(run(six, 2));
  const five = new UvGan({ baseWidth: 4, levels: 5, seed: 6 });
  expect(run(five, 1)).toEqual(run(five, 2)); // no level between
});

it('Dropout keeps the mean', () => {
  manualSeed(7);
  const layer = new Dropout(0.25);
  const y = Array.from(tidy(() => layer.forward(ones([100, 1000]))).dataSync());
  const zero = y.filter((v) => v === 0).length;
  expect(Math.abs(zero / y.length - 0.25)).toBeLessThan(0.007); // five standard deviations
  for (const v of new Set(y)) if (v !== 0) expect(v).toBeCloseTo(4 / 3, 6);
  const x = ones([3]);
  expect(layer.eval().forward(x)).toBe(x);
  expect(() => new Dropout(1)).toThrow(/p must be in \[0, 1\), got 1/);
});

it('mirrors columns', () => {
  const x = tensor([1, 2, 3, 4, 5, 6], { shape: [1, 1, 3, 2] });
  expect(Array.from(mirrored(x).dataSync())).toEqual([5, 6, 3, 4, 1, 2]);
  expect(Array.from(withMirror(x).dataSync())).toEqual([1, 2, 5, 6, 3, 4, 3, 4, 5, 6, 1, 2]);
});

it('refuses what does not fit', () => {
  expect(() => new UvGan({ channels: 4 })).toThrow(/channels must be 3 or 6, got 4/);
  expect(() => new UvGan({ levels: 1 })).toThrow(/levels must be a whole number >= 2, got 1/);
  const net = new UvGan({ baseWidth: 4, levels: 3, channels: 6 });
  expect(() => net.forward(ones([1, 12, 16, 6]))).toThrow(/multiples of 8, got \[1,12,16,6\]/);
  expect(() => net.forward(ones([1, 16, 16, 3]))).toThrow(/\[n,h,w,6\]/);
});
