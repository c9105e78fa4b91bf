// The rasteriser against its definition: every pixel asks every triangle, in exact integers.
import { describe, expect, it } from 'vitest';
import { rasterize, tensor, tidy } from '../src/tensor/index.js';

const ONE = 4096;

/** Triangle seen at every pixel, row-major; vertices are multiples of 1/4096 pixel. */
function seen(
  vertices: Float32Array,
  triangles: Int32Array,
  [h, w]: readonly [number, number],
  cull: boolean,
): number[] {
  return Array.from({ length: h * w }, (_, p) => {
    const [x, y] = [(p % w) * ONE, Math.floor(p / w) * ONE];
    let [nearest, depth] = [-1, Number.NEGATIVE_INFINITY];
    for (let t = 0; t < triangles.length; t += 3) {
      const corners = [0, 1, 2].map((k) => [0, 1, 2].map((c) => vertices[3 * triangles[t + k] + c]));
      const turn = (k: number) => {
        const [[px, py], [qx, qy]] = [corners[(k + 1) % 3], corners[(k + 2) % 3]];
        return (qx * ONE - px * ONE) * (y - py * ONE) - (qy * ONE - py * ONE) * (x - px * ONE);
      };
      const parts = [turn(0), turn(1), turn(2)];
      const area = parts[0] + parts[1] + parts[2];
      if (area === 0 || (cull && area > 0) || parts.some((part) => part * area < 0)) continue;
      const z = corners.reduce((sum, corner, k) => sum + (parts[k] / area) * corner[2], 0);
      if (z > depth) [nearest, depth] = [t / 3, z];
    }
    return nearest;
  });
}

describe('rasterize, small and large triangles, within the image and beyond it', () => {
  for (const [cull, side] of [
    [false, 2],
    [true, 2],
    [false, 5],
    [true, 40],
  ] as const) {
    it(`triangles of up to ${side} pixels, cull ${cull}`, () => {
      let state = side;
      const random = () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32;
      };
      const [h, w] = [37, 29]; // more rows than bands
      const count = 203; // no multiple of any vector
      const vertices = new Float32Array(9 * count);
      for (let t = 0; t < count; t++) {
        const [x, y] = [random() * (w + 8) - 4, random() * (h + 8) - 4];
        for (let k = 0; k < 3; k++) {
          // Every fourth corner lies on a pixel centre: edges belong to both sides.
          const snap = (v: number) => (random() < 0.25 ? Math.round(v) : Math.round(v * ONE) / ONE);
          vertices.set([snap(x + side * random()), snap(y + side * random()), t + random()], 9 * t + 3 * k);
        }
      }
      vertices[9 * 7] = Number.NaN; // left out
      const triangles = Int32Array.from({ length: 3 * count }, (_, i) => i);
      const drawn = tidy(() =>
        rasterize(tensor(vertices, { shape: [3 * count, 3] }), tensor(triangles, { shape: [count, 3], dtype: 'i32' }), {
          size: [h, w],
          cull,
        }).index.dataSync(),
      );
      const wanted = seen(vertices, triangles, [h, w], cull);
      expect(new Set(wanted).size).toBeGreaterThan(20);
      expect(Array.from(drawn)).toEqual(wanted);
    });
  }
});
