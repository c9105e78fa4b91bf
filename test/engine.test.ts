// The engine: values in and out, scopes, capture, failures, randomness.
import ndarray from 'ndarray';
import { afterEach, describe, expect, it } from 'vitest';
import {
  arange,
  capture,
  DeviceError,
  eye,
  flush,
  fromNdarray,
  full,
  gradient,
  manualSeed,
  memory,
  ones,
  rand,
  randn,
  ShapeError,
  setDefaultDevice,
  type Tensor,
  tensor,
  tidy,
  toNdarray,
  variable,
  zeros,
} from '../src/tensor/index.js';
import { record } from '../src/tensor/record.js';

/** Bytes in live tensors once everything submitted has run. */
function liveBytes(): number {
  return tidy(() => {
    zeros([1]).dataSync();
    return memory('cpu').bytes - 4;
  });
}

describe('values', () => {
  it('come back as they went in', async () => {
    const x = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(x.shape).toEqual([2, 3]);
    expect(x.dtype).toBe('f32');
    expect(x.device).toBe('cpu');
    expect(x.size).toBe(6);
    expect(await x.data()).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    expect(x.dataSync()).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    expect(await x.toArray()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(await tensor(2.5).item()).toBe(2.5);
    expect(await tensor(2.5).toArray()).toBe(2.5);
    expect(await tensor(new Int32Array([1, -2]), { dtype: 'i32' }).toArray()).toEqual([1, -2]);
    expect(await tensor([300, -1, 7.9], { dtype: 'u8' }).toArray()).toEqual([255, 0, 7]);
    expect(await tensor([1, 1.00390625, 3], { dtype: 'bf16' }).toArray()).toEqual([1, 1, 3]);
    expect(await zeros([0, 3]).toArray()).toEqual([]);
  });

  it('are made by shape', async () => {
    expect(await full([2], 7, { dtype: 'u8' }).toArray()).toEqual([7, 7]);
    expect(await ones([1, 2]).toArray()).toEqual([[1, 1]]);
    expect(await arange(3).toArray()).toEqual([0, 1, 2]);
    expect(await arange(3, { start: 1, step: 2, dtype: 'i32' }).toArray()).toEqual([1, 3, 5]);
    expect(await eye(2).toArray()).toEqual([
      [1, 0],
      [0, 1],
    ]);
  });

  it('pass through ndarray, strides honoured', async () => {
    const transposed = ndarray(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]).transpose(1, 0);
    const x = fromNdarray(transposed);
    expect(await x.toArray()).toEqual([
      [1, 4],
      [2, 5],
      [3, 6],
    ]);
    expect(await tensor(transposed).toArray()).toEqual(await x.toArray());
    const back = await toNdarray(x);
    expect(back.shape).toEqual([3, 2]);
    expect(back.get(2, 0)).toBe(3);
  });

  it('are refused with the reason', async () => {
    expect(() => tensor([[1, 2], [3]])).toThrow('tensor: nested arrays of uneven length (1 against 2 at depth 1)');
    expect(() => tensor([1, 2, 3], { shape: [2, 2] })).toThrow('tensor: 3 values for shape [2,2] (4)');
    expect(() => zeros([-1])).toThrow(ShapeError);
    expect(() => zeros([2], { device: 'tpu' })).toThrow("there is no device 'tpu' here; devices: cpu");
    expect(() => setDefaultDevice('tpu')).toThrow(DeviceError);
    await expect(ones([2]).item()).rejects.toThrow('item: one element is wanted, x is [2]');
  });

  it('have methods for every op', async () => {
    const x = tensor([1, -2, 3]);
    expect(await x.relu().add(1).mul(x).sum().item()).toBe(2 - 2 + 12);
  });
});

describe('scopes', () => {
  it('free what they made and keep what they return', () => {
    const before = liveBytes();
    const kept = tidy(() => {
      const x = randn([256, 256], { seed: 1 });
      return { y: x.mul(2).add(x), list: [x.sum()] };
    });
    expect(liveBytes()).toBe(before + 256 * 256 * 4 + 4);
    kept.y.dispose();
    kept.list[0].dispose();
    expect(liveBytes()).toBe(before);
  });

  it('nest, hold when the function throws, and refuse async functions', () => {
    const before = liveBytes();
    expect(() =>
      tidy(() => {
        tidy(() => ones([100])).add(1);
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(liveBytes()).toBe(before);
    expect(() => tidy(async () => ones([1]))).toThrow('tidy: the function must not be async');
  });

  it('keep variables', async () => {
    const v = tidy(() => variable(ones([2])));
    expect(await v.assign(full([2], 3)).toArray()).toEqual([3, 3]);
    expect(() => v.assign(ones([3]))).toThrow('assign: variable [2] f32, x [3] f32');
  });

  it('say when a tensor is used after its end', () => {
    const x = ones([2, 3]);
    x.dispose();
    x.dispose();
    expect(() => x.add(1)).toThrow('this tensor [2,3] was disposed of');
  });

  it('do not leak over many steps', () => {
    const v = variable(ones([64]));
    const step = () => tidy(() => v.assign(v.sub(gradient(v.mul(v).sum(), v).mul(0.01))));
    step();
    const before = liveBytes();
    for (let i = 0; i < 1000; i++) step();
    expect(liveBytes()).toBe(before);
  });
});

describe('gradient', () => {
  it('returns the form it was asked in', async () => {
    const [x, y] = [tensor([2, 3]), tensor([5, 7])];
    const loss = x.mul(y).sum();
    expect(await gradient(loss, x).toArray()).toEqual([5, 7]);
    expect(await gradient(loss, [x, y])[1].toArray()).toEqual([2, 3]);
    expect(await gradient(loss, { y }).y.toArray()).toEqual([2, 3]);
    expect(await gradient(loss, ones([2])).toArray()).toEqual([0, 0]);
    expect(() => gradient(x, y)).toThrow('gradient: the loss must have one element, got [2]');
  });

  it('adds up along every path', async () => {
    const x = tensor([3]);
    expect(await gradient(x.mul(x).add(x).mul(x).sum(), x).toArray()).toEqual([3 * 9 + 2 * 3]);
  });

  it('refuses a variable that was assigned since', () => {
    const v = variable(tensor([2]));
    const loss = v.mul(v).sum();
    v.assign(tensor([3]));
    expect(() => gradient(loss, v)).toThrow('gradient: a variable used by mul was assigned since');
  });

  it('walks deep graphs', async () => {
    const x = tensor([1]);
    let y = x;
    for (let i = 0; i < 20000; i++) y = y.add(1);
    expect(await gradient(y.sum(), x).toArray()).toEqual([1]);
  });
});

describe('capture', () => {
  it('replays with new arguments, once per shape', async () => {
    let runs = 0;
    const f = capture((x: Tensor, y: Tensor) => {
      runs++;
      const z = x.matmul(y);
      return { z, total: [z.sum()] };
    });
    const check = async (n: number, a: number) => {
      const { z, total } = f(full([n, 2], a), ones([2, 3]));
      expect(await total[0].item()).toBe(n * 3 * 2 * a);
      expect(z.shape).toEqual([n, 3]);
    };
    await check(4, 1);
    await check(4, 5);
    await check(7, 2);
    await check(4, 3);
    expect(runs).toBe(2);
    expect(f.describe()).toContain('matmul');
    f.dispose();
  });

  it('trains like the eager step, bit for bit, and its results stay', async () => {
    const train = async (captured: boolean) => {
      const w = variable(randn([8, 4], { seed: 3 }));
      const step = (x: Tensor, lr: Tensor) => {
        const loss = x.matmul(w).tanh().mul(x.matmul(w)).mean();
        w.assign(w.sub(gradient(loss, w).mul(lr)));
        return loss;
      };
      const run = captured ? capture(step) : step;
      const losses: Tensor[] = [];
      for (let i = 0; i < 5; i++) losses.push(run(randn([16, 8], { seed: i }), tensor(0.1 / (i + 1))));
      return [...(await Promise.all(losses.map((l) => l.item()))), ...(await w.data())];
    };
    expect(await train(true)).toEqual(await train(false));
  });

  it('outlives the scope in which it was first called', async () => {
    const f = capture((x: Tensor) => x.mul(3));
    for (let i = 0; i < 3; i++) {
      const y = tidy(() => f(full([2], i)));
      expect(await y.toArray()).toEqual([3 * i, 3 * i]);
    }
  });

  it('plans memory by life time', () => {
    const f = capture((x: Tensor) => {
      let y = x;
      for (let i = 0; i < 50; i++) y = y.add(1);
      return y;
    });
    f(zeros([1000])).dispose();
    expect(f.arenaBytes).toBeLessThanOrEqual(3 * 4096);
    f.dispose();
  });

  it('frees everything when disposed of', () => {
    const before = liveBytes();
    const x = ones([100, 100]);
    const f = capture((x: Tensor) => x.mul(2).add(1));
    f(x).dispose();
    f.dispose();
    x.dispose();
    expect(liveBytes()).toBe(before);
  });

  it('draws anew at every replay, as the eager code does', async () => {
    const f = capture(() => randn([5]));
    manualSeed(11);
    const captured = [await f().toArray(), await f().toArray()];
    manualSeed(11);
    expect(captured).toEqual([await randn([5]).toArray(), await randn([5]).toArray()]);
    expect(captured[0]).not.toEqual(captured[1]);
  });

  it('refuses what a replay could not repeat', () => {
    expect(() => capture((x: Tensor) => x.dataSync())(ones([1]))).toThrow(DeviceError);
    expect(() => capture((x: Tensor) => x.add(tensor([1, 2])))(ones([2]))).toThrow(
      'data cannot be uploaded inside a captured step',
    );
    expect(() => capture((x: Tensor) => variable(x))(ones([1]))).toThrow('create variables before the captured step');
    const inner = capture((x: Tensor) => x.add(1));
    expect(() => capture((x: Tensor) => inner(x))(ones([1]))).toThrow('capture');
  });
});

describe('failures', () => {
  it('name the kernel, reach what depends on it, and nothing else', async () => {
    const bad = ones([3]).gather(tensor([0, 5], { dtype: 'i32' }));
    const after = bad.add(1);
    await expect(after.data()).rejects.toThrow(
      /gather: index 5 is outside the axis of 3 \(kernel gather, instruction \d+\)/,
    );
    await expect(after.data()).rejects.toThrow(DeviceError);
    expect(() => bad.dataSync()).toThrow(DeviceError);
    expect(await ones([2]).add(1).toArray()).toEqual([2, 2]);
  });

  it('out of memory is one of them', async () => {
    // More than any address space, so that no system can promise it.
    const huge = ones([1 << 20, 1 << 20, 1 << 11])
      .add(1)
      .sum();
    await expect(huge.data()).rejects.toThrow('out of memory: wanted');
    expect(await ones([2]).toArray()).toEqual([1, 1]);
  });

  it('refuse an instruction whole: what follows runs on', async () => {
    const x = ones([2]);
    const outputs = [{ shape: [2] }];
    expect(() => record('reduce_sum', { inputs: [x], outputs, params: {} })).toThrow(
      'reduce_sum: parameter outer is missing',
    );
    expect(await x.add(1).toArray()).toEqual([2, 2]);
  });

  describe('with RESCUNET_DEBUG=1', () => {
    afterEach(() => {
      delete process.env.RESCUNET_DEBUG;
    });
    it('surface at the faulty line', () => {
      process.env.RESCUNET_DEBUG = '1';
      expect(() => ones([3]).gather(tensor([7], { dtype: 'i32' }))).toThrow('gather: index 7');
    });
  });
});

describe('random numbers', () => {
  it('repeat from a seed and otherwise go on', async () => {
    manualSeed(5);
    const first = await rand([7]).toArray();
    const second = await rand([7]).toArray();
    manualSeed(5);
    expect(await rand([7]).toArray()).toEqual(first);
    expect(await rand([7]).toArray()).toEqual(second);
    expect(first).not.toEqual(second);
    expect(await rand([3], { seed: 9 }).toArray()).toEqual(await rand([3], { seed: 9 }).toArray());
  });

  it('have the right moments', async () => {
    const n = 100000;
    const x = (await randn([n], { seed: 42 }).data()) as Float32Array;
    const mean = x.reduce((a, b) => a + b, 0) / n;
    const variance = x.reduce((a, b) => a + b * b, 0) / n;
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(n));
    expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
    const u = (await rand([n], { seed: 42 }).data()) as Float32Array;
    expect(Math.min(...u.subarray(0, 10000))).toBeGreaterThanOrEqual(0);
    expect(Math.max(...u.subarray(0, 10000))).toBeLessThan(1);
    expect(Math.abs(u.reduce((a, b) => a + b, 0) / n - 0.5)).toBeLessThan(4 / Math.sqrt(12 * n));
  });
});

it('work that nobody reads is sent by flush', () => {
  ones([4]).add(1);
  expect(() => flush()).not.toThrow();
});
