// The face of a parameter vector as differentiable ops: vertices, their projection, and its Jacobian (paper-spec 9.1). Contract:
// planes, not rows: coordinates come as [.., 3 or 2, m], so that a projection flattened is all x, then all y.
import { Random } from '../head/random.js';
import type { FaceProjection } from '../nn/parameter-cost.js';
import { tensor, zeros } from '../tensor/create.js';
import { add, mul } from '../tensor/ops/elementwise.js';
import { concat, permute, reshape, slice } from '../tensor/ops/layout.js';
import { matmul } from '../tensor/ops/matmul.js';
import { expand } from '../tensor/ops/reduce.js';
import { persist } from '../tensor/scope.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { type ParameterCounts, type ParameterStatistics, POSE_SIZE, parameterCount } from './face-parameters.js';
import type { MorphableModel } from './morphable.js';
import type { SurfacePoints } from './surface-points.js';

/** Coefficients of q_i q_j (row 4 i + j) in the nine entries of R(q), row-major. */
const ROTATION: readonly (readonly [number, number, number, number])[] = [
  // entry, i, j, coefficient
  ...[0, 4, 8].map((entry) => [entry, 0, 0, 1] as const),
  ...[1, 2, 3].flatMap((i) => [0, 4, 8].map((entry, k) => [entry, i, i, k === i - 1 ? 1 : -1] as const)),
  ...([1, 2, 3] as const).flatMap((axis) => {
    const [b, c] = [(axis % 3) + 1, ((axis + 1) % 3) + 1]; // axis, b, c in cyclic order
    const [upper, lower] = [3 * (b - 1) + c - 1, 3 * (c - 1) + b - 1];
    return [
      [upper, b, c, 2],
      [lower, b, c, 2],
      [upper, 0, axis, -2],
      [lower, 0, axis, 2],
    ] as const;
  }),
];

function rotationTables(): { square: Float64Array; slope: Float64Array } {
  const square = new Float64Array(16 * 9);
  const slope = new Float64Array(4 * 36); // row j: the coefficient of q_j in dR/dq_k, [k, 9]
  for (const [entry, i, j, value] of ROTATION) {
    square[(4 * i + j) * 9 + entry] += value;
    slope[j * 36 + i * 9 + entry] += value;
    slope[i * 36 + j * 9 + entry] += value;
  }
  return { square, slope };
}

export interface FaceDecoderOptions extends Partial<ParameterCounts> {
  /** Numbers of the vertices wanted, in order; all of them unless given. */
  vertices?: ArrayLike<number>;
  /** Points of the surface instead of vertices. */
  points?: SurfacePoints;
  device?: string;
}

/** Vectors [n, d] to vertices. Holds tensors: `dispose` frees them. */
export class FaceDecoder {
  readonly counts: ParameterCounts;
  /** d */
  readonly size: number;
  /** m */
  readonly vertexCount: number;
  /** [1, 3 m] */
  private readonly mean: Tensor;
  /** [identity + expression, 3 m] */
  private readonly modes: Tensor;
  /** The same as [3, (identity + expression) m], made for the first Jacobian. */
  private planes?: Tensor;
  private readonly square: Tensor;
  private readonly slope: Tensor;
  /** [1, 2, 2 m]: d projection / d (tx, ty) */
  private readonly shift: Tensor;

  /** Throws ShapeError when more coefficients are wanted than the model has modes. */
  constructor(model: MorphableModel, options: FaceDecoderOptions = {}) {
    const { identity = model.identityCount, expression = model.expressionCount, device } = options;
    if (identity > model.identityCount || expression > model.expressionCount) {
      throw new ShapeError(
        `FaceDecoder: wants ${identity} and ${expression} modes, ${model.name} has ${model.identityCount} and ${model.expressionCount}`,
      );
    }
    this.counts = { identity, expression };
    this.size = parameterCount(this.counts);
    const { inPlanes, count: m } = options.points ? atPoints(options.points) : atVertices(options.vertices, model);
    this.vertexCount = m;
    const k = identity + expression;
    const stride = model.mean.length;
    const mean = new Float32Array(3 * m);
    inPlanes(model.mean, 0, mean);
    const modes = new Float32Array(k * 3 * m);
    for (let j = 0; j < k; j++) {
      const [data, index] = j < identity ? [model.identity, j] : [model.expression, j - identity];
      inPlanes(data, index * stride, modes.subarray(j * 3 * m, (j + 1) * 3 * m));
    }
    const shift = new Float32Array(4 * m);
    shift.fill(1, 0, m);
    shift.fill(1, 3 * m);
    const { square, slope } = rotationTables();
    [this.mean, this.modes, this.square, this.slope, this.shift] = persist(() => [
      tensor(mean, { shape: [1, 3 * m], device }),
      tensor(modes, { shape: [k, 3 * m], device }),
      tensor(square, { shape: [16, 9], device }),
      tensor(slope, { shape: [4, 36], device }),
      tensor(shift, { shape: [1, 2, 2 * m], device }),
    ]);
  }

  /** p [n, d] -> R(q) [n, 3, 3], f times a rotation. */
  rotation(p: Tensor): Tensor {
    const [n] = this.check('rotation', p);
    const q = part(p, 0, 4);
    const products = matmul(reshape(q, [n, 4, 1]), reshape(q, [n, 1, 4])); // [n, 4, 4]
    return reshape(matmul(reshape(products, [n, 16]), this.square), [n, 3, 3]);
  }

  /** p [n, d] -> the faces without their poses, [n, 3, m]. */
  shape(p: Tensor): Tensor {
    const [n] = this.check('shape', p);
    const { size, vertexCount: m } = this;
    const bare = size === POSE_SIZE ? expand(this.mean, [n, 3 * m]) : undefined;
    return reshape(bare ?? add(matmul(part(p, POSE_SIZE, size), this.modes), this.mean), [n, 3, m]);
  }

  /** p [n, d] -> V = R(q) S + (tx, ty, 0), [n, 3, m]; y up, z towards the viewer, pixels. */
  vertices(p: Tensor): Tensor {
    const [n] = this.check('vertices', p);
    const t = concat([part(p, 4, POSE_SIZE), zeros([n, 1], { device: p.device })], { axis: 1 }); // [n, 3]
    return add(matmul(this.rotation(p), this.shape(p)), reshape(t, [n, 3, 1]));
  }

  /** p [n, d] -> x and y of these, [n, 2 m]. */
  project(p: Tensor): Tensor {
    const [n] = this.check('project', p);
    const v = matmul(this.camera(p), this.shape(p)); // [n, 2, m]
    return reshape(add(v, reshape(part(p, 4, POSE_SIZE), [n, 2, 1])), [n, 2 * this.vertexCount]);
  }

  /** p [n, d] -> d projection / d p, [n, d, 2 m]. */
  jacobian(p: Tensor): Tensor {
    const [n] = this.check('jacobian', p);
    const { vertexCount: m, size } = this;
    const slopes = reshape(matmul(part(p, 0, 4), this.slope), [n, 4, 3, 3]);
    const two = reshape(slice(slopes, { start: [0, 0, 0, 0], size: [n, 4, 2, 3] }), [n, 8, 3]);
    const turned = reshape(matmul(two, this.shape(p)), [n, 4, 2 * m]);
    const parts = [turned, expand(this.shift, [n, 2, 2 * m])];
    const k = size - POSE_SIZE;
    if (k > 0) {
      const moved = reshape(matmul(this.camera(p), this.modesInPlanes()), [n, 2, k, m]);
      parts.push(reshape(permute(moved, [0, 2, 1, 3]), [n, k, 2 * m]));
    }
    return concat(parts, { axis: 1 });
  }

  /** The projection as the costs of paper-spec 9.4 see it: over z-scored vectors. Holds tensors of its own. */
  standardised(statistics: ParameterStatistics): FaceProjection & { dispose(): void } {
    const { size } = this;
    const { device } = this.mean;
    if (statistics.mean.length !== size || statistics.std.length !== size) {
      throw new ShapeError(`FaceDecoder: statistics of ${statistics.mean.length} numbers for vectors of ${size}`);
    }
    const [mean, std, columns] = persist(() => [
      tensor(statistics.mean, { shape: [1, size], device }),
      tensor(statistics.std, { shape: [1, size], device }),
      tensor(statistics.std, { shape: [1, size, 1], device }),
    ]);
    const raw = (z: Tensor) => add(mul(z, std), mean);
    return {
      project: (z) => this.project(raw(z)),
      jacobian: (z) => mul(this.jacobian(raw(z)), columns),
      dispose() {
        for (const t of [mean, std, columns]) t.dispose();
      },
    };
  }

  dispose(): void {
    for (const t of [this.mean, this.modes, this.planes, this.square, this.slope, this.shift]) t?.dispose();
  }

  private modesInPlanes(): Tensor {
    const [k, m] = [this.size - POSE_SIZE, this.vertexCount];
    const make = () => persist(() => reshape(permute(reshape(this.modes, [k, 3, m]), [1, 0, 2]), [3, k * m]));
    this.planes ??= this.modes.owner.outsideCapture(make);
    return this.planes;
  }

  /** The first two rows of R(q), [n, 2, 3]. */
  private camera(p: Tensor): Tensor {
    return slice(this.rotation(p), { start: [0, 0, 0], size: [p.shape[0], 2, 3] });
  }

  private check(what: string, p: Tensor): readonly number[] {
    if (p.shape.length === 2 && p.shape[1] === this.size) return p.shape;
    throw new ShapeError(`FaceDecoder.${what}: p must be [n, ${this.size}], got ${showShape(p.shape)}`);
  }
}

/** Columns from..to of rows [n, d]. */
const part = (p: Tensor, from: number, to: number): Tensor =>
  slice(p, { start: [0, from], size: [p.shape[0], to - from] });

/** How coordinates of a model, [N, 3] from `base` on, become planes [3, count] of the points wanted. */
interface Planes {
  count: number;
  inPlanes(data: ArrayLike<number>, base: number, out: Float32Array): void;
}

/** These vertices, or all. */
function atVertices(vertices: ArrayLike<number> | undefined, { vertexCount }: MorphableModel): Planes {
  const count = vertices?.length ?? vertexCount;
  const inPlanes = (data: ArrayLike<number>, base: number, out: Float32Array) => {
    for (let c = 0; c < 3; c++) {
      const plane = out.subarray(c * count, (c + 1) * count);
      if (vertices) for (let i = 0; i < count; i++) plane[i] = data[base + c + 3 * vertices[i]];
      else for (let i = 0; i < count; i++) plane[i] = data[base + c + 3 * i];
    }
  };
  return { count, inPlanes };
}

/** Points of the surface: means of three vertices. */
function atPoints({ corners, weights }: SurfacePoints): Planes {
  const count = weights.length / 3;
  const inPlanes = (data: ArrayLike<number>, base: number, out: Float32Array) => {
    for (let i = 0; i < count; i++) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = 3 * i; k < 3 * i + 3; k++) sum += weights[k] * data[base + 3 * corners[k] + c];
        out[i + c * count] = sum;
      }
    }
  };
  return { count, inPlanes };
}

/**
 * The vertices that costs are measured on (paper-spec 9.4): the 68 landmarks and `random` others, drawn from the seed. A landmark
 * that is there twice counts twice.
 */
export function costVertices(model: MorphableModel, { random = 132, seed = 1 } = {}): Int32Array {
  const out = Array.from(model.landmarks);
  const taken = new Set(out);
  const draw = new Random(seed);
  const wanted = out.length + Math.min(random, model.vertexCount - taken.size);
  while (out.length < wanted) {
    const vertex = draw.below(model.vertexCount);
    if (taken.has(vertex)) continue;
    taken.add(vertex);
    out.push(vertex);
  }
  return Int32Array.from(out);
}
