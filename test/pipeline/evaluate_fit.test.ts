// Fits against annotated landmarks: the layouts that are read, the arithmetic of the table, and the published photos through the command.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadDetector, loadRegressor } from '../../src/pipeline/detect.js';
import { evaluateFit, type FitRow, fitTable, readAflw2000 } from '../../src/pipeline/evaluate/fit.js';
import { loadFaceModel } from '../../src/pipeline/face_model.js';
import { rescunet } from '../cli/run.js';
import { double, matFile, single } from '../formats/mat.js';
import { sharedPath } from '../shared.js';

const root = mkdtempSync(path.join(tmpdir(), 'rescunet-eval-fit-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const folderOf = (name: string, files: Record<string, Uint8Array | string>): string => {
  const folder = path.join(root, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, bytes] of Object.entries(files)) writeFileSync(path.join(folder, file), bytes);
  return folder;
};

const points = Array.from({ length: 3 * 68 }, (_, i) => i);
const pose = [0.1, Math.PI / 4, 0, 100, 100, 0, 0.01];
const mat = (n = 68) => matFile({ pt3d_68: single([3, n], points.slice(0, 3 * n)), Pose_Para: double([1, 7], pose) });

describe('AFLW2000-3D', () => {
  test('as it is published: a .mat beside each photo', () => {
    const folder = folderOf('mat', { 'image2.mat': mat(), 'image2.jpg': '', 'image1.mat': mat(), 'image1.png': '' });
    const { samples, skipped } = readAflw2000(folder);
    expect(skipped).toEqual([]);
    expect(samples.map(({ name, file }) => [name, path.basename(file)])).toEqual([
      ['image1', 'image1.png'],
      ['image2', 'image2.jpg'],
    ]);
    const { landmarks, yaw } = samples[0];
    expect(yaw).toBeCloseTo(45, 5);
    expect([...landmarks.slice(0, 4), ...landmarks.slice(-2)]).toEqual([0, 68, 1, 69, 67, 135]);
  });

  test('with one annotations.json', () => {
    const rows = [0, 1, 2].map((c) => points.slice(68 * c, 68 * (c + 1)));
    const table = {
      'set/a.jpg': { pt3d_68: rows, Pose_Para: [pose] },
      'set/b.jpg': { pt3d_68: rows.slice(0, 1), Pose_Para: [pose] },
    };
    const folder = folderOf('json', { 'annotations.json': JSON.stringify(table), 'a.jpg': '', 'b.jpg': '' });
    const { samples, skipped } = readAflw2000(folder);
    expect(samples).toHaveLength(1);
    const { name, file, landmarks, yaw } = samples[0];
    expect([name, file, yaw]).toEqual(['a', path.join(folder, 'a.jpg'), 45]);
    expect(landmarks).toEqual(readAflw2000(path.join(root, 'mat')).samples[0].landmarks);
    expect(skipped).toEqual([expect.stringMatching(/b\.jpg: pt3d_68: wanted 68 finite points/)]);
  });

  test('what is of no use is told', () => {
    const some = folderOf('some', { 'a.mat': mat(), 'a.jpg': '', 'b.mat': mat(5), 'b.jpg': '', 'c.mat': mat() });
    const { samples, skipped } = readAflw2000(some);
    expect(samples.map(({ name }) => name)).toEqual(['a']);
    expect(skipped).toEqual([
      expect.stringMatching(/b\.jpg: pt3d_68/),
      expect.stringMatching(/c\.jpg: photo: is not there/),
    ]);
    expect(() => readAflw2000(path.join(root, 'nowhere'))).toThrow('is not there');
    expect(() => readAflw2000(folderOf('none', { 'a.jpg': '' }))).toThrow(
      'has neither annotations.json nor photos with a .mat beside them',
    );
    expect(() => readAflw2000(folderOf('bad', { 'annotations.json': '{' }))).toThrow('JSON');
  });
});

test('the table in both forms', () => {
  const row: FitRow = {
    crop: 'detector',
    passes: 2,
    refined: true,
    errors: [2, 4, undefined],
    bins: [{ name: '0-30', nme: 3, faces: 2 }],
    mean: 3,
    overFaces: 3,
    missed: 1,
  };
  expect(fitTable([row])).toEqual([
    'crop      passes  refined  0-30  30-60  60-90  mean of bins  mean of faces  not found',
    'detector       2      yes  3.00      -      -          3.00           3.00          1',
  ]);
  expect(fitTable([row], true)[2]).toBe('| detector | 2 | yes | 3.00 | - | - | 3.00 | 3.00 | 1 |');
});

const [photos, weights, model] = ['data/faces/aflw2000', 'data/weights', 'data/bfm/bfm_3ddfa.safetensors'].map(
  sharedPath,
);

describe.runIf(photos && weights && model)('the published regressor on published photos', () => {
  test('its published errors with one look; from a detector a second look is better', async () => {
    const out = path.join(root, 'nme');
    const { code, stdout } = await rescunet(
      'eval',
      'fit',
      photos ?? '',
      '--model',
      model ?? '',
      '--weights-dir',
      weights ?? '',
      '--out',
      out,
      '--json',
    );
    expect(code).toBe(0);
    const { rows } = JSON.parse(stdout) as { rows: FitRow[] };
    const mean = (crop: string, passes: number) =>
      rows.find((row) => row.crop === crop && row.passes === passes)?.overFaces ?? NaN;
    expect(mean('landmarks', 1)).toBeCloseTo(3.41, 1);
    expect(mean('detector', 1)).toBeCloseTo(3.81, 1);
    expect(mean('detector', 2)).toBeLessThan(3.6);
    expect(rows.every(({ missed, errors }) => missed === 0 && errors.length === 15)).toBe(true);
    expect(readFileSync(path.join(out, 'results.md'), 'utf8')).toContain('| detector | 2 | no |');
  });

  test('refined they come nearer to the landmarks', async () => {
    const samples = readAflw2000(photos ?? '').samples.slice(0, 5);
    const regressor = loadRegressor(path.join(weights ?? '', 'mb05_120x120.safetensors'));
    const detector = loadDetector({
      kind: 'faceboxes',
      weights: path.join(weights ?? '', 'FaceBoxesProd.safetensors'),
    });
    const rows = await evaluateFit(samples, { model: loadFaceModel(model ?? ''), regressor, detector, refine: true });
    expect(rows.map(({ crop, passes, refined }) => `${crop} ${passes} ${refined}`)).toEqual(
      ['landmarks', 'detector'].flatMap((crop) =>
        [1, 2].flatMap((passes) => [`${crop} ${passes} false`, `${crop} ${passes} true`]),
      ),
    );
    for (let i = 0; i < rows.length; i += 2) expect(rows[i + 1].overFaces).toBeLessThan(rows[i].overFaces);
  });
});

test('the command says what it lacks', async () => {
  const out = path.join(root, 'x');
  const bare = await rescunet('eval', 'fit', root, '--out', out);
  expect(bare.code).toBe(2);
  expect(bare.stderr).toContain('has neither annotations.json nor photos with a .mat beside them');
  const imported = await rescunet('eval', 'fit', root, '--out', out, '--model', 'assets/face.safetensors');
  expect(imported.code).toBe(2);
  // A model that no regressor knows: naming weights would not help.
  expect(imported.stderr).toMatch(/--model assets\/face.safetensors: regressors know .* or give --landmarks/);
});
