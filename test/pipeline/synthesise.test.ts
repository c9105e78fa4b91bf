// The whole way: the demo's person, whose truth is known, and real photos where they are at hand.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FitError } from '../../src/models/fitter.js';
import { type DemoResult, runDemo, writeDemo } from '../../src/pipeline/demo.js';
import { loadDetector, loadRegressor } from '../../src/pipeline/detect.js';
import { loadFaceModel } from '../../src/pipeline/face_model.js';
import { readPixels } from '../../src/pipeline/image.js';
import { ssim } from '../../src/pipeline/metrics.js';
import { viewName } from '../../src/pipeline/results.js';
import { faceViews, NoFaceError, synthesise, synthesiseFit, TURNTABLE } from '../../src/pipeline/synthesise.js';
import { type Tensor, tensor } from '../../src/tensor/index.js';
import { sharedPath } from '../shared.js';
import { settledBytes } from './surface.js';

const folder = mkdtempSync(join(tmpdir(), 'synthesise-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Pixels of a mask that are set. */
const count = (mask: Tensor): number => (mask.dataSync() as Uint8Array).reduce((n, seen) => n + seen, 0);

describe('the demo', () => {
  let demo: DemoResult;
  let bytesBefore = 0;
  beforeAll(async () => {
    const first = await runDemo({ seed: 1, fit: 'landmarks', yaw: [0], viewSize: 64 }); // tables and models are kept from here on
    first.dispose();
    bytesBefore = settledBytes();
    demo = await runDemo({ seed: 1, fit: 'landmarks' });
  });

  test('finds the pose of its photo and completes the face', () => {
    expect(demo.poseError).toBeLessThan(1);
    expect(demo.fit.rmse).toBeLessThan(0.5);
    expect(demo.landmarkError).toBeLessThan(0.2);
    const coverage = count(demo.mask) / 65536;
    expect(coverage).toBeGreaterThan(0.3);
    expect(coverage).toBeLessThan(0.75);
    expect(demo.face.psnr).toBeGreaterThan(20);
    expect(demo.face.psnr).toBeGreaterThan(demo.before.psnr);
    expect(demo.face.ssim).toBeGreaterThan(demo.before.ssim + 0.1);
    expect(demo.hidden.psnr).toBeGreaterThan(16);
  });

  test('shows the turntable of the paper, and the face as the photo has it at the pose of the photo', () => {
    expect(demo.views.map(({ yaw }) => yaw)).toEqual(TURNTABLE);
    const [h, w] = demo.views[0].image.shape;
    expect([h, w]).toEqual([256, 256]);
    const again = { ...demo.mesh, vertices: loadFaceModel().vertices(demo.person.alpha, demo.person.beta) };
    const truth = { ...again, texture: demo.truth };
    const [a] = faceViews(demo.mesh, { yaw: [45] });
    const [b] = faceViews(truth, { yaw: [45] });
    expect(ssim(a.image, b.image)).toBeGreaterThan(0.93);
  });

  test('two people are two people, the same seed the same', async () => {
    const same = await runDemo({ seed: 1, fit: 'landmarks', yaw: [0] });
    const other = await runDemo({ seed: 2, fit: 'landmarks', yaw: [0] });
    expect(same.completed.dataSync()).toEqual(demo.completed.dataSync());
    expect(ssim(other.views[0].image, same.views[0].image)).toBeLessThan(0.98);
    same.dispose();
    other.dispose();
  });

  test('writes every file, fit.json last', async () => {
    const files = await writeDemo(folder, demo);
    expect(files.at(-1)).toBe('fit.json');
    const plain = ['photo', 'incomplete', 'mask', 'completed', 'truth', 'face', 'sheet'].map((name) => `${name}.png`);
    for (const name of [...plain, 'face.obj', 'face.mtl', 'face.glb']) expect(files).toContain(name);
    expect(readdirSync(join(folder, 'views')).length).toBe(9);
    const record = JSON.parse(readFileSync(join(folder, 'fit.json'), 'utf8'));
    expect(record.demo.landmarkError).toBe(demo.landmarkError);
    expect(record.demo.face.psnr).toBe(demo.face.psnr);
    expect(record.files).toEqual(files.slice(0, -1));
    const sheet = await readPixels(join(folder, 'sheet.png'));
    expect(sheet.width).toBeGreaterThan(9 * 256);
    const glb = readFileSync(join(folder, 'face.glb'));
    expect(glb.subarray(0, 4).toString()).toBe('glTF');
  });

  test('leaves nothing on the device', () => {
    demo.dispose();
    expect(settledBytes()).toBe(bytesBefore);
  });
});

test('the demo fits from pixels, near the truth and the same every time', async () => {
  const demo = await runDemo({ seed: 1, yaw: [0], viewSize: 64 });
  const again = await runDemo({ seed: 1, yaw: [0], viewSize: 64 });
  expect(demo.fit.method).toBe('regressor');
  expect(demo.poseError).toBeLessThan(8);
  expect(demo.landmarkError).toBeLessThan(6);
  expect(demo.face.psnr).toBeGreaterThan(demo.before.psnr);
  expect(again.fit.landmarks).toEqual(demo.fit.landmarks);
  demo.dispose();
  again.dispose();
});

test('names of views sort and read', () => {
  expect(viewName({ yaw: -80, pitch: 0, roll: 5 })).toBe('yaw-80_roll+05.png');
  expect(viewName({ yaw: 7.5, pitch: -10, roll: 0 })).toBe('yaw+07.5_pitch-10.png');
});

const data = sharedPath('data');

describe.runIf(data)('real photos', () => {
  const at = (name: string) => `${data}/${name}`;
  const load = () => ({
    model: loadFaceModel(at('bfm/bfm_3ddfa.safetensors')),
    regressor: loadRegressor(at('weights/mb05_120x120.safetensors')),
    detector: loadDetector({ kind: 'faceboxes', weights: at('weights/FaceBoxesProd.safetensors') }),
  });

  test('come out at nine poses, and frontal ones look like the frontal photo', async () => {
    const settings = load();
    const result = await synthesise(at('faces/three-views/01223_left.jpg'), settings);
    expect(result.views.length).toBe(9);
    expect(Math.abs(result.fit.yaw)).toBeGreaterThan(10);
    const front = await synthesise(at('faces/three-views/01223_front.jpg'), settings);
    expect(ssim(result.views[4].image, front.views[4].image)).toBeGreaterThan(0.6);
    const steps = result.completed.dataSync();
    expect(steps.every((v) => v >= 0 && v <= 255)).toBe(true);
    const { mask, fit } = result;
    expect(count(mask)).toBeGreaterThan(10000);
    const grid = synthesiseFit(await readPixels(at('faces/three-views/01223_left.jpg')), fit, {
      ...settings,
      yaw: [-10, 10],
      pitch: [-20, 0, 20],
      viewSize: 64,
    });
    expect(grid.views.map(({ yaw, pitch }) => [yaw, pitch])).toEqual([
      [-10, -20],
      [10, -20],
      [-10, 0],
      [10, 0],
      [-10, 20],
      [10, 20],
    ]);
    for (const s of [result, front, grid]) s.dispose();
  });

  test('without a face say so', async () => {
    const empty = tensor(new Uint8Array(3 * 200 * 200).fill(90), { shape: [200, 200, 3], dtype: 'u8' });
    await expect(synthesise(empty, load())).rejects.toThrow(NoFaceError);
    await expect(synthesise(empty, { model: loadFaceModel() })).rejects.toThrow(FitError);
  });
});
