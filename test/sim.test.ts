// Every sample of every case through the CUDA kernels: on their emulation (a build with RESCUNET_SIM, see CONTRIBUTING.md) in all
// three orders, which must agree to the bit, and on a card where the addon has one.
import { describe, expect, it } from 'vitest';
import '../src/tensor/index.js';
import { tensor } from '../src/tensor/create.js';
import { AddonBackend, devices, registerDevice } from '../src/tensor/device.js';
import type { TypedArray } from '../src/tensor/dtype.js';
import { addon } from '../src/tensor/native.js';
import { mul } from '../src/tensor/ops/elementwise.js';
import { gather } from '../src/tensor/ops/layout.js';
import { matmul } from '../src/tensor/ops/matmul.js';
import { sum } from '../src/tensor/ops/reduce.js';
import { capture } from '../src/tensor/plan.js';
import type { Tensor } from '../src/tensor/tensor.js';
import { cases } from './cases/index.js';
import { expectClose } from './close.js';
import { draw, evaluate, randomFrom, seedOf } from './samples.js';

const emulated = addon.devices().includes('sim');

/** The emulation once more, its threads taking turns in another order. */
function simInOrder(order: string): string {
  const name = `sim ${order}`;
  process.env.RESCUNET_SIM_ORDER = order;
  registerDevice(name, new AddonBackend('sim'));
  delete process.env.RESCUNET_SIM_ORDER;
  return name;
}

const tested = [
  ...(emulated ? ['ascending', 'descending', 'random'].map(simInOrder) : []),
  ...devices().filter((name) => name === 'cuda'),
];

describe.skipIf(tested.length === 0)('CUDA kernels', () => {
  describe.each(Object.entries(cases))('%s', (stem, { samples }) => {
    for (const sample of samples) {
      it(`${sample.name}: agrees with the float64 reference, whatever the order of threads`, async () => {
        const seed = seedOf(`${stem} ${sample.name}`);
        const values = draw(sample, randomFrom(seed));
        const expected = evaluate(sample, values, 'reference', seed + 1);
        const tolerance = sample.tolerance ?? 1e-5;
        const results = [];
        for (const device of tested) {
          const { y, gradients } = evaluate(sample, values, device, seed + 1);
          const read: Record<string, TypedArray> = { output: await y.data() };
          for (const [name, dx] of Object.entries(gradients)) read[`gradient of ${name}`] = await dx.data();
          results.push(read);
        }
        for (const actual of results) {
          expectClose(actual.output, expected.y.dataSync(), tolerance, 'output');
          for (const [name, dx] of Object.entries(expected.gradients))
            expectClose(actual[`gradient of ${name}`], dx.dataSync(), tolerance, `gradient of ${name}`);
        }
        for (const other of results) expect(other).toEqual(results[0]);
      });
    }
  });

  it.each(tested)('%s: an index outside its axis is named, and only what depends on it fails', async (device) => {
    const x = tensor([1, 2, 3], { device });
    const bad = gather(x, tensor([0, 7, 9], { dtype: 'i32', device }));
    await expect(bad.data()).rejects.toThrow('gather: index 7 is outside the axis of 3 (kernel gather');
    expect(await x.data()).toEqual(Float32Array.from([1, 2, 3]));
  });

  it.each(tested)('%s: a captured step gives what the step gives, replay after replay', async (device) => {
    const step = (x: Tensor) => sum(mul(matmul(x, x), x));
    const captured = capture(step);
    for (let i = 0; i < 4; i++) {
      const x = tensor(
        Float32Array.from({ length: 36 }, (_, k) => Math.sin(k + i)),
        { shape: [6, 6], device },
      );
      expect(await captured(x).data()).toEqual(await step(x).data());
    }
  });
});
