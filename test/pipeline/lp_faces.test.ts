// Annotated photos as training data: the published annotations put their landmarks where they are, and a photo turned by face profiling is the photo
// of the turned face.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { drawPerson } from '../../src/head/person.js';
import { splitParameters } from '../../src/models/face-parameters.js';
import { applyPose } from '../../src/models/pose.js';
import { cameraOf, lpFaces } from '../../src/pipeline/dataset/lp-faces.js';
import { turnedPhoto } from '../../src/pipeline/dataset/profile.js';
import { loadFaceModel } from '../../src/pipeline/face_model.js';
import { type Pixels, toPixels, writeImage } from '../../src/pipeline/image.js';
import { drawMesh, posed } from '../../src/pipeline/render.js';
import { surfaceOf } from '../../src/pipeline/synthesise.js';
import { parseTrainConfigOf } from '../../src/pipeline/train/tasks.js';
import { train } from '../../src/pipeline/train/trainer.js';
import { tensor, tidy } from '../../src/tensor/index.js';
import { double, matFile, single } from '../formats/mat.js';
import { sharedPath } from '../shared.js';

const root = mkdtempSync(path.join(tmpdir(), 'rescunet-lp-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('the camera of an annotation', () => {
  test('is f Rx Ry Rz S + t, from pixels counted from 1 and from below', () => {
    const half = Math.PI / 2;
    // Yaw by a quarter turn: x of the photo is -z of the model.
    expect([...cameraOf([0, half, 0, 11, 21, 5, 2], 100)].map((v) => Math.round(v))).toEqual([
      0, 0, -2, 10, 0, 2, 0, -79, 2, 0, 0, 5,
    ]);
    // Pitch: y of the photo is z of the model; roll: x is y.
    expect([...cameraOf([half, 0, 0, 1, 1, 0, 1], 1)].map((v) => Math.round(v) + 0)).toEqual([
      1, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 0,
    ]);
    expect([...cameraOf([0, 0, half, 1, 1, 0, 1], 1)].map((v) => Math.round(v) + 0)).toEqual([
      0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0,
    ]);
  });
});

describe('face profiling', () => {
  const model = loadFaceModel();
  const person = drawPerson(3, model, { size: 128 });
  const shape = model.vertices(person.alpha, person.beta);
  const triangles = surfaceOf(model);
  const texture = tensor(person.texture, { shape: [128, 128, 3] });
  afterAll(() => texture.dispose());
  const at = (yaw: number): { photo: Pixels; vertices: Float32Array } => {
    const vertices = posed(shape, { yaw }, 160);
    const mesh = { vertices, triangles, uv: model.uv, texture };
    return { photo: tidy(() => toPixels(drawMesh(mesh, { size: 160, background: [40, 90, 140] }).image)), vertices };
  };

  test('is the photo of the turned face, on the old background', () => {
    const before = at(20);
    const after = at(45);
    // Turned about the model's own axis, as `posed` does.
    const centre = [79.5, 79.5, 0];
    const turned = turnedPhoto(before.photo, { vertices: before.vertices, triangles }, { yaw: 25, centre });
    const difference = (a: Pixels, b: Pixels) => {
      // The middle of the face that both show: nose to the near cheek.
      let [sum, n] = [0, 0];
      for (const i of Array.from({ length: 15 }, (_, k) => model.landmarks[27 + k])) {
        const [x, y] = [Math.round(after.vertices[3 * i]), Math.round(after.vertices[3 * i + 1])];
        for (let c = 0; c < 3; c++) {
          sum += Math.abs(a.data[3 * (y * 160 + x) + c] - b.data[3 * (y * 160 + x) + c]);
          n++;
        }
      }
      return sum / n;
    };
    expect(difference(turned, after.photo)).toBeLessThan(0.5 * difference(before.photo, after.photo));
    for (const corner of [0, 159, 160 * 159, 160 * 160 - 1]) {
      expect([...turned.data.subarray(3 * corner, 3 * corner + 3)]).toEqual([40, 90, 140]);
    }
    const same = turnedPhoto(before.photo, { vertices: before.vertices, triangles }, { yaw: 0, centre });
    let worst = 0;
    for (let i = 0; i < same.data.length; i++) worst = Math.max(worst, Math.abs(same.data[i] - before.photo.data[i]));
    expect(worst).toBeLessThanOrEqual(1);
  });
});

describe('a folder of annotated photos', () => {
  const model = loadFaceModel();
  const folder = path.join(root, 'lp');
  beforeAll(async () => {
    mkdirSync(path.join(folder, 'AFW'), { recursive: true });
    const zeros = (n: number) => single([n, 1], new Array(n).fill(0));
    for (let k = 0; k < 12; k++) {
      const data = Uint8Array.from({ length: 3 * 80 * 80 }, (_, i) => (i * (k + 1)) % 251);
      const stem = path.join(folder, 'AFW', `AFW_${k}_0`);
      await writeImage(`${stem}.jpg`, { data, width: 80, height: 80 });
      const pose = [0.1, 0.05 * k - 0.3, 0, 40, 40, 0, 0.25];
      writeFileSync(
        `${stem}.mat`,
        matFile({ Pose_Para: double([1, 7], pose), Shape_Para: zeros(199), Exp_Para: zeros(29) }),
      );
    }
    writeFileSync(path.join(folder, 'AFW', 'AFW_0_0_pts.mat'), 'landmarks, which have no photo');
  });

  test('folds share no original; copies are turned further to their side', async () => {
    const options = { model, side: 32, profiles: 2 };
    const [all, trained, held] = await Promise.all([
      lpFaces(folder, options),
      lpFaces(folder, { ...options, fold: 'train' }),
      lpFaces(folder, { ...options, fold: 'validation' }),
    ]);
    expect([all.length, trained.length, held.length, all.block]).toEqual([36, 30, 3, 3]);
    for (let k = 0; k < 12; k++) {
      const [own, ...copies] = [0, 1, 2].map((c) => all.truth(3 * k + c).yaw);
      for (const yaw of copies) {
        expect(Math.abs(yaw)).toBeGreaterThanOrEqual(Math.abs(own) - 1e-9);
        expect(Math.sign(yaw)).toBe(Math.sign(own));
      }
    }
    const again = await lpFaces(folder, options);
    expect(await again.face(5)).toEqual(await all.face(5));
    expect((await all.face(4)).crop).not.toEqual((await all.face(5)).crop);
    expect((await all.face(3)).crop).toHaveLength(3 * 32 * 32);
  });

  test('a cascade is trained on it', { timeout: 120_000 }, async () => {
    const run = path.join(root, 'run');
    copyFileSync(new URL('../../assets/face.safetensors', import.meta.url), path.join(root, 'face.safetensors'));
    const text = `
      task: fitter
      run: run
      batch: 4
      cascade: { stages: 1, stepsPerStage: 2, width: 0.25, side: 32 }
      data: { lp: { folder: lp, model: face.safetensors, profiles: 1 } }
      validate: { every: 0, photos: 2 }`;
    await train(parseTrainConfigOf(text, path.join(root, 'lp.yaml')));
    const log = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8');
    expect(log).toContain('validation/nme');
    expect(log).not.toContain('null');
  });

  test('what is of no use is named', async () => {
    await expect(lpFaces(root, { model, side: 32, profiles: -1 })).rejects.toThrow('profiles');
    await expect(lpFaces(path.join(root, 'none'), { model, side: 32 })).rejects.toThrow('is not there');
    const empty = path.join(root, 'empty');
    mkdirSync(empty);
    await expect(lpFaces(empty, { model, side: 32 })).rejects.toThrow('there is none with a .mat beside it');
    copyFileSync(path.join(folder, 'AFW', 'AFW_0_0.jpg'), path.join(empty, 'a.jpg'));
    writeFileSync(path.join(empty, 'a.mat'), matFile({ Pose_Para: double([1, 3], [0, 0, 0]) }));
    await expect(lpFaces(empty, { model, side: 32 })).rejects.toThrow(
      /a\.mat: Pose_Para: wanted at least 7 finite numbers/,
    );
  });
});

const [photos, basel] = ['data/faces/aflw2000', 'data/bfm/bfm_3ddfa.safetensors'].map(sharedPath);

test.runIf(photos && basel)('published annotations put the landmarks where the published ones are', async () => {
  const folder = path.join(root, 'aflw');
  mkdirSync(folder);
  const table = JSON.parse(readFileSync(path.join(photos ?? '', 'annotations.json'), 'utf8'));
  const names = Object.keys(table).map((key) => path.basename(key, '.jpg'));
  for (const [key, { Pose_Para, Shape_Para, Exp_Para }] of Object.entries<Record<string, number[][]>>(table)) {
    const stem = path.basename(key, '.jpg');
    copyFileSync(path.join(photos ?? '', `${stem}.jpg`), path.join(folder, `${stem}.jpg`));
    const [pose, shape, expression] = [Pose_Para, Shape_Para, Exp_Para].map((rows) => rows.flat());
    const column = (values: number[]) => single([values.length, 1], values);
    const file = matFile({ Pose_Para: single([1, 7], pose), Shape_Para: column(shape), Exp_Para: column(expression) });
    writeFileSync(path.join(folder, `${stem}.mat`), file);
  }
  const model = loadFaceModel(basel);
  const side = 120;
  const faces = await lpFaces(folder, { model, side });
  expect(faces.length).toBe(names.length);
  for (const [k, name] of names.sort().entries()) {
    const { truth } = faces.truth(k);
    const { pose, alpha, beta } = splitParameters(truth, faces.counts);
    const found = applyPose(model.verticesAt(model.landmarks, alpha, beta), pose);
    const { pt3d_68: wanted } = table[`aflw2000/${name}.jpg`];
    // The crop's place is drawn at random: by the first landmark and the scale both are brought together.
    const spread = (values: number[]) => Math.max(...values) - Math.min(...values);
    const xs = Array.from({ length: 68 }, (_, i) => found[3 * i]);
    const ys = Array.from({ length: 68 }, (_, i) => side - 1 - found[3 * i + 1]);
    const k2 = (spread(wanted[0]) + spread(wanted[1])) / (spread(xs) + spread(ys));
    const middle = (values: number[]) => values.reduce((sum, v) => sum + v / 68, 0);
    let error = 0;
    for (let i = 0; i < 68; i++) {
      const dx = k2 * (xs[i] - middle(xs)) - (wanted[0][i] - middle(wanted[0]));
      const dy = k2 * (ys[i] - middle(ys)) - (wanted[1][i] - middle(wanted[1]));
      error += Math.hypot(dx, dy) / 68;
    }
    // The model has the first 40 of their 199 shape coefficients and 10 of 29.
    expect(error / Math.sqrt(spread(wanted[0]) * spread(wanted[1])), name).toBeLessThan(0.02);
  }
});
