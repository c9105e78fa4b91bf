// What readers of foreign face models have in common: outward triangles, one UV per vertex, landmarks that a model leaves open.
// Contract: nothing here changes a shape; vertices are only copied where a texture seam needs them twice.
import { solveCholesky } from '../models/cholesky.js';
import { FaceModelError, type MorphableModel } from '../models/morphable.js';
import { procrustes, transform } from '../models/procrustes.js';

/** Turns triangles round, in place, where most of a face (which looks along +z) would be seen from behind. */
export function outwards(mean: ArrayLike<number>, triangles: Int32Array): Int32Array {
  let facing = 0;
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [3 * triangles[t], 3 * triangles[t + 1], 3 * triangles[t + 2]];
    facing += (mean[b] - mean[a]) * (mean[c + 1] - mean[a + 1]) - (mean[b + 1] - mean[a + 1]) * (mean[c] - mean[a]);
  }
  if (facing < 0) {
    for (let t = 0; t < triangles.length; t += 3) {
      [triangles[t + 1], triangles[t + 2]] = [triangles[t + 2], triangles[t + 1]];
    }
  }
  return triangles;
}

export interface SplitMesh {
  /** [M] vertex of the input that each vertex of the result copies. */
  source: Int32Array;
  /** [T, 3] */
  triangles: Int32Array;
  /** [M, 2] */
  uv: Float32Array;
}

/**
 * One UV per vertex: a vertex on a texture seam is copied once for each place it has in the texture. Vertices of no triangle are left
 * out. `corners` and `uvCorners` [T, 3] name rows of the vertices and of `uvs`.
 */
export function splitAtSeams(
  corners: ArrayLike<number>,
  uvCorners: ArrayLike<number>,
  uvs: ArrayLike<number>,
): SplitMesh {
  const places = uvs.length / 2;
  const copies = new Map<number, number>();
  const source: number[] = [];
  const uv: number[] = [];
  const triangles = Int32Array.from(corners, (vertex, i) => {
    const place = uvCorners[i];
    const key = vertex * places + place;
    let copy = copies.get(key);
    if (copy === undefined) {
      copy = source.length;
      copies.set(key, copy);
      source.push(vertex);
      uv.push(uvs[2 * place], uvs[2 * place + 1]);
    }
    return copy;
  });
  return { source: Int32Array.from(source), triangles, uv: Float32Array.from(uv) };
}

/**
 * Fills landmarks that a model leaves open (-1): those of `head`'s mean, carried over by the affine map that best fits the landmarks that
 * both have, then the nearest vertex. Good to a few millimetres, so a fit should trust them less. Throws FaceModelError where those given
 * lie in a plane.
 */
export function placeLandmarks(mean: ArrayLike<number>, known: Int32Array, head: MorphableModel): Int32Array {
  const marks = head.landmarksOf(head.mean);
  const normal = new Float64Array(16);
  const right = [new Float64Array(4), new Float64Array(4), new Float64Array(4)];
  for (let i = 0; i < known.length; i++) {
    if (known[i] < 0) continue;
    const row = [marks[3 * i], marks[3 * i + 1], marks[3 * i + 2], 1];
    for (let a = 0; a < 4; a++) {
      for (let b = 0; b < 4; b++) normal[4 * a + b] += row[a] * row[b];
      for (let c = 0; c < 3; c++) right[c][a] += row[a] * mean[3 * known[i] + c];
    }
  }
  const map = right.map((b) => solveCholesky(normal, b));
  return known.map((vertex, i) => {
    if (vertex >= 0) return vertex;
    const place = map.map((m) => {
      if (!m) throw new FaceModelError('landmarks', 'the landmarks given lie in a plane');
      return m[0] * marks[3 * i] + m[1] * marks[3 * i + 1] + m[2] * marks[3 * i + 2] + m[3];
    });
    return nearestVertex(mean, place[0], place[1], place[2]);
  });
}

export function nearestVertex(mean: ArrayLike<number>, x: number, y: number, z: number): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let v = 0; v < mean.length / 3; v++) {
    const d = (mean[3 * v] - x) ** 2 + (mean[3 * v + 1] - y) ** 2 + (mean[3 * v + 2] - z) ** 2;
    if (d < least) [least, best] = [d, v];
  }
  return best;
}

/** Largest distance of a face's landmarks from another's, by their size, after the best similarity; faces lie within 0.1. */
const STRANGE = 0.25;

/**
 * The rotation (row-major 3x3) that turns a face upright and towards +z, judged by its landmarks against those of `head`; undefined where
 * it is so already within 20 degrees. Throws FaceModelError where the landmarks are not those of a face, a mirrored one included.
 */
export function uprightRotation(marks: Float32Array, head: MorphableModel): Float64Array | undefined {
  const wanted = head.landmarksOf(head.mean);
  const motion = procrustes(marks, wanted);
  const moved = transform(marks, motion);
  const at = [0, 1, 2].map((c) => wanted.reduce((sum, x, i) => sum + (i % 3 === c ? x / 68 : 0), 0));
  let [error, size] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    error += (moved[i] - wanted[i]) ** 2;
    size += (wanted[i] - at[i % 3]) ** 2;
  }
  const off = Math.sqrt(error / size);
  if (!(off < STRANGE)) {
    throw new FaceModelError(
      'landmarks',
      `the 68 vertices are no face's landmarks: ${(100 * off).toFixed(0)} % of their size away from a face's (wanted iBUG order from the subject's right jaw on, vertices counted from 0, no mirror image)`,
    );
  }
  const { rotation: r } = motion;
  const cosine = (r[0] + r[4] + r[8] - 1) / 2;
  return cosine > Math.cos((20 * Math.PI) / 180) ? undefined : r;
}

/** Units by the distance of the outer eye corners, which is about 90 mm. */
export function unitOf(marks: Float32Array): 'um' | 'mm' | 'cm' | 'm' {
  const eyes = Math.hypot(...[0, 1, 2].map((c) => marks[3 * 45 + c] - marks[3 * 36 + c]));
  const units = [
    ['um', 90e3],
    ['mm', 90],
    ['cm', 9],
    ['m', 0.09],
  ] as const;
  const distance = (length: number) => Math.abs(Math.log(eyes / length));
  return units.reduce((best, unit) => (distance(unit[1]) < distance(best[1]) ? unit : best))[0];
}
