// The 3D morphable model of equations 1-2: S = mean + A_id alpha + A_exp beta. It owns the arrays of a face model and the
// check that they fit together; reading and writing files is for `formats`. Contract: modes are stored mode by mode
// ([k, N, 3]), and a coefficient is measured in the unit in which `identityStd` / `expressionStd` is its standard deviation.

import { FaceModelError, floats, type HostTensor, integers, type ModelTensor, need } from './model-tensors.js';
import { vertexNormals } from './normals.js';

export { FACE_MODEL_TENSORS, FaceModelError, type HostTensor, type ModelTensor } from './model-tensors.js';
export { vertexNormals } from './normals.js';

export interface MorphableModelFields {
  /** [N, 3] mean neutral shape; +x the subject's left, +y up, +z out of the face. */
  mean: Float32Array;
  /** [k, N, 3] identity modes. */
  identity: Float32Array;
  /** [k] standard deviation of each coefficient over people. */
  identityStd: Float32Array;
  /** [k, N, 3] expression modes, displacements from the neutral shape. */
  expression: Float32Array;
  /** [k] standard deviation of each coefficient over expressions. */
  expressionStd: Float32Array;
  /** [T, 3] vertex numbers, counter-clockwise seen from outside (in the y-up frame). */
  triangles: Int32Array;
  /** [68] vertices of the iBUG / Multi-PIE landmarks, from the subject's right jaw (image left) on. */
  landmarks: Int32Array;
  /** [N, 2] texture coordinates in [0, 1], v up; one per vertex. */
  uv: Float32Array;
  /** [62] statistics that undo the whitening of an imported 3DDFA regressor. */
  parameterMean?: Float32Array;
  parameterStd?: Float32Array;
  /** Where the vertices are those of a published or scanned mesh with some left out or doubled (seams): which one each copies. */
  source?: SourceMesh;
  name?: string;
  licence?: string;
  /** Unit of length of `mean` and of the displacements, e.g. `mm` or `um`. */
  units?: string;
}

export interface SourceMesh {
  /** [N] vertex numbers of that mesh. */
  vertices: Int32Array;
  /** How many vertices it has. */
  count: number;
}

/**
 * Mean, identity and expression modes over one mesh. Throws FaceModelError when shapes, index ranges or numbers are wrong.
 */
export class MorphableModel {
  readonly mean: Float32Array;
  readonly identity: Float32Array;
  readonly identityStd: Float32Array;
  readonly expression: Float32Array;
  readonly expressionStd: Float32Array;
  readonly triangles: Int32Array;
  readonly landmarks: Int32Array;
  readonly uv: Float32Array;
  readonly parameterMean: Float32Array | undefined;
  readonly parameterStd: Float32Array | undefined;
  readonly source: SourceMesh | undefined;
  readonly name: string;
  readonly licence: string;
  readonly units: string;
  /** N */
  readonly vertexCount: number;
  /** Number of identity modes. */
  readonly identityCount: number;
  /** Number of expression modes. */
  readonly expressionCount: number;

  constructor(fields: MorphableModelFields) {
    this.mean = fields.mean;
    this.identity = fields.identity;
    this.identityStd = fields.identityStd;
    this.expression = fields.expression;
    this.expressionStd = fields.expressionStd;
    this.triangles = fields.triangles;
    this.landmarks = fields.landmarks;
    this.uv = fields.uv;
    this.parameterMean = fields.parameterMean;
    this.parameterStd = fields.parameterStd;
    this.source = fields.source;
    this.name = fields.name ?? 'face model';
    this.licence = fields.licence ?? 'not stated';
    this.units = fields.units ?? 'mm';
    this.vertexCount = this.mean.length / 3;
    this.identityCount = this.identityStd.length;
    this.expressionCount = this.expressionStd.length;
    this.check();
  }

  /**
   * S = mean + sum_i alpha_i identity_i + sum_j beta_j expression_j for every vertex -> [N, 3], in the model's unit.
   * Missing trailing coefficients are zero; more coefficients than modes is an error.
   */
  vertices(alpha: ArrayLike<number> = [], beta: ArrayLike<number> = []): Float32Array {
    this.checkCoefficients(alpha, beta);
    const sum = Float64Array.from(this.mean);
    addModes(sum, this.identity, alpha);
    addModes(sum, this.expression, beta);
    return Float32Array.from(sum);
  }

  /** The same for the listed vertices only -> [indices.length, 3]; bit-identical to those rows of `vertices`. */
  verticesAt(indices: ArrayLike<number>, alpha: ArrayLike<number> = [], beta: ArrayLike<number> = []): Float32Array {
    this.checkCoefficients(alpha, beta);
    const out = new Float32Array(indices.length * 3);
    const stride = this.mean.length;
    for (let i = 0; i < indices.length; i++) {
      for (let c = 0; c < 3; c++) {
        const at = indices[i] * 3 + c;
        let sum = this.mean[at];
        for (let m = 0; m < alpha.length; m++) if (alpha[m] !== 0) sum += alpha[m] * this.identity[m * stride + at];
        for (let m = 0; m < beta.length; m++) if (beta[m] !== 0) sum += beta[m] * this.expression[m * stride + at];
        out[i * 3 + c] = sum;
      }
    }
    return out;
  }

  /** Rows of `vertices` (as returned by `vertices`, or moved since) at the 68 landmarks -> [68, 3]. */
  landmarksOf(vertices: ArrayLike<number>): Float32Array {
    const out = new Float32Array(this.landmarks.length * 3);
    for (let i = 0; i < this.landmarks.length; i++) {
      for (let c = 0; c < 3; c++) out[i * 3 + c] = vertices[this.landmarks[i] * 3 + c];
    }
    return out;
  }

  /** Unit normals pointing out of the face, area-weighted over the triangles of each vertex -> [N, 3]. */
  normals(vertices: ArrayLike<number>): Float32Array {
    return vertexNormals(vertices, this.triangles);
  }

  /**
   * The same surface with other vertices: vertex i of the result is vertex `source[i]` of this model. Used where a texture
   * layout needs a vertex twice (a seam) or a part of the mesh only. A landmark goes to the first copy of its vertex.
   */
  remap(source: Int32Array, triangles: Int32Array, uv: Float32Array): MorphableModel {
    const first = new Map<number, number>();
    for (let i = 0; i < source.length; i++) if (!first.has(source[i])) first.set(source[i], i);
    const landmarks = this.landmarks.map((vertex, i) => {
      const at = first.get(vertex);
      if (at === undefined) throw new FaceModelError('landmarks', `landmark ${i + 1} is not among the vertices kept`);
      return at;
    });
    const origin = this.source;
    return new MorphableModel({
      ...this,
      source: {
        vertices: source.map((vertex) => origin?.vertices[vertex] ?? vertex),
        count: origin?.count ?? this.vertexCount,
      },
      mean: gatherRows(this.mean, 1, source),
      identity: gatherRows(this.identity, this.identityCount, source),
      expression: gatherRows(this.expression, this.expressionCount, source),
      triangles,
      landmarks,
      uv,
    });
  }

  /**
   * From the plain layout: mean [N,3], identity [k,N,3], identity_std [k], expression [k,N,3], expression_std [k],
   * triangles [T,3], landmarks [68], uv [N,2], and optionally parameter_mean, parameter_std [62], source [N] with source_count [1];
   * metadata name, licence, units. Throws FaceModelError naming the tensor.
   */
  static fromTensors(
    tensors: Readonly<Record<string, HostTensor>>,
    metadata: Readonly<Record<string, string>> = {},
  ): MorphableModel {
    const n = need(tensors, 'mean', [-1, 3])[0];
    const identityCount = need(tensors, 'identity', [-1, n, 3])[0];
    need(tensors, 'identity_std', [identityCount]);
    const expressionCount = need(tensors, 'expression', [-1, n, 3])[0];
    need(tensors, 'expression_std', [expressionCount]);
    need(tensors, 'triangles', [-1, 3]);
    need(tensors, 'landmarks', [68]);
    need(tensors, 'uv', [n, 2]);
    const statistics = 'parameter_mean' in tensors || 'parameter_std' in tensors;
    if (statistics) {
      need(tensors, 'parameter_mean', [62]);
      need(tensors, 'parameter_std', [62]);
    }
    const copied = 'source' in tensors || 'source_count' in tensors;
    if (copied) {
      need(tensors, 'source', [n]);
      need(tensors, 'source_count', [1]);
    }
    return new MorphableModel({
      mean: floats(tensors.mean),
      identity: floats(tensors.identity),
      identityStd: floats(tensors.identity_std),
      expression: floats(tensors.expression),
      expressionStd: floats(tensors.expression_std),
      triangles: integers('triangles', tensors.triangles),
      landmarks: integers('landmarks', tensors.landmarks),
      uv: floats(tensors.uv),
      parameterMean: statistics ? floats(tensors.parameter_mean) : undefined,
      parameterStd: statistics ? floats(tensors.parameter_std) : undefined,
      source: copied
        ? { vertices: integers('source', tensors.source), count: Number(tensors.source_count.data[0]) }
        : undefined,
      name: metadata.name,
      licence: metadata.licence,
      units: metadata.units,
    });
  }

  /** The plain layout of `fromTensors`; `identity` and `expression` may be stored as f16, the rest should stay f32 / i32. */
  toTensors(): { tensors: Record<string, ModelTensor>; metadata: Record<string, string> } {
    const n = this.vertexCount;
    const tensors: Record<string, ModelTensor> = {
      mean: { dtype: 'f32', shape: [n, 3], data: this.mean },
      identity: { dtype: 'f32', shape: [this.identityCount, n, 3], data: this.identity },
      identity_std: { dtype: 'f32', shape: [this.identityCount], data: this.identityStd },
      expression: { dtype: 'f32', shape: [this.expressionCount, n, 3], data: this.expression },
      expression_std: { dtype: 'f32', shape: [this.expressionCount], data: this.expressionStd },
      triangles: { dtype: 'i32', shape: [this.triangles.length / 3, 3], data: this.triangles },
      landmarks: { dtype: 'i32', shape: [this.landmarks.length], data: this.landmarks },
      uv: { dtype: 'f32', shape: [n, 2], data: this.uv },
    };
    if (this.parameterMean && this.parameterStd) {
      tensors.parameter_mean = { dtype: 'f32', shape: [62], data: this.parameterMean };
      tensors.parameter_std = { dtype: 'f32', shape: [62], data: this.parameterStd };
    }
    if (this.source) {
      tensors.source = { dtype: 'i32', shape: [n], data: this.source.vertices };
      tensors.source_count = { dtype: 'i32', shape: [1], data: Int32Array.of(this.source.count) };
    }
    return { tensors, metadata: { name: this.name, licence: this.licence, units: this.units } };
  }

  private check(): void {
    const n = this.vertexCount;
    const length = (field: string, data: ArrayLike<number>, wanted: number, shape: string) => {
      if (data.length !== wanted) {
        throw new FaceModelError(field, `wanted ${shape} = ${wanted} numbers, got ${data.length}`);
      }
    };
    if (n < 3 || !Number.isInteger(n)) {
      throw new FaceModelError('mean', `wanted [N, 3] with N >= 3, got ${this.mean.length} numbers`);
    }
    length('identity', this.identity, this.identityCount * n * 3, `[${this.identityCount}, ${n}, 3]`);
    length('expression', this.expression, this.expressionCount * n * 3, `[${this.expressionCount}, ${n}, 3]`);
    length('uv', this.uv, n * 2, `[${n}, 2]`);
    length('landmarks', this.landmarks, 68, '[68]');
    if (this.triangles.length === 0 || this.triangles.length % 3 !== 0) {
      throw new FaceModelError('triangles', `wanted [T, 3] with T >= 1, got ${this.triangles.length} numbers`);
    }
    if (this.parameterMean || this.parameterStd) {
      length('parameter_mean', this.parameterMean ?? [], 62, '[62]');
      length('parameter_std', this.parameterStd ?? [], 62, '[62]');
    }
    for (const field of ['mean', 'identity', 'identityStd', 'expression', 'expressionStd', 'uv'] as const) {
      const bad = firstNotFinite(this[field]);
      if (bad >= 0) throw new FaceModelError(field, `number ${bad} is ${this[field][bad]}`);
    }
    for (const field of ['identityStd', 'expressionStd'] as const) {
      const bad = this[field].findIndex((x) => x <= 0);
      if (bad >= 0) throw new FaceModelError(field, `wanted positive deviations, number ${bad} is ${this[field][bad]}`);
    }
    for (const field of ['triangles', 'landmarks'] as const) {
      const bad = this[field].findIndex((x) => x < 0 || x >= n);
      if (bad >= 0) {
        throw new FaceModelError(field, `vertex ${this[field][bad]} (number ${bad}) is not one of the ${n} vertices`);
      }
    }
    if (this.source) {
      const { vertices, count } = this.source;
      length('source', vertices, n, `[${n}]`);
      const bad = vertices.findIndex((x) => x < 0 || x >= count);
      if (bad >= 0) {
        throw new FaceModelError(
          'source',
          `vertex ${vertices[bad]} (number ${bad}) is not one of the ${count} vertices`,
        );
      }
    }
    const outside = this.uv.findIndex((x) => x < -1e-4 || x > 1 + 1e-4);
    if (outside >= 0) {
      throw new FaceModelError('uv', `wanted values in [0, 1], number ${outside} is ${this.uv[outside]}`);
    }
  }

  private checkCoefficients(alpha: ArrayLike<number>, beta: ArrayLike<number>): void {
    if (alpha.length > this.identityCount) {
      throw new FaceModelError('alpha', `wanted at most ${this.identityCount} coefficients, got ${alpha.length}`);
    }
    if (beta.length > this.expressionCount) {
      throw new FaceModelError('beta', `wanted at most ${this.expressionCount} coefficients, got ${beta.length}`);
    }
  }
}

/** Position of the first NaN or infinity, or -1. A plain loop: modes are millions of numbers, and every start of the program checks them. */
function firstNotFinite(data: Float32Array): number {
  let [a, b, c, d] = [0, 0, 0, 0]; // of x - x, which is 0 or NaN: four sums wait for one another less than a test for each
  const whole = data.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    a += data[i] - data[i];
    b += data[i + 1] - data[i + 1];
    c += data[i + 2] - data[i + 2];
    d += data[i + 3] - data[i + 3];
  }
  for (let i = whole; i < data.length; i++) a += data[i] - data[i];
  return a + b + c + d === 0 ? -1 : data.findIndex((x) => !Number.isFinite(x));
}

/** Adds mode by mode, four at a time: a sum is then read and written once for four modes, and rounds as it does one by one. */
function addModes(sum: Float64Array, modes: Float32Array, coefficients: ArrayLike<number>): void {
  const n = sum.length;
  const used = Array.from({ length: coefficients.length }, (_, m) => m).filter((m) => coefficients[m] !== 0);
  let k = 0;
  for (; k + 4 <= used.length; k += 4) {
    const [a, b, c, d] = [used[k] * n, used[k + 1] * n, used[k + 2] * n, used[k + 3] * n];
    const ca = coefficients[used[k]];
    const cb = coefficients[used[k + 1]];
    const cc = coefficients[used[k + 2]];
    const cd = coefficients[used[k + 3]];
    for (let i = 0; i < n; i++) {
      sum[i] = sum[i] + ca * modes[a + i] + cb * modes[b + i] + cc * modes[c + i] + cd * modes[d + i];
    }
  }
  for (; k < used.length; k++) {
    const [at, c] = [used[k] * n, coefficients[used[k]]];
    for (let i = 0; i < n; i++) sum[i] += c * modes[at + i];
  }
}

function gatherRows(data: Float32Array, count: number, source: Int32Array): Float32Array {
  const stride = count === 0 ? 0 : data.length / count;
  const out = new Float32Array(count * source.length * 3);
  // Most sources follow one another: run by run.
  for (let begin = 0, end: number; begin < source.length; begin = end) {
    for (end = begin + 1; end < source.length && source[end] === source[end - 1] + 1; ) end++;
    const length = 3 * (end - begin);
    for (let m = 0; m < count; m++) {
      const from = m * stride + 3 * source[begin];
      out.set(data.subarray(from, from + length), 3 * (m * source.length + begin));
    }
  }
  return out;
}
