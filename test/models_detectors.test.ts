// FaceBoxes against the original program's raw output and boxes; MTCNN against those boxes and the reference landmarks.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadSafetensors } from '../src/formats/safetensors.js';
import { loadTorch } from '../src/formats/torch.js';
import { toBgr } from '../src/models/bgr.js';
import { areaOf, type Box, suppress } from '../src/models/detection.js';
import { FaceBoxes, facePriors } from '../src/models/faceboxes.js';
import { Mtcnn } from '../src/models/mtcnn.js';
import { readImage } from '../src/pipeline/image.js';
import { full, ones, sub, type Tensor, tensor, tidy, zeros } from '../src/tensor/index.js';
import { ShapeError } from '../src/tensor/shape.js';
import { expectClose } from './close.js';
import { sharedPath } from './shared.js';

interface Photos {
  images: Record<string, { faces: { box: number[] }[] }>;
}

const data = sharedPath('data');
const reference = data ? loadSafetensors(join(data, 'reference/JianzhuGuo.safetensors')) : {};
const photos = data ? (JSON.parse(readFileSync(join(data, 'reference/photos.json'), 'utf8')) as Photos).images : {};
const names = Object.keys(photos);
const photo = (name: string): Promise<Tensor> => readImage(join(data as string, 'faces', name));
/** Intersection over union. */
function overlap(a: Box, b: Box): number {
  const w = Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left));
  const h = Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));
  return (w * h) / (areaOf(a) + areaOf(b) - w * h);
}
const edges = ({ left, top, right, bottom }: Box): number[] => [left, top, right, bottom];

describe('suppress', () => {
  const box = (left: number, score: number, side = 10) => ({ left, top: 0, right: left + side, bottom: side, score });

  it('keeps the best of boxes that overlap, best first', () => {
    const kept = suppress([box(0, 0.5), box(1, 0.9), box(30, 0.7)], { threshold: 0.3 });
    expect(kept.map(({ score }) => score)).toEqual([0.9, 0.7]);
  });

  it('divides by the union or the smaller box, with or without the last pixel', () => {
    const boxes = [box(0, 0.9, 20), box(0, 0.8, 10)]; // intersection 100, union 400
    expect(suppress(boxes, { threshold: 0.26 })).toHaveLength(2);
    expect(suppress(boxes, { threshold: 0.24 })).toHaveLength(1);
    expect(suppress(boxes, { threshold: 0.26, border: 1 })).toHaveLength(1); // 121 of 441
    expect(suppress(boxes, { threshold: 0.99, over: 'smaller' })).toHaveLength(1);
  });
});

describe.skipIf(!data)('FaceBoxes', () => {
  const detector = new FaceBoxes();
  beforeAll(() => {
    detector.loadStateDict(loadSafetensors(join(data as string, 'weights/FaceBoxesProd.safetensors')), {
      from: 'torch',
    });
  });

  it('raw output and priors of the reference photo', async () => {
    const image = await photo('3ddfa-v2/JianzhuGuo.jpg');
    const [h, w] = image.shape;
    expectClose(facePriors(h, w), reference.detector_priors, 1e-6, 'priors');
    const { loc, conf } = tidy(() =>
      detector.forward(sub(toBgr(image.cast('f32')), tensor([104, 117, 123])).reshape([1, h, w, 3])),
    );
    expect(loc.shape).toEqual([1, 4997, 4]);
    expectClose(loc, reference.detector_loc, 1e-4, 'loc');
    expectClose(conf, reference.detector_conf, 1e-4, 'conf');
    const boxes = await detector.detect(image);
    const found = Float32Array.from(boxes.flatMap((b) => [...edges(b), b.score]));
    expectClose(found, reference.detector_boxes, 1e-4, 'boxes');
  });

  it.each(names)('boxes of %s within a pixel', async (name) => {
    const found = await detector.detect(await photo(name));
    const expected = photos[name].faces.map(({ box }) => box);
    expect(found).toHaveLength(expected.length);
    found.forEach((box, i) => {
      edges(box).forEach((edge, k) => {
        expect(Math.abs(edge - expected[i][k]), `face ${i}, edge ${k}`).toBeLessThanOrEqual(1);
      });
      expect(Math.abs(box.score - expected[i][4])).toBeLessThanOrEqual(0.01);
    });
  });

  it('finds nothing in a blank image of any size, and the same in u8 and f32', async () => {
    for (const shape of [
      [1, 1, 3],
      [20, 2000, 3],
      [97, 33, 3],
    ]) {
      expect(await detector.detect(full(shape, 128, { dtype: 'u8' }))).toEqual([]);
    }
    const image = await photo('public-domain/astronaut.png').catch(() => photo(names[0]));
    expect(await detector.detect(image.cast('f32'))).toEqual(await detector.detect(image));
  });

  it('refuses what is not an image', async () => {
    await expect(detector.detect(ones([4, 4]))).rejects.toThrow(ShapeError);
    await expect(detector.detect(ones([4, 4, 1]))).rejects.toThrow(/\[h,w,3\] u8 or f32 in RGB, got \[4,4,1\] f32/);
    await expect(detector.detect(zeros([0, 4, 3]))).rejects.toThrow(ShapeError);
  });
});

describe.skipIf(!data)('Mtcnn', () => {
  const detector = new Mtcnn();
  const landmarks = data ? loadSafetensors(join(data, 'reference/photos.safetensors')) : {};
  beforeAll(() => {
    for (const net of ['pnet', 'rnet', 'onet'] as const) {
      detector[net].loadStateDict(loadTorch(join(data as string, `weights/mtcnn_${net}.pt`)), { from: 'torch' });
    }
  });

  it.each(names)(
    'finds the faces of %s, with landmarks where the regressor sees them',
    { timeout: 30_000 },
    async (name) => {
      const found = await detector.detect(await photo(name));
      photos[name].faces.forEach(({ box: [left, top, right, bottom] }, i) => {
        const box = { left, top, right, bottom };
        const face = found.find((f) => overlap(f, box) > 0.4);
        expect(face, `face ${i}`).toBeDefined();
        const side = Math.max(right - left, bottom - top);
        const lm = Array.from(landmarks[`${name}#${i}/lm68`].dataSync()); // [2 or 3, 68]
        const mean = (from: number, to: number) =>
          [0, 68].map((row) => lm.slice(row + from, row + to).reduce((a, b) => a + b, 0) / (to - from));
        const expected = [mean(36, 42), mean(42, 48), mean(30, 31), mean(48, 49), mean(54, 55)];
        expected.forEach(([x, y], k) => {
          const [px, py] = face?.landmarks5?.[k] ?? [Number.NaN, Number.NaN];
          expect(Math.hypot(px - x, py - y) / side, `face ${i}, landmark ${k}`).toBeLessThanOrEqual(0.12);
          expect(face && px > face.left && px < face.right && py > face.top && py < face.bottom).toBe(true);
        });
      });
    },
  );

  it('finds nothing in a blank image of any size', async () => {
    for (const shape of [
      [1, 1, 3],
      [12, 300, 3],
      [64, 48, 3],
    ]) {
      expect(await detector.detect(full(shape, 128, { dtype: 'u8' }))).toEqual([]);
    }
  });
});
