// ArcFace, CosFace and softmax against NumPy's numbers (margin.json), in shards and whole; their gradients in float64; SGD.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type ClassShard, MarginHead, type MarginOptions, marginCosine, marginLoss } from '../src/nn/margin.js';
import { SGD } from '../src/nn/sgd.js';
import { capture, gradient, type Tensor, tensor, tidy, variable } from '../src/tensor/index.js';
import './cases/index.js';
import { expectClose } from './close.js';

const stored = JSON.parse(readFileSync(new URL('./margin.json', import.meta.url), 'utf8'));
const [n, d] = [stored.x.length, stored.x[0].length];

interface Stored extends MarginOptions {
  name: string;
  loss: number;
  gradX: number[];
  gradW: number[];
}

const CASES: Stored[] = stored.cases;

const classesOf = (w: number[][], first: number, device?: string): ClassShard => ({
  weight: tensor(w.flat(), { shape: [w.length, d], device }),
  numbers: tensor(
    w.map((_, i) => first + i),
    { shape: [1, w.length], device },
  ),
});

/** The stored classes in so many shards. */
function shardsOf(count: number, device?: string): ClassShard[] {
  const each = Math.ceil(stored.w.length / count);
  return Array.from({ length: count }, (_, k) => classesOf(stored.w.slice(k * each, (k + 1) * each), k * each, device));
}

describe.each(CASES)('$name', (given) => {
  test.each([1, 2, 4])('loss and gradients with %i shards', async (count) => {
    const x = tensor(stored.x.flat(), { shape: [n, d] });
    const labels = tensor(stored.labels, { dtype: 'i32' });
    const shards = shardsOf(count);
    const loss = marginLoss(x, shards, labels, given);
    expect(Math.abs((await loss.item()) - given.loss)).toBeLessThanOrEqual(2e-6 * Math.max(1, given.loss));
    const [dx, ...dw] = gradient(loss, [x, ...shards.map(({ weight }) => weight)]);
    expectClose(dx, given.gradX, 2e-5, 'gradient of the embeddings');
    const all = dw.flatMap((g) => Array.from(g.dataSync()));
    expectClose(all, given.gradW, 2e-5, 'gradient of the weights');
  });
});

test.each(CASES)('$name agrees to more digits in float64', async (given) => {
  const device = 'reference';
  const x = tensor(Float64Array.from(stored.x.flat()), { shape: [n, d], device });
  const shards = shardsOf(2, device);
  const loss = marginLoss(x, shards, tensor(stored.labels, { dtype: 'i32', device }), given);
  expect(Math.abs((await loss.item()) - given.loss)).toBeLessThanOrEqual(1e-6);
  const [dx] = gradient(loss, [x]);
  expectClose(dx, given.gradX, 1e-6, 'gradient of the embeddings');
});

test('the true class: both branches, without NaN at angles of 0 and 180 degrees', () => {
  const cosines = [1, 0.5, 0, -0.5, -0.95, -1];
  const x = tensor(cosines);
  const at = (options: Parameters<typeof marginCosine>[1]) => Array.from(marginCosine(x, options).dataSync());
  const turned = cosines.map((c) => Math.cos(Math.acos(c) + 0.5));
  at({}).forEach((value, i) => {
    expect(value).toBeCloseTo(i < 4 ? turned[i] : cosines[i] - 0.5 * Math.sin(0.5), 3);
  });
  at({ easyMargin: true }).forEach((value, i) => {
    expect(value).toBeCloseTo(i < 2 ? turned[i] : cosines[i], 3);
  });
  expect(at({ kind: 'cosface' })[1]).toBeCloseTo(0.15, 6);
  expect(at({ kind: 'softmax' })).toEqual(at({ kind: 'cosface', margin: 0 }));
  const [dx] = gradient(marginCosine(x, {}).sum(), [x]);
  for (const value of dx.dataSync()) expect(Number.isFinite(value)).toBe(true);
});

test('logits far apart do not overflow', async () => {
  const x = tensor([1, 0, 0, 1], { shape: [2, 2] });
  const shards = [1000, -1000].map((v, i) => ({
    weight: tensor([v, 0], { shape: [1, 2] }),
    numbers: tensor([i], { shape: [1, 1] }),
  }));
  const labels = tensor([1, 0], { dtype: 'i32' });
  const loss = marginLoss(x, shards, labels, { kind: 'softmax' });
  expect(await loss.item()).toBeCloseTo((2000 + Math.LN2) / 2, 2);
});

describe('MarginHead', () => {
  test('10,575 identities in 8 shards: names, sizes, and a loss near log of their number before training', async () => {
    const head = new MarginHead({ classes: 10_575, shards: 8, seed: 1, kind: 'softmax' });
    const parameters = head.parameters();
    expect(Object.keys(parameters)).toEqual(Array.from({ length: 8 }, (_, k) => `shards.${k}.weight`));
    expect(head.parameterCount()).toBe(10_575 * 512);
    expect(parameters['shards.7.weight'].shape).toEqual([10_575 - 7 * 1322, 512]);
    const x = tidy(() =>
      tensor(
        Float32Array.from({ length: 1024 }, (_, i) => Math.sin(i)),
        { shape: [2, 512] },
      ),
    );
    const loss = tidy(() => head.forward(x, tensor([3, 10_574], { dtype: 'i32' })));
    expect(Math.abs((await loss.item()) - Math.log(10_575))).toBeLessThan(0.5);
    head.dispose();
  });

  test('a captured step with SGD learns to tell four directions apart', async () => {
    const head = new MarginHead({ classes: 4, dimension: 8, shards: 2, seed: 3, scale: 16 });
    const parameters = head.parameters();
    const optimiser = new SGD(parameters, { lr: 0.002 });
    const step = capture((x: Tensor, labels: Tensor) => {
      const loss = head.forward(x, labels);
      const names = Object.keys(parameters);
      const found = gradient(loss, Object.values(parameters));
      optimiser.step(Object.fromEntries(names.map((name, i) => [name, found[i]])));
      return loss;
    });
    const x = tensor(
      Float32Array.from({ length: 32 }, (_, i) => (i % 8 === (i >> 3) * 2 ? 1 : 0.1)),
      { shape: [4, 8] },
    );
    const labels = tensor([0, 1, 2, 3], { dtype: 'i32' });
    const losses: number[] = [];
    for (let k = 0; k < 120; k++) losses.push(await step(x, labels).item());
    expect(losses[0]).toBeGreaterThan(5);
    expect(losses[119]).toBeLessThan(0.1);
    step.dispose();
  });

  test.each([
    [{ classes: 0 }, /whole numbers/],
    [{ classes: 2, shards: 3 }, /whole numbers/],
  ])('refuses %j', (options, message) => expect(() => new MarginHead(options)).toThrow(message));
});

test('marginLoss names what does not fit', () => {
  const x = tensor([1, 2], { shape: [1, 2] });
  const shard = { weight: tensor([1, 2], { shape: [1, 2] }), numbers: tensor([0], { shape: [1, 1] }) };
  const labels = tensor([0], { dtype: 'i32' });
  expect(() => marginLoss(x, [shard], tensor([0]), {})).toThrow(/labels i32 \[n\], got \[1,2\] and f32 \[1\]/);
  expect(() => marginLoss(x, [], labels)).toThrow(/at least one shard/);
  expect(() => marginLoss(x, [{ ...shard, weight: tensor([1, 2, 3], { shape: [1, 3] }) }], labels)).toThrow(
    /weight \[classes, 2\].*got \[1,3\]/,
  );
  expect(() => marginLoss(x, [shard], labels, { scale: 0 })).toThrow(/scale must be above 0/);
  expect(() => marginLoss(x, [shard], labels, { margin: 4 })).toThrow(/margin must lie in/);
});

describe('SGD', () => {
  const settings = [{}, { momentum: 0 }, { weightDecay: 0.01 }, { momentum: 0.5, weightDecay: 0.1, nesterov: true }];
  test.each(settings)('follows its rule over three steps: %j', (options) => {
    const {
      momentum = 0.9,
      weightDecay = 0,
      nesterov = false,
    } = options as Record<string, number> & {
      nesterov?: boolean;
    };
    const p = variable(tensor([1, -2, 3]));
    const optimiser = new SGD({ p }, { lr: 0.1, ...options });
    const expected = [1, -2, 3];
    const v = [0, 0, 0];
    for (let k = 0; k < 3; k++) {
      const lr = k < 2 ? 0.1 : 0.01;
      if (k === 2) optimiser.setLearningRate(lr);
      const g = [0.3 * (k + 1), -1, k];
      optimiser.step({ p: tensor(g) });
      expected.forEach((value, i) => {
        const slope = g[i] + weightDecay * value;
        v[i] = momentum * v[i] + slope;
        expected[i] = value - lr * (nesterov ? slope + momentum * v[i] : v[i]);
      });
    }
    expectClose(p, expected, 1e-6, 'parameter');
  });

  test('a state taken up goes on alike; wrong gradients and settings are named', () => {
    const make = () => {
      const p = variable(tensor([1, 2]));
      return { p, optimiser: new SGD([p], { lr: 0.2 }) };
    };
    const [a, b] = [make(), make()];
    a.optimiser.step([tensor([1, 1])]);
    b.p.assign(a.p);
    b.optimiser.loadStateDict(a.optimiser.stateDict());
    for (const { optimiser } of [a, b]) optimiser.step([tensor([0.5, -1])]);
    expect([...b.p.dataSync()]).toEqual([...a.p.dataSync()]);
    expect(Object.keys(a.optimiser.stateDict())).toEqual(['lr', 'v.0']);
    expect(() => a.optimiser.step([])).toThrow(/SGD\.step: gradients do not fit: 0 is missing/);
    expect(() => a.optimiser.step([tensor([1])])).toThrow(/0 is \[1\] f32, wants \[2\] f32/);
    expect(() => a.optimiser.loadStateDict({})).toThrow(/lr is missing; v\.0 is missing/);
    expect(() => new SGD([a.p], { momentum: 1 })).toThrow(/momentum must lie in \[0, 1\)/);
    expect(() => new SGD([a.p], { momentum: 0, nesterov: true })).toThrow(/nesterov wants a momentum/);
  });
});
