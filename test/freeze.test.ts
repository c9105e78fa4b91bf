// Frozen steps: the same results with less work, and no more folded than may be.
import { describe, expect, test } from 'vitest';
import {
  add,
  capture,
  concat,
  leakyRelu,
  manualSeed,
  memory,
  nn,
  pipeline,
  rand,
  randn,
  relu,
  type Tensor,
  tensor,
  tidy,
  variable,
} from '../src/index.js';
import { addon } from '../src/tensor/native.js';

/** Running statistics and affine parameters as training leaves them. */
function settle(module: nn.Module): void {
  tidy(() => {
    for (const [name, p] of Object.entries(module.stateDict())) {
      if (/running_var$|bn\d?\.weight$/.test(name)) (p as ReturnType<typeof variable>).assign(rand(p.shape).add(0.5));
      else if (/running_mean$|bias$/.test(name)) (p as ReturnType<typeof variable>).assign(randn(p.shape).mul(0.3));
    }
  });
}

const values = async (y: Tensor): Promise<Float32Array> => (await y.data()) as Float32Array;

/** The values of a result that nobody else needs. */
async function taken(make: () => Tensor): Promise<Float32Array> {
  using y = tidy(make);
  return values(y);
}

function furthest(a: Float32Array, b: Float32Array): number {
  let [far, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    far = Math.max(far, Math.abs(a[i] - b[i]));
    size = Math.max(size, Math.abs(b[i]));
  }
  expect(Number.isFinite(far) && size > 0).toBe(true);
  return far / size;
}

class Mixed extends nn.Module {
  readonly stem = new nn.ConvNorm(3, 24, 3, { padding: 1, bias: true });
  readonly depthwise = new nn.ConvNorm(24, 24, 3, { padding: 1, groups: 24 });
  readonly grouped = new nn.ConvNorm(24, 24, 3, { padding: 1, groups: 2 });
  readonly narrow = new nn.ConvNorm(24, 3, 1);
  readonly twice = new nn.Conv2d(3, 8, 1);
  readonly bn = new nn.BatchNorm2d(8);
  readonly last = new nn.Conv2d(11, 5, 3, { stride: 2 });
  readonly prelu = new nn.PReLU(5);

  forward(x: Tensor): Tensor {
    const y = this.stem.forward(x, { activation: 'leakyRelu', negativeSlope: 0.1 });
    const z = relu(this.depthwise.forward(y));
    const residual = this.grouped.forward(z, { residual: y, activation: 'relu' });
    const narrow = leakyRelu(this.narrow.forward(residual), 0.3);
    const both = this.twice.forward(narrow);
    return this.prelu.forward(this.last.forward(concat([add(this.bn.forward(both), both), narrow], { axis: -1 })));
  }
}

describe('optimizeForInference', () => {
  test.each([
    ['fast', 1e-4],
    ['exact', 1e-5],
  ] as const)('of the generator that ships, %s', async (precision, tolerance) => {
    // Trained weights: random ones make numbers grow from layer to layer, and rounding with them.
    const generator = pipeline.loadGenerator();
    const wave = (_: unknown, i: number) => 0.5 * Math.sin(i / 3000) + 0.2 * Math.sin(i);
    const x = tensor(Float32Array.from({ length: 4 * 128 * 128 * 3 }, wave), { shape: [4, 128, 128, 3] });
    const plain = tidy(() => generator.forward(x));
    const optimized = nn.optimizeForInference(generator, { precision });
    const [first, second] = [optimized(x), optimized(x)];
    for (const part of ['final', 'aux'] as const) {
      const wanted = await values(plain[part]);
      expect(furthest(await values(first[part]), wanted)).toBeLessThan(tolerance);
      expect(await values(second[part])).toEqual(await values(first[part]));
    }
    expect(first.attention.map(({ shape }) => shape)).toEqual(plain.attention.map(({ shape }) => shape));
    const listed = optimized.describe();
    expect(listed).not.toMatch(/^batch_norm/m);
    expect(/^winograd/m.test(listed)).toBe(precision === 'fast');
    optimized.dispose();
    generator.dispose();
  });

  test('of the generator that ships, bf16: near, and only where the processor multiplies it', async () => {
    const generator = pipeline.loadGenerator();
    const x = tensor(
      Float32Array.from({ length: 64 * 64 * 3 }, (_, i) => 0.5 * Math.sin(i / 300) + 0.2 * Math.sin(i)),
      { shape: [1, 64, 64, 3] },
    );
    const run = async (precision: 'fast' | 'bf16') => {
      const optimized = nn.optimizeForInference(generator, { precision });
      await values(tidy(() => optimized(x).final)); // packs
      const found = await values(tidy(() => optimized(x).final));
      optimized.dispose();
      return found;
    };
    const [fast, half, again] = [await run('fast'), await run('bf16'), await run('bf16')];
    expect(again).toEqual(half);
    if (addon.info().cpu.bf16) {
      expect(furthest(half, fast)).toBeGreaterThan(1e-5);
      expect(furthest(half, fast)).toBeLessThan(3e-2);
    } else expect(half).toEqual(fast);
    generator.dispose();
    expect(() => nn.optimizeForInference(generator, { precision: 'f16' as 'bf16' })).toThrow(
      "optimizeForInference: precision is fast, exact or bf16, got 'f16'",
    );
  });

  test('of grouped, depthwise and narrow convolutions, and of one whose result is read twice', async () => {
    manualSeed(6);
    const mixed = new Mixed();
    settle(mixed);
    const x = randn([2, 9, 10, 3]);
    const wanted = await values(tidy(() => mixed.eval().forward(x)));
    const optimized = nn.optimizeForInference(mixed);
    for (let run = 0; run < 3; run++) expect(furthest(await values(optimized(x)), wanted)).toBeLessThan(1e-5);
    // Another shape is another plan.
    const other = randn([1, 7, 7, 3]);
    expect(furthest(await values(optimized(other)), await values(tidy(() => mixed.forward(other))))).toBeLessThan(1e-5);
    const [plan] = optimized.describe().split('\n\n');
    expect(plan.match(/^batch_norm_apply/gm)).toHaveLength(1);
    expect(plan).not.toMatch(/^(relu|leaky_relu|prelu) /m);
    optimized.dispose();
    mixed.dispose();
  });

  test('keeps the weights of the first call, and returns its memory', async () => {
    manualSeed(7);
    const layer = new nn.ConvNorm(4, 40, 3);
    const x = randn([1, 8, 8, 4]);
    layer.eval();
    await taken(() => layer.forward(x));
    await x.data(); // what was disposed of is gone
    const before = memory().bytes;
    const optimized = nn.optimizeForInference(layer);
    const first = await taken(() => optimized(x));
    tidy(() => void layer.conv.weight.assign(layer.conv.weight.mul(2)));
    expect(await taken(() => optimized(x))).toEqual(first);
    expect(memory().bytes).toBeGreaterThan(before);
    optimized.dispose();
    await x.data();
    expect(memory().bytes).toBe(before);
    expect(() => nn.optimizeForInference(layer, { precision: 'low' as 'exact' })).toThrow(
      "precision is fast, exact or bf16, got 'low'",
    );
  });
});

test('a frozen step leaves alone what it writes itself', async () => {
  manualSeed(8);
  const w = variable(randn([6, 1, 1, 4]));
  const conv = new nn.Conv2d(4, 6, 1);
  const step = (x: Tensor) => {
    w.assign(w.mul(0.5));
    return conv.forward(x).add(x.mean().mul(w.sum()));
  };
  const x = randn([1, 3, 3, 4]);
  const kept = await values(w);
  const wanted = [await values(tidy(() => step(x))), await values(tidy(() => step(x)))];
  tidy(() => void w.assign(tidy(() => w.mul(4))));
  expect(await values(w)).toEqual(kept);
  const frozen = capture(step, { frozen: true });
  for (const y of wanted) expect(furthest(await values(frozen(x)), y)).toBeLessThan(1e-6);
  frozen.dispose();
});

test('plans: so many are kept, and the one unused for longest goes', async () => {
  const arena = () => memory().bytes;
  const double = capture((x: Tensor) => x.mul(2), { plans: 2 });
  const inputs = [3, 4, 5].map((size) => randn([size, 1000]));
  await taken(() => double(inputs[0]));
  await taken(() => double(inputs[1]));
  await taken(() => double(inputs[0])); // used again
  await inputs[0].data();
  const before = arena();
  expect(await taken(() => double(inputs[2]))).toEqual((await values(inputs[2])).map((v) => 2 * v));
  await inputs[0].data();
  expect(double.describe().split('\n\n')).toHaveLength(2);
  expect(arena() - before).toBeLessThan(4 * 5000); // of 5 rows instead of 4, their input and their result
  expect(await taken(() => double(inputs[1]))).toEqual((await values(inputs[1])).map((v) => 2 * v));
  double.dispose();
});
