// Mouth and eye openings of a face mesh, closed by a membrane: what the photo shows there (teeth, eyes) is texture as well.
// Contract: no vertices are added, and the mesh's own triangles stay first, so that where a UV layout folds they win.
import type { MorphableModel } from './morphable.js';

/** The landmarks around each opening. */
const AROUND: readonly (readonly number[])[] = [
  [60, 61, 62, 63, 64, 65, 66, 67],
  [36, 37, 38, 39, 40, 41],
  [42, 43, 44, 45, 46, 47],
];

/**
 * The model's triangles and those that close its mouth and eyes, where these are holes of the mesh -> [T', 3]. A hole belongs to the mouth or
 * an eye when its middle lies within a quarter of the distance between the outer eye corners from the middle of their landmarks, and it is not
 * wider than 0.8 of that distance.
 */
export function closeOpenings({ mean, triangles, landmarks }: MorphableModel): Int32Array {
  const point = (v: number) => [mean[3 * v], mean[3 * v + 1], mean[3 * v + 2]];
  const between = (a: number[], b: number[]) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
  const middle = (of: readonly number[]) =>
    [0, 1, 2].map((c) => of.reduce((s, v) => s + mean[3 * v + c], 0) / of.length);
  const eyes = between(point(landmarks[36]), point(landmarks[45]));
  const places = AROUND.map((marks) => middle(marks.map((i) => landmarks[i])));
  const patches: number[] = [];
  for (const rim of boundaries(triangles)) {
    const width = Math.max(...rim.map((v) => mean[3 * v])) - Math.min(...rim.map((v) => mean[3 * v]));
    const centre = middle(rim);
    if (width > 0.8 * eyes || !places.some((place) => between(place, centre) < 0.25 * eyes)) continue;
    patches.push(...membrane(rim, mean));
  }
  const out = new Int32Array(triangles.length + patches.length);
  out.set(triangles);
  out.set(patches, triangles.length);
  return out;
}

/**
 * Closed rims of the mesh, each in the direction in which its triangles run along it. Around a vertex inside the mesh every neighbour is once the
 * next and once the previous one, so their numbers cancel; what is left is looked at edge by edge.
 */
function boundaries(triangles: Int32Array): number[][] {
  const count = triangles.reduce((most, v) => Math.max(most, v), 0) + 1;
  const balance = new Float64Array(count);
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [triangles[t], triangles[t + 1], triangles[t + 2]];
    balance[a] += b - c;
    balance[b] += c - a;
    balance[c] += a - b;
  }
  const edges = new Map<number, [from: number, to: number]>();
  for (let t = 0; t < triangles.length; t += 3) {
    for (let k = 0; k < 3; k++) {
      const from = triangles[t + k];
      const to = triangles[t + ((k + 1) % 3)];
      if (balance[from] !== 0 && balance[to] !== 0) edges.set(from * count + to, [from, to]);
    }
  }
  const next = new Map<number, number>();
  for (const [from, to] of edges.values()) if (!edges.has(to * count + from)) next.set(from, to);
  const rims: number[][] = [];
  while (next.size > 0) {
    const [start] = next.keys();
    const rim: number[] = [];
    let v: number | undefined = start;
    while (v !== undefined && next.has(v)) {
      rim.push(v);
      const to: number | undefined = next.get(v);
      next.delete(v);
      v = to;
    }
    if (v === start && rim.length >= 3) rims.push(rim);
  }
  return rims;
}

/** Triangles between the two sides of a rim, from its end at the subject's right to that at the left, facing as the mesh around it. */
function membrane(rim: number[], mean: Float32Array): number[] {
  const x = (v: number) => mean[3 * v];
  const n = rim.length;
  let first = 0;
  let last = 0;
  for (let i = 1; i < n; i++) {
    if (x(rim[i]) < x(rim[first])) first = i;
    if (x(rim[i]) > x(rim[last])) last = i;
  }
  const along = (step: 1 | -1) => {
    const side = [rim[first]];
    for (let i = first; i !== last; ) {
      i = (i + step + n) % n;
      side.push(rim[i]);
    }
    return side;
  };
  const [ahead, back] = [along(1), along(-1)];
  const out: number[] = [];
  const add = (a: number, b: number, c: number) => {
    if (a !== b && b !== c && c !== a) out.push(a, b, c);
  };
  for (let i = 0, j = 0; i + 1 < ahead.length || j + 1 < back.length; ) {
    const advance = j + 1 >= back.length || (i + 1 < ahead.length && x(ahead[i + 1]) <= x(back[j + 1]));
    if (advance) {
      add(ahead[i + 1], ahead[i], back[j]);
      i++;
    } else {
      add(back[j], back[j + 1], ahead[i]);
      j++;
    }
  }
  return out;
}
