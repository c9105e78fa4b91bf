// Whole runs on drawn people: what they leave behind, and that taking one up changes nothing.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, readSafetensorsMetadata } from '../src/formats/safetensors.js';
import { writeShards } from '../src/pipeline/dataset/shards.js';
import { synthPie } from '../src/pipeline/dataset/synth-pie.js';
import { loadGenerator } from '../src/pipeline/generators.js';
import { checkpointFolder, checkpointSteps } from '../src/pipeline/train/checkpoint.js';
import { parseTrainConfig, type TrainConfig } from '../src/pipeline/train/config.js';
import { TrainingError, train } from '../src/pipeline/train/trainer.js';
import type { StepReport } from '../src/pipeline/train/types.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rescunet-train-'));
beforeAll(() => {
  const small = { identities: 1, expressions: 1, size: 64 };
  writeShards(synthPie({ ...small, illuminations: 2, viewpoints: 3 }), path.join(folder, 'pairs'));
  writeShards(synthPie({ ...small, firstIdentity: 9, illuminations: 1, viewpoints: 4 }), path.join(folder, 'unseen'));
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Ten steps of a tiny network; three steps are an epoch. */
const configOf = (run: string, more = ''): TrainConfig =>
  parseTrainConfig(
    `
run: ${path.join(folder, run)}
model: { kind: uvgan, baseWidth: 4, levels: 5, input: masked }
discriminator: { baseWidth: 4 }
loss: { identity: 0 }
data:
  train: { shards: [${path.join(folder, 'pairs')}] }
  validation: { shards: [${path.join(folder, 'unseen')}] }
  workers: 0
batch: 2
steps: 10
optimiser: { lr: 0.001, schedule: linear, ema: 0.9 }
checkpoint: { every: 2, keep: 2 }
log: { every: 2, images: 5 }
validate: { every: 5, pairs: 3 }
${more}`,
    'test.yaml',
  );

const newest = (config: TrainConfig) => path.join(checkpointFolder(config.run), 'step-00000010.safetensors');

describe('train', () => {
  const whole = configOf('whole');

  it('leaves networks, checkpoints and a log', { timeout: 120_000 }, async () => {
    const reports: StepReport[] = [];
    const report = await train(whole, { onStep: (s) => reports.push(s) });
    expect(report).toMatchObject({ step: 10, totalSteps: 10, interrupted: false, problems: [] });
    expect(reports.filter((r) => r.event === 'checkpoint').map((r) => r.step)).toEqual([2, 4, 6, 8, 10]);
    expect(reports.filter((r) => r.event === 'validation').map((r) => r.step)).toEqual([5, 10]);
    expect(reports.at(-1)?.epoch).toBe(3);
    const kept = checkpointSteps(whole.run);
    expect(kept.slice(0, 2)).toEqual([10, 8]);
    expect(kept.length).toBeLessThanOrEqual(3);
    const lines = readFileSync(path.join(whole.run, 'metrics.jsonl'), 'utf8').trim().split('\n');
    const logged = lines.map((line) => JSON.parse(line) as Record<string, number>);
    expect(logged.some((line) => line.step === 6 && line['final/reconstruction'] > 0)).toBe(true);
    expect(logged.some((line) => line.step === 10 && line['validation/psnrHidden'] > 0)).toBe(true);
    for (const name of ['generator.safetensors', 'best.safetensors']) {
      const file = path.join(whole.run, name);
      expect(readSafetensorsMetadata(file)).toMatchObject({ kind: 'uvgan', input: 'masked', levels: '5' });
      expect(readSafetensorsMetadata(file).trainedOn).toContain('shards');
      loadGenerator(file).dispose();
    }
  });

  it('taken up after an interruption, ends with the same bits', { timeout: 120_000 }, async () => {
    const config = configOf('interrupted');
    const stop = new AbortController();
    const onStep = ({ step }: StepReport) => step === 4 && stop.abort();
    const first = await train(config, { signal: stop.signal, onStep });
    expect(first.interrupted).toBe(true);
    await expect(train(config)).rejects.toThrow(/holds a run already; go on with --resume/);
    await train(config, { resume: true });
    expect(readSafetensors(newest(config))).toEqual(readSafetensors(newest(whole)));
  });

  it('in bf16 too; what it leaves is f32', { timeout: 120_000 }, async () => {
    const [straight, taken] = ['bf16', 'bf16-interrupted'].map((run) => configOf(run, 'precision: bf16'));
    await train(straight);
    const stop = new AbortController();
    await train(taken, { signal: stop.signal, onStep: ({ step }) => step === 4 && stop.abort() });
    await train(taken, { resume: true });
    const end = readSafetensors(newest(straight));
    expect(readSafetensors(newest(taken))).toEqual(end);
    expect(end).not.toEqual(readSafetensors(newest(whole)));
    expect(new Set(Object.values(end).map(({ dtype }) => dtype))).not.toContain('bf16');
    await expect(train({ ...taken, precision: 'f32' }, { resume: true })).rejects.toThrow(/precision: differ from/);
  });

  it('passes over a damaged checkpoint', { timeout: 120_000 }, async () => {
    const config = configOf('damaged');
    const stop = new AbortController();
    await train(config, { signal: stop.signal, onStep: ({ step }) => step === 4 && stop.abort() });
    const [last] = checkpointSteps(config.run);
    truncateSync(path.join(checkpointFolder(config.run), `step-${String(last).padStart(8, '0')}.safetensors`), 5000);
    const report = await train(config, { resume: true });
    expect(report.problems).toHaveLength(1);
    expect(readSafetensors(newest(config))).toEqual(readSafetensors(newest(whole)));
  });

  it('leaves out a batch that cannot be read, and says so; an end asked for at any step is saved', {
    timeout: 120_000,
  }, async () => {
    const config = configOf('torn', 'seed: 3');
    config.data = { ...config.data, train: { shards: [path.join(folder, 'torn')], verify: false } };
    writeShards(
      synthPie({ identities: 1, expressions: 1, size: 64, illuminations: 2, viewpoints: 3 }),
      path.join(folder, 'torn'),
      {
        shardSize: 3,
      },
    );
    const stop = new AbortController();
    let opened = false;
    const onStep = ({ step }: StepReport) => {
      // The second shard is lost while the run goes on.
      if (!opened) truncateSync(path.join(folder, 'torn', 'shard-00001.safetensors'), 4096);
      opened = true;
      if (step === 6) stop.abort();
    };
    config.checkpoint.every = 100;
    const report = await train(config, { onStep, signal: stop.signal });
    expect(report.step).toBe(6);
    expect(report.problems.length).toBeGreaterThan(0);
    expect(report.problems[0]).toMatch(/^pair \d of batch \d+: /);
    expect(checkpointSteps(config.run)).toEqual([6]);
  });

  it('refuses to go on with another configuration', async () => {
    const other = { ...whole, seed: 2, batch: 1, steps: 99 };
    await expect(train(other, { resume: true })).rejects.toThrow(/seed, batch: differ from what the run began with/);
  });

  it('stops at a loss that is no number, and keeps the batch', { timeout: 120_000 }, async () => {
    const config = configOf('failing');
    config.optimiser = { ...config.optimiser, lr: 1e30, schedule: 'constant' };
    const error = await train(config).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(TrainingError);
    const { step, term, file, message } = error as TrainingError;
    expect(message).toMatch(new RegExp(`^step ${step}: ${term} is (NaN|-?Infinity); the batch is in .*--resume$`));
    expect(existsSync(file)).toBe(true);
    expect(readSafetensors(file).incomplete.shape).toEqual([2, 64, 64, 3]);
    expect(readdirSync(config.run)).not.toContain('generator.safetensors');
  });
});
