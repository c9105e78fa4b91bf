// Fast normalised fusion (paper Eq. 8; EfficientDet): a weighted mean of two maps, a kernel each way.
import { oncePerGradient, throughComposition } from '../fused.js';
import { gradient } from '../gradient.js';
import { checkDType, derive, floatType, record } from '../record.js';
import { ShapeError, sameShape, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { add, div, mul, relu } from './elementwise.js';
import { reshape, slice } from './layout.js';
import { sum } from './reduce.js';

const OP = 'fastNormalizedFusion';

/** (w1 a + w2 b) / (w1 + w2 + eps) with w = ReLU(weight), weight [2]; a and b of one shape. Throws ShapeError. */
export function fastNormalizedFusion(
  a: Tensor,
  b: Tensor,
  weight: Tensor,
  { eps = 1e-4 }: { eps?: number } = {},
): Tensor {
  const dtype = floatType(OP, { a, b });
  checkDType(OP, 'weight', weight, 'f32');
  if (!sameShape(a.shape, b.shape)) {
    throw new ShapeError(`${OP}: a ${showShape(a.shape)} and b ${showShape(b.shape)} differ`);
  }
  if (weight.shape.length !== 1 || weight.shape[0] !== 2) {
    throw new ShapeError(`${OP}: weight must be [2], got ${showShape(weight.shape)}`);
  }
  const inputs = [a, b, weight];
  const [y] = record('fusion', { inputs, outputs: [{ shape: a.shape, dtype }], params: { size: a.size, eps } });
  const backward = oncePerGradient((dy) => fusionGradient(inputs, dy, eps));
  return derive(
    OP,
    y,
    inputs,
    inputs.map((_, i) => (dy) => backward(dy)[i]),
  );
}

function composition([a, b, weight]: readonly Tensor[], eps: number): Tensor {
  const w = relu(weight);
  const share = div(w, add(sum(w), eps)); // [2]
  const part = (i: number) => reshape(slice(share, { start: [i], size: [1] }), []);
  return add(mul(a, part(0)), mul(b, part(1)));
}

/** The gradients of a, b and weight. */
function fusionGradient(inputs: readonly Tensor[], dy: Tensor, eps: number): Tensor[] {
  const parts = record('fusion_grad', {
    inputs: [...inputs, dy],
    outputs: inputs.map(({ shape, dtype }) => ({ shape, dtype })),
    params: { size: dy.size, eps },
  });
  return parts.map((part, i) => {
    const sources = [...inputs, dy];
    const composed = (...leaves: Tensor[]) => gradient(sum(mul(composition(leaves, eps), leaves[3])), leaves[i]);
    return derive(`${OP}Gradient`, part, sources, throughComposition(composed, sources));
  });
}
