// Products on tensor cores, by the emulation of sm_80 and of sm_90 and on a card where the addon has one.
import { describe, expect, it } from 'vitest';
import '../src/tensor/index.js';
import { addon } from '../src/tensor/native.js';
import type { Sample } from './cases/case.js';
import { cases } from './cases/index.js';
import { expectClose } from './close.js';
import { emulated, expectAgreement, inOrders, read } from './emulated.js';
import { opened } from './opened.js';
import { draw, evaluate, randomFrom, roundedMaps, seedOf } from './samples.js';

// Rounded operands: of the largest magnitude, for an output and for gradients that pass through two products.
describe.each([
  ['tf32', '80', 2e-3],
  ['tf32', '90', 2e-3],
  ['bf16', '80', 1.5e-2],
  ['bf16', '90', 1.5e-2],
] as const)('tensor cores, %s, sm_%s', (precision, architecture, tolerance) => {
  const RESCUNET_PRECISION = precision;
  const cards = addon.devices().includes('cuda') ? [opened('cuda', { RESCUNET_PRECISION })] : [];
  const devices = emulated
    ? [...cards, ...inOrders({ RESCUNET_PRECISION, RESCUNET_SIM_ARCHITECTURE: architecture })]
    : cards;
  for (const stem of ['matmul', 'conv2d', 'conv2dUpsampled'])
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

// What warpgroups multiply in every pass (convolve.cu). Their sums run in another order than sm_80's: equal bits would mean that they were not taken.
const BY_WARPGROUPS = [
  ...['64 channels, stride 2', '72 channels', '72 channels by tiles', '1x1 of 64 channels, stride 2'].map((name) => [
    'conv2d',
    name,
  ]),
  ...['40 channels, dilated', '4x4 of 128 channels, stride 2'].map((name) => ['conv2d', name]),
  ...['', ', first transposed', ', second transposed'].flatMap((form) =>
    [128, 256].map((n) => ['matmul', `${n} columns${form}`]),
  ),
  ['matmul', 'batched, whole lines'],
];
const RESCUNET_SIM_ARCHITECTURE = '90';
const RESCUNET_PRECISION = 'bf16';
describe.skipIf(!emulated).each(BY_WARPGROUPS)('%s by warpgroups, %s', (stem, name) => {
  const sample = cases[stem].samples.find((s) => s.name === name) as Sample;
  const { maps = [] } = cases[stem];
  const seed = seedOf(`${stem} ${name}`);
  const values = roundedMaps(draw(sample, randomFrom(seed)), maps);

  it('takes them', async () => {
    const on = async (architecture: string) => {
      const device = opened('sim', { RESCUNET_PRECISION, RESCUNET_SIM_ARCHITECTURE: architecture });
      return read(evaluate(sample, values, device, seed + 1));
    };
    const [warpgroups, warps] = [await on('90'), await on('80')];
    for (const part of Object.keys(warps)) {
      if (part === 'gradient of bias') continue;
      expectClose(warpgroups[part], warps[part], 1e-4, part);
      expect(warpgroups[part], part).not.toEqual(warps[part]);
    }
  });

  it('of bf16 maps agrees with the float64 reference, whatever the order of threads', async () => {
    const expected = evaluate(sample, values, 'reference', seed + 1);
    const results = [];
    for (const device of inOrders({ RESCUNET_SIM_ARCHITECTURE }))
      results.push(await read(evaluate(sample, values, device, seed + 1, { maps })));
    expectAgreement(results, expected, 2 ** -6);
  });
});
