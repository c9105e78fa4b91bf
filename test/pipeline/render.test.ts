// Drawing: geometry, signs of the angles, coverage; and that the rasteriser leaves no holes and obeys its limits.
import { describe, expect, it } from 'vitest';
import { psnr } from '../../src/pipeline/metrics.js';
import { drawMesh, frame, posed, render, turntable } from '../../src/pipeline/render.js';
import { rasterize, tensor, zeros } from '../../src/tensor/index.js';
import { egg, paint } from './surface.js';

/** A quad over the whole picture, facing the viewer. */
const quad = (size: number) => ({
  vertices: Float32Array.of(0, 0, 1, size - 1, 0, 1, 0, size - 1, 1, size - 1, size - 1, 1),
  triangles: Int32Array.of(0, 2, 1, 1, 2, 3),
  uv: Float32Array.of(0, 1, 1, 1, 0, 0, 1, 0),
});

describe('drawMesh', () => {
  it('a texture seen head-on is the picture', () => {
    const texture = paint(48);
    const { image, coverage } = drawMesh({ ...quad(48), texture }, { size: 48 });
    expect(psnr(image, texture)).toBeGreaterThan(90);
    expect(coverage.dataSync().every((v) => v === 1)).toBe(true);
  });

  it('the back of a mesh is not drawn', () => {
    const { triangles, ...rest } = quad(16);
    const { coverage } = drawMesh({ ...rest, triangles: triangles.toReversed(), texture: paint(16) }, { size: 16 });
    expect(Math.max(...coverage.dataSync())).toBe(0);
  });

  it('covers fractions of pixels when supersampling, over a colour or an image', () => {
    const half = quad(9); // pixel centres 0..8
    const { image, coverage } = drawMesh(
      { ...half, texture: zeros([4, 4, 3]) },
      { size: [12, 12], supersampling: 2, background: [200, 100, 50] },
    );
    const share = coverage.dataSync();
    const at = (x: number, y: number) => y * 12 + x;
    expect([share[at(4, 4)], share[at(8, 4)], share[at(8, 8)], share[at(10, 4)]]).toEqual([1, 0.5, 0.25, 0]);
    const colours = image.dataSync();
    expect([...colours.subarray(3 * at(10, 4), 3 * at(10, 4) + 3)]).toEqual([200, 100, 50]);
    expect(colours[3 * at(8, 4)]).toBeCloseTo(100, 4);
    const behind = paint(12);
    const over = drawMesh({ ...half, texture: zeros([4, 4, 3]) }, { size: 12, background: behind }).image.dataSync();
    expect(over[3 * at(10, 4)]).toBeCloseTo(behind.dataSync()[3 * at(10, 4)], 4);
  });

  it('does not mix the black around a footprint into the rim', () => {
    const footprint = Uint8Array.from({ length: 32 * 32 }, (_, p) => (p % 32 >= 8 && p % 32 < 24 ? 1 : 0));
    const values = Float32Array.from({ length: 3 * 32 * 32 }, (_, i) => 150 * footprint[Math.floor(i / 3)]);
    const mesh = quad(32);
    const uv = mesh.uv.map((t, i) => (i % 2 === 0 ? (7.5 + 16 * t) / 31 : t)); // half a pixel beyond the footprint
    const texture = tensor(values, { shape: [32, 32, 3] });
    const { image } = drawMesh({ ...mesh, uv, texture, footprint }, { size: 32 });
    for (const v of image.dataSync()) expect(v).toBeCloseTo(150, 3);
  });

  it('refuses what does not fit', () => {
    expect(() => drawMesh({ ...quad(8), texture: zeros([4, 4]) }, { size: 8 })).toThrow('drawMesh: texture must be');
    expect(() =>
      drawMesh({ ...quad(8), texture: zeros([4, 4, 3]), footprint: new Uint8Array(3) }, { size: 8 }),
    ).toThrow('drawMesh: footprint of 3');
    expect(() =>
      drawMesh({ ...quad(8), texture: zeros([4, 4, 3]) }, { size: 8, background: zeros([4, 4, 3]) }),
    ).toThrow('drawMesh: background must be [8,8,3], got [4,4,3]');
  });
});

describe('poses', () => {
  const nose = Float32Array.of(0, 0, 1, 0, 1, 0, 1, 0, 0, 0, -1, 0, -1, 0, 0, 0, 0, -1);
  const framing = { centre: [0, 0, 0] as const, radius: 1 };
  const tip = (pose: object) => [...posed(nose, pose, 101, framing, 0).subarray(0, 3)];

  it('yaw > 0 turns the nose to image left, pitch > 0 down', () => {
    expect(tip({})[0]).toBeCloseTo(50, 4);
    expect(tip({ yaw: 30 })[0]).toBeCloseTo(50 - 50.5 * 0.5, 3);
    expect(tip({ pitch: 30 })[1]).toBeCloseTo(50 + 50.5 * 0.5, 3);
    expect(tip({})[2]).toBeGreaterThan(tip({ yaw: 90 })[2]);
  });

  it('roll > 0 turns the picture counter-clockwise', () => {
    const top = posed(nose, { roll: 90 }, 101, framing, 0).subarray(3, 6);
    expect(top[0]).toBeCloseTo(50 - 50.5, 3);
  });

  it('every pose of a framed mesh stays in the picture', () => {
    const { vertices } = egg(31, 31, 0.4);
    expect(frame(vertices).radius).toBeGreaterThan(1);
    for (let yaw = -80; yaw <= 80; yaw += 20) {
      const placed = posed(vertices, { yaw, pitch: yaw / 3 }, 100);
      placed.forEach((v, i) => {
        if (i % 3 < 2) expect(v > 0 && v < 99).toBe(true);
      });
    }
  });

  it('a turntable of a symmetric face is symmetric', () => {
    const mesh = { ...egg(), texture: paint(64) };
    const [left, front, right] = turntable(mesh, [-60, 0, 60], { size: 96 });
    const flip = (values: ArrayLike<number>) =>
      tensor(
        Float32Array.from(values, (_, i) => {
          const p = Math.floor(i / 3);
          return values[3 * (p - (p % 96) + 95 - (p % 96)) + (i % 3)];
        }),
        { shape: [96, 96, 3] },
      );
    expect(psnr(flip(left.image.dataSync()), right.image)).toBeGreaterThan(30);
    expect(psnr(flip(front.image.dataSync()), front.image)).toBeGreaterThan(30);
    expect(psnr(front.image, right.image)).toBeLessThan(20);
    expect(psnr(render(mesh, { yaw: 60 }, { size: 96 }).image, right.image)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('rasterize', () => {
  it('a surface of ragged triangles has no holes and no pixel outside it', () => {
    // A grid whose inner vertices are displaced: every pixel centre inside the frame is covered.
    const n = 40;
    let state = 1;
    const jitter = () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state / 2 ** 32 - 0.5) * 2.4;
    };
    const vertices: number[] = [];
    for (let r = 0; r <= n; r++)
      for (let c = 0; c <= n; c++) {
        const rim = r === 0 || c === 0 || r === n || c === n;
        vertices.push(3 * c + 2 + (rim ? 0 : jitter()), 3 * r + 2 + (rim ? 0 : jitter()), rim ? 0 : jitter());
      }
    const triangles: number[] = [];
    for (let r = 0; r < n; r++)
      for (let c = 0; c < n; c++) {
        const a = r * (n + 1) + c;
        triangles.push(a, a + 1, a + n + 1, a + 1, a + n + 2, a + n + 1);
      }
    const { index, barycentric, depth } = rasterize(
      tensor(vertices, { shape: [(n + 1) ** 2, 3] }),
      tensor(triangles, { shape: [2 * n * n, 3], dtype: 'i32' }),
      { size: [130, 130] },
    );
    const [i, b, z] = [index.dataSync(), barycentric.dataSync(), depth.dataSync()];
    for (let p = 0; p < 130 * 130; p++) {
      const inside = p % 130 >= 2 && p % 130 <= 122 && p >= 260 && p < 123 * 130;
      expect(i[p] >= 0).toBe(inside);
      if (inside) expect(Math.abs(b[3 * p] + b[3 * p + 1] + b[3 * p + 2] - 1)).toBeLessThan(1e-5);
      else expect(z[p]).toBe(Number.NEGATIVE_INFINITY);
    }
  });

  it('the nearer triangle wins, at equal depth the first', () => {
    const at = (z: number) => [0, 0, z, 9, 0, z, 0, 9, z];
    const vertices = tensor([...at(1), ...at(2), ...at(2)], { shape: [9, 3] });
    const triangles = tensor([0, 1, 2, 3, 4, 5, 6, 7, 8], { shape: [3, 3], dtype: 'i32' });
    const { index, depth } = rasterize(vertices, triangles, { size: [10, 10] });
    expect([index.dataSync()[0], depth.dataSync()[0]]).toEqual([1, 2]);
  });

  it('leaves out triangles that are flat, not finite or far away', () => {
    const vertices = tensor([0, 0, 0, 8, 0, 0, 0, 8, 0, Number.NaN, 8, 0, 1e9, 1, 0, 4, 4, 0], { shape: [6, 3] });
    const triangles = tensor([0, 1, 1, 0, 1, 3, 0, 2, 4], { shape: [3, 3], dtype: 'i32' });
    expect(Math.max(...rasterize(vertices, triangles, { size: [9, 9] }).index.dataSync())).toBe(-1);
  });

  it('says which triangle names a vertex that is not there', () => {
    const triangles = tensor([0, 1, 2, 0, 1, 7], { shape: [2, 3], dtype: 'i32' });
    const { index } = rasterize(zeros([3, 3]), triangles, { size: [4, 4] });
    expect(() => index.dataSync()).toThrow('rasterize: triangle 1 names vertex 7 of 3');
  });
});
