// Points on a face model's surface by their place on the cylinder around it: the anchors of pose adaptive features (paper-spec
// 9.2). Contract: a point is a weighted mean of three vertices, so it moves with shape and expression as the surface does.
import { cylinderAngles, fitCylinder, seamTriangles } from './cylindrical.js';
import type { MorphableModel } from './morphable.js';

export interface SurfacePoints {
  /** [m, 3] vertex numbers. */
  corners: Int32Array;
  /** [m, 3], a row sums to 1. */
  weights: Float32Array;
}

/** Anchors per side of the grid. */
export const ANCHORS = 64;

const BINS = 64;

/** Places [m, 2] on the cylinder around the mean face: angle in radians (0 at the front, to the subject's left), height as y. */
export function pointsAt(model: MorphableModel, places: ArrayLike<number>): SurfacePoints {
  const { mean, triangles } = model;
  const cylinder = fitCylinder(mean);
  const angles = cylinderAngles(mean, cylinder);
  const m = places.length / 2;
  const out: SurfacePoints = { corners: new Int32Array(3 * m), weights: new Float32Array(3 * m) };
  const reached = new Float64Array(m); // distance from the axis; 0 where nothing was found
  const heights = extent(mean, 3, 1);
  const widths = extent(angles, 1, 0);
  const bin = (value: number, [low, high]: [number, number]) =>
    Math.max(0, Math.min(BINS - 1, Math.floor((BINS * (value - low)) / (high - low || 1))));
  const bins: number[][] = Array.from({ length: BINS * BINS }, () => []);
  for (let i = 0; i < m; i++) {
    bins[bin(places[2 * i + 1], heights) * BINS + bin(places[2 * i], widths)].push(i);
  }
  const seam = new Set(seamTriangles(angles, triangles));
  const radius = (v: number) => Math.hypot(mean[3 * v] - cylinder.cx, mean[3 * v + 2] - cylinder.cz);
  for (let t = 0; t < triangles.length / 3; t++) {
    if (seam.has(t)) continue;
    const [a, b, c] = [triangles[3 * t], triangles[3 * t + 1], triangles[3 * t + 2]];
    const x = [angles[a], angles[b], angles[c]];
    const y = [mean[3 * a + 1], mean[3 * b + 1], mean[3 * c + 1]];
    const area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]);
    if (area === 0) continue;
    const columns = [bin(Math.min(...x), widths), bin(Math.max(...x), widths)];
    const rows = [bin(Math.min(...y), heights), bin(Math.max(...y), heights)];
    for (let row = rows[0]; row <= rows[1]; row++) {
      for (let column = columns[0]; column <= columns[1]; column++) {
        for (const i of bins[row * BINS + column]) {
          const [px, py] = [places[2 * i], places[2 * i + 1]];
          const w1 = ((px - x[0]) * (y[2] - y[0]) - (py - y[0]) * (x[2] - x[0])) / area;
          const w2 = ((x[1] - x[0]) * (py - y[0]) - (y[1] - y[0]) * (px - x[0])) / area;
          const w0 = 1 - w1 - w2;
          if (Math.min(w0, w1, w2) < -1e-6) continue;
          // Of several layers the outermost is the one that is seen.
          const r = w0 * radius(a) + w1 * radius(b) + w2 * radius(c);
          if (r <= reached[i]) continue;
          reached[i] = r;
          out.corners.set([a, b, c], 3 * i);
          out.weights.set([w0, w1, w2], 3 * i);
        }
      }
    }
  }
  for (let i = 0; i < m; i++) {
    if (reached[i] > 0) continue;
    const nearest = nearestVertex(places[2 * i], places[2 * i + 1], angles, mean, widths, heights);
    out.corners.fill(nearest, 3 * i, 3 * i + 3);
    out.weights.set([1, 0, 0], 3 * i);
  }
  return out;
}

function extent(values: ArrayLike<number>, stride: number, at: number): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let i = at; i < values.length; i += stride) {
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  return [low, high];
}

/** For a place in a hole or beyond the rim: the vertex nearest to it on the unrolled cylinder. */
function nearestVertex(
  angle: number,
  height: number,
  angles: Float64Array,
  mean: Float32Array,
  widths: [number, number],
  heights: [number, number],
): number {
  let best = { vertex: 0, distance: Infinity };
  for (let v = 0; v < angles.length; v++) {
    const x = (angles[v] - angle) / (widths[1] - widths[0] || 1);
    const y = (mean[3 * v + 1] - height) / (heights[1] - heights[0] || 1);
    const distance = x * x + y * y;
    if (distance < best.distance) best = { vertex: v, distance };
  }
  return best.vertex;
}

/**
 * 64x64 anchors, row by row from the top, each row from the subject's right (image left): the middles of equal cells of the part of
 * the cylinder that the face covers (our choice; the published grid covers a part of its own).
 */
export function anchorPoints(model: MorphableModel): SurfacePoints {
  const angles = cylinderAngles(model.mean, fitCylinder(model.mean));
  const widths = extent(angles, 1, 0);
  const heights = extent(model.mean, 3, 1);
  const places = new Float64Array(2 * ANCHORS * ANCHORS);
  for (let row = 0; row < ANCHORS; row++) {
    for (let column = 0; column < ANCHORS; column++) {
      const [u, v] = [(column + 0.5) / ANCHORS, 1 - (row + 0.5) / ANCHORS];
      const at = 2 * (row * ANCHORS + column);
      places[at] = widths[0] + u * (widths[1] - widths[0]);
      places[at + 1] = heights[0] + v * (heights[1] - heights[0]);
    }
  }
  return pointsAt(model, places);
}
