// bf16 as the storage of maps: what type an op's result has, which mixtures are refused, and networks that run over such maps. The ops' own numbers are in
// ops.test.ts and sim.test.ts. And transformed convolutions of a frozen plan that multiply in bf16.
import { describe, expect, it } from 'vitest';
import { loadSafetensors } from '../src/formats/safetensors.js';
import { FaceNet } from '../src/models/facenet.js';
import { Generator } from '../src/models/rescunet.js';
import { optimizeForInference } from '../src/nn/inference.js';
import { AddonBackend, registerDevice } from '../src/tensor/device.js';
import {
  add,
  capture,
  cast,
  concat,
  conv2d,
  conv2dUpsampled,
  DeviceError,
  gradient,
  l1Loss,
  linear,
  matmul,
  maximum,
  mean,
  mul,
  ones,
  prelu,
  relu,
  ShapeError,
  sub,
  sum,
  type Tensor,
  tensor,
  tidy,
  variable,
  where,
} from '../src/tensor/index.js';
import { addon } from '../src/tensor/native.js';
import { withPrecision } from '../src/tensor/ops/conv2d_forms.js';
import { emit } from '../src/tensor/record.js';
import './cases/index.js';
import { alignment, expectClose, relativeDifference } from './close.js';
import { normal, randomFrom, seedOf } from './samples.js';
import { sharedPath } from './shared.js';

const drawn = (shape: number[], seed = 1): Tensor => {
  const random = randomFrom(seed);
  return tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal(random)),
    { shape },
  );
};
/** Pictures that change little from pixel to pixel, in [-0.8, 0.8]. */
const waves = (shape: number[], width: number): Tensor => {
  const [, h, w, c] = shape;
  const value = (i: number): number => {
    const [k, x, y, n] = [i % c, Math.floor(i / c) % w, Math.floor(i / c / w) % h, Math.floor(i / c / w / h)];
    return 0.8 * Math.sin((x * (1 + k) + 2 * n) / width) * Math.cos(y / width + k + n);
  };
  return tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
    { shape },
  );
};
const half = (x: Tensor): Tensor => cast(x, 'bf16');

describe('types', () => {
  const map = half(drawn([2, 4, 4, 3]));

  it.each<[string, (x: Tensor) => Tensor, string]>([
    ['unary', relu, 'bf16'],
    ['with a number', (x) => sub(1, mul(x, 0.3)), 'bf16'],
    ['with a number that is a tensor', (x) => maximum(x, tensor(0.5)), 'bf16'],
    ['where', (x) => where(x, x, 0), 'bf16'],
    ['prelu', (x) => prelu(x, ones([3])), 'bf16'],
    ['conv2d', (x) => conv2d(x, ones([5, 1, 1, 3]), { bias: ones([5]) }), 'bf16'],
    ['linear', (x) => linear(x, ones([5, 3])), 'bf16'],
    ['sum', (x) => sum(x, { axes: [1, 2] }), 'f32'],
    ['mean', (x) => mean(x), 'f32'],
    ['l1Loss', (x) => l1Loss(x, mul(x, 0)), 'f32'],
  ])('%s: the result, and a gradient of the type of what it is for', (_, op, type) => {
    const y = op(map);
    expect(y.dtype).toBe(type);
    expect(gradient(sum(y), map).dtype).toBe('bf16');
  });

  it('a product is rounded once, from f32', () => {
    const [a, b] = [1 + 2 ** -7, 1 + 2 ** -6].map((v) => tensor([v], { dtype: 'bf16' }));
    // 1.0235595703125 lies between 1.0234375 and 1.03125
    expect(cast(mul(a, b), 'f32').dataSync()[0]).toBe(1.0234375);
    // The number is not rounded: 3 times 0.3 in bf16 would be 0.90234375.
    expect(cast(mul(tensor([3], { dtype: 'bf16' }), 0.3), 'f32').dataSync()[0]).toBe(0.8984375);
  });

  it('a sum is not rounded: 1 is more than bf16 adds to 256', () => {
    expect(sum(ones([1000], { dtype: 'bf16' })).dataSync()[0]).toBe(1000);
  });

  it('weights get their gradients in f32, as sums over rounded maps', () => {
    const w = drawn([5, 3, 3, 3], 2);
    const slope = (x: Tensor) => gradient(mean(mul(conv2d(x, w), conv2d(x, w))), w);
    const [exact, rounded] = [slope(drawn([2, 8, 8, 3], 3)), slope(half(drawn([2, 8, 8, 3], 3)))];
    expect(rounded.dtype).toBe('f32');
    expectClose(rounded, exact, 2 ** -6, 'gradient of w');
  });

  it('the gradient of a cast is cast back', () => {
    const x = drawn([3, 4]);
    const cotangent = drawn([3, 4], 2);
    const dx = gradient(sum(mul(cast(half(x), 'f32'), cotangent)), x);
    expect(dx.dtype).toBe('f32');
    expect(dx.dataSync()).toEqual(cast(half(cotangent), 'f32').dataSync());
    const target = half(x);
    const up = gradient(sum(mul(cast(target, 'f32'), cotangent)), target);
    expect(up.dtype).toBe('bf16');
    expect(up.dataSync()).toEqual(half(cotangent).dataSync());
  });
});

describe('refuses', () => {
  const [wide, narrow] = [ones([2, 3]), ones([2, 3], { dtype: 'bf16' })];
  const image = (dtype: 'f32' | 'bf16', c = 16) => ones([1, 4, 4, c], { dtype });

  it.each<[string, () => unknown, string]>([
    ['add', () => add(narrow, wide), 'add: wants maps of one type, x [2,3] is bf16 and y [2,3] f32; use cast'],
    [
      'matmul',
      () => matmul(wide, half(ones([3, 2]))),
      'matmul: wants maps of one type, a [2,3] is f32 and b [3,2] bf16',
    ],
    ['l1Loss', () => l1Loss(narrow, wide), 'l1Loss: wants maps of one type, x [2,3] is bf16 and target [2,3] f32'],
    ['concat', () => concat([narrow, wide]), 'concat: [2,3] bf16, [2,3] f32 differ outside axis 1'],
    ['prelu', () => prelu(narrow, half(ones([3]))), 'prelu: y [3] is bf16, wants f32; use cast'],
    [
      'beside',
      () => conv2d(image('bf16'), ones([4, 1, 1, 32]), { beside: image('f32') }),
      'conv2d: wants maps of one type, x [1,4,4,16] is bf16 and beside [1,4,4,16] f32',
    ],
    [
      'weights',
      () => conv2d(image('bf16', 3), half(ones([4, 1, 1, 3]))),
      'conv2d: w [4,1,1,3] is bf16, wants f32; use cast',
    ],
    ['linear', () => linear(narrow, half(ones([4, 3]))), 'linear: w [4,3] is bf16, wants f32; use cast'],
  ])('%s', (_, run, message) => {
    expect(run).toThrow(ShapeError);
    expect(run).toThrow(message);
  });

  it('a variable of bf16 where a kernel updates one', () => {
    const v = variable(narrow);
    const run = () => emit('lerp', [v, wide], { size: 6, t: 0.5, scale: 1 });
    expect(run).toThrow(DeviceError);
    expect(run).toThrow('lerp: v [2,3] is bf16, a variable of f32 is wanted');
  });
});

describe('a captured step', () => {
  it('gives what the step gives, and its list shows the casts', () => {
    const w = drawn([4, 3, 3, 8], 2);
    const step = (x: Tensor) => {
      const y = relu(conv2d(x, w, { padding: 1 }));
      return gradient(mean(mul(y, y)), x);
    };
    const captured = capture(step);
    const x = half(drawn([2, 6, 6, 8], 3));
    for (let i = 0; i < 3; i++) expect(captured(x).dataSync()).toEqual(step(x).dataSync());
    expect(captured.describe()).toMatch(/\ncast x=#\d+ y=#\d+ size=576 from=3 to=0\n/);
    captured.dispose();
  });
});

describe('convolutions of a frozen plan that multiply in bf16', () => {
  const threads = ['1', '3'].map((count) => {
    process.env.RESCUNET_THREADS = count;
    registerDevice(`cpu of ${count}`, new AddonBackend('cpu'));
    delete process.env.RESCUNET_THREADS;
    return `cpu of ${count}`;
  });
  type Form = { x: number[]; oc: number; skip?: number[]; up?: boolean; kernel: RegExp; error: number };

  // The bounds are of the error's root mean square over the outputs'. Numbers without correlation are the worst that a form meets.
  it.each<[string, Form]>([
    ['F(4x4), odd channels and sizes', { x: [1, 13, 18, 37], oc: 21, kernel: /^winograd .*tile=4/m, error: 1.5e-2 }],
    ['F(4x4), one vector', { x: [2, 12, 13, 64], oc: 16, kernel: /^winograd .*tile=4/m, error: 1.5e-2 }],
    ['F(2x2), two passes', { x: [1, 7, 9, 301], oc: 50, kernel: /^winograd .*tile=2/m, error: 5e-3 }],
    ['upsampled', { x: [1, 7, 6, 19], oc: 35, up: true, kernel: /^winograd_up /m, error: 5e-3 }],
    [
      'upsampled and a skip',
      { x: [1, 9, 7, 270], oc: 40, skip: [1, 18, 14, 17], up: true, kernel: /^winograd_up .*tile=4/m, error: 1.5e-2 },
    ],
  ])('%s', (_, { x, oc, skip, up, kernel, error }) => {
    const random = randomFrom(seedOf(x.join()));
    const values = [x, ...(skip ? [skip] : []), [oc, 3, 3, x[3] + (skip?.[3] ?? 0)], [oc]].map((shape) => ({
      shape,
      data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal(random)),
    }));
    const on = (device: string) => values.map(({ shape, data }) => tensor(data, { shape, device }));
    const op = (maps: Tensor[]) => {
      const [w, bias] = maps.slice(-2);
      return up
        ? conv2dUpsampled(maps[0], w, { skip: skip && maps[1], bias })
        : conv2d(maps[0], w, { padding: 1, bias });
    };
    const [one, three] = threads.map((device) => {
      const maps = on(device);
      const rest = maps.slice(1);
      const frozen = capture((map: Tensor) => withPrecision('bf16', () => relu(op([map, ...rest]))), { frozen: true });
      const [first, second] = [frozen(maps[0]), frozen(maps[0])].map((y) => (y as Tensor).dataSync());
      expect(frozen.describe()).toMatch(kernel);
      expect(second).toEqual(first);
      frozen.dispose();
      return second;
    });
    expect(three).toEqual(one);
    const wanted = relu(op(on('reference'))).dataSync();
    const norm = (v: ArrayLike<number>) => Math.hypot(...Array.from(v));
    const found = norm(Array.from(wanted, (v, i) => v - one[i])) / norm(wanted);
    if (addon.info().cpu.bf16) expect(found).toBeGreaterThan(1e-3);
    expect(found).toBeLessThan(addon.info().cpu.bf16 ? error : 1e-5);
  });
});

describe('networks', () => {
  const path = sharedPath('golden/generator.safetensors');

  it.skipIf(!path)('the golden generator, in evaluation and training, near its f32 answers', () => {
    const golden = path ? loadSafetensors(path) : {};
    const prefix = 'attention/param/g/';
    const state = Object.entries(golden).filter(([name]) => name.startsWith(prefix));
    const generator = new Generator({ baseWidth: 8, seed: 1 });
    generator.loadStateDict(Object.fromEntries(state.map(([name, x]) => [name.slice(prefix.length), x])), {
      from: 'torch',
    });
    const x = half(golden['attention/x']);
    const { final, aux, attention } = tidy(() => generator.eval().forward(x));
    for (const y of [final, aux, ...attention]) expect(y.dtype).toBe('bf16');
    for (const name of ['final', 'aux'] as const) {
      const [y, wanted] = [{ final, aux }[name], golden[`attention/${name}`]];
      expect(alignment(y, wanted).cosine, name).toBeGreaterThan(0.998);
      expectClose(y, wanted, 0.12, name); // the worst pixel of 49,152
    }
    const trained = tidy(() => generator.train().forward(x));
    expect(trained.attention.map(({ dtype }) => dtype)).toEqual(['bf16', 'bf16', 'bf16', 'bf16']);
    // Norms over the 16 values that a channel of the smallest maps has are another function of rounded ones; f32 keeps 5e-3 there, 1e-4 in evaluation.
    expect(alignment(trained.final, golden['attention/train/final']).cosine).toBeGreaterThan(0.8);
    for (const p of Object.values(generator.stateDict())) expect(p.dtype).toBe('f32');
  });

  // In evaluation mode: norms over the smallest maps' few values make another direction of the rounding of the input alone.
  it('the gradients of a generator point where those of f32 do', () => {
    const generator = new Generator({ baseWidth: 8, seed: 3 }).eval();
    const parameters = generator.parameters();
    const [x, y] = [waves([2, 64, 64, 3], 9), waves([2, 64, 64, 3], 14)];
    const slopes = (type: 'f32' | 'bf16') =>
      tidy(() => {
        const { final, aux } = generator.forward(cast(x, type));
        return gradient(add(l1Loss(final, cast(y, type)), l1Loss(aux, cast(y, type))), parameters);
      });
    const [exact, rounded] = [slopes('f32'), slopes('bf16')];
    const wanted = { 'unet1.encoder.conv1.weight': 0.85, 'unet2.decoder.0.conv.weight': 0.99 };
    for (const [name, least] of Object.entries({ ...wanted, 'unet2.head.conv2.weight': 0.999 })) {
      expect(rounded[name].dtype).toBe('f32');
      const { cosine, ratio } = alignment(rounded[name], exact[name]);
      expect(cosine, `direction of ${name}`).toBeGreaterThan(least);
      expect(Math.abs(ratio - 1), `length of ${name}`).toBeLessThan(0.15);
    }
  });

  it('frozen for inference, answers as it does unfrozen', () => {
    const generator = new Generator({ baseWidth: 8, seed: 3 }).eval();
    const x = half(drawn([1, 64, 64, 3], 6));
    const plain = tidy(() => generator.forward(x).final);
    const frozen = optimizeForInference(generator);
    for (let i = 0; i < 2; i++) {
      const { final } = frozen(x) as { final: Tensor };
      expect(final.dtype).toBe('bf16');
      expect(relativeDifference(final, plain)).toBeLessThan(2 ** -5);
    }
    frozen.dispose();
  });

  it('FaceNet, and its gradient', () => {
    const network = new FaceNet({ seed: 7 });
    const faces = drawn([1, 160, 160, 3], 8);
    const run = (type: 'f32' | 'bf16') =>
      tidy(() => {
        const x = cast(faces, type);
        const y = network.forward(x);
        return { y, dx: gradient(sum(cast(mul(y, half(drawn([1, 512], 9)).cast(type)), 'f32')), x) };
      });
    const [exact, rounded] = [run('f32'), run('bf16')];
    expect([rounded.y.dtype, rounded.dx.dtype]).toEqual(['bf16', 'bf16']);
    expect(alignment(rounded.y, exact.y).cosine).toBeGreaterThan(0.99);
    expect(alignment(rounded.dx, exact.dx).cosine).toBeGreaterThan(0.9);
  });
});
