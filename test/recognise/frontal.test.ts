// Frontal crops and UV crops: where their points lie, and that they bring photos of one head at two poses nearer to each other.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadDetector, loadRegressor } from '../../src/pipeline/detect.js';
import { loadFaceModel } from '../../src/pipeline/face_model.js';
import { fitPhoto } from '../../src/pipeline/fit.js';
import { readPixels } from '../../src/pipeline/image.js';
import {
  alignFace,
  CASIA_CROP,
  cosineSimilarity,
  cosinesOf,
  embedCrops,
  fivePoints,
  frontalCrop,
  loadRecogniser,
  uvCrop,
  uvPoints,
  verifyAllPairs,
} from '../../src/pipeline/recognise/index.js';
import { completeFit, faceMesh } from '../../src/pipeline/synthesise.js';
import { tensor } from '../../src/tensor/index.js';
import { sharedPath } from '../shared.js';

describe('on the drawn head', () => {
  const model = loadFaceModel();
  const size = 64;
  const none = { alpha: model.identityStd.map(() => 0), beta: model.expressionStd.map(() => 0) };

  test('eyes, nose and mouth come to lie on the layout, whatever the scale of the mesh', () => {
    // A texture with a white disc at each of the five points and grey elsewhere.
    const points = uvPoints(model, size);
    const texture = tensor(
      Float32Array.from({ length: size * size * 3 }, (_, i) => {
        const p = Math.floor(i / 3);
        const near = (k: number) =>
          Math.hypot((p % size) - points[2 * k], Math.floor(p / size) - points[2 * k + 1]) < 2;
        return [0, 1, 2, 3, 4].some(near) ? 255 : 60;
      }),
      { shape: [size, size, 3] },
    );
    for (const scale of [1, 7]) {
      const mesh = faceMesh(model, none, texture);
      const { data, height, width } = frontalCrop({ ...mesh, vertices: mesh.vertices.map((v) => scale * v) }, model);
      expect([height, width]).toEqual([112, 96]);
      const at = (x: number, y: number) => data[3 * (Math.round(y) * width + Math.round(x))];
      for (let k = 0; k < 5; k++)
        expect(at(CASIA_CROP.points[2 * k], CASIA_CROP.points[2 * k + 1])).toBeGreaterThan(150);
      expect(at(48, 40)).toBe(60); // forehead
      expect(at(1, 110)).toBe(0); // beside the chin
    }
    const crop = uvCrop(texture, model);
    const [x, y] = CASIA_CROP.points.slice(4);
    expect(crop.data[3 * (Math.round(y) * crop.width + Math.round(x))]).toBeGreaterThan(200);
    expect(() => uvCrop(tensor([1, 2, 3], { shape: [1, 1, 3] }).reshape([3, 1, 1]), model)).toThrow(/size, size, 3/);
  });
});

const data = sharedPath('data');
test.skipIf(!data)('a near-profile photo and a frontal one of a person come nearer by frontalisation', async () => {
  if (!data) return;
  const weights = (name: string) => join(data, 'weights', name);
  const model = loadFaceModel(join(data, 'bfm/bfm_3ddfa.safetensors'));
  const detector = loadDetector({ kind: 'faceboxes', weights: weights('FaceBoxesProd.safetensors') });
  const regressor = loadRegressor(weights('mb05_120x120.safetensors'));
  const recogniser = loadRecogniser(weights('mobilefacenet_casia_068.safetensors'));
  const views = ['left', 'right'].map((side) => join(data, 'faces/three-views', `01223_${side}.jpg`));
  const plain: Float32Array[] = [];
  const frontal: Float32Array[] = [];
  for (const file of views) {
    const photo = await readPixels(file);
    const [fit] = await fitPhoto(photo, { model, detector, regressor, faces: 'largest' });
    const { mesh } = completeFit(photo, fit, model, { method: 'mirror' });
    const crops = [alignFace(photo, fivePoints(fit.landmarks), recogniser.crop), frontalCrop(mesh, model)];
    const [a, b] = await embedCrops(recogniser, crops);
    plain.push(a);
    frontal.push(b);
  }
  const [before, after] = [plain, frontal].map(([a, b]) => cosineSimilarity(a, b));
  expect(after).toBeGreaterThan(before);
  expect(after).toBeGreaterThan(0.5);
});

test('verifyAllPairs counts by the difference of the yaw angles', () => {
  const embeddings = [
    [1, 0],
    [1, 0.1],
    [0, 1],
    [0.5, 1],
  ];
  const { same, different, auc, balancedAccuracy, bins } = verifyAllPairs(
    cosinesOf(embeddings),
    [0, 0, 1, 1],
    [0, 70, 5, -30],
  );
  expect([same, different, auc, balancedAccuracy]).toEqual([2, 4, 1, 1]);
  expect(bins.map(({ from, to, same, different }) => [from, to, same, different])).toEqual([
    [0, 20, 0, 1],
    [20, 40, 1, 1],
    [40, 60, 0, 0],
    [60, 180, 1, 2],
  ]);
  expect(bins[3].sameCosine).toBeCloseTo(1 / Math.hypot(1, 0.1), 9);
  expect([bins[0].auc, bins[2].sameCosine]).toEqual([undefined, undefined]);
  expect(() => verifyAllPairs(cosinesOf(embeddings), [0, 1], [0])).toThrow(/2 labels and 1 yaws/);
});
