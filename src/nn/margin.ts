// Losses that teach a recogniser: ArcFace, CosFace and softmax over many identities, whose weights may lie in shards (paper-spec
// 11.2). Contract: shards hold consecutive classes; what the loss is does not depend on how many there are.
import { tensor } from '../tensor/create.js';
import { add, equal, exp, greater, log, maximum, mul, sqrt, sub, where } from '../tensor/ops/elementwise.js';
import { cast, concat, detach, reshape } from '../tensor/ops/layout.js';
import { normalize } from '../tensor/ops/losses.js';
import { matmul } from '../tensor/ops/matmul.js';
import { mean } from '../tensor/ops/mean.js';
import { max, sum } from '../tensor/ops/reduce.js';
import { randn } from '../tensor/random.js';
import { variable } from '../tensor/record.js';
import { persist, tidy } from '../tensor/scope.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor, Variable } from '../tensor/tensor.js';
import { Module } from './module.js';

export type MarginKind = 'arcface' | 'cosface' | 'softmax';

export interface MarginOptions {
  kind?: MarginKind;
  /** s: what cosines are multiplied by; 64. Softmax takes raw products instead. */
  scale?: number;
  /** m: 0.5 radians for ArcFace, 0.35 off the cosine for CosFace. */
  margin?: number;
  /** ArcFace only: no margin where the angle is above 90 degrees, instead of cos - m sin m above pi - m. */
  easyMargin?: boolean;
}

/** Consecutive classes: weight [classes, d] and their numbers, f32 [1, classes]. */
export interface ClassShard {
  weight: Tensor;
  numbers: Tensor;
}

/** Below this square a sine counts as it, so that its derivative stays finite. */
const SMALLEST_SQUARE = 1e-7;

/**
 * What takes the place of cos th at the true class: cos(th + m) for ArcFace while th + m <= pi, then cos th - m sin m, or with
 * `easyMargin` cos(th + m) while cos th > 0, then cos th; cos th - m for CosFace. Any shape. cos(th + m) is worked out as
 * cos th cos m - sin th sin m, without an arc cosine, whose derivative has poles.
 */
export function marginCosine(
  cosine: Tensor,
  { kind = 'arcface', margin, easyMargin = false }: MarginOptions = {},
): Tensor {
  const m = margin ?? (kind === 'cosface' ? 0.35 : 0.5);
  if (kind === 'softmax') return cosine;
  if (kind === 'cosface') return sub(cosine, m);
  const sine = sqrt(maximum(sub(1, mul(cosine, cosine)), SMALLEST_SQUARE));
  const turned = sub(mul(cosine, Math.cos(m)), mul(sine, Math.sin(m)));
  return easyMargin
    ? where(greater(cosine, 0), turned, cosine)
    : where(greater(cosine, -Math.cos(m)), turned, sub(cosine, m * Math.sin(m)));
}

const KINDS: readonly MarginKind[] = ['arcface', 'cosface', 'softmax'];

function check(embeddings: Tensor, shards: readonly ClassShard[], labels: Tensor, options: MarginOptions): void {
  const { kind = 'arcface', scale = 64, margin = 0 } = options;
  if (!KINDS.includes(kind)) throw new RangeError(`marginLoss: kind is one of ${KINDS.join(', ')}, got '${kind}'`);
  if (!(scale > 0 && Number.isFinite(scale))) throw new RangeError(`marginLoss: scale must be above 0, got ${scale}`);
  if (!(margin >= 0 && margin < Math.PI)) throw new RangeError(`marginLoss: margin must lie in [0, pi), got ${margin}`);
  const [n, d] = embeddings.shape;
  if (embeddings.shape.length !== 2 || labels.shape.length !== 1 || labels.shape[0] !== n || labels.dtype !== 'i32') {
    throw new ShapeError(
      `marginLoss: wants embeddings [n, d] and labels i32 [n], got ${showShape(embeddings.shape)} and ${labels.dtype} ${showShape(labels.shape)}`,
    );
  }
  if (shards.length === 0) throw new ShapeError('marginLoss: wants at least one shard of classes, got none');
  for (const { weight, numbers } of shards) {
    if (weight.shape.length !== 2 || weight.shape[1] !== d || numbers.size !== weight.shape[0]) {
      throw new ShapeError(
        `marginLoss: a shard wants weight [classes, ${d}] and numbers [1, classes], got ${showShape(weight.shape)} and ${showShape(numbers.shape)}`,
      );
    }
  }
}

/**
 * Mean over rows of -log p(label), p the softmax over all classes of scale times the cosines between embeddings [n, d] and class
 * weights, the true class's with its margin; for softmax of the raw products. Labels i32 [n]; one that no shard has counts as
 * a class whose logit is 0 and is not detected. Throws ShapeError and RangeError.
 */
export function marginLoss(
  embeddings: Tensor,
  shards: readonly ClassShard[],
  labels: Tensor,
  options: MarginOptions = {},
): Tensor {
  check(embeddings, shards, labels, options);
  const { kind = 'arcface', scale = 64 } = options;
  const [n] = embeddings.shape;
  const angular = kind !== 'softmax';
  const x = angular ? normalize(embeddings) : embeddings; // [n, d]
  const truth = reshape(cast(labels, 'f32'), [n, 1]); // [n, 1]
  const parts = shards.map(({ weight, numbers }) => {
    const products = matmul(x, angular ? normalize(weight) : weight, { transposeB: true }); // [n, classes]
    const isTrue = equal(numbers, truth); // [n, classes]
    return { products, isTrue, own: sum(mul(products, isTrue), { axes: [1], keepDims: true }) }; // own [n, 1]
  });
  const factor = angular ? scale : 1;
  const own = parts.slice(1).reduce((total, part) => add(total, part.own), parts[0].own); // [n, 1]
  const target = mul(marginCosine(own, options), factor); // [n, 1]
  // Each shard's largest logit and the sum of exp relative to it; then those of all.
  const partial = parts.map(({ products, isTrue }) => {
    const logits = where(isTrue, target, mul(products, factor)); // [n, classes]
    const top = detach(max(logits, { axes: [1], keepDims: true })); // [n, 1]
    return { top, total: sum(exp(sub(logits, top)), { axes: [1], keepDims: true }) };
  });
  const top = partial.length === 1 ? partial[0].top : highest(partial.map((part) => part.top));
  const total = partial.map((part) => mul(part.total, exp(sub(part.top, top)))).reduce((all, part) => add(all, part)); // [n, 1]
  return mean(sub(add(log(total), top), target));
}

const highest = (columns: readonly Tensor[]): Tensor =>
  max(concat(columns, { axis: 1 }), { axes: [1], keepDims: true }); // [n, 1]

class Shard extends Module {
  readonly weight: Variable;
  readonly #numbers: Tensor;

  constructor(first: number, classes: number, dimension: number, key: number | undefined) {
    super();
    const std = 0.01;
    this.weight = tidy(() => variable(mul(randn([classes, dimension], key === undefined ? {} : { seed: key }), std)));
    this.#numbers = persist(() =>
      tensor(
        Float32Array.from({ length: classes }, (_, i) => first + i),
        { shape: [1, classes] },
      ),
    );
  }

  get classes(): ClassShard {
    return { weight: this.weight, numbers: this.#numbers };
  }

  override dispose(): void {
    super.dispose();
    this.#numbers.dispose();
  }
}

export interface MarginHeadOptions extends MarginOptions {
  classes: number;
  /** Numbers in an embedding; 512. */
  dimension?: number;
  /** Parts that the class weights are held in, of equal size or one smaller. */
  shards?: number;
  /** The initial weights then depend on it and on the number of shards; otherwise on `manualSeed` and the draws since. */
  seed?: number;
}

/** Class weights, N(0, 0.01), and their loss. Parameters are `shards.K.weight`. */
export class MarginHead extends Module {
  readonly shards: readonly Shard[];
  private readonly options: MarginOptions;

  /** Throws RangeError. */
  constructor({ classes, dimension = 512, shards = 1, seed, ...options }: MarginHeadOptions) {
    super();
    if (![classes, dimension, shards].every((n) => Number.isInteger(n) && n >= 1) || shards > classes) {
      throw new RangeError(
        `MarginHead: wants whole numbers of classes, dimension and shards, got ${classes}, ${dimension}, ${shards}`,
      );
    }
    this.options = options;
    const each = Math.ceil(classes / shards);
    const starts = Array.from({ length: Math.ceil(classes / each) }, (_, k) => k * each);
    this.shards = starts.map(
      (first, k) =>
        new Shard(
          first,
          Math.min(each, classes - first),
          dimension,
          seed === undefined ? undefined : seed + k * 2 ** 32,
        ),
    );
  }

  /** Embeddings [n, d], labels i32 [n] -> the mean loss, a scalar. Throws ShapeError and RangeError as `marginLoss`. */
  forward(embeddings: Tensor, labels: Tensor): Tensor {
    return marginLoss(
      embeddings,
      this.shards.map(({ classes }) => classes),
      labels,
      this.options,
    );
  }
}
