// The captured GAN step: what it does is what its parts do one after the other; its state is all there is to it.
import { describe, expect, it } from 'vitest';
import { Discriminator } from '../src/models/discriminator.js';
import { discriminatorLosses, finalLoss } from '../src/nn/losses.js';
import { Adam } from '../src/nn/optim.js';
import { coloursOf, footprintTensor, generatorInputs } from '../src/pipeline/generator-input.js';
import { createGenerator, type GeneratorKind } from '../src/pipeline/generators.js';
import { GanStep, type GanStepOptions, type PairBatch } from '../src/pipeline/train/step.js';
import { gradient, manualSeed, type Tensor, tensor, tidy } from '../src/tensor/index.js';

const SIZE = 64;
const footprint = Uint8Array.from({ length: SIZE * SIZE }, (_, p) => Number(p % SIZE > 3 && p > 5 * SIZE));

/** Bytes that differ from batch to batch, black outside the footprint. */
function batchOf(seed: number, n = 2): PairBatch {
  const bytes = (offset: number) =>
    Uint8Array.from({ length: 3 * n * SIZE * SIZE }, (_, i) =>
      footprint[Math.floor(i / 3) % (SIZE * SIZE)] ? (Math.imul(i + offset, 2654435761) >>> 24) % 200 : 0,
    );
  return {
    incomplete: bytes(seed),
    complete: bytes(7 * seed + 1),
    mask: Uint8Array.from({ length: n * SIZE * SIZE }, (_, p) => Number(p % 5 > 1)),
  };
}

function build(kind: GeneratorKind, options: Partial<GanStepOptions> = {}, judged = true) {
  const generator = createGenerator({ kind, baseWidth: 4, seed: 1, levels: 6, input: 'masked' });
  const local = judged ? new Discriminator({ baseWidth: 4, seed: 2 }) : undefined;
  const global = judged ? new Discriminator({ baseWidth: 4, seed: 3 }) : undefined;
  const step = new GanStep({ generator, local, global }, { size: SIZE, footprint, lr: 1e-3, ...options });
  return { step, generator, local, global };
}

const values = (state: Record<string, Tensor>): Record<string, number[]> =>
  Object.fromEntries(Object.entries(state).map(([name, x]) => [name, Array.from(x.dataSync())]));

describe('GanStep', () => {
  it('is one discriminator step and then one generator step', async () => {
    manualSeed(5);
    const { step, ...networks } = build('attention-rescunet');
    const losses = [await step.run(batchOf(1)), await step.run(batchOf(2))];

    manualSeed(5);
    const { generator, local, global } = build('attention-rescunet');
    if (!local || !global) throw new Error('no discriminators');
    const settings = { lr: 1e-3, betas: [0.5, 0.999] } as const;
    const optimisers = [generator, local, global].map((network) => new Adam(network.parameters(), settings));
    const inside = footprintTensor(footprint, SIZE, SIZE);
    const critics = { local: (m: Tensor) => local.forward(m), global: (m: Tensor) => global.forward(m) };
    const totals = [1, 2].map((seed) => {
      const { incomplete, complete, mask } = batchOf(seed);
      const maps = (data: Uint8Array) => tensor(data, { shape: [2, SIZE, SIZE, 3], dtype: 'u8' });
      return tidy(() => {
        const masks = tensor(mask, { shape: [2, SIZE, SIZE], dtype: 'u8' });
        const x = generatorInputs(maps(incomplete), masks, inside, { mode: 'masked' });
        const y = coloursOf(maps(complete), inside);
        const outputs = generator.forward(x);
        const judged = discriminatorLosses(x, outputs, y, critics);
        if (!judged.local || !judged.global) throw new Error('no losses');
        const slopes = [gradient(judged.local, local.parameters()), gradient(judged.global, global.parameters())];
        optimisers[1].step(slopes[0]);
        optimisers[2].step(slopes[1]);
        const { total } = finalLoss(x, outputs, y, critics);
        optimisers[0].step(gradient(total, generator.parameters()));
        generator.constrain();
        return total.dataSync()[0];
      });
    });
    expect(losses.map((l) => l['generator/total'])).toEqual(totals);
    expect(values(networks.generator.stateDict())).toEqual(values(generator.stateDict()));
    expect(values(networks.local?.stateDict() ?? {})).toEqual(values(local.stateDict()));
    expect(values(networks.global?.stateDict() ?? {})).toEqual(values(global.stateDict()));
    expect(Object.keys(losses[0])).toEqual([
      'generator/total',
      'final/reconstruction',
      'final/local',
      'final/global',
      'auxiliary/reconstruction',
      'auxiliary/local',
      'auxiliary/global',
      'discriminator/local',
      'discriminator/global',
    ]);
    step.dispose();
  });

  it.each(['attention-rescunet', 'uvgan'] as const)(
    '%s: taken up from its state it goes on with the same bits',
    async (kind) => {
      manualSeed(6);
      const { step } = build(kind, { ema: 0.9 });
      await step.run(batchOf(1));
      const state = Object.fromEntries(Object.entries(step.state()).map(([name, x]) => [name, tidy(() => x.clone())]));
      const wanted = await step.run(batchOf(2));
      const end = values(step.state());

      manualSeed(77);
      const { step: again } = build(kind, { ema: 0.9, lr: 0.5 });
      again.loadState(state);
      again.setLearningRate(1e-3);
      expect(await again.run(batchOf(2))).toEqual(wanted);
      expect(values(again.state())).toEqual(end);
      delete state['generator.nothing'];
      const { random: _, ...rest } = state;
      expect(() => again.loadState({ ...rest, more: state.random })).toThrow(/more is extra; random is missing/);
      step.dispose();
      again.dispose();
    },
  );

  it('keeps the average of the weights, and answers with it', async () => {
    const { step, generator } = build('resunet', { ema: 0.75 }, false);
    const name = Object.keys(generator.parameters())[0];
    const before = Array.from(generator.parameters()[name].dataSync());
    const losses = await step.run(batchOf(1));
    expect(Object.keys(losses)).toEqual(['generator/total', 'final/reconstruction']);
    const after = generator.parameters()[name].dataSync();
    const average = step.best.parameters()[name].dataSync();
    average.forEach((v, i) => {
      expect(v).toBeCloseTo(0.75 * before[i] + 0.25 * after[i], 6);
    });
    const { final, attention } = step.complete(batchOf(3));
    expect(final.shape).toEqual([2, SIZE, SIZE, 3]);
    expect(attention).toEqual([]);
    expect(generator.training).toBe(true);
    step.dispose();
  });

  it('learns', async () => {
    const { step } = build('rescunet', {}, false);
    const batch = batchOf(4);
    const first = await step.run(batch);
    let last = first;
    for (let i = 0; i < 12; i++) last = await step.run(batch);
    expect(last['final/reconstruction']).toBeLessThan(0.95 * first['final/reconstruction']);
    step.dispose();
  });

  it('in bf16 begins as f32 does, learns as much, and keeps its state in f32', async () => {
    const batch = batchOf(4);
    const run = async (precision: 'f32' | 'bf16') => {
      manualSeed(8);
      const { step } = build('attention-rescunet', { precision });
      const losses = [];
      for (let i = 0; i < 13; i++) losses.push(await step.run(batch));
      const { random: _, ...state } = step.state();
      for (const [name, x] of Object.entries(state)) expect(x.dtype, name).toBe('f32');
      step.dispose();
      return losses;
    };
    const [exact, rounded] = [await run('f32'), await run('bf16')];
    for (const [name, value] of Object.entries(exact[0])) {
      expect(rounded[0][name], name).not.toBe(value); // it is another computation
      expect(Math.abs(rounded[0][name] - value) / value, name).toBeLessThan(0.02);
    }
    const gained = (losses: typeof exact) =>
      losses[0]['final/reconstruction'] - losses[losses.length - 1]['final/reconstruction'];
    expect(gained(exact)).toBeGreaterThan(0);
    expect(gained(rounded)).toBeGreaterThan(0.7 * gained(exact));
  });

  it('refuses what does not fit', async () => {
    const { step } = build('resunet', {}, false);
    const { mask, ...maps } = batchOf(1);
    await expect(step.run({ ...maps, mask: mask.subarray(1) })).rejects.toThrow('GanStep: wants maps of 64x64');
    expect(() => build('resunet', { ema: 1 })).toThrow('GanStep: ema must be in [0, 1), got 1');
    step.dispose();
  });
});
