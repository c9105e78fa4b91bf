// Training a cascade on drawn people: what photos are, what a run leaves behind, and that taking one up changes nothing.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readSafetensors, readSafetensorsMetadata } from '../src/formats/safetensors.js';
import { applyPose, splitParameters } from '../src/models/index.js';
import { keepFaces, keptFaces } from '../src/pipeline/dataset/face-store.js';
import { synthFaces } from '../src/pipeline/dataset/synth-faces.js';
import { loadFaceModel } from '../src/pipeline/face_model.js';
import { byYaw, normalizedMeanError } from '../src/pipeline/fit-error.js';
import { fitCrops, loadFitter } from '../src/pipeline/fitters.js';
import { checkpointFolder } from '../src/pipeline/train/checkpoint.js';
import { TrainConfigError } from '../src/pipeline/train/config-reader.js';
import { fitterRate, planOf } from '../src/pipeline/train/fitter.js';
import { type AnyTrainConfig, defaultConfigOf, readAnyTrainConfig } from '../src/pipeline/train/tasks.js';
import { train } from '../src/pipeline/train/trainer.js';
import type { StepReport } from '../src/pipeline/train/types.js';
import { tensor } from '../src/tensor/index.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rescunet-fitter-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('photos of drawn people', () => {
  const photos = synthFaces({ people: 2, views: 2, side: 48, seed: 5 });

  it('the same bytes in any order, others for other people and seeds', () => {
    const last = photos.face(3);
    const first = photos.face(0);
    const again = synthFaces({ people: 2, views: 2, side: 48, seed: 5 });
    expect(again.face(0)).toEqual(first);
    expect(again.face(3)).toEqual(last);
    expect(again.truth(3)).toEqual({ truth: last.truth, yaw: last.yaw });
    expect(synthFaces({ people: 1, firstPerson: 1, views: 2, side: 48, seed: 5 }).face(1)).toEqual(last);
    expect(synthFaces({ people: 1, views: 2, side: 48, seed: 6 }).face(0).crop).not.toEqual(first.crop);
    expect(() => photos.face(4)).toThrow('synthFaces: photos are 0 to 3, got 4');
    expect(() => synthFaces({ people: 0 })).toThrow('synthFaces: people must be whole, from 1 to 1000000, got 0');
  });

  it('the face is where its parameters say', () => {
    // The same photo without anything before it, against the landmarks of the truth: skin differs from the background around it.
    for (let i = 0; i < 4; i++) {
      const { truth, yaw } = photos.truth(i);
      const { pose, alpha, beta } = splitParameters(truth, photos.counts);
      const { model } = photos;
      const seen = applyPose(model.verticesAt(model.landmarks, alpha, beta), pose);
      const [xs, ys] = [0, 1].map((c) => seen.filter((_, k) => k % 3 === c));
      const extent = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)) / 48;
      expect(extent).toBeGreaterThan(0.5);
      expect(extent).toBeLessThan(0.75);
      for (const axis of [xs, ys])
        expect(Math.abs((Math.min(...axis) + Math.max(...axis)) / 2 - 23.5)).toBeLessThan(2.5);
      expect(Math.abs(yaw)).toBeLessThanOrEqual(90);
    }
  });
});

describe('drawn photos on disk', () => {
  const options = { people: 3, views: 2, side: 32, seed: 5 };
  const kept = path.join(folder, 'kept');
  const files = () => readdirSync(kept).sort();

  it('are those that would be drawn, whoever wrote them', async () => {
    const drawn = synthFaces(options);
    const stored = keptFaces(drawn, kept);
    expect(stored.face(5)).toEqual(drawn.face(5));
    expect(files()).toEqual(['person-000002.safetensors']);
    const told: unknown[] = [];
    const report = await keepFaces(options, kept, {
      workers: 2,
      onStart: (people, there) => void told.push([people, there]),
      onPerson: (person) => void told.push(person),
    });
    expect(report).toEqual({ written: 2, kept: 1 });
    expect([told[0], told.slice(1).sort()]).toEqual([
      [3, 1],
      [0, 1],
    ]);
    const again = keptFaces(synthFaces(options), kept);
    for (let i = 0; i < drawn.length; i++) expect(again.face(i)).toEqual(drawn.face(i));
    expect(await keepFaces(options, kept, { workers: 1 })).toEqual({ written: 0, kept: 3 });
  });

  it('damage and other settings are told', async () => {
    await expect(keepFaces({ ...options, seed: 6 }, kept)).rejects.toThrow(
      /settings: holds photos of .*"seed":5.*name another folder/,
    );
    const file = path.join(kept, 'person-000001.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(file, bytes);
    const faces = keptFaces(synthFaces(options), kept);
    expect(() => faces.face(2)).toThrow(/person-000001.*sha256/);
    expect(faces.face(0)).toEqual(synthFaces(options).face(0));
  });
});

describe('error of a fit', () => {
  it('mean distance over the root of the box', () => {
    // A box of 4 x 9: root 6. Distances 3, 0, 0: mean 1.
    expect(normalizedMeanError([0, 3, 4, 9, 2, 2], [0, 0, 4, 9, 2, 2], 2)).toBeCloseTo(100 / 6, 10);
    expect(normalizedMeanError([0, 0, 5, 4, 9, 5], [0, 0, 1, 4, 9, 2], 3)).toBe(0);
    expect(() => normalizedMeanError([1, 2], [1, 2, 3, 4], 2)).toThrow(RangeError);
  });

  it('bins count alike', () => {
    const errors = [
      { yaw: -10, nme: 1 },
      { yaw: 29, nme: 3 },
      { yaw: 30, nme: 4 },
      { yaw: -90, nme: 9 },
    ];
    expect(byYaw(errors)).toEqual({ bins: { '0-30': 2, '30-60': 4, '60-90': 9 }, mean: 5 });
    expect(byYaw(errors.slice(0, 1))).toEqual({ bins: { '0-30': 1 }, mean: 1 });
  });
});

const configOf = (run: string, more = ''): AnyTrainConfig => {
  const file = path.join(folder, `${run}.yaml`);
  writeFileSync(
    file,
    `
task: fitter
run: ${run}
cascade: { network: mobilenet, width: 0.125, side: 32, stages: 2, stepsPerStage: 2, regeneration: 2 }
loss: { cost: owpdc+vdc, vertices: 8 }
data: { people: 2, views: 4, held: 1 }
optimiser: { lr: 0.002 }
batch: 2
checkpoint: { every: 1, keep: 2 }
log: { every: 1, images: 0 }
validate: { every: 0, photos: 2 }
${more}`,
  );
  return readAnyTrainConfig(file);
};

describe('configuration', () => {
  it('the file of --init has the defaults, and trains as many steps as the stages take', () => {
    const text = defaultConfigOf('fitter') ?? '';
    const [all, none] = [path.join(folder, 'all.yaml'), path.join(folder, 'none.yaml')];
    writeFileSync(all, text);
    writeFileSync(none, 'task: fitter\nrun: runs/fitter\n');
    expect(readAnyTrainConfig(all)).toEqual(readAnyTrainConfig(none));
    expect(readAnyTrainConfig(all)).toMatchObject({ task: 'fitter', steps: 60_000, cascade: { side: 120 } });
  });

  it('refuses a cost that there is not, and keys of other tasks', () => {
    expect(() => configOf('bad', 'identity: { network: facenet }')).toThrow(TrainConfigError);
    writeFileSync(path.join(folder, 'cost.yaml'), 'task: fitter\nrun: r\nloss: { cost: wdpc }\n');
    expect(() => readAnyTrainConfig(path.join(folder, 'cost.yaml'))).toThrow(
      /loss.cost \(line 3\): wanted one of pdc, vdc, wpdc, owpdc, wpdc\+vdc, owpdc\+vdc, found 'wdpc'/,
    );
  });

  it('stages, costs and rates follow from the step', () => {
    const config = {
      cascade: { network: 'mobilenet', width: 1, side: 32, stages: 2, stepsPerStage: 10, regeneration: 1 },
      loss: { cost: 'wpdc+vdc', vertices: 0, scale: 'max', regularisation: 0.17, vdcRate: 0.5 },
      optimiser: { kind: 'sgd', lr: 1, momentum: 0.9, weightDecay: 0 },
    } as const;
    const plans = [0, 7, 8, 9, 10, 18, 25].map((step) => planOf(config, step));
    expect(plans.map(({ stage }) => stage)).toEqual([0, 0, 0, 0, 1, 1, 1]);
    expect(plans.map(({ cost }) => cost)).toEqual(['wpdc', 'wpdc', 'vdc', 'vdc', 'wpdc', 'vdc', 'vdc']);
    expect([0, 1, 6, 8, 10, 11].map((step) => fitterRate(config, step))).toEqual([0.2, 1, 0.2, 0.5, 0.2, 1]);
    const pdc = { ...config, loss: { ...config.loss, cost: 'pdc' as const } };
    expect(fitterRate(pdc, 9)).toBeCloseTo(0.04);
  });
});

describe('a run', () => {
  const whole = configOf('whole');
  const newest = (config: AnyTrainConfig) => path.join(checkpointFolder(config.run), 'step-00000004.safetensors');

  it('leaves a cascade that fits crops, checkpoints and a log', { timeout: 240_000 }, async () => {
    const reports: StepReport[] = [];
    const report = await train(whole, { onStep: (s) => reports.push(s) });
    expect(report).toMatchObject({ step: 4, totalSteps: 4, interrupted: false, problems: [] });
    expect(report.best?.score).toBeGreaterThan(0);
    const lines = readFileSync(path.join(whole.run, 'metrics.jsonl'), 'utf8').trim().split('\n');
    const logged = lines.map((line) => JSON.parse(line) as Record<string, number>);
    expect(logged.filter((line) => line['loss/cost'] > 0 && line['loss/pdc'] > 0).map((line) => line.step)).toEqual([
      1, 2, 3, 4,
    ]);
    expect(logged.some((line) => line.step === 4 && line['validation/nme'] > 0)).toBe(true);

    const model = loadFaceModel();
    const file = path.join(whole.run, 'fitter.safetensors');
    expect(existsSync(path.join(whole.run, 'best.safetensors'))).toBe(true);
    expect(readSafetensorsMetadata(file)).toMatchObject({ kind: 'fitter', stages: '2', loss: 'owpdc+vdc', step: '4' });
    const fitter = loadFitter(file, model);
    const crops = tensor(new Uint8Array(2 * 32 * 32 * 3).fill(90), { shape: [2, 32, 32, 3], dtype: 'u8' });
    const found = await fitCrops(fitter, crops);
    expect(found.length).toBe(2 * 66);
    expect(found.every(Number.isFinite)).toBe(true);
    expect([...found.slice(0, 66)]).toEqual([...found.slice(66)]);
    expect([...(await fitCrops(fitter, crops, 1))]).not.toEqual([...found]);
    fitter.cascade.dispose();
    expect(() => loadFitter(newest(whole), model)).toThrow(/wanted fitter, got 'undefined'/);
  });

  it.each([1, 3])('taken up after step %i, ends with the same bits', { timeout: 240_000 }, async (at) => {
    const config = configOf(`interrupted-${at}`);
    const stop = new AbortController();
    const onStep = ({ step }: StepReport) => step === at && stop.abort();
    expect(await train(config, { signal: stop.signal, onStep })).toMatchObject({ step: at, interrupted: true });
    expect(await train(config, { resume: true })).toMatchObject({ step: 4, interrupted: false });
    expect(readSafetensors(newest(config))).toEqual(readSafetensors(newest(whole)));
    const [a, b] = [whole, config].map(({ run }) => readFileSync(path.join(run, 'fitter.safetensors')));
    expect(a.equals(b)).toBe(true);
  });
});
