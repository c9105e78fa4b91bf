// What the emulated card (native/cuda/sim_device.cc) shows of any: captured steps in every order that their dependencies allow, and failures of
// hardware. Needs a build with RESCUNET_SIM (CONTRIBUTING.md).
import { describe, expect, it } from 'vitest';
import {
  add,
  capture,
  DeviceError,
  mul,
  ones,
  softmax,
  sub,
  sum,
  type Tensor,
  tensor,
  variable,
} from '../src/tensor/index.js';
import { addon } from '../src/tensor/native.js';
import { gather } from '../src/tensor/ops/layout.js';
import { opened } from './opened.js';

const waves = (device: string, phase = 0): Tensor =>
  tensor(
    Float32Array.from({ length: 24 }, (_, k) => Math.sin(k + phase)),
    { shape: [4, 6], device },
  );

/** Two branches that meet, temporaries that lie where others lay, and a variable that is read and then written. */
function branching(device: string) {
  const weight = variable(waves(device, 1));
  const step = capture((x: Tensor) => {
    const left = softmax(mul(mul(x, x), weight), { axis: 1 });
    const right = sum(sub(softmax(add(x, weight), { axis: 0 }), x), { axes: [0] });
    const both = add(mul(left, right), mul(right, right));
    weight.assign(add(mul(weight, 0.5), both));
    return sum(mul(both, left));
  });
  return async (replays: number): Promise<number[]> => {
    const losses = [];
    for (let i = 0; i < replays; i++) losses.push(await step(waves(device, i)).item());
    return [...losses, ...(await weight.data())];
  };
}

describe.skipIf(!addon.devices().includes('sim'))('the emulated card', () => {
  it.each(['descending', 'random'])('a captured step has the same bits in %s order', async (order) => {
    const shuffled = await branching(opened('sim', { RESCUNET_SIM_ORDER: order }))(40);
    expect(shuffled).toEqual(await branching('sim')(40));
    expect(shuffled).not.toContain(Number.NaN);
  });

  it('a dependency that is left out shows', async () => {
    const right = await branching('sim')(60);
    let edge = 0;
    for (; edge < 100; edge++) {
      const device = opened('sim', { RESCUNET_SIM_ORDER: 'random', RESCUNET_SIM_WITHOUT_EDGE: `${edge}` });
      const wrong = await branching(device)(60).catch((error: Error) => error.message);
      if (typeof wrong === 'string') {
        expect(wrong).toContain(`the list has ${edge} dependencies`);
        break;
      }
      expect(wrong, `without dependency ${edge}`).not.toEqual(right);
    }
    expect(edge).toBeGreaterThan(10);
  });
});

describe.skipIf(!addon.devices().includes('sim'))('failures of a card', () => {
  const failing = (failure: string): string => opened('sim', { RESCUNET_SIM_FAILURE: failure });

  it('out of memory says what was wanted and what is in use, and the rest goes on', async () => {
    const device = failing('memory:3000000');
    const x = ones([512, 1024], { device });
    await expect(x.add(1).data()).rejects.toThrow(
      /^out of memory: wanted 2 MiB more, [23] MiB are in use; use a smaller batch or dispose of tensors \(tidy, dispose\)$/,
    );
    expect(await x.data()).toHaveLength(512 * 1024);
  });

  it('memory that a kernel wants for itself is named with it', async () => {
    const device = failing('memory:240010');
    const x = ones([1, 60000], { device });
    await expect(sum(x).data()).rejects.toThrow(
      /out of memory: wanted room for a kernel's own sums, .* \(kernel reduce_sum, instruction 2\)/,
    );
    expect(await ones([1], { device }).data()).toEqual(Float32Array.of(1));
  });

  it('a kernel that fails is named, and only what depends on it fails', async () => {
    const device = failing('kernel:softmax');
    const x = waves(device);
    const bad = add(softmax(x, { axis: 1 }), 1);
    await expect(bad.data()).rejects.toThrow('sim: the launch failed (kernel softmax, instruction 1)');
    expect(await x.data()).toEqual(await waves('cpu').data());
  });

  it('a lost card refuses all further work in one sentence; the cpu goes on', async () => {
    const device = failing('lost:softmax');
    const before = waves(device);
    expect(await before.data()).toEqual(await waves('cpu').data());
    const text =
      "sim: an illegal memory access was encountered: the device is lost to this process (noticed after kernel softmax, instruction 1; RESCUNET_DEBUG=1 finds the one that failed); start anew, or go on with the device 'cpu'";
    const bad = softmax(before, { axis: 1 });
    await expect(bad.data()).rejects.toThrow(new DeviceError(text));
    await expect(before.data()).rejects.toThrow(text);
    await expect(ones([2], { device }).add(1).data()).rejects.toThrow(text);
    await expect(capture((x: Tensor) => mul(x, x))(waves(device)).data()).rejects.toThrow(text);
    for (const x of [before, bad]) x.dispose();
    const own = waves('cpu');
    expect(await add(own, own).data()).toEqual((await own.data()).map((v) => 2 * v));
  });

  it('a driver that is missing or too old, or that finds no card, is told from one another', () => {
    expect(() => failing('driver:0')).toThrow(
      "sim: there is no NVIDIA driver here; install one for CUDA 13.0 or later, or use the device 'cpu'",
    );
    expect(() => failing('driver:12040')).toThrow(
      'the NVIDIA driver is for CUDA 12.4, the kernels were built with 13.0; install a newer driver',
    );
    expect(() => failing('cards:0')).toThrow(DeviceError);
    expect(() => failing('cards:0')).toThrow('the NVIDIA driver finds no card (CUDA_VISIBLE_DEVICES may hide them)');
    expect(() => failing('melt')).toThrow(
      "RESCUNET_SIM_FAILURE: memory, kernel, lost, driver or cards with a value, got 'melt'",
    );
  });
});

// On every device: cpu, and what else this build has.
describe.each(addon.devices())('a captured step on %s', (device) => {
  it('recovers from an input that was faulty', async () => {
    const weight = variable(ones([4, 6], { device }));
    const step = capture((x: Tensor) => {
      const y = mul(x, weight);
      return add(y, y);
    });
    const good = waves(device);
    const right = await step(good).data();
    const index = tensor([0, 1, 2, 9], { dtype: 'i32', device });
    for (let i = 0; i < 3; i++) await expect(step(gather(good, index)).data()).rejects.toThrow('index 9 is outside');
    for (let i = 0; i < 3; i++) expect(await step(good).data()).toEqual(right);
  });

  it('keeps a variable faulty that a faulty step wrote, until it is assigned', async () => {
    const total = variable(ones([4, 6], { device }));
    const step = capture((x: Tensor) => {
      total.assign(add(total, x));
      return sum(total);
    });
    const good = waves(device);
    await step(good).data();
    const index = tensor([0, 1, 2, 9], { dtype: 'i32', device });
    await expect(step(gather(good, index)).data()).rejects.toThrow('index 9 is outside');
    await expect(step(good).data()).rejects.toThrow('index 9 is outside');
    total.assign(ones([4, 6], { device }));
    expect(await step(good).item()).toBeCloseTo(24 + (await good.data()).reduce((a, b) => a + b, 0), 4);
  });
});
