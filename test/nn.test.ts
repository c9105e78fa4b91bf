// Modules and their states, layers against the ops they stand for, initial weights, and the optimiser.
import { describe, expect, it } from 'vitest';
import { Discriminator } from '../src/models/discriminator.js';
import { Generator } from '../src/models/rescunet.js';
import { AttentionGate } from '../src/nn/attention_gate.js';
import { initializers } from '../src/nn/init.js';
import { BatchNorm2d, Conv2d, ConvTranspose2d, Linear, PReLU } from '../src/nn/layers.js';
import { Module } from '../src/nn/module.js';
import { Adam } from '../src/nn/optim.js';
import {
  attentionGate,
  capture,
  conv2d,
  convTranspose2d,
  gradient,
  linear,
  manualSeed,
  memory,
  mseLoss,
  ones,
  permute,
  prelu,
  rand,
  randn,
  reshape,
  ShapeError,
  sum,
  type Tensor,
  tensor,
  tidy,
  variable,
  zeros,
} from '../src/tensor/index.js';
import { expectClose } from './close.js';

class Pair extends Module {
  readonly conv = new Conv2d(2, 3, 3);
  readonly layers = [new Linear(4, 2, { bias: false }), new BatchNorm2d(3)];
  readonly norm = new BatchNorm2d(3);
}

const random = (module: Module, seed: number): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(module.stateDict({ to: 'torch' })).map(([name, x], i) => [name, randn(x.shape, { seed: seed + i })]),
  );

describe('Module', () => {
  it('finds parts by field, in order, under checkpoint names', () => {
    const pair = new Pair();
    const norm = (name: string) => ['weight', 'bias'].map((p) => `${name}.${p}`);
    const all = ['conv.weight', 'conv.bias', 'layers.0.weight', ...norm('layers.1'), ...norm('norm')];
    expect(Object.keys(pair.parameters())).toEqual(all);
    expect(Object.keys(pair.stateDict()).filter((name) => !all.includes(name))).toEqual([
      'layers.1.running_mean',
      'layers.1.running_var',
      'norm.running_mean',
      'norm.running_var',
    ]);
    expect(pair.parameterCount()).toBe(54 + 3 + 8 + 12);
  });

  it('train and eval reach every part', () => {
    const pair = new Pair();
    expect([pair.training, pair.norm.training]).toEqual([true, true]);
    pair.eval();
    expect([pair.training, pair.norm.training, pair.layers[1].training]).toEqual([false, false, false]);
    expect(pair.train().layers[1].training).toBe(true);
  });

  it('a state goes out and in, in either layout', () => {
    const [a, b, c] = [new Pair(), new Pair(), new Pair()];
    a.loadStateDict(random(a, 5), { from: 'torch' });
    expect(b.loadStateDict(a.stateDict())).toEqual({ missing: [], extra: [] });
    c.loadStateDict(b.stateDict({ to: 'torch' }), { from: 'torch' });
    for (const [name, x] of Object.entries(random(a, 5))) {
      expectClose(b.stateDict({ to: 'torch' })[name], x, 0, name);
      expectClose(c.stateDict({ to: 'torch' })[name], x, 0, name);
    }
  });

  it('lists every missing, extra and misshapen name, and then has changed nothing', () => {
    const pair = new Pair();
    const before = Array.from(pair.conv.bias?.dataSync() ?? []);
    const state: Record<string, Tensor> = { ...pair.stateDict(), 'conv.bias': ones([3]), 'norm.weight': ones([4]) };
    state['layers.0.weight'] = ones([2, 4], { dtype: 'i32' });
    state['head.weight'] = ones([1]);
    delete state['conv.weight'];
    delete state['norm.bias'];
    expect(() => pair.loadStateDict(state)).toThrow(ShapeError);
    expect(() => pair.loadStateDict(state)).toThrow(
      'loadStateDict: the state does not fit Pair: missing conv.weight, norm.bias | extra head.weight | ' +
        'misshapen layers.0.weight: [2,4] i32, wants [2,4] f32; norm.weight: [4] f32, wants [3] f32',
    );
    expect(() => pair.loadStateDict(state, { strict: false })).toThrow(/: misshapen/);
    expect(Array.from(pair.conv.bias?.dataSync() ?? [])).toEqual(before);
  });

  it('strict, ignored and wrapped names', () => {
    const pair = new Pair();
    const state: Record<string, Tensor> = { ...pair.stateDict(), 'head.weight': ones([1]) };
    expect(pair.loadStateDict(state, { strict: false })).toEqual({ missing: [], extra: ['head.weight'] });
    expect(pair.loadStateDict(state, { ignore: ['head'] })).toEqual({ missing: [], extra: [] });
    expect(() => pair.loadStateDict(state, { ignore: ['hea'] })).toThrow(/extra head.weight$/);
    const wrapped = Object.fromEntries(Object.entries(pair.stateDict()).map(([name, x]) => [`module.${name}`, x]));
    wrapped['module.norm.num_batches_tracked'] = tensor([7], { dtype: 'i32' });
    expect(pair.loadStateDict(wrapped)).toEqual({ missing: [], extra: [] });
    expect(() => pair.loadStateDict({})).toThrow(/missing conv.weight, conv.bias, layers.0.weight/);
  });

  it('widens bf16 weights', () => {
    const [a, b] = [new Linear(2, 2), new Linear(2, 2)];
    a.weight.assign(
      tensor([
        [1, 2],
        [-0.5, 4],
      ]),
    ); // prettier-ignore
    b.loadStateDict(Object.fromEntries(Object.entries(a.stateDict()).map(([name, x]) => [name, x.cast('bf16')])));
    expectClose(b.weight, a.weight, 0, 'weight');
  });
});

describe('layers', () => {
  const x = randn([2, 6, 5, 4], { seed: 1 });

  it('Conv2d: PyTorch [o,i,h,w] becomes ours', () => {
    const layer = new Conv2d(4, 6, [3, 2], { stride: 2, padding: [1, 0], groups: 2 });
    const w = randn([6, 2, 3, 2], { seed: 2 });
    const bias = randn([6], { seed: 3 });
    layer.loadStateDict({ weight: w, bias }, { from: 'torch' });
    const y = conv2d(x, permute(w, [0, 2, 3, 1]), { bias, stride: 2, padding: [1, 0], groups: 2 });
    expectClose(layer.forward(x), y, 0, 'output');
  });

  it('ConvTranspose2d: PyTorch [i,o,h,w] becomes ours', () => {
    const layer = new ConvTranspose2d(4, 6, 3, { stride: 2, padding: 1, outputPadding: 1, groups: 2, bias: false });
    const w = randn([4, 3, 3, 3], { seed: 2 });
    layer.loadStateDict({ weight: w }, { from: 'torch' });
    const y = convTranspose2d(x, permute(w, [1, 2, 3, 0]), { stride: 2, padding: 1, outputPadding: 1, groups: 2 });
    expect(y.shape).toEqual([2, 12, 10, 6]);
    expectClose(layer.forward(x), y, 0, 'output');
  });

  it('Linear on a flattened image: PyTorch flattens channels first', () => {
    const layer = new Linear(120, 7, { flattened: [6, 5] });
    const w = randn([7, 120], { seed: 2 });
    layer.loadStateDict({ weight: w, bias: zeros([7]) }, { from: 'torch' });
    const channelsFirst = reshape(permute(x, [0, 3, 1, 2]), [2, 120]);
    expectClose(layer.forward(reshape(x, [2, 120])), linear(channelsFirst, w), 1e-5, 'output');
    expectClose(layer.stateDict({ to: 'torch' }).weight, w, 0, 'weight');
  });

  it('PReLU and BatchNorm2d', () => {
    const slopes = new PReLU(4);
    expectClose(slopes.forward(x), prelu(x, tensor([0.25, 0.25, 0.25, 0.25])), 0, 'prelu');
    const norm = new BatchNorm2d(4, { momentum: 1 });
    const y = Array.from(norm.forward(x).dataSync());
    expect(Math.abs(y.reduce((a, b) => a + b) / y.length)).toBeLessThan(1e-6);
    expectClose(norm.eval().forward(x), y, 0.02, 'running statistics'); // their variance is unbiased: 60/59
  });

  it('refuses channels that do not divide', () => {
    expect(() => new Conv2d(4, 6, 3, { groups: 4 })).toThrow(
      /Conv2d: 4 input and 6 output channels do not form 4 groups/,
    );
    expect(() => new Linear(10, 2, { flattened: [2, 3] })).toThrow(ShapeError);
  });

  it('AttentionGate is the op of that name', () => {
    const gate = new AttentionGate(4, 3, 2).eval();
    const g = randn([2, 6, 5, 3], { seed: 4 });
    const { gated, attention } = gate.forward(x, g);
    expectClose(gated, attentionGate(x, g, gate), 0, 'gated');
    expectClose(gated, x.mul(attention), 0, 'map');
    expectClose(x.attentionGate(g, gate), gated, 0, 'method');
  });
});

describe('initializers', () => {
  const shape = [64, 3, 3, 32];
  const spread = (x: Tensor) => {
    const v = Array.from(x.dataSync());
    const mean = v.reduce((a, b) => a + b) / v.length;
    return { mean, std: Math.sqrt(v.reduce((a, b) => a + (b - mean) ** 2, 0) / v.length), max: Math.max(...v) };
  };

  it.each([
    ['heNormal', Math.sqrt(2 / (64 * 9))],
    ['heUniform', Math.sqrt(2 / (32 * 9))],
    ['xavierUniform', Math.sqrt(2 / (96 * 9))],
    ['narrowNormal', 0.02],
  ] as const)('%s has the spread it should', (name, std) => {
    const drawn = spread(initializers(3)[name](shape));
    expect(Math.abs(drawn.mean)).toBeLessThan(0.03 * std);
    expect(Math.abs(drawn.std / std - 1)).toBeLessThan(0.02);
    if (name.endsWith('Uniform')) expect(drawn.max).toBeLessThanOrEqual(std * Math.sqrt(3) * 1.0001);
  });

  it('a seed decides, and each tensor differs', () => {
    const [a, b] = [initializers(7), initializers(7)];
    const first = a.heNormal([100]);
    expectClose(b.heNormal([100]), first, 0, 'same seed');
    expect(Array.from(a.heNormal([100]).dataSync())).not.toEqual(Array.from(first.dataSync()));
    expect(() => initializers(-1)).toThrow(/seed/);
    manualSeed(4);
    const w = new Conv2d(3, 4, 3).weight.dataSync();
    manualSeed(4);
    expect(new Conv2d(3, 4, 3).weight.dataSync()).toEqual(w);
  });
});

describe('Adam', () => {
  it('takes the steps of the definition, with decay, for records and lists', () => {
    const options = { lr: 0.1, betas: [0.8, 0.9], eps: 1e-3, weightDecay: 0.5 } as const;
    const start = [1, -2, 3];
    const expected = start.map((w0, i) => {
      let [w, m, v] = [w0, 0, 0];
      for (let t = 1; t <= 3; t++) {
        const g = (i + 1) * t * 0.1 + 0.5 * w;
        m = 0.8 * m + 0.2 * g;
        v = 0.9 * v + 0.1 * g * g;
        w -= (0.1 * (m / (1 - 0.8 ** t))) / (Math.sqrt(v / (1 - 0.9 ** t)) + 1e-3);
      }
      return w;
    });
    const [a, b] = [variable(tensor(start)), variable(tensor(start))];
    const [named, listed] = [new Adam({ a }, options), new Adam([b], options)];
    for (let t = 1; t <= 3; t++) {
      const g = tensor([1, 2, 3].map((i) => i * t * 0.1));
      named.step({ a: g });
      listed.step([g]);
    }
    expectClose(a, expected, 1e-6, 'record');
    expectClose(b, a, 0, 'list');
  });

  it('counts on when a captured step is replayed, and its rate can be changed', () => {
    const descend = (captured: boolean) => {
      const w = variable(zeros([2]));
      const adam = new Adam({ w }, { lr: 0.05 });
      const step = (x: Tensor) => {
        const loss = mseLoss(w.mul(x), tensor2);
        adam.step(gradient(loss, { w }));
        return loss;
      };
      const tensor2 = tensor([3, -1]);
      const run = captured ? capture(step) : (x: Tensor) => tidy(() => step(x));
      for (let i = 0; i < 20; i++) run(tensor([1 + i / 10, 2]));
      adam.setLearningRate(0.01);
      for (let i = 0; i < 20; i++) run(tensor([1 + i / 10, 2]));
      return Array.from(w.dataSync());
    };
    expect(descend(true)).toEqual(descend(false));
  });

  it('its state goes on elsewhere', () => {
    const make = () => variable(tensor([1, 2]));
    const [a, b] = [make(), make()];
    const [first, second] = [new Adam([a]), new Adam([b], { lr: 5 })];
    first.step([ones([2])]);
    b.assign(a);
    second.loadStateDict(first.stateDict());
    first.step([tensor([3, -1])]);
    second.step([tensor([3, -1])]);
    expectClose(b, a, 0, 'parameter');
    expect(() => second.loadStateDict({ step: ones([1]), more: ones([1]) })).toThrow(
      /lr is missing; m.0 is missing; v.0 is missing; more is extra/,
    );
  });

  it('refuses gradients that do not fit before any parameter changes', () => {
    const [a, b] = [variable(ones([2])), variable(ones([3]))];
    const adam = new Adam({ a, b });
    expect(() => adam.step({ a: ones([2]), c: ones([1]) })).toThrow(
      'Adam.step: gradients do not fit: b is missing; c has no parameter',
    );
    expect(() => adam.step({ a: ones([2]), b: ones([2]) })).toThrow(/b is \[2\] f32, the parameter \[3\] f32/);
    expectClose(a, [1, 1], 0, 'a');
    expect(() => new Adam([a], { lr: -1 })).toThrow(RangeError);
    expect(() => new Adam([a], { betas: [0.9, 1] })).toThrow(RangeError);
  });
});

describe('the generator family', () => {
  it.each([
    [{}, 74457734],
    [{ attention: false }, 75392102],
    [{ coupled: false }, 32651519],
  ])('width 64 %j has %d parameters', { timeout: 30_000 }, (options, count) => {
    const g = new Generator({ ...options, initialize: false });
    expect(g.parameterCount()).toBe(count);
    const paper = { attention: true, coupled: true, inputSkip: false };
    expect(g.options).toEqual({ baseWidth: 64, channels: 3, input: 'raw', ...paper, ...options });
    g.dispose();
  });

  it('constrain keeps the shares of every fusion at 0.001 and above', () => {
    const g = new Generator({ baseWidth: 4, seed: 1 });
    const shares = Object.entries(g.parameters()).filter(([name]) => /fuse\.\d\.weight/.test(name));
    expect(shares).toHaveLength(4);
    for (const [, share] of shares) share.assign(tensor([-3, 0.5]));
    g.constrain();
    for (const [, share] of shares) expect(Array.from(share.dataSync())).toEqual([Math.fround(1e-3), 0.5]);
    g.dispose();
  });

  it('a discriminator has 2768705', () => {
    expect(new Discriminator({ seed: 1 }).parameterCount()).toBe(2768705);
  });

  it('keeps every size that is a multiple of 32, and one U-Net gives one map', () => {
    const g = new Generator({ baseWidth: 4, channels: 6, coupled: false, seed: 1 }).eval();
    const { final, aux, attention } = g.forward(randn([2, 64, 96, 6], { seed: 2 }));
    expect(final).toBe(aux);
    expect(final.shape).toEqual([2, 64, 96, 3]);
    expect(attention.map(({ shape }) => shape)).toEqual([16, 8, 4, 2].map((s) => [2, 64 / s, 96 / s, 1]));
    expect(Math.max(...final.dataSync().map(Math.abs))).toBeLessThanOrEqual(1);
  });

  it('leaves no memory behind in tidy', () => {
    const g = new Generator({ baseWidth: 4, seed: 1 });
    const x = rand([2, 32, 32, 3], { seed: 1 });
    const held = () => {
      x.dataSync(); // memory is counted once the work before it is done
      return memory().bytes;
    };
    const before = held();
    tidy(() => void gradient(sum(g.forward(x).final), g.parameters()));
    expect(held()).toBe(before);
  });

  it('refuses what does not fit', () => {
    const g = new Generator({ baseWidth: 4, seed: 1 });
    const wants = 'Generator: x must be [n,h,w,3] with h and w multiples of 32, got';
    expect(() => g.forward(ones([1, 48, 64, 3]))).toThrow(`${wants} [1,48,64,3]`);
    expect(() => g.forward(ones([1, 64, 64, 4]))).toThrow(`${wants} [1,64,64,4]`);
    expect(() => g.forward(ones([64, 64, 3]))).toThrow(`${wants} [64,64,3]`);
    expect(() => new Generator({ baseWidth: 6 })).toThrow('Generator: baseWidth must be a multiple of 4, got 6');
    const d = new Discriminator({ baseWidth: 4, seed: 1 });
    expect(d.forward(ones([1, 24, 40, 6])).shape).toEqual([1, 1, 3, 1]);
    expect(() => d.forward(ones([1, 23, 40, 6]))).toThrow(/of at least 24x24, got \[1,23,40,6\]/);
  });
});
