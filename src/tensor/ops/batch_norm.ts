// Batch normalisation over all axes but the last. In training the backward pass is one kernel; the derivative of that
// kernel is taken through the composition of elementary ops below, which is also its definition.
import { gradient } from '../gradient.js';
import { checkDType, derive, emit, record } from '../record.js';
import { type Shape, ShapeError, showShape, sizeOf } from '../shape.js';
import { type Tensor, Variable } from '../tensor.js';
import { add, div, mul, sqrt, sub } from './elementwise.js';
import { mean } from './mean.js';
import { sum } from './reduce.js';

export interface BatchNormOptions {
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
}

/**
 * (x - mean) / sqrt(variance + eps) * weight + bias per channel of the last axis; x [..., c]. Throws ShapeError when a
 * parameter is not [c], or when training with a single value per channel, whose variance is undefined.
 */
export function batchNorm(x: Tensor, options: BatchNormOptions): Tensor {
  const { weight, bias, runningMean, runningVar, training = false, momentum = 0.1, eps = 1e-5 } = options;
  checkDType('batchNorm', 'x', x, 'f32');
  const c = x.shape.at(-1) ?? 0;
  for (const [name, p] of Object.entries({ weight, bias, runningMean, runningVar })) {
    checkDType('batchNorm', name, p, 'f32');
    if (p.shape.length !== 1 || p.shape[0] !== c) {
      throw new ShapeError(`batchNorm: ${name} must be [${c}] for x ${showShape(x.shape)}, got ${showShape(p.shape)}`);
    }
  }
  if (!training) return normalized(x, runningMean, runningVar, weight, bias, eps);
  const rows = sizeOf(x.shape) / c;
  if (rows < 2)
    throw new ShapeError(`batchNorm: training needs more than one value per channel, x is ${showShape(x.shape)}`);
  const size = { rows, c };
  const outputs = [{ shape: [c] }, { shape: [c] }];
  const [batchMean, variance] = record('batch_norm_stats', { inputs: [x], outputs, params: size });
  if (runningMean instanceof Variable) emit('lerp', [runningMean, batchMean], { size: c, t: momentum, scale: 1 });
  if (runningVar instanceof Variable)
    emit('lerp', [runningVar, variance], { size: c, t: momentum, scale: rows / (rows - 1) });
  const y = apply(x, batchMean, variance, weight, bias, eps);
  let backward: Backward | undefined;
  const once = (dy: Tensor): Backward => {
    if (backward?.dy !== dy) backward = trainingGradient(x, batchMean, variance, weight, dy, eps);
    return backward;
  };
  return derive(
    'batchNorm',
    y,
    [x, weight, bias],
    [(dy) => once(dy).dx, (dy) => once(dy).dweight, (dy) => once(dy).dbias],
  );
}

/** y = (x - mean) / sqrt(variance + eps) * weight + bias in one pass. */
function apply(x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: number): Tensor {
  const c = weight.size;
  const inputs = [x, mean, variance, weight, bias];
  return record('batch_norm_apply', { inputs, outputs: [{ shape: x.shape }], params: { rows: x.size / c, c, eps } })[0];
}

/** Fixed statistics: linear in x, so the derivatives are short. */
function normalized(x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: number): Tensor {
  const y = apply(x, mean, variance, weight, bias, eps);
  const axes = leading(x.shape);
  const inverse = () => div(1, sqrt(add(variance, eps)));
  return derive(
    'batchNorm',
    y,
    [x, weight, bias],
    [
      (dy) => mul(dy, mul(weight, inverse())),
      (dy) => sum(mul(dy, mul(sub(x, mean), inverse())), { axes }),
      (dy) => sum(dy, { axes }),
    ],
  );
}

const leading = (shape: Shape): number[] => shape.slice(0, -1).map((_, i) => i);

interface Backward {
  dy: Tensor;
  dx: Tensor;
  dweight: Tensor;
  dbias: Tensor;
}

function trainingGradient(
  x: Tensor,
  batchMean: Tensor,
  variance: Tensor,
  weight: Tensor,
  dy: Tensor,
  eps: number,
): Backward {
  const c = weight.size;
  const outputs = [{ shape: x.shape }, { shape: [c] }, { shape: [c] }];
  const params = { rows: x.size / c, c, eps };
  const [dx, dweight, dbias] = record('batch_norm_grad', {
    inputs: [x, batchMean, variance, weight, dy],
    outputs,
    params,
  });
  const axes = leading(x.shape);
  // What the kernel computes, as ops; the vector-Jacobian products of the kernel are those of this.
  const composed = () => {
    const centred = sub(x, mean(x, { axes }));
    const inverse = div(1, sqrt(add(mean(mul(centred, centred), { axes }), eps)));
    const xhat = mul(centred, inverse);
    const product = mul(dy, xhat);
    const rest = sub(sub(dy, mean(dy, { axes })), mul(xhat, mean(product, { axes })));
    return { dx: mul(mul(weight, inverse), rest), dweight: sum(product, { axes }) };
  };
  const through = (part: 'dx' | 'dweight', target: Tensor) => (d: Tensor) =>
    gradient(sum(mul(composed()[part], d)), target);
  derive('batchNormGrad', dx, [x, weight, dy], [through('dx', x), through('dx', weight), through('dx', dy)]);
  derive('batchNormGrad', dweight, [x, dy], [through('dweight', x), through('dweight', dy)]);
  derive('batchNormGrad', dbias, [dy], [(d) => add(mul(dy, 0), d)]);
  return { dy, dx, dweight, dbias };
}
