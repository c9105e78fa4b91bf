// Every sample of every case through the CUDA kernels: on their emulation (a build with RESCUNET_SIM, see CONTRIBUTING.md) in all
// three orders, which must agree to the bit, and on a card where the addon has one.
import { describe, expect, it } from 'vitest';
import '../src/tensor/index.js';
import { tensor } from '../src/tensor/create.js';
import { devices } from '../src/tensor/device.js';
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
import { opened } from './opened.js';
import { draw, evaluate, randomFrom, seedOf } from './samples.js';

const emulated = addon.devices().includes('sim');

const ORDERS = ['ascending', 'descending', 'random'];
const inOrders = (variables: Record<string, string> = {}): string[] =>
  ORDERS.map((order) => opened('sim', { ...variables, RESCUNET_SIM_ORDER: order }));

const tested = [...(emulated ? inOrders() : []), ...devices().filter((name) => name === 'cuda')];

type Evaluated = ReturnType<typeof evaluate>;
type Numbers = Record<string, TypedArray>;

/** The output and the gradients as numbers; not dataSync, so that the test runner's own messages get through. */
async function read({ y, gradients }: Evaluated): Promise<Numbers> {
  const numbers: Numbers = { output: await y.data() };
  for (const [name, dx] of Object.entries(gradients)) numbers[`gradient of ${name}`] = await dx.data();
  return numbers;
}

/** Every result is close to the reference, and they are equal to the bit. */
function expectAgreement(results: Numbers[], expected: Evaluated, tolerance: number): void {
  for (const actual of results) {
    expectClose(actual.output, expected.y.dataSync(), tolerance, 'output');
    for (const [name, dx] of Object.entries(expected.gradients))
      expectClose(actual[`gradient of ${name}`], dx.dataSync(), tolerance, `gradient of ${name}`);
    expect(actual).toEqual(results[0]);
  }
}

describe.skipIf(tested.length === 0)('CUDA kernels', () => {
  describe.each(Object.entries(cases))('%s', (stem, { samples }) => {
    for (const sample of samples) {
      it(`${sample.name}: agrees with the float64 reference, whatever the order of threads`, async () => {
        const seed = seedOf(`${stem} ${sample.name}`);
        const values = draw(sample, randomFrom(seed));
        const expected = evaluate(sample, values, 'reference', seed + 1);
        const results = [];
        for (const device of tested) results.push(await read(evaluate(sample, values, device, seed + 1)));
        expectAgreement(results, expected, sample.tolerance ?? 1e-5);
      });
    }
  });

  // Rounded operands: of the largest magnitude, for an output and for gradients that pass through two products.
  describe.each([
    ['tf32', '80', 2e-3],
    ['tf32', '90', 2e-3],
    ['bf16', '80', 1.5e-2],
  ] as const)('tensor cores, %s, sm_%s', (precision, architecture, tolerance) => {
    const RESCUNET_PRECISION = precision;
    const cards = addon.devices().includes('cuda') ? [opened('cuda', { RESCUNET_PRECISION })] : [];
    const devices = emulated
      ? [...cards, ...inOrders({ RESCUNET_PRECISION, RESCUNET_SIM_ARCHITECTURE: architecture })]
      : cards;
    // Only convolutions have a path of their own on sm_90.
    for (const stem of architecture === '90' ? ['conv2d'] : ['matmul', 'conv2d'])
      for (const sample of cases[stem].samples.filter(({ name }) => !name.startsWith('Winograd')))
        it(`${stem}, ${sample.name}`, async () => {
          const seed = seedOf(`${stem} ${sample.name}`);
          const values = draw(sample, randomFrom(seed));
          const expected = evaluate(sample, values, 'reference', seed + 1);
          const results = [];
          for (const device of devices) results.push(await read(evaluate(sample, values, device, seed + 1)));
          expectAgreement(results, expected, tolerance);
        });
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
