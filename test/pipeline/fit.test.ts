// Fitting photos: the two routes on a drawn face, and the original program's numbers on real photos.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { FormatError } from '../../src/formats/error.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { splitParameters } from '../../src/models/face-parameters.js';
import { FitError } from '../../src/models/fitter.js';
import { FaceModelError, type MorphableModel } from '../../src/models/morphable.js';
import { applyAffine, applyPose, quaternionFromEuler } from '../../src/models/pose.js';
import { synthFaces } from '../../src/pipeline/dataset/synth-faces.js';
import { type FaceDetector, loadDetector, loadRegressor } from '../../src/pipeline/detect.js';
import { loadFaceModel } from '../../src/pipeline/face_model.js';
import { fitPhoto } from '../../src/pipeline/fit.js';
import { cascadeRegression } from '../../src/pipeline/fit-cascade.js';
import { type Fit, fitRecord } from '../../src/pipeline/fit-face.js';
import type { Fitter } from '../../src/pipeline/fitters.js';
import { type Pixels, readPixels } from '../../src/pipeline/image.js';
import { type Regressor, regressorCrop, roiFromBox, roiFromLandmarks } from '../../src/pipeline/regression62.js';
import { tensor } from '../../src/tensor/index.js';
import { sharedPath } from '../shared.js';

const blank = (width: number, height: number): Pixels => ({ data: new Uint8Array(3 * width * height), width, height });

describe('fitPhoto to landmarks', () => {
  const model = loadFaceModel();
  const angles = { yaw: -30, pitch: 10, roll: 5 };
  const pose = { q: quaternionFromEuler(angles, 1.1), t: [200, -220, 0] as const };
  const alpha = model.identityStd.map((s, k) => (k % 3 === 0 ? s : -0.5 * s));
  const beta = model.expressionStd.map((s, k) => (k % 2 === 0 ? 0.5 * s : 0));
  const turned = applyPose(model.verticesAt(model.landmarks, alpha, beta), pose);
  const landmarks = Float64Array.from({ length: 136 }, (_, i) => (i % 2 ? -1 : 1) * turned[3 * (i >> 1) + (i % 2)]);
  let fit: Fit;
  beforeAll(async () => {
    [fit] = await fitPhoto(blank(400, 400), { model, landmarks });
  });

  test('finds pose, scale and landmarks', () => {
    expect(fit.method).toBe('landmarks');
    expect(Math.abs(fit.yaw + 30)).toBeLessThan(0.5);
    expect(Math.abs(fit.pitch - 10)).toBeLessThan(0.5);
    expect(Math.abs(fit.roll - 5)).toBeLessThan(0.5);
    expect(fit.scale).toBeCloseTo(1.1, 1);
    expect(fit.rmse).toBeLessThan(0.1);
    for (let i = 0; i < 68; i++) {
      expect(Math.abs(fit.landmarks[3 * i] - landmarks[2 * i])).toBeLessThan(0.5);
      expect(Math.abs(fit.landmarks[3 * i + 1] - landmarks[2 * i + 1])).toBeLessThan(0.5);
    }
  });

  test('the vertices are the camera applied to the shape; depths start at 0', () => {
    const again = applyAffine(model.vertices(fit.alpha, fit.beta), fit.camera);
    let worst = 0;
    let farthest = Infinity;
    for (let i = 0; i < again.length; i++) worst = Math.max(worst, Math.abs(again[i] - fit.vertices[i]));
    for (let i = 2; i < again.length; i += 3) farthest = Math.min(farthest, fit.vertices[i]);
    expect(worst).toBeLessThan(1e-3);
    expect(farthest).toBe(0);
    expect(Math.min(...Array.from({ length: 68 }, (_, i) => fit.landmarks[3 * i + 2]))).toBe(0);
    const nose = fit.landmarks[3 * 30 + 2];
    expect(nose).toBeGreaterThan(fit.landmarks[3 * 36 + 2]); // nearer than the eye
    expect(fit.landmarks[3 * 8 + 1]).toBeGreaterThan(fit.landmarks[3 * 27 + 1]); // y down
  });

  test('the record is plain JSON', () => {
    const record = JSON.parse(JSON.stringify(fitRecord(fit)));
    expect(record.landmarks.length).toBe(68);
    expect(record.landmarks[30]).toEqual(Array.from(fit.landmarks.subarray(90, 93)));
    expect(record.camera[2]).toEqual([...fit.camera.slice(8)]);
    expect(record.alpha).toEqual([...fit.alpha]);
    expect(record.vertices).toBeUndefined();
    expect(record.vertexCount).toBe(model.vertexCount);
  });

  test('what is missing or wrong is said before any work', async () => {
    const photo = blank(100, 100);
    const regressor: Regressor = {
      predict: () => {
        throw new Error('asked');
      },
    };
    await expect(fitPhoto(photo, { model })).rejects.toThrow('wanted a regressor, a fitter or landmarks');
    await expect(fitPhoto(photo, { model, regressor, box: [1, 2, 50, 60] })).rejects.toThrow(FaceModelError);
    await expect(fitPhoto(photo, { model, landmarks: [1, 2, 3] })).rejects.toThrow(FitError);
    const statistics = new Float32Array(62).fill(1);
    const imported = Object.assign(Object.create(model), { parameterMean: statistics, parameterStd: statistics });
    const fitting = (rest: object) => fitPhoto(photo, { model: imported, regressor, ...rest });
    await expect(fitting({})).rejects.toThrow('wanted a detector, a box, a roi or landmarks');
    await expect(fitting({ box: [50, 2, 10, 60] })).rejects.toThrow('wanted a box');
    await expect(fitting({ roi: [1, 2, Number.NaN, 60] })).rejects.toThrow('wanted a roi');
    await expect(fitting({ roi: [200, 0, 300, 100] })).rejects.toThrow('outside the photo of 100x100');
  });
});

describe('squares', () => {
  test('of a box', () => {
    const roi = roiFromBox([119.59661865234375, 93.46426391601562, 290.69439697265625, 312.3812255859375]);
    [51.1455078125, 76.22377655029297, 359.1455078125, 384.223776550293].forEach((v, i) => {
      expect(roi[i]).toBeCloseTo(v, 3);
    });
  });

  test('of landmarks: the diagonal of the square around them', () => {
    const roi = roiFromLandmarks([10, 20, 40, 30, 25, 60]);
    const half = (40 * Math.SQRT2) / 2;
    [25 - half, 40 - half, 25 + half, 40 + half].forEach((v, i) => {
      expect(roi[i]).toBeCloseTo(v, 9);
    });
  });

  test('outside the photo the crop is black', () => {
    const photo = { ...blank(50, 50), data: new Uint8Array(3 * 50 * 50).fill(200) };
    const { data, width, height } = regressorCrop(photo, [-50, 0, 50, 100]);
    expect([width, height]).toEqual([120, 120]);
    expect(data[3 * (10 * 120 + 10)]).toBe(0);
    expect(data[3 * (10 * 120 + 110)]).toBe(200);
    expect(data[3 * (110 * 120 + 110)]).toBe(0);
  });
});

interface ReferenceFace {
  box: number[];
  roi: [number, number, number, number];
  yaw_pitch_roll_deg: number[];
}

const data = sharedPath('data');

describe.runIf(data)('real photos', () => {
  const at = (name: string) => `${data}/${name}`;
  const images: [string, ReferenceFace[]][] = data
    ? Object.entries(JSON.parse(readFileSync(at('reference/photos.json'), 'utf8')).images).map(([name, image]) => [
        name,
        (image as { faces: ReferenceFace[] }).faces,
      ])
    : [];
  let model: MorphableModel;
  let regressor: Regressor;
  let detector: FaceDetector;
  let reference: ReturnType<typeof readSafetensors>;
  beforeAll(() => {
    model = loadFaceModel(at('bfm/bfm_3ddfa.safetensors'));
    regressor = loadRegressor(at('weights/mb05_120x120.safetensors'));
    detector = loadDetector({ kind: 'faceboxes', weights: at('weights/FaceBoxesProd.safetensors') });
    reference = readSafetensors(at('reference/photos.safetensors'));
  });

  /** Largest difference of any coordinate between points [n, 3] and the reference's [3, n]. */
  function worst(points: Float32Array, name: string, step = 1): number {
    const { data: wanted, shape } = reference[name];
    const n = shape[1];
    let result = 0;
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < 3; c++) {
        result = Math.max(result, Math.abs(points[3 * step * i + c] - wanted[c * n + i]));
      }
    }
    return result;
  }

  test.each(images)('%s: as the reference fitter', async (name, faces) => {
    const photo = await readPixels(at(`faces/${name}`));
    const found = await fitPhoto(photo, { model, regressor, detector });
    expect(found.length).toBe(faces.length);
    for (const [k, face] of faces.entries()) {
      for (let i = 0; i < 4; i++) expect(Math.abs((found[k].box ?? [])[i] - face.box[i])).toBeLessThan(1);
      expect(found[k].score).toBeCloseTo(face.box[4], 2);
      const [fit] = await fitPhoto(photo, { model, regressor, roi: face.roi });
      const limit = Math.max(0.5, 0.002 * (face.roi[2] - face.roi[0]));
      expect(reference[`${name}#${k}/dense`].shape).toEqual([3, 1037]);
      expect(worst(fit.landmarks, `${name}#${k}/lm68`)).toBeLessThan(limit);
      expect(worst(fit.vertices, `${name}#${k}/dense`, 37)).toBeLessThan(limit);
      const wanted = reference[`${name}#${k}/param`].data;
      expect(fit.parameters?.length).toBe(62);
      fit.parameters?.forEach((p, i) => {
        expect(Math.abs(p - wanted[i]) / (model.parameterStd?.[i] ?? 0)).toBeLessThan(0.03);
      });
      [fit.yaw, fit.pitch, fit.roll].forEach((angle, i) => {
        expect(Math.abs(angle - face.yaw_pitch_roll_deg[i])).toBeLessThan(0.2);
      });
    }
  });

  test('the largest face only, and none', async () => {
    const photo = await readPixels(at('faces/3ddfa-v2/emma.jpg'));
    const all = await fitPhoto(photo, { model, regressor, detector });
    const one = await fitPhoto(photo, { model, regressor, detector, faces: 'largest' });
    expect(one.length).toBe(1);
    expect(one[0].box).toEqual(all[0].box);
    expect(await fitPhoto(blank(300, 200), { model, regressor, detector })).toEqual([]);
  });

  test('the regressor from torch files is the same network', async () => {
    const photo = await readPixels(at('faces/3ddfa-v2/JianzhuGuo.jpg'));
    const roi = images[0][1][0].roi;
    const [wanted] = await fitPhoto(photo, { model, regressor, roi });
    for (const file of ['mb05_120x120.pth', 'mb05_120x120_zip.pth']) {
      const [fit] = await fitPhoto(photo, { model, regressor: loadRegressor(at(`weights/${file}`)), roi });
      expect(fit.parameters).toEqual(wanted.parameters);
    }
  });

  test('landmarks of the regressor, fitted again, give its pose', async () => {
    const photo = await readPixels(at('faces/3ddfa-v2/JianzhuGuo.jpg'));
    const [wanted] = await fitPhoto(photo, { model, regressor, roi: images[0][1][0].roi });
    const landmarks = Float64Array.from({ length: 136 }, (_, i) => wanted.landmarks[3 * (i >> 1) + (i % 2)]);
    for (const other of [model, loadFaceModel()]) {
      const [fit] = await fitPhoto(photo, { model: other, landmarks });
      expect(Math.abs(fit.yaw - wanted.yaw)).toBeLessThan(4);
      expect(Math.abs(fit.roll - wanted.roll)).toBeLessThan(4);
      expect(fit.rmse).toBeLessThan(4);
    }
  });

  test('weights of another network are refused by name', () => {
    expect(() => loadRegressor(at('weights/FaceBoxesProd.safetensors'))).toThrow(FormatError);
    expect(() => loadDetector({ kind: 'faceboxes', weights: at('weights/mb05_120x120.pth') })).toThrow(FormatError);
    expect(() => loadDetector({ kind: 'mtcnn', weights: at('weights/mtcnn_pnet.pt') })).toThrow('mtcnn has 3 file(s)');
  });

  test('MTCNN finds the same face', async () => {
    const weights = ['mtcnn_pnet.pt', 'mtcnn_rnet.pt', 'mtcnn_onet.pt'].map((name) => at(`weights/${name}`));
    const mtcnn = loadDetector({ kind: 'mtcnn', weights });
    const photo = await readPixels(at('faces/3ddfa-v2/JianzhuGuo.jpg'));
    const [fit] = await fitPhoto(photo, { model, regressor, detector: mtcnn });
    const [wanted] = await fitPhoto(photo, { model, regressor, detector });
    expect(fit.score).toBeGreaterThan(0.9);
    expect(Math.abs(fit.yaw - wanted.yaw)).toBeLessThan(5);
    expect(Math.abs(fit.landmarks[90] - wanted.landmarks[90])).toBeLessThan(10);
  });
});

describe('fitPhoto by a cascade', () => {
  const faces = synthFaces({ people: 1, views: 2, side: 64, occluders: 0 });
  const { model, counts } = faces;
  const { crop, truth } = faces.face(1);
  const { pose, alpha, beta } = splitParameters(truth, counts);
  /** The cascade that is always right about this crop. */
  const answers = { counts, forward: () => tensor(truth, { shape: [1, truth.length] }) };
  const settings = { network: 'mobilenet', stages: 1, width: 1, side: 64 } as const;
  const fitter = { settings, start: truth, cascade: answers } as unknown as Fitter;
  const seen = applyPose(model.verticesAt(model.landmarks, alpha, beta), pose);
  const inCrop = (i: number) => [seen[3 * i], 63 - seen[3 * i + 1]];

  test.each([
    { scale: 1, left: 40, top: 10 },
    { scale: 3, left: 7, top: 90 },
  ])(
    'what it says of a crop $scale times as large at $left,$top lies there in the photo',
    async ({ scale, left, top }) => {
      const photo = blank(400, 300);
      const side = 64 * scale;
      for (let y = 0; y < side; y++) {
        for (let x = 0; x < side; x++) {
          const from = 3 * (Math.floor(y / scale) * 64 + Math.floor(x / scale));
          photo.data.set(crop.subarray(from, from + 3), 3 * ((y + top) * 400 + x + left));
        }
      }
      const [fit] = await fitPhoto(photo, { model, fitter, roi: [left, top, left + side, top + side] });
      expect(fit.method).toBe('regressor');
      expect(fit.parameters).toEqual(Float64Array.from(Float32Array.from(truth)));
      expect(Math.abs(fit.yaw - faces.truth(1).yaw)).toBeLessThan(1e-3);
      for (let i = 0; i < 68; i++) {
        const [x, y] = inCrop(i);
        // Pixel centres: pixel u of the crop is `scale` pixels of the photo.
        expect(fit.landmarks[3 * i]).toBeCloseTo(left + scale * (x + 0.5) - 0.5, 2);
        expect(fit.landmarks[3 * i + 1]).toBeCloseTo(top + scale * (y + 0.5) - 0.5, 2);
      }
      const again = applyAffine(model.vertices(fit.alpha, fit.beta), fit.camera);
      for (let i = 0; i < again.length; i += 997) expect(again[i]).toBeCloseTo(fit.vertices[i], 2);
    },
  );

  test('its squares hold the face as large as in its training', () => {
    const { roiOfBox, roiOfExtent, crop: cut } = cascadeRegression(fitter);
    expect(roiOfExtent([100, 100, 162, 150]).map((v) => Number(v.toFixed(6)))).toEqual([81, 75, 181, 175]);
    const [left, top, right, bottom] = roiOfBox([0, 0, 100, 100]);
    expect((right + left) / 2).toBeCloseTo(50, 6);
    expect((top + bottom) / 2).toBeCloseTo(64, 6);
    expect(right - left).toBeCloseTo(((1.58 / Math.SQRT2) * 100) / 0.62, 6);
    // Stripes of one pixel become grey, not stripes of another width.
    const striped = blank(256, 256);
    for (let i = 0; i < striped.data.length; i++) striped.data[i] = Math.floor(i / 3) % 2 === 0 ? 255 : 0;
    expect([...new Set(cut(striped, [0, 0, 256, 256]).data)]).toEqual([128]);
  });
});
