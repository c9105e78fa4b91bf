// What a face in a photo looks like apart from where it is: colours of skin, brows, lips and eyes, and the light, estimated from the pixels
// that show it. Contract: linear in its coefficients, one set per colour channel; pixels that it cannot explain (hair, glasses) lose weight.
import { faceRegions, REGIONS } from '../head/regions.js';
import { solveCholesky } from '../models/cholesky.js';
import type { MorphableModel } from '../models/morphable.js';
import { tensor } from '../tensor/create.js';
import { rasterize } from '../tensor/ops/rasterize.js';
import { tidy } from '../tensor/scope.js';

/** Pixels of a square that show the front of a face: every second one, as on a chessboard, since neighbours in a blurred photo tell the same. */
export interface SeenPixels {
  count: number;
  /** [count] numbers of the pixels. */
  pixels: Int32Array;
  /** [count, 3] the triangle's vertices, and their weights there. */
  corners: Int32Array;
  weights: Float64Array;
  /** [count, 3] unit normals, x right, y down, z towards the camera. */
  normals: Float64Array;
  /** [count, 4] as faceRegions. */
  regions: Float64Array;
}

/** Surfaces that turn away further than this (cosine) are left out: their pixels move fastest and are known worst. */
const FACING = 0.3;

const regionsOf = new WeakMap<MorphableModel, Float32Array>();

/** What shape [N, 3] shows in a square of `side` pixels under a camera (row-major 3x4, y down); the outermost pixels are left out. */
export function seenPixels(model: MorphableModel, shape: Float32Array, p: Float64Array, side: number): SeenPixels {
  const { triangles, vertexCount: n } = model;
  const screen = new Float32Array(3 * n);
  for (let v = 0; v < 3 * n; v += 3)
    for (let c = 0; c < 3; c++) {
      const r = 4 * c;
      screen[v + c] = p[r] * shape[v] + p[r + 1] * shape[v + 1] + p[r + 2] * shape[v + 2] + p[r + 3];
    }
  // Normals of the mirrored picture, whose triangles turn as the model's do.
  const normals = model.normals(screen.map((value, i) => (i % 3 === 1 ? -value : value)));
  const regions = regionsOf.get(model) ?? faceRegions(model);
  regionsOf.set(model, regions);
  const [index, barycentric] = tidy(() => {
    const faces = tensor(triangles, { shape: [triangles.length / 3, 3], dtype: 'i32' });
    const drawn = rasterize(tensor(screen, { shape: [n, 3] }), faces, { size: [side, side] });
    return [drawn.index.dataSync(), drawn.barycentric.dataSync()];
  });
  const most = side * side;
  const out: SeenPixels = {
    count: 0,
    pixels: new Int32Array(most),
    corners: new Int32Array(3 * most),
    weights: new Float64Array(3 * most),
    normals: new Float64Array(3 * most),
    regions: new Float64Array(REGIONS * most),
  };
  const normal = new Float64Array(3);
  for (let i = side; i < most - side; i++) {
    const column = i % side;
    if (index[i] < 0 || column === 0 || column === side - 1 || (column + (i - column) / side) % 2 === 1) continue;
    normal.fill(0);
    for (let c = 0; c < 3; c++)
      for (let d = 0; d < 3; d++) normal[d] += barycentric[3 * i + c] * normals[3 * triangles[3 * index[i] + c] + d];
    const length = Math.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2);
    if (!(normal[2] >= FACING * length)) continue;
    const m = out.count++;
    out.pixels[m] = i;
    out.normals.set([normal[0] / length, -normal[1] / length, normal[2] / length], 3 * m);
    for (let c = 0; c < 3; c++) {
      const v = triangles[3 * index[i] + c];
      const w = barycentric[3 * i + c];
      out.corners[3 * m + c] = v;
      out.weights[3 * m + c] = w;
      for (let d = 0; d < REGIONS; d++) out.regions[REGIONS * m + d] += w * regions[REGIONS * v + d];
    }
  }
  return out;
}

const HARMONICS = 9;
/** Rounds of reweighting. */
const ROUNDS = 4;
/** The scale of the residuals is never taken to be below this, in levels 0..255. */
const LEAST_SCALE = 4;

/** Colours and light that draw the pixels of an image [side, side, 3] best. */
export class Appearance {
  /** Numbers per channel. */
  readonly size = REGIONS + HARMONICS;
  /** [count, size]: regions, then spherical harmonics of the normal up to the second order. */
  readonly basis: Float64Array;
  /** [count, 3] image minus drawing. */
  readonly residuals: Float64Array;
  /** [count] 0..1, Geman-McClure's. */
  readonly weights: Float64Array;
  /** Of the residuals: one and a half times their median. */
  scale = 0;
  /** [3, size] */
  private coefficients: Float64Array[] = [];

  constructor(
    private readonly seen: SeenPixels,
    image: Float32Array,
  ) {
    const { count, regions, normals } = seen;
    const { size } = this;
    this.basis = new Float64Array(count * size);
    for (let m = 0; m < count; m++) {
      const [x, y, z] = [normals[3 * m], normals[3 * m + 1], normals[3 * m + 2]];
      for (let d = 0; d < REGIONS; d++) this.basis[m * size + d] = regions[REGIONS * m + d];
      this.basis.set([1, x, y, z, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], m * size + REGIONS);
    }
    this.residuals = new Float64Array(3 * count);
    this.weights = new Float64Array(count).fill(1);
    for (let round = 0; round < ROUNDS; round++) {
      this.solve(image);
      this.weigh();
    }
  }

  /** d drawing / d rotation (x, y, z of the picture) at pixel m in channel c: the light on a normal that turns. */
  turning(m: number, c: number, out: Float64Array): void {
    const { normals } = this.seen;
    const [x, y, z] = [normals[3 * m], normals[3 * m + 1], normals[3 * m + 2]];
    const [, lx, ly, lz, xy, yz, zz, xz, xx] = this.coefficients[c].subarray(REGIONS);
    const dx = lx + xy * y + xz * z + 2 * xx * x;
    const dy = ly + xy * x + yz * z - 2 * xx * y;
    const dz = lz + yz * y + 6 * zz * z + xz * x;
    out[0] = dz * y - dy * z;
    out[1] = dx * z - dz * x;
    out[2] = dy * x - dx * y;
  }

  /** Root mean square of the residuals, large ones bounded by twice a scale. */
  error(scale: number): number {
    const bound = 4 * scale * scale;
    let sum = 0;
    for (let m = 0; m < this.seen.count; m++) {
      const e = this.square(m);
      sum += e / (1 + e / bound);
    }
    return Math.sqrt(sum / this.seen.count);
  }

  private square(m: number): number {
    const r = this.residuals;
    return (r[3 * m] ** 2 + r[3 * m + 1] ** 2 + r[3 * m + 2] ** 2) / 3;
  }

  private solve(image: Float32Array): void {
    const { size, basis, weights } = this;
    const { count, pixels } = this.seen;
    const h = new Float64Array(size * size);
    const b = [0, 1, 2].map(() => new Float64Array(size));
    for (let m = 0; m < count; m++)
      for (let i = 0; i < size; i++) {
        const w = weights[m] * basis[m * size + i];
        for (let c = 0; c < 3; c++) b[c][i] += w * image[3 * pixels[m] + c];
        for (let j = 0; j <= i; j++) h[i * size + j] += w * basis[m * size + j];
      }
    // Little light from the sides can be told from a small part of a face: a weak pull to none.
    for (let i = 0; i < size; i++) h[i * size + i] += count * (i < REGIONS ? 1e-5 : i === REGIONS ? 1e-9 : 5e-5);
    this.coefficients = b.map((right) => solveCholesky(h, right) ?? new Float64Array(size));
    for (let m = 0; m < count; m++)
      for (let c = 0; c < 3; c++) {
        let drawn = 0;
        for (let i = 0; i < size; i++) drawn += basis[m * size + i] * this.coefficients[c][i];
        this.residuals[3 * m + c] = image[3 * pixels[m] + c] - drawn;
      }
  }

  private weigh(): void {
    const errors = Float64Array.from({ length: this.seen.count }, (_, m) => Math.sqrt(this.square(m)));
    this.scale = Math.max(LEAST_SCALE, 1.5 * errors.slice().sort()[errors.length >> 1]);
    for (let m = 0; m < errors.length; m++) this.weights[m] = 1 / (1 + (errors[m] / (2 * this.scale)) ** 2) ** 2;
  }
}
