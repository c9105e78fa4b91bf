// Closing mouth and eyes: on a mesh made for it, and on the published models where they are at hand.
import { describe, expect, test } from 'vitest';
import { MorphableModel } from '../../src/models/morphable.js';
import { closeOpenings } from '../../src/models/openings.js';
import { loadFaceModel } from '../../src/pipeline/face_model.js';
import { sharedPath } from '../shared.js';

/** A flat face of 40 x 40 squares with the squares in `holes` (column, row, columns, rows) left out. */
function flatFace(holes: readonly (readonly [number, number, number, number])[]): MorphableModel {
  const side = 41;
  const at = (x: number, y: number) => y * side + x;
  const mean = new Float32Array(3 * side * side);
  const uv = new Float32Array(2 * side * side);
  const triangles: number[] = [];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      mean.set([x - 20, y - 20, 0], 3 * at(x, y));
      uv.set([x / (side - 1), y / (side - 1)], 2 * at(x, y));
      if (x === side - 1 || y === side - 1) continue;
      if (holes.some(([l, t, w, h]) => x >= l && x < l + w && y >= t && y < t + h)) continue;
      triangles.push(at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y), at(x + 1, y + 1), at(x, y + 1));
    }
  }
  const landmarks = new Int32Array(68);
  const around = (first: number, count: number, x: number, y: number, radius: number) => {
    for (let i = 0; i < count; i++) {
      const angle = Math.PI - (2 * Math.PI * i) / count;
      const place = [x + radius * Math.cos(angle), y + 0.5 * radius * Math.sin(angle)].map(Math.round);
      landmarks[first + i] = at(place[0], place[1]);
    }
  };
  around(36, 6, 12, 28, 4);
  around(42, 6, 28, 28, 4);
  landmarks[45] = at(32, 28);
  around(60, 8, 20, 12, 6);
  const none = new Float32Array(0);
  const modes = { identity: none, identityStd: none, expression: none, expressionStd: none };
  return new MorphableModel({ mean, ...modes, triangles: Int32Array.from(triangles), landmarks, uv });
}

/** Area seen from the front; every triangle must face it. */
function area({ mean }: MorphableModel, triangles: Int32Array): number {
  let sum = 0;
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [3 * triangles[t], 3 * triangles[t + 1], 3 * triangles[t + 2]];
    const twice = (mean[b] - mean[a]) * (mean[c + 1] - mean[a + 1]) - (mean[b + 1] - mean[a + 1]) * (mean[c] - mean[a]);
    expect(twice).toBeGreaterThanOrEqual(0);
    sum += twice / 2;
  }
  return sum;
}

/** Directed edges without a partner. */
function rimLength(triangles: Int32Array): number {
  const edges = new Set<string>();
  for (let t = 0; t < triangles.length; t += 3) {
    for (let k = 0; k < 3; k++) {
      const edge = `${triangles[t + k]} ${triangles[t + ((k + 1) % 3)]}`;
      expect(edges.has(edge)).toBe(false);
      edges.add(edge);
    }
  }
  return [...edges].filter((edge) => !edges.has(edge.split(' ').reverse().join(' '))).length;
}

describe('closeOpenings', () => {
  test('closes mouth and eyes, and nothing else', () => {
    const model = flatFace([
      [15, 11, 10, 2],
      [10, 27, 4, 2],
      [26, 27, 4, 2],
      [2, 2, 3, 3],
    ]);
    expect(area(model, model.triangles)).toBe(1600 - 20 - 8 - 8 - 9);
    const closed = closeOpenings(model);
    expect(closed.subarray(0, model.triangles.length)).toEqual(model.triangles);
    expect(area(model, closed)).toBe(1600 - 9);
    expect(rimLength(closed)).toBe(160 + 12);
  });

  test('leaves a mesh without openings as it is', () => {
    const model = flatFace([]);
    expect(closeOpenings(model)).toEqual(model.triangles);
    expect(closeOpenings(loadFaceModel()).length).toBe(loadFaceModel().triangles.length);
  });

  const data = sharedPath('data');
  test.runIf(data)('closes the mouth of the 3DDFA model and the eyes of ICT-FaceKit', () => {
    for (const [file, holes] of [
      ['bfm/bfm_3ddfa', 1],
      ['ict/ict_face_light_skin', 3],
    ] as const) {
      const model = loadFaceModel(`${data}/${file}.safetensors`);
      const added = (closeOpenings(model).length - model.triangles.length) / 3;
      expect(added).toBeGreaterThan(30 * holes);
      expect(added).toBeLessThan(100 * holes);
    }
  });
});
