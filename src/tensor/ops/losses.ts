// Losses and small compositions: no kernels of their own. Losses of bf16 maps are computed in f32 from the start.

import { checkDType, floatType } from '../record.js';
import { ShapeError, sameShape, showShape } from '../shape.js';
import { Tensor } from '../tensor.js';
import { abs, div, maximum, mul, softplus, sqrt, sub } from './elementwise.js';
import { cast, takeAxis } from './layout.js';
import { mean } from './mean.js';
import { sum } from './reduce.js';
import { logSoftmax } from './softmax.js';

function checkPair(op: string, x: Tensor, target: Tensor | number): void {
  floatType(op, { x, target: target instanceof Tensor ? target : undefined });
  if (target instanceof Tensor && !sameShape(x.shape, target.shape)) {
    throw new ShapeError(`${op}: x ${showShape(x.shape)} and target ${showShape(target.shape)} differ`);
  }
}

const wide = (x: Tensor): Tensor => cast(x, 'f32');

/** Mean of |x - target| over all elements. */
export function l1Loss(x: Tensor, target: Tensor): Tensor {
  checkPair('l1Loss', x, target);
  return mean(abs(sub(wide(x), wide(target))));
}

/** Mean of (x - target)^2 over all elements. */
export function mseLoss(x: Tensor, target: Tensor): Tensor {
  checkPair('mseLoss', x, target);
  const difference = sub(wide(x), wide(target));
  return mean(mul(difference, difference));
}

/** Mean of -[t log s(x) + (1 - t) log(1 - s(x))] over all elements, from logits; the target may be a number. Stable. */
export function bceWithLogits(x: Tensor, target: Tensor | number): Tensor {
  checkPair('bceWithLogits', x, target);
  const logits = wide(x);
  return mean(sub(softplus(logits), mul(logits, target instanceof Tensor ? wide(target) : target)));
}

/** Mean over rows of -log softmax(logits)[label]: logits [rows, classes], labels i32 [rows]. */
export function crossEntropy(logits: Tensor, labels: Tensor): Tensor {
  checkDType('crossEntropy', 'labels', labels, 'i32');
  if (logits.shape.length !== 2 || labels.shape.length !== 1 || labels.shape[0] !== logits.shape[0]) {
    throw new ShapeError(
      `crossEntropy: wants logits [rows, classes] and labels [rows], got ${showShape(logits.shape)} and ${showShape(labels.shape)}`,
    );
  }
  return mul(mean(takeAxis(logSoftmax(wide(logits)), labels, 1)), -1);
}

/** x / max(||x||_2, eps) along an axis. The limit is put on the square, so that a zero vector has a gradient. */
export function normalize(x: Tensor, { axis = -1, eps = 1e-12 }: { axis?: number; eps?: number } = {}): Tensor {
  const dtype = floatType('normalize', { x });
  const v = wide(x);
  return cast(div(v, sqrt(maximum(sum(mul(v, v), { axes: [axis], keepDims: true }), eps * eps))), dtype);
}
