// Refinement on photos of drawn people, whose truth is known, and what it refuses. On real photos: evaluate_fit.test.ts.
import { describe, expect, test } from 'vitest';
import { runDemo } from '../../src/pipeline/demo.js';
import { normalizedMeanError } from '../../src/pipeline/fit-error.js';
import { type Fit, movedFit } from '../../src/pipeline/fit-face.js';
import type { Pixels } from '../../src/pipeline/image.js';
import { fitPhoto, loadFaceModel, refineFit } from '../../src/pipeline/index.js';

const model = loadFaceModel();

/** A drawn person's photo, the true landmarks, and a fit that is off by a shift, a turn of the head and a smaller mouth. */
async function photographed(seed: number): Promise<{ photo: Pixels; truth: Float32Array; off: Fit }> {
  const demo = await runDemo({ seed, yaw: [0], viewSize: 64, fit: 'landmarks' });
  const { photo, fit } = demo;
  demo.dispose();
  const turn = (4 * Math.PI) / 180;
  const camera = fit.camera.slice();
  for (let c = 0; c < 3; c++) camera[c] = Math.cos(turn) * fit.camera[c] + Math.sin(turn) * fit.camera[8 + c];
  for (let c = 0; c < 3; c++) camera[8 + c] = Math.cos(turn) * fit.camera[8 + c] - Math.sin(turn) * fit.camera[c];
  const width =
    Math.max(...fit.landmarks.filter((_, i) => i % 3 === 0)) - Math.min(...fit.landmarks.filter((_, i) => i % 3 === 0));
  camera[3] += 0.03 * width;
  camera[7] += 0.02 * width;
  return { photo, truth: fit.landmarks, off: movedFit(model, fit, fit.alpha, fit.beta, camera) };
}

const error = (fit: Fit, truth: Float32Array) => normalizedMeanError(fit.landmarks, truth, 3);

describe('refineFit', () => {
  test('draws the photo better, and comes nearer to the truth', async () => {
    let [before, after] = [0, 0];
    for (const seed of [1, 2]) {
      const { photo, truth, off } = await photographed(seed);
      const fit = refineFit(photo, off, { model });
      expect(fit.refinement.after).toBeLessThan(0.95 * fit.refinement.before);
      expect(fit.refinement.pixels).toBeGreaterThan(1000);
      before += error(off, truth);
      after += error(fit, truth);
      const [x, y, z] = fit.landmarks.subarray(90, 93);
      expect(fit.vertices.length).toBe(3 * model.vertexCount);
      expect([x, y, z].every(Number.isFinite)).toBe(true);
    }
    expect(after).toBeLessThan(0.95 * before);
  });

  test('gives the same bits every time, and leaves a fit as it was without steps', async () => {
    const { photo, off } = await photographed(4);
    const [a, b] = [refineFit(photo, off, { model }), refineFit(photo, off, { model })];
    expect(a.vertices).toEqual(b.vertices);
    const still = refineFit(photo, off, { model, iterations: 0 });
    expect(still.refinement.steps).toBe(0);
    expect(still.refinement.after).toBe(still.refinement.before);
    expect(still.landmarks).toBe(off.landmarks);
  });

  test('is a switch of fitPhoto', async () => {
    const { photo, truth } = await photographed(5);
    const landmarks = truth.filter((_, i) => i % 3 !== 2);
    const [plain] = await fitPhoto(photo, { model, landmarks });
    const [refined] = await fitPhoto(photo, { model, landmarks, refine: true });
    expect(plain.refinement).toBeUndefined();
    expect(refined.refinement?.after).toBeLessThanOrEqual(refined.refinement?.before ?? 0);
  });

  test('refuses a face outside the photo', async () => {
    const { photo, off } = await photographed(6);
    const camera = off.camera.slice();
    camera[3] += 10 * photo.width;
    const outside = movedFit(model, off, off.alpha, off.beta, camera);
    expect(() => refineFit(photo, outside, { model })).toThrow(
      `refineFit: the face lies outside the photo of ${photo.width}x${photo.height}`,
    );
  });
});
