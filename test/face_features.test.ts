// PNCC and PAF: what is drawn and gathered, checked by going back from each pixel; the anchors against the published ones.
import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../src/formats/safetensors.js';
import {
  ANCHORS,
  anchorPoints,
  cylinderAngles,
  FaceDecoder,
  FaceFeatures,
  fitCylinder,
  normalizedCoordinates,
  PAF_SIDE,
  pointsAt,
  quaternionFromEuler,
} from '../src/models/index.js';
import { loadFaceModel } from '../src/pipeline/face_model.js';
import { ones, type Tensor, tensor } from '../src/tensor/index.js';
import { relativeDifference } from './close.js';
import { faceOf, smallModel } from './faces.js';
import { sharedPath } from './shared.js';

const model = smallModel();
const side = 60;
const features = new FaceFeatures(model, { side });
const bare = new FaceFeatures(model, { side, occlusion: false });
const numbers = (x: Tensor) => x.dataSync();

/** A vector of 13 at an angle, about 35 pixels high, its middle at (x, y) from the lower left. */
function vector(yaw: number, [x, y] = [29.5, 29.5], coefficients = new Array<number>(7).fill(0)): number[] {
  return [...quaternionFromEuler({ yaw, pitch: 8, roll: -5 }, 0.35), x, y, ...coefficients];
}

describe('PNCC', () => {
  it('a pixel names the point of the mean face that is there', () => {
    const p = [vector(0), vector(35)];
    const { image, depth } = features.pncc(tensor(p));
    expect(image.shape).toEqual([2, side, side, 3]);
    expect(depth.shape).toEqual([2, side, side]);
    const [colours, z] = [numbers(image), numbers(depth)];
    const low = [0, 1, 2].map((c) => Math.min(...model.mean.filter((_, i) => i % 3 === c)));
    const high = [0, 1, 2].map((c) => Math.max(...model.mean.filter((_, i) => i % 3 === c)));
    for (const [i, row] of p.entries()) {
      let drawn = 0;
      for (let at = 0; at < side * side; at++) {
        const colour = [0, 1, 2].map((c) => colours[3 * (i * side * side + at) + c]);
        if (z[i * side * side + at] === -Infinity) {
          expect(colour).toEqual([0, 0, 0]);
          continue;
        }
        drawn++;
        const point = colour.map((v, c) => low[c] + v * (high[c] - low[c]));
        const only = { ...model, mean: Float32Array.from(point) } as typeof model;
        const [vx, vy, vz] = faceOf(only, { identity: 0, expression: 0 }, [0], row);
        expect(Math.abs(vx - (at % side))).toBeLessThan(1e-3);
        expect(Math.abs(side - 1 - vy - Math.floor(at / side))).toBeLessThan(1e-3);
        expect(Math.abs(vz - z[i * side * side + at])).toBeLessThan(1e-3);
      }
      expect(drawn).toBeGreaterThan(300);
    }
  });

  it('colours fill the unit cube', () => {
    const ncc = normalizedCoordinates(model);
    for (let c = 0; c < 3; c++) {
      const axis = ncc.filter((_, i) => i % 3 === c);
      expect([Math.min(...axis), Math.max(...axis)]).toEqual([0, 1]);
    }
  });
});

describe('PAF', () => {
  const decoder = new FaceDecoder(model, { points: anchorPoints(model) });
  const position = Float32Array.from({ length: side * side * 3 }, (_, k) => {
    const at = Math.floor(k / 3);
    return k % 3 === 0 ? at % side : k % 3 === 1 ? Math.floor(at / side) : 7;
  });
  const photo = (n: number) =>
    tensor(
      Float32Array.from({ length: n * position.length }, (_, k) => position[k % position.length]),
      {
        shape: [n, side, side, 3],
      },
    );

  it('holds the nine pixels around every anchor, rounded and held inside', () => {
    // The second face hangs over the corner of the crop.
    const p = tensor([vector(20, [29.5, 29.5], [9, -5, 3, 2, 8, -6, 1]), vector(-10, [3, 55])]);
    const map = numbers(bare.paf(photo(2), p));
    const placed = numbers(decoder.vertices(p));
    let held = 0;
    for (let i = 0; i < 2; i++) {
      for (let a = 0; a < ANCHORS * ANCHORS; a++) {
        const [x, y] = [
          placed[(3 * i + 0) * ANCHORS * ANCHORS + a],
          side - 1 - placed[(3 * i + 1) * ANCHORS * ANCHORS + a],
        ];
        const inside = (v: number) => Math.min(side - 2, Math.max(1, Math.round(v)));
        if (inside(x) !== Math.round(x)) held++;
        // On the fence between two pixels either is right.
        if ([x, y].some((v) => Math.abs((((v % 1) + 1) % 1) - 0.5) < 1e-3)) continue;
        const [row, column] = [Math.floor(a / ANCHORS), a % ANCHORS];
        for (let dy = 0; dy < 3; dy++) {
          for (let dx = 0; dx < 3; dx++) {
            const at = 3 * ((i * PAF_SIDE + 3 * row + dy) * PAF_SIDE + 3 * column + dx);
            expect([map[at], map[at + 1], map[at + 2]]).toEqual([inside(x) + dx - 1, inside(y) + dy - 1, 7]);
          }
        }
      }
    }
    expect(held).toBeGreaterThan(100);
  });

  it('halves patches that the face itself hides', () => {
    const p = tensor([vector(0), vector(70), vector(-70)]);
    const map = numbers(features.paf(ones([3, side, side, 3]), p));
    const halved = (i: number, columns: [number, number]) => {
      let count = 0;
      for (let row = 8; row < 56; row++) {
        for (let c = columns[0]; c < columns[1]; c++) {
          const value = map[3 * ((i * PAF_SIDE + 3 * row) * PAF_SIDE + 3 * c)];
          expect([0.5, 1]).toContain(value);
          if (value === 0.5) count++;
        }
      }
      return count / (48 * (columns[1] - columns[0]));
    };
    expect(halved(0, [0, 64])).toBe(0);
    // Yaw 70 turns the face to image left: its left side comes nearer, the right (first columns) goes behind.
    expect(halved(1, [0, 6])).toBeGreaterThan(0.5);
    expect(halved(1, [32, 64])).toBe(0);
    expect(halved(2, [58, 64])).toBeGreaterThan(0.5);
    expect(halved(2, [0, 32])).toBe(0);
    expect(numbers(bare.paf(ones([3, side, side, 3]), p)).every((v) => v === 1)).toBe(true);
  });

  it('refuses what does not fit', () => {
    expect(() => features.paf(ones([1, side, side, 3], { dtype: 'u8' }), tensor([vector(0)]))).toThrow(
      'FaceFeatures.paf: wants crops f32 [1, 60, 60, 3], got u8 [1,60,60,3]',
    );
    expect(() => new FaceFeatures(model, { side: 2 })).toThrow('side must be a whole number >= 3');
  });
});

const published = sharedPath('data/bfm/paf_anchors.safetensors');
const basel = sharedPath('data/bfm/bfm_3ddfa.safetensors');

it.skipIf(!published || !basel)("the published anchors lie where ours would, and move with the model's modes", () => {
  if (!published || !basel) return;
  const bfm = loadFaceModel(basel);
  const { mu_filter: mu, w_filter: w, on_surface: onSurface } = readSafetensors(published);
  const data = mu.data as Float32Array;
  const angles = cylinderAngles(data, fitCylinder(bfm.mean));
  const wanted = Array.from({ length: 4096 }, (_, i) => i).filter((i) => onSurface.data[i] === 1);
  expect(wanted.length).toBe(3860);
  const points = pointsAt(
    bfm,
    wanted.flatMap((i) => [angles[i], data[3 * i + 1]]),
  );
  const at = (values: ArrayLike<number>, base: number, k: number, c: number) =>
    [0, 1, 2].reduce((s, j) => s + points.weights[3 * k + j] * values[base + 3 * points.corners[3 * k + j] + c], 0);
  // The published grid was laid over the mesh with the neck; beyond the rim of this one, points are its nearest vertices.
  const covered = wanted.flatMap((_, k) => (points.weights[3 * k] < 1 ? [k] : []));
  expect(covered.length).toBeGreaterThan(3200);
  const away = covered.map((k) => Math.hypot(...[0, 1, 2].map((c) => at(bfm.mean, 0, k, c) - data[3 * wanted[k] + c])));
  const near = covered.filter((_, i) => away[i] < 50); // micrometres
  expect(near.length / covered.length).toBeGreaterThan(0.98);
  // Where the dense modes are known well, that is, not at the rim of the mesh.
  const quality = readSafetensors(basel).quality.data;
  const known = near.filter((k) => [0, 1, 2].every((j) => Number(quality[points.corners[3 * k + j]]) < 2));
  expect(known.length).toBeGreaterThan(3000);
  const stride = bfm.mean.length;
  for (const mode of [0, 7, 39]) {
    const ours = known.flatMap((k) => [0, 1, 2].map((c) => at(bfm.identity, mode * stride, k, c)));
    const theirs = known.flatMap((k) => [0, 1, 2].map((c) => w.data[(3 * wanted[k] + c) * 40 + mode] as number));
    expect(relativeDifference(ours, theirs), `mode ${mode}`).toBeLessThan(1e-3);
  }
});
