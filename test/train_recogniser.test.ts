// Training recognisers: what they are taught with, that they learn, that a run taken up ends with the same bits, and what is refused.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../src/formats/safetensors.js';
import { Random } from '../src/head/random.js';
import { encodeImage } from '../src/pipeline/image.js';
import { verifyBins } from '../src/pipeline/recognise/by-bin.js';
import { loadRecogniser } from '../src/pipeline/recognise/embed.js';
import { checkpointFolder } from '../src/pipeline/train/checkpoint.js';
import {
  type RecogniserConfig,
  recogniserConfigText,
  recogniserRate,
} from '../src/pipeline/train/recogniser-config.js';
import { FaceBatches, openFaces } from '../src/pipeline/train/recogniser-data.js';
import { BACKBONES, RecogniserStep } from '../src/pipeline/train/recogniser-step.js';
import { parseTrainConfigOf, readAnyTrainConfig } from '../src/pipeline/train/tasks.js';
import { train } from '../src/pipeline/train/trainer.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rescunet-recogniser-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A colour for each identity, with noise. */
function crop(identity: number, image: number): Uint8Array {
  const random = new Random(100 * identity + image);
  const colours = [
    [200, 60, 60],
    [60, 60, 200],
    [60, 180, 60],
  ];
  return Uint8Array.from({ length: 3 * 112 * 112 }, (_, i) => colours[identity][i % 3] + random.uniform(-50, 50));
}

beforeAll(async () => {
  for (const [set, from, count] of [
    ['faces', 0, 4],
    ['more', 4, 2],
    ['others', 10, 8],
  ] as const) {
    for (let identity = 0; identity < 3; identity++) {
      const own = path.join(folder, set, `person-${identity}`);
      mkdirSync(own, { recursive: true });
      for (let i = from; i < from + count; i++) {
        const image = { data: crop(identity, i), height: 112, width: 112 };
        writeFileSync(path.join(own, `${i}.png`), await encodeImage(image, 'png'));
      }
    }
  }
}, 60_000);

const configOf = (run: string): RecogniserConfig =>
  parseTrainConfigOf(
    `
task: recogniser
run: ${path.join(folder, run)}
model: { backbone: ir18, width: 2 }
head: { scale: 16, margin: 0.2, shards: 2 }
data:
  train: { folders: [${path.join(folder, 'faces')}, ${path.join(folder, 'more')}] }
  validation: { folders: [${path.join(folder, 'others')}], pairs: 40 }
batch: 4
steps: 8
optimiser: { lr: 0.05, schedule: drops, drops: [1] }
checkpoint: { every: 3, keep: 2 }
log: { every: 1 }
validate: { every: 4 }
`,
    'test.yaml',
  ) as RecogniserConfig;

describe('faces', () => {
  it('of one name in several folders are one identity; batches depend on seed and number alone', async () => {
    const faces = openFaces({ folders: [path.join(folder, 'faces'), path.join(folder, 'more')] });
    expect(faces.identities).toBe(3);
    expect([...faces.labels]).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
    const options = { batch: 4, seed: 3, flip: true };
    const all = new FaceBatches(faces, { ...options, from: 0 });
    const late = new FaceBatches(faces, { ...options, from: 5 });
    const first = [];
    for (let i = 0; i < 6; i++) first.push(await all.next());
    expect(await late.next()).toEqual(first[5]);
    expect(all.stepsPerEpoch).toBe(4);
    expect(first[4].crops).not.toEqual(first[0].crops); // another epoch, another order
  });
});

describe('a run', () => {
  it('learns, and taken up after an interruption ends with the same bits', { timeout: 300_000 }, async () => {
    const losses: number[] = [];
    const scores: number[] = [];
    const report = await train(configOf('whole'), {
      onStep: ({ event, losses: now }) => {
        if (event === undefined) losses.push(now['loss/arcface']);
        if (event === 'validation') scores.push(now['validation/accuracy']);
      },
    });
    expect(report).toMatchObject({ step: 8, interrupted: false, problems: [] });
    expect(losses).toHaveLength(8);
    expect(losses[7]).toBeLessThan(losses[0]);
    expect(scores).toHaveLength(2);
    for (const score of scores) expect(score).toBeGreaterThanOrEqual(0);

    const config = configOf('stopped');
    const stop = new AbortController();
    await train(config, { signal: stop.signal, onStep: ({ step }) => step === 4 && stop.abort() });
    const resumed = await train(config, { resume: true });
    expect(resumed.step).toBe(8);
    const last = (run: string) =>
      readSafetensors(path.join(checkpointFolder(path.join(folder, run)), 'step-00000008.safetensors'));
    expect(last('stopped')).toEqual(last('whole'));

    const recogniser = loadRecogniser(path.join(config.run, 'recogniser.safetensors'));
    expect(recogniser.dimension).toBe(512);
    recogniser.dispose();
    expect(existsSync(path.join(config.run, 'best.safetensors'))).toBe(true);
  });

  it('of MobileFaceNet gives a file that loads as one', { timeout: 120_000 }, async () => {
    const step = new RecogniserStep({ backbone: 'mobilefacenet', head: { classes: 3, kind: 'cosface' } });
    const crops = new Uint8Array(2 * 3 * 112 * 112);
    crops.set(crop(0, 0));
    crops.set(crop(1, 0), 3 * 112 * 112);
    expect(await step.run(crops, Int32Array.of(0, 1))).toBeGreaterThan(0);
    expect(BACKBONES.mobilefacenet.dimension).toBe(step.dimension);
    await expect(step.run(crops, Int32Array.of(0))).rejects.toThrow(/wants crops of 112x112/);
    step.dispose();
  });
});

describe('configuration', () => {
  it('has the defaults of the paper and the text of --init', () => {
    const file = path.join(folder, 'recogniser.yaml');
    const config = parseTrainConfigOf(recogniserConfigText(), file) as RecogniserConfig;
    const bare = parseTrainConfigOf(
      'task: recogniser\nrun: runs/recogniser\ndata: { train: { folders: [casia, augmented] } }',
      file,
    );
    expect({ ...config, log: bare.log }).toEqual(bare);
    expect(config).toMatchObject({ batch: 128, epochs: 30, model: { backbone: 'ir100' }, head: { scale: 64 } });
    const at = (step: number) => recogniserRate(config.optimiser, step, { total: 300, stepsPerEpoch: 10 });
    for (const [step, rate] of [
      [0, 0.025],
      [99, 0.025],
      [100, 0.0025],
      [180, 0.00025],
      [240, 0.000025],
    ]) {
      expect(at(step)).toBeCloseTo(rate, 12);
    }
  });

  it('names all that is wrong', () => {
    const wrong = (text: string) => () => parseTrainConfigOf(text, 'x.yaml');
    expect(wrong('task: recognizer\nrun: x')).toThrow(
      /task \(line 1\): wanted one of completion, recogniser.*, found 'recognizer'/,
    );
    const text = `task: recogniser
run: x
model: { backbone: mobilefacenet, width: 8 }
head: { kind: softmax, margin: 0.1 }
data: { train: { folders: [a], record: b.rec } }
optimizer: {}`;
    for (const part of [
      /6 problems|5 problems|4 problems/,
      /model\.width \(line 3\): is for ir18 to ir100 alone/,
      /head\.margin \(line 4\): is for arcface and cosface alone/,
      /wanted one of folders, record, found folders and record/,
      /optimizer \(line 6\): is no key; did you mean optimiser\?/,
    ]) {
      expect(wrong(text)).toThrow(part);
    }
    const file = path.join(folder, 'missing.yaml');
    writeFileSync(file, 'task: recogniser\nrun: x\ndata: { train: { record: none.rec } }');
    expect(() => readAnyTrainConfig(file)).toThrow(/data\.train\.record \(line 3\): there is no file .*none\.rec/);
  });
});

it('verification in bins takes all same pairs and as many different ones', () => {
  const pairs = Array.from({ length: 60 }, (_, i) => ({
    distance: i % 3 === 0 ? 0.5 + (i % 5) / 100 : 2 + (i % 7) / 10,
    same: i % 3 === 0,
    bin: i < 45 ? 0 : 1,
  }));
  const [first, second] = verifyBins(pairs, 2);
  expect(first).toMatchObject({ same: 15, different: 15, accuracy: 1, auc: 1 });
  expect(second).toBeUndefined(); // five pairs of one person fill no ten folds
});
