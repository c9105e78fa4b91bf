// Alignment and embeddings: the similarity against its definition, the original program's crops and embeddings of real photos.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { readPixels } from '../../src/pipeline/image.js';
import {
  ARCFACE_CROP,
  alignFace,
  CASIA_CROP,
  cosineSimilarity,
  embed,
  embedCrops,
  fivePoints,
  loadRecogniser,
  similarityTransform,
  warpAffine,
} from '../../src/pipeline/recognise/index.js';
import { sharedPath } from '../shared.js';

const apply = (m: ArrayLike<number>, x: number, y: number) => [m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]];

describe('similarityTransform', () => {
  test('finds a turn, scale and shift that are exact, and the least squares of ones that are not', () => {
    const points = [3, 4, 10, 1, 7, 7, -2, 5, 0, -6];
    const [c, s] = [1.7 * Math.cos(0.4), 1.7 * Math.sin(0.4)];
    const exact = [c, -s, 20, s, c, -5];
    const moved = [0, 2, 4, 6, 8].flatMap((i) => apply(exact, points[i], points[i + 1]));
    similarityTransform(points, moved).forEach((value, i) => {
      expect(value).toBeCloseTo(exact[i], 12);
    });
    const noisy = moved.map((value, i) => value + Math.sin(3 * i));
    const found = similarityTransform(points, noisy);
    const error = (m: ArrayLike<number>) =>
      [0, 2, 4, 6, 8].reduce((sum, i) => {
        const [x, y] = apply(m, points[i], points[i + 1]);
        return sum + (x - noisy[i]) ** 2 + (y - noisy[i + 1]) ** 2;
      }, 0);
    const least = error(found);
    for (const [k, l, sign] of [
      [0, 4, 1],
      [1, 3, -1],
      [2, 2, 1],
      [5, 5, 1],
    ]) {
      for (const step of [1e-4, -1e-4]) {
        const other = [...found];
        other[k] += step;
        if (l !== k) other[l] += sign * step;
        expect(error(other)).toBeGreaterThan(least);
      }
    }
  });

  test('never reflects', () => {
    const m = similarityTransform([0, 0, 1, 0, 0, 1], [0, 0, -1, 0, 0, 1]);
    expect(m[0] * m[4] - m[1] * m[3]).toBeGreaterThanOrEqual(0);
  });

  test('refuses points that do not pair or are all one', () => {
    expect(() => similarityTransform([0, 0, 1, 1], [0, 0])).toThrow(/two equal lists.*4 and 2/);
    expect(() => similarityTransform([1, 1, 1, 1], [0, 0, 1, 1])).toThrow(/points that differ/);
  });
});

test('warpAffine moves by whole and half pixels, black outside', () => {
  const image = { data: Uint8Array.from({ length: 27 }, (_, i) => 9 * i), width: 3, height: 3 };
  const moved = warpAffine(image, [1, 0, 1, 0, 1, 0], 3, 3);
  expect([...moved.data.slice(0, 9)]).toEqual([0, 0, 0, ...image.data.slice(0, 6)]);
  const half = warpAffine(image, [1, 0, -0.5, 0, 1, 0], 3, 2);
  expect(half.data[0]).toBe(Math.round((image.data[0] + image.data[3]) / 2));
  expect(() => warpAffine(image, [1, 1, 0, 1, 1, 0], 3, 3)).toThrow(/inverse/);
});

test('fivePoints takes eyes, nose and mouth out of 68 landmarks of two or three columns', () => {
  const flat = Float64Array.from({ length: 136 }, (_, i) => (i % 2 ? -1 : 1) * (i >> 1));
  expect([...fivePoints(flat)]).toEqual([38.5, -38.5, 44.5, -44.5, 30, -30, 48, -48, 54, -54]);
  const deep = Float64Array.from({ length: 204 }, (_, i) => [1, -1, 9][i % 3] * Math.floor(i / 3));
  expect([...fivePoints(deep)]).toEqual([...fivePoints(flat)]);
  expect(() => fivePoints(new Float64Array(10))).toThrow(/68, 2/);
});

const data = sharedPath('data');
describe.skipIf(!data)('the reference photos', () => {
  if (!data) return;
  const weights = join(data, 'weights/mobilefacenet_casia_068.safetensors');
  const reference = readSafetensors(join(data, 'reference/JianzhuGuo.safetensors'));
  const photos = readSafetensors(join(data, 'reference/photos.safetensors'));
  const pointsOf = (lm68: ArrayLike<number>) =>
    fivePoints(Float64Array.from({ length: 136 }, (_, i) => lm68[68 * (i % 2) + (i >> 1)]));

  test('the similarities and crops are those of the original', async () => {
    const photo = await readPixels(join(data, 'faces/3ddfa-v2/JianzhuGuo.jpg'));
    const points = pointsOf(reference.lm68.data);
    for (const [layout, name, file] of [
      [CASIA_CROP, 'align_96', 'align_112x96.png'],
      [ARCFACE_CROP, 'align_112', 'align_112x112.png'],
    ] as const) {
      similarityTransform(points, layout.points).forEach((value, i) => {
        expect(Math.abs(value - reference[name].data[i]), `${name} ${i}`).toBeLessThan(2e-4 * (i % 3 === 2 ? 100 : 1));
      });
      const crop = alignFace(photo, points, layout);
      const expected = await readPixels(join(data, 'reference', file));
      expect([crop.height, crop.width]).toEqual([expected.height, expected.width]);
      let worst = 0;
      for (let i = 0; i < crop.data.length; i++) worst = Math.max(worst, Math.abs(crop.data[i] - expected.data[i]));
      expect(worst, file).toBeLessThanOrEqual(1);
    }
  });

  test('embeddings agree with the original from its crop and from our own alignment', async () => {
    const recogniser = loadRecogniser(weights);
    const crop = await readPixels(join(data, 'reference/align_112x96.png'));
    const [fromCrop] = await embedCrops(recogniser, [crop]);
    expect(Math.hypot(...fromCrop)).toBeCloseTo(1, 5);
    expect(cosineSimilarity(fromCrop, reference.emb_casia_256.data)).toBeGreaterThanOrEqual(0.9999);
    const { images } = JSON.parse(readFileSync(join(data, 'reference/photos.json'), 'utf8'));
    let count = 0;
    for (const [file, { faces }] of Object.entries<{ faces: unknown[] }>(images)) {
      const photo = await readPixels(join(data, 'faces', file));
      for (let i = 0; i < faces.length; i++) {
        const points = pointsOf(photos[`${file}#${i}/lm68`].data);
        const [{ embedding }] = await embed(photo, { recogniser, points });
        const cosine = cosineSimilarity(embedding, photos[`${file}#${i}/emb_casia`].data);
        // Two faces of one JPEG file that decoders read differently come to 0.99986; all others are above 0.999998.
        expect(cosine, `${file}#${i}`).toBeGreaterThanOrEqual(file.includes('trump') ? 0.9998 : 0.99999);
        count++;
      }
    }
    expect(count).toBeGreaterThan(10);
    recogniser.dispose();
  });

  test('a file of no recogniser is refused by name', () => {
    expect(() => loadRecogniser(join(data, 'weights/FaceBoxesProd.safetensors'))).toThrow(
      /FaceBoxesProd.*no recogniser/,
    );
  });
});
