import { expect, test } from 'vitest';
import {
  cylinderAngles,
  cylindricalUnwrap,
  fitCylinder,
  seamTriangles,
  unwrapWithSeam,
} from '../../src/models/cylindrical.js';

/** A tube about (3, -7), radius 40, from `from` to `to` degrees; closed = the last column joins the first. */
function tube(from: number, to: number, columns: number, closed: boolean) {
  const vertices: number[] = [];
  const triangles: number[] = [];
  for (let row = 0; row < 4; row++) {
    for (let i = 0; i < columns; i++) {
      const a = ((from + ((to - from) * i) / (closed ? columns : columns - 1)) * Math.PI) / 180;
      vertices.push(3 + 40 * Math.sin(a), 30 - 10 * row, -7 + 40 * Math.cos(a));
    }
  }
  for (let row = 0; row < 3; row++) {
    for (let i = 0; i < (closed ? columns : columns - 1); i++) {
      const [a, b] = [row * columns + i, row * columns + ((i + 1) % columns)];
      triangles.push(a, a + columns, b, b, a + columns, b + columns);
    }
  }
  return { vertices: Float32Array.from(vertices), triangles: Int32Array.from(triangles) };
}

test('the cylinder is found although the tube is open at the back', () => {
  const { cx, cz, radius } = fitCylinder(tube(-125, 125, 41, false).vertices);
  expect(cx).toBeCloseTo(3, 4);
  expect(cz).toBeCloseTo(-7, 4);
  expect(radius).toBeCloseTo(40, 4);
});

test('an open tube unwraps to a regular grid', () => {
  const uv = cylindricalUnwrap(tube(-125, 125, 41, false).vertices);
  for (let row = 0; row < 4; row++) {
    for (let i = 0; i < 41; i++) {
      expect(uv[(row * 41 + i) * 2]).toBeCloseTo(i / 40, 4);
      expect(uv[(row * 41 + i) * 2 + 1]).toBeCloseTo(1 - row / 3, 5);
    }
  }
});

test('a closed tube is cut at the back: no triangle spans the map, and positions are copied', () => {
  const { vertices, triangles } = tube(-175, 185, 36, true);
  expect(seamTriangles(cylinderAngles(vertices, fitCylinder(vertices)), triangles).length).toBe(6);
  const cut = unwrapWithSeam(vertices, triangles);
  expect(cut.source.length).toBe(36 * 4 + 4);
  expect(cut.triangles.length).toBe(triangles.length);
  for (let t = 0; t < cut.triangles.length; t += 3) {
    const u = [0, 1, 2].map((k) => cut.uv[cut.triangles[t + k] * 2]);
    expect(Math.max(...u) - Math.min(...u)).toBeLessThan(0.05);
    for (let k = 0; k < 3; k++) expect(cut.source[cut.triangles[t + k]]).toBe(triangles[t + k]);
  }
});
