// Every sample of every case through the CUDA kernels: on their emulation (a build with RESCUNET_SIM, see CONTRIBUTING.md) in all
// three orders, which must agree to the bit, and on a card where the addon has one. Products on tensor cores: sim_products.test.ts.
import { describe, expect, it } from 'vitest';
import '../src/tensor/index.js';
import { ones, tensor } from '../src/tensor/create.js';
import { batchNorm } from '../src/tensor/ops/batch_norm.js';
import { conv2d } from '../src/tensor/ops/conv2d.js';
import { add, mul } from '../src/tensor/ops/elementwise.js';
import { cast, gather } from '../src/tensor/ops/layout.js';
import { matmul } from '../src/tensor/ops/matmul.js';
import { avgPool2d } from '../src/tensor/ops/pool2d.js';
import { sum } from '../src/tensor/ops/reduce.js';
import { capture } from '../src/tensor/plan.js';
import { asNumbers, type Tensor } from '../src/tensor/tensor.js';
import { cases } from './cases/index.js';
import { expectClose } from './close.js';
import { expectAgreement, read, tested } from './emulated.js';
import { draw, evaluate, randomFrom, roundedMaps, seedOf } from './samples.js';

describe.skipIf(tested.length === 0)('CUDA kernels', () => {
  describe.each(Object.entries(cases))('%s', (stem, { samples, maps = [] }) => {
    for (const sample of samples) {
      it(`${sample.name}: agrees with the float64 reference, whatever the order of threads`, async () => {
        const seed = seedOf(`${stem} ${sample.name}`);
        const values = draw(sample, randomFrom(seed));
        const expected = evaluate(sample, values, 'reference', seed + 1);
        const results = [];
        for (const device of tested) results.push(await read(evaluate(sample, values, device, seed + 1)));
        expectAgreement(results, expected, sample.tolerance ?? 1e-5);
      });
      if (!maps.some((name) => name in sample.inputs)) continue;
      it(`${sample.name}: of bf16 maps, the same`, async () => {
        const seed = seedOf(`${stem} ${sample.name}`);
        const values = roundedMaps(draw(sample, randomFrom(seed)), maps);
        const expected = evaluate(sample, values, 'reference', seed + 1);
        const results = [];
        for (const device of tested) results.push(await read(evaluate(sample, values, device, seed + 1, { maps })));
        expectAgreement(results, expected, sample.bf16Tolerance ?? 2 ** -6);
      });
    }
  });

  it.each(tested)('%s: an index outside its axis is named, and only what depends on it fails', async (device) => {
    const x = tensor([1, 2, 3], { device });
    const bad = gather(x, tensor([0, 7, 9], { dtype: 'i32', device }));
    await expect(bad.data()).rejects.toThrow('gather: index 7 is outside the axis of 3 (kernel gather');
    expect(await x.data()).toEqual(Float32Array.from([1, 2, 3]));
  });

  it.each(tested)('%s: kernels that read bf16 maps themselves get no casts', async (device) => {
    const x = tensor(
      Float32Array.from({ length: 48 }, (_, i) => Math.sin(i)),
      { shape: [1, 4, 4, 3], device },
    );
    const captured = capture((y: Tensor) => sum(avgPool2d(add(mul(y, y), 0.5), { kernelSize: 2 })));
    const loss = captured(cast(x, 'bf16'));
    expect(Math.abs(Number(await loss.item()) - 11.9)).toBeLessThan(0.3); // a quarter of the sum of sin^2 + 1/2
    const kernels = captured.describe().split('\n').slice(-5);
    expect(kernels.filter((line) => line.startsWith('cast'))).toEqual([]);
    expect(kernels.filter((line) => / stored=[1-9]/.test(line)).length).toBe(4);
    captured.dispose();
  });

  it.each(tested)('%s: a frozen step over bf16 maps keeps their types', async (device) => {
    const waves = (shape: number[], phase: number) => {
      const size = shape.reduce((product, n) => product * n, 1);
      return tensor(
        Float32Array.from({ length: size }, (_, i) => Math.sin(i * phase)),
        { shape, device },
      );
    };
    const w = waves([16, 3, 3, 16], 1.3);
    const norm = {
      weight: waves([16], 2),
      bias: waves([16], 3),
      runningMean: waves([16], 4),
      runningVar: ones([16], { device }),
    };
    for (const size of [4, 16]) {
      const x = cast(waves([1, size, size, 16], 0.7), 'bf16');
      const step = (x: Tensor) =>
        batchNorm(conv2d(x, w, { padding: 1 }), { ...norm, residual: x, activation: 'relu' as const });
      const frozen = capture(step, { frozen: true });
      const plain = step(x);
      for (let i = 0; i < 3; i++) {
        const y = frozen(x);
        expect(y.dtype).toBe('bf16');
        const [a, b] = [asNumbers(await y.data(), 'bf16'), asNumbers(await plain.data(), 'bf16')];
        expectClose(a, b, 2 ** -6, `${size}x${size}`);
      }
      frozen.dispose();
    }
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
