// Batch norm's statistics from the convolution before it (fuse.ts), above all on the emulation of the CUDA kernels (a build with RESCUNET_SIM, see
// CONTRIBUTING.md): a captured step against the uncaptured one, whose statistics read the map again, and against the reference.
import { describe, expect, it } from 'vitest';
import '../src/tensor/index.js';
import { tensor } from '../src/tensor/create.js';
import { AddonBackend, registerDevice } from '../src/tensor/device.js';
import { gradient } from '../src/tensor/gradient.js';
import { addon } from '../src/tensor/native.js';
import { batchNorm } from '../src/tensor/ops/batch_norm.js';
import { conv2d } from '../src/tensor/ops/conv2d.js';
import { conv2dUpsampled } from '../src/tensor/ops/conv2d_upsampled.js';
import { mul } from '../src/tensor/ops/elementwise.js';
import { cast } from '../src/tensor/ops/layout.js';
import { sum } from '../src/tensor/ops/reduce.js';
import { capture } from '../src/tensor/plan.js';
import { variable } from '../src/tensor/record.js';
import { asNumbers, type Tensor } from '../src/tensor/tensor.js';
import './cases/index.js';
import { expectClose } from './close.js';
import { opened } from './opened.js';
import { normal, randomFrom } from './samples.js';

interface Layer {
  x: number[];
  w: number[];
  skip?: number[];
  options?: { stride?: number; padding?: number; groups?: number };
  kernel: string;
  /** Too large for gradients on fibers. */
  forwardOnly?: boolean;
}

const LAYERS: Record<string, Layer> = {
  'ragged rows and channels': {
    x: [2, 9, 7, 40],
    w: [37, 3, 3, 40],
    options: { padding: 1 },
    kernel: 'winograd_stats',
  },
  'split sums': { x: [1, 8, 9, 128], w: [40, 3, 3, 128], options: { padding: 1 }, kernel: 'winograd_stats' },
  'stride 2': { x: [1, 18, 16, 32], w: [130, 4, 4, 32], options: { stride: 2, padding: 1 }, kernel: 'conv2d_stats' },
  'a small map': { x: [1, 3, 5, 20], w: [18, 3, 3, 20], options: { padding: 1 }, kernel: 'conv2d_stats' },
  groups: { x: [1, 7, 7, 24], w: [36, 3, 3, 12], options: { groups: 2 }, kernel: 'conv2d_stats' },
  depthwise: { x: [2, 7, 6, 24], w: [24, 3, 3, 1], options: { groups: 24 }, kernel: 'conv2d_stats' },
  'few outputs': { x: [1, 8, 8, 20], w: [5, 3, 3, 20], options: { padding: 1 }, kernel: 'conv2d_stats' },
  'upsampled, odd channels': { x: [1, 5, 6, 17], w: [19, 3, 3, 17], kernel: 'winograd_up_stats' },
  upsampled: { x: [1, 5, 6, 24], skip: [1, 10, 12, 16], w: [33, 3, 3, 40], kernel: 'winograd_up_stats' },
};

/** The larger tiles of either form, and more tiles of rows than are merged at once. */
const LARGE: [name: string, architecture: string, x: number[], outputs: number][] = [
  ['tiles of 128 x 128', '80', [1, 88, 96, 16], 132],
  ['many tiles', '80', [1, 257, 257, 16], 12],
  ['warpgroups, 128 columns', '90', [1, 67, 65, 32], 250],
  ['warpgroups, 256 columns', '90', [1, 67, 128, 32], 250],
];

/** A step of one layer on a device: its results by name, and the list where it was captured. */
async function evaluate(layer: Layer, device: string, dtype: 'f32' | 'bf16', captured: boolean) {
  const random = randomFrom(11);
  const drawn = (shape: number[], scale = 1, shift = 0) => {
    const size = shape.reduce((product, n) => product * n, 1);
    return tensor(
      Float32Array.from({ length: size }, () => shift + scale * normal(random)),
      { shape, device },
    );
  };
  const c = layer.w[0];
  const w = drawn(layer.w, 0.1);
  // Far from zero, where it costs digits to sum squares; a map of bf16 would have none left itself.
  const bias = drawn([c], 1, dtype === 'f32' ? 100 : 0);
  const norm = { weight: drawn([c], 0.2, 1), bias: drawn([c]) };
  const running = { runningMean: variable(drawn([c])), runningVar: variable(drawn([c])) };
  const skip = layer.skip && cast(drawn(layer.skip), dtype);
  const map = cast(drawn(layer.x), dtype);
  const step = (x: Tensor) => {
    const y =
      layer.kernel === 'winograd_up_stats'
        ? conv2dUpsampled(x, w, { skip, bias })
        : conv2d(x, w, { ...layer.options, bias });
    const z = batchNorm(y, { ...norm, ...running, training: true, momentum: 1, activation: 'relu' });
    if (layer.forwardOnly) return { z };
    const square = cast(mul(z, z), 'f32');
    return { z, ...gradient(sum(square), { x, w }) };
  };
  const replayed = captured ? capture(step, { device }) : undefined;
  const results: Record<string, Tensor> = { ...(replayed ?? step)(map), ...running };
  const numbers: Record<string, ArrayLike<number>> = {};
  for (const [name, y] of Object.entries(results)) numbers[name] = asNumbers(await y.data(), y.dtype);
  return { numbers, list: replayed?.describe() ?? '' };
}

const ORDERS = ['ascending', 'descending', 'random'];

/** Precision of products, architecture, type of maps, tolerance. */
const DEVICES: [string, string, 'f32' | 'bf16', number][] = [
  ['f32', '80', 'f32', 1e-4],
  ['tf32', '80', 'f32', 1e-2],
  ['tf32', '90', 'f32', 1e-2],
  ['bf16', '90', 'f32', 5e-2],
  ['f32', '80', 'bf16', 2 ** -5],
  ['f32', '90', 'bf16', 2 ** -5],
];

describe('on the cpu the kernels are two in turn', () => {
  const { name } = registerDevice('measuring cpu', Object.assign(new AddonBackend('cpu'), { measures: true }));
  it.each(Object.entries(LAYERS))('%s', async (_, layer) => {
    const { numbers, list } = await evaluate(layer, name, 'f32', true);
    expect(list).toMatch(new RegExp(`^${layer.kernel} .*mean=#`, 'm'));
    expect(numbers).toEqual((await evaluate(layer, name, 'f32', false)).numbers);
  });
});

describe.skipIf(!addon.devices().includes('sim'))('statistics of what a convolution writes', () => {
  const check = async (
    layer: Layer,
    [RESCUNET_PRECISION, RESCUNET_SIM_ARCHITECTURE, dtype, tolerance]: (typeof DEVICES)[number],
  ) => {
    const devices = ORDERS.map((RESCUNET_SIM_ORDER) =>
      opened('sim', { RESCUNET_PRECISION, RESCUNET_SIM_ARCHITECTURE, RESCUNET_SIM_ORDER }),
    );
    const plain = await evaluate(layer, devices[0], dtype, false);
    const expected = await evaluate(layer, 'reference', dtype, false);
    const results = [];
    for (const device of devices) results.push(await evaluate(layer, device, dtype, true));
    const [{ numbers, list }] = results;
    expect(list).toMatch(new RegExp(`^${layer.kernel} .*mean=#`, 'm'));
    expect(list).not.toMatch(/^batch_norm_stats /m);
    for (const { numbers: others } of results) expect(others).toEqual(numbers);
    for (const name of ['runningMean', 'runningVar']) expectClose(numbers[name], plain.numbers[name], 1e-6, name);
    for (const [name, values] of Object.entries(expected.numbers)) expectClose(numbers[name], values, tolerance, name);
  };

  describe.each(DEVICES)('%s, sm_%s, maps of %s', (...device) => {
    it.each(Object.entries(LAYERS))('%s', (_, layer) => check(layer, device));
  });

  it.each(LARGE)('%s, sm_%s', (_, architecture, x, outputs) => {
    const layer = { x, w: [outputs, 1, 1, x[3]], kernel: 'conv2d_stats', forwardOnly: true };
    return check(layer, ['f32', architecture, 'bf16', 2 ** -5]);
  });

  it('are not taken from an input gradient, nor where something else is normalised', async () => {
    const device = opened('sim', {});
    const w = tensor(new Float32Array(32 * 9 * 32).fill(0.1), { shape: [32, 3, 3, 32], device });
    const c = (value: number) => tensor(new Float32Array(32).fill(value), { device });
    const norm = { weight: c(1), bias: c(0), runningMean: c(0), runningVar: c(1), training: true };
    const step = capture((x: Tensor) => {
      const dx = gradient(sum(mul(conv2d(x, w, { padding: 1 }), x)), x);
      return [batchNorm(dx, norm), batchNorm(x, norm)];
    });
    const x = tensor(
      Float32Array.from({ length: 2048 }, (_, i) => Math.sin(i)),
      { shape: [1, 8, 8, 32], device },
    );
    for (const y of step(x)) expect(Number.isFinite((await y.data())[0])).toBe(true);
    expect(step.describe().match(/^batch_norm_stats /gm)).toHaveLength(2);
    expect(step.describe()).not.toMatch(/_stats .*w=#/);
  });
});
