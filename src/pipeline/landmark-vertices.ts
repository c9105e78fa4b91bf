// The vertices of the 68 landmarks: from files that name them, or found on the mean face where no file does.
// Contract: vertices count from 0, landmarks are in iBUG order from the subject's right jaw on, and -1 is one that a file leaves open.
import { readFileSync, statSync } from 'node:fs';
import { FormatError } from '../formats/error.js';
import { isMatArray } from '../formats/mat.js';
import { readNpz } from '../formats/npy.js';
import { readPickle } from '../formats/numpy-pickle.js';
import { solveCholesky } from '../models/cholesky.js';
import type { MorphableModel } from '../models/morphable.js';
import { procrustes, type Similarity, size, transform } from '../models/procrustes.js';
import { nearestVertex } from './model-parts.js';

export const VERTICES_WANTED =
  "68 vertex numbers from 0, from the subject's right jaw on (iBUG order), or lines `landmark = vertex` with landmarks from 1";

/**
 * Reads landmarks [68], -1 where open: a JSON list or `{"landmarks": [...]}` (null is open), 68 numbers as text, a mapping as eos has
 * (`31 = 8319`), or FLAME's embedding (.npz, .pkl: `lmk_face_idx` and `lmk_b_coords` for all 68, or for 51 without the jaw), which
 * needs `triangles`. Throws FormatError.
 */
export function readLandmarkVertices(file: string, triangles?: ArrayLike<number>): Int32Array {
  const fail = (problem: string) => new FormatError(file, 'landmarks', problem);
  if (!statSync(file, { throwIfNoEntry: false })?.isFile())
    throw fail(`there is no such file; wanted ${VERTICES_WANTED}`);
  if (/\.(npz|pkl)$/i.test(file)) return fromEmbedding(file, triangles, fail);
  const text = readFileSync(file, 'utf8');
  let values: unknown;
  if (/\.json$/i.test(file)) {
    try {
      values = JSON.parse(text);
    } catch {
      throw fail(`is not valid JSON; wanted ${VERTICES_WANTED}`);
    }
    if (values !== null && typeof values === 'object' && !Array.isArray(values)) {
      values = (values as Record<string, unknown>).landmarks;
    }
  } else {
    const lines = text.split(/\r?\n/).map((line) => line.replace(/#.*/, '').trim());
    const pairs = lines.flatMap((line) => {
      const match = /^(\d{1,2})\s*=\s*(\d+)$/.exec(line);
      return match ? [[Number(match[1]), Number(match[2])]] : [];
    });
    if (pairs.length > 0) {
      const open = new Int32Array(68).fill(-1);
      for (const [landmark, vertex] of pairs) {
        if (landmark < 1 || landmark > 68) throw fail(`there is no landmark ${landmark}`);
        open[landmark - 1] = vertex;
      }
      return open;
    }
    values = lines
      .join(' ')
      .split(/[\s,;]+/)
      .filter((word) => word !== '')
      .map(Number);
  }
  const numbers = Array.isArray(values) ? values.map((v) => (v === null ? -1 : Number(v))) : [];
  if (numbers.length !== 68 || !numbers.every((v) => Number.isInteger(v) && v >= -1)) {
    throw fail(`wanted ${VERTICES_WANTED}, got ${numbers.length} numbers`);
  }
  return Int32Array.from(numbers);
}

/** Each landmark lies in a triangle; its vertex with the largest share is taken. */
function fromEmbedding(
  file: string,
  triangles: ArrayLike<number> | undefined,
  fail: (problem: string) => FormatError,
): Int32Array {
  if (!triangles) throw fail('names triangles, and those of the model are not known here');
  let entries: Record<string, unknown>;
  if (/\.npz$/i.test(file)) entries = readNpz(file);
  else {
    const root = readPickle(file);
    entries = root instanceof Map ? Object.fromEntries(root) : {};
  }
  const array = (...names: string[]) => names.map((name) => entries[name] as never).find((value) => isMatArray(value));
  const faces = array('lmk_face_idx', 'lmk_faces_idx', 'full_lmk_faces_idx') as { data: ArrayLike<number> } | undefined;
  const shares = array('lmk_b_coords', 'lmk_bary_coords', 'full_lmk_bary_coords') as
    | { data: ArrayLike<number> }
    | undefined;
  const count = faces?.data.length ?? 0;
  if (!faces || !shares || (count !== 51 && count !== 68) || shares.data.length !== 3 * count) {
    throw fail('wanted lmk_face_idx [51 or 68] and lmk_b_coords [51 or 68, 3], as the static embedding of FLAME has');
  }
  const open = new Int32Array(68).fill(-1);
  for (let i = 0; i < count; i++) {
    const face = faces.data[i];
    if (!(face >= 0 && 3 * face + 2 < triangles.length)) throw fail(`triangle ${face} of ${triangles.length / 3}`);
    const best = [0, 1, 2].reduce((a, b) => (shares.data[3 * i + b] > shares.data[3 * i + a] ? b : a));
    open[68 - count + i] = triangles[3 * face + best];
  }
  return open;
}

/** Points of the head that are matched, and vertices of the face that they are matched with, at most. */
const SOURCE = 500;
const TARGET = 6000;

/**
 * The 68 landmarks of a mean face that says none: the head is laid upon it (iterated closest points: a similarity from several sizes,
 * then an affine map, both on the nearest four fifths), and its landmarks go to the nearest vertices. The face must look along +z, y up.
 * Up to 14 mm off around eyes, nose and mouth, 4 cm along the jaw: for a first look, not for measuring; name the landmarks where they are known.
 */
export function findLandmarks(mean: Float32Array, head: MorphableModel): Int32Array {
  const marks = head.landmarksOf(head.mean);
  const box = bounds(marks);
  const normals = head.normals(head.mean);
  // The front of the face, as far as the landmarks reach.
  const front: number[] = [];
  for (let v = 0; v < head.vertexCount; v++) {
    const [x, y] = [head.mean[3 * v], head.mean[3 * v + 1]];
    const inside =
      x > box.low[0] && x < box.high[0] && y > box.low[1] && y < box.high[1] + 0.2 * (box.high[1] - box.low[1]);
    if (inside && normals[3 * v + 2] > 0.1 && head.mean[3 * v + 2] > box.low[2]) front.push(v);
  }
  const source = gatherPoints(head.mean, every(front, SOURCE));
  // What looks away from the viewer is no part of the face; half the depth is enough to leave it out.
  const all = bounds(mean);
  const middle = (all.low[2] + all.high[2]) / 2;
  const facing = Array.from({ length: mean.length / 3 }, (_, v) => v).filter((v) => mean[3 * v + 2] > middle);
  const target = gatherPoints(mean, every(facing, TARGET));
  const tip = facing.reduce((best, v) => (mean[3 * v + 2] > mean[3 * best + 2] ? v : best), facing[0]);
  const nose = Array.from(marks.subarray(90, 93));
  const ratio = size(target) / size(source);

  let best: { error: number; points: Float32Array; map: (p: Float32Array) => Float32Array } | undefined;
  for (const factor of [0.55, 0.7, 0.85, 1]) {
    const scale = ratio * factor;
    const shift = [0, 1, 2].map((c) => mean[3 * tip + c] - scale * nose[c]) as [number, number, number];
    let motion: Similarity = { scale, rotation: Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1), shift };
    let error = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 25; i++) {
      const matches = nearestFourFifths(transform(source, motion), target, source);
      motion = procrustes(matches.from, matches.to);
      error = matches.error / motion.scale;
    }
    const found = motion;
    if (!best || error < best.error)
      best = { error, points: transform(source, found), map: (p) => transform(p, found) };
  }
  if (!best) throw new RangeError('findLandmarks: nothing to match');
  let moved = best.map(marks);
  let points = best.points;
  for (let i = 0; i < 6; i++) {
    const matches = nearestFourFifths(points, target, points);
    const affine = affineMap(matches.from, matches.to);
    if (!affine) break;
    points = affine(points);
    moved = affine(moved);
  }
  return Int32Array.from({ length: 68 }, (_, i) =>
    nearestVertex(mean, moved[3 * i], moved[3 * i + 1], moved[3 * i + 2]),
  );
}

/** Pairs of rows of `source` and the targets nearest to where those rows are now, without the worst fifth. */
function nearestFourFifths(now: Float32Array, target: Float32Array, source: Float32Array) {
  const pairs = Array.from({ length: now.length / 3 }, (_, i) => {
    const at = nearestVertex(target, now[3 * i], now[3 * i + 1], now[3 * i + 2]);
    const d = Math.hypot(
      target[3 * at] - now[3 * i],
      target[3 * at + 1] - now[3 * i + 1],
      target[3 * at + 2] - now[3 * i + 2],
    );
    return { i, at, d };
  }).sort((a, b) => a.d - b.d);
  const kept = pairs.slice(0, Math.ceil(0.8 * pairs.length));
  return {
    from: gatherPoints(
      source,
      kept.map((p) => p.i),
    ),
    to: gatherPoints(
      target,
      kept.map((p) => p.at),
    ),
    error: Math.sqrt(kept.reduce((sum, p) => sum + p.d * p.d, 0) / kept.length),
  };
}

function affineMap(from: Float32Array, to: Float32Array): ((points: Float32Array) => Float32Array) | undefined {
  const normal = new Float64Array(16);
  const right = [new Float64Array(4), new Float64Array(4), new Float64Array(4)];
  for (let i = 0; i < from.length; i += 3) {
    const row = [from[i], from[i + 1], from[i + 2], 1];
    for (let a = 0; a < 4; a++) {
      for (let b = 0; b < 4; b++) normal[4 * a + b] += row[a] * row[b];
      for (let c = 0; c < 3; c++) right[c][a] += row[a] * to[i + c];
    }
  }
  const rows = right.map((b) => solveCholesky(normal, b));
  if (rows.some((row) => !row)) return undefined;
  return (points) =>
    points.map((_, i) => {
      const at = i - (i % 3);
      const m = rows[i % 3] as Float64Array;
      return m[0] * points[at] + m[1] * points[at + 1] + m[2] * points[at + 2] + m[3];
    });
}

const every = (items: readonly number[], most: number): number[] =>
  items.filter((_, i) => i % Math.max(1, Math.ceil(items.length / most)) === 0);

function gatherPoints(points: Float32Array, rows: readonly number[]): Float32Array {
  const out = new Float32Array(3 * rows.length);
  rows.forEach((row, i) => {
    out.set(points.subarray(3 * row, 3 * row + 3), 3 * i);
  });
  return out;
}

function bounds(points: ArrayLike<number>): { low: number[]; high: number[] } {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i++) {
    low[i % 3] = Math.min(low[i % 3], points[i]);
    high[i % 3] = Math.max(high[i % 3], points[i]);
  }
  return { low, high };
}
