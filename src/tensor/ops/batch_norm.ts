// Batch normalisation over all axes but the last, with the residual and the activation that follow in the same pass. In
// training the backward pass is one kernel; the derivative of that kernel is taken through the composition of elementary ops
// below, which is also its definition.
import { oncePerGradient, throughComposition } from '../fused.js';
import { checkDType, derive, emit, floatType, record } from '../record.js';
import { type Shape, ShapeError, sameShape, showShape, sizeOf } from '../shape.js';
import { type Tensor, Variable } from '../tensor.js';
import { add, div, mul, scaled, sqrt, sub } from './elementwise.js';
import { cast } from './layout.js';
import { mean } from './mean.js';
import { sum } from './reduce.js';

/** What follows a norm in the same pass. */
export interface NormEnd {
  /** Added to the normalised values, before the activation; of x's shape. */
  residual?: Tensor;
  activation?: 'relu' | 'leakyRelu';
  /** Of the leaky ReLU, > 0. */
  negativeSlope?: number;
}

export interface BatchNormOptions extends NormEnd {
  /** [c] each. */
  weight: Tensor;
  bias: Tensor;
  /** [c]; in training updated in place where they are variables, with the unbiased variance. */
  runningMean: Tensor;
  runningVar: Tensor;
  /** Normalise by the batch's statistics (and update the running ones) instead of the running ones. */
  training?: boolean;
  momentum?: number;
  eps?: number;
  /** How often every value of x stands in the map that it belongs to, for the unbiased variance: 4 where that map is x upsampled. */
  repeats?: number;
}

const ACTIVATIONS = { none: 0, relu: 1, leakyRelu: 2 } as const;

/** What the kernels take. */
interface Parts {
  x: Tensor;
  mean: Tensor;
  variance: Tensor;
  weight: Tensor;
  bias: Tensor;
  residual: Tensor | undefined;
  params: { rows: number; c: number; activation: number; slope: number; eps: number };
}

/**
 * activation((x - mean) / sqrt(variance + eps) * weight + bias + residual) per channel of the last axis; x [..., c]. Throws
 * ShapeError when a parameter is not [c], the residual not of x's shape, a leaky ReLU's slope not positive, or when training
 * with a single value per channel, whose variance is undefined.
 */
export function batchNorm(x: Tensor, options: BatchNormOptions): Tensor {
  const { weight, bias, runningMean, runningVar, training = false, eps = 1e-5 } = options;
  const { residual, activation = 'none', negativeSlope: slope = 0.01 } = options;
  checkChannels(x, options);
  const c = x.shape.at(-1) ?? 0;
  if (residual) {
    floatType('batchNorm', { x, residual });
    if (!sameShape(residual.shape, x.shape))
      throw new ShapeError(`batchNorm: residual ${showShape(residual.shape)} and x ${showShape(x.shape)} differ`);
  }
  if (!(slope > 0)) throw new ShapeError(`batchNorm: negativeSlope must be positive, got ${slope}`);
  const rows = sizeOf(x.shape) / c;
  const params = { rows, c, activation: ACTIVATIONS[activation], slope, eps };
  if (!training) return normalized({ x, mean: runningMean, variance: runningVar, weight, bias, residual, params });
  const parts = { x, ...batchStatistics(x, options), weight, bias, residual, params };
  const y = apply(parts);
  const once = oncePerGradient((dy) => trainingGradient(parts, y, dy));
  return derive(
    'batchNorm',
    y,
    [x, weight, bias, residual],
    [(dy) => once(dy).dx, (dy) => once(dy).dweight, (dy) => once(dy).dbias, (dy) => once(dy).dz],
  );
}

function checkChannels(x: Tensor, { weight, bias, runningMean, runningVar }: BatchNormOptions): void {
  floatType('batchNorm', { x });
  const c = x.shape.at(-1) ?? 0;
  for (const [name, p] of Object.entries({ weight, bias, runningMean, runningVar })) {
    checkDType('batchNorm', name, p, 'f32');
    if (p.shape.length !== 1 || p.shape[0] !== c) {
      throw new ShapeError(`batchNorm: ${name} must be [${c}] for x ${showShape(x.shape)}, got ${showShape(p.shape)}`);
    }
  }
}

/** [c] each; the variance is biased. */
export interface BatchStatistics {
  mean: Tensor;
  variance: Tensor;
}

/** The batch's statistics per channel of the last axis, for a norm with these options, whose running ones follow. Throws ShapeError. */
export function batchStatistics(x: Tensor, options: BatchNormOptions): BatchStatistics {
  checkChannels(x, options);
  const c = x.shape.at(-1) ?? 0;
  const rows = sizeOf(x.shape) / c;
  const count = rows * (options.repeats ?? 1);
  if (count < 2)
    throw new ShapeError(`batchNorm: training needs more than one value per channel, x is ${showShape(x.shape)}`);
  const outputs = [{ shape: [c] }, { shape: [c] }];
  const [mean, variance] = record('batch_norm_stats', { inputs: [x], outputs, params: { rows, c } });
  follow(options, mean, variance, count);
  return { mean, variance };
}

/** Running statistics, where they are variables, follow those of a batch of `count` values per channel. */
export function follow(options: BatchNormOptions, mean: Tensor, variance: Tensor, count: number): void {
  const { runningMean, runningVar, momentum: t = 0.1 } = options;
  const [size] = mean.shape;
  if (runningMean instanceof Variable) emit('lerp', [runningMean, mean], { size, t, scale: 1 });
  if (runningVar instanceof Variable) emit('lerp', [runningVar, variance], { size, t, scale: count / (count - 1) });
}

function apply({ x, mean, variance, weight, bias, residual, params }: Parts): Tensor {
  const inputs = [x, mean, variance, weight, bias, residual];
  return record('batch_norm_apply', { inputs, outputs: [{ shape: x.shape, dtype: x.dtype }], params })[0];
}

/** dy behind the activation whose result is y: its sign is that of the operand. */
function passed(y: Tensor, dy: Tensor, { activation, slope }: Parts['params']): Tensor {
  if (activation === ACTIVATIONS.none) return dy;
  const flat = [1, 1, 1, 1, 1, y.size];
  const params = { shape: flat, xs: [0, 0, 0, 0, 0, 1], ys: [0, 0, 0, 0, 0, 1], a: slope };
  const kernel = activation === ACTIVATIONS.relu ? 'relu_grad' : 'leaky_relu_grad';
  const [dz] = record(kernel, { inputs: [y, dy], outputs: [{ shape: y.shape, dtype: y.dtype }], params });
  return derive('batchNormActivation', dz, [dy], [(d) => passed(y, d, { activation, slope } as Parts['params'])]);
}

/** Fixed statistics: linear in x before the activation, so the derivatives are short. */
function normalized(parts: Parts): Tensor {
  const { x, mean, variance, weight, bias, residual, params } = parts;
  const y = apply(parts);
  const axes = leading(x.shape);
  const inverse = () => div(1, sqrt(add(variance, params.eps)));
  const dzOf = oncePerGradient((dy) => passed(y, dy, params));
  return derive(
    'batchNorm',
    y,
    [x, weight, bias, residual],
    [
      (dy) => scaled(dzOf(dy), mul(weight, inverse())),
      (dy) => sum(mul(cast(dzOf(dy), 'f32'), mul(sub(cast(x, 'f32'), mean), inverse())), { axes }),
      (dy) => sum(dzOf(dy), { axes }),
      dzOf,
    ],
  );
}

const leading = (shape: Shape): number[] => shape.slice(0, -1).map((_, i) => i);

interface Backward {
  dx: Tensor;
  dweight: Tensor;
  dbias: Tensor;
  /** dy behind the activation: the residual's gradient. */
  dz: Tensor;
}

/** With a residual dz is needed in itself and the kernel starts from it; without, the kernel finds it on the way. */
function trainingGradient(parts: Parts, y: Tensor, dy: Tensor): Backward {
  const { x, mean: batchMean, variance, weight, bias, residual, params } = parts;
  const { c, eps } = params;
  const dz = residual ? passed(y, dy, params) : dy;
  const [dx, dweight, dbias] = record('batch_norm_grad', {
    inputs: [x, batchMean, variance, weight, bias, dz],
    outputs: [{ shape: x.shape, dtype: x.dtype }, { shape: [c] }, { shape: [c] }],
    params: residual ? { ...params, activation: ACTIVATIONS.none } : params,
  });
  const axes = leading(x.shape);
  // What the kernel computes, as ops; the vector-Jacobian products of the kernel are those of this.
  const composed = (x: Tensor, weight: Tensor, dz: Tensor) => {
    const slopes = residual ? dz : passed(y, dz, params);
    const centred = sub(x, mean(x, { axes }));
    const inverse = div(1, sqrt(add(mean(mul(centred, centred), { axes }), eps)));
    const xhat = mul(centred, inverse);
    const product = mul(slopes, xhat);
    const rest = sub(sub(slopes, mean(slopes, { axes })), mul(xhat, mean(product, { axes })));
    return { dx: mul(mul(weight, inverse), rest), dweight: sum(product, { axes }), dbias: sum(slopes, { axes }) };
  };
  const inputs: [Tensor, Tensor, Tensor] = [x, weight, dz];
  for (const [part, result] of Object.entries({ dx, dweight, dbias })) {
    const through = throughComposition((...leaves) => composed(...leaves)[part as 'dx'], inputs);
    derive('batchNormGrad', result, inputs, through);
  }
  return { dx, dweight, dbias, dz };
}
