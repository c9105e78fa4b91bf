// The additive attention gate (paper-spec 3.3 after Oktay et al.): what the encoder passes on, decided by encoder and decoder together. In training what
// stands behind its two products is a kernel each way. With fixed statistics it is a composition, whose norms `capture`'s frozen form puts into the products.
import { zeros } from '../create.js';
import { oncePerGradient, throughComposition } from '../fused.js';
import { gradient } from '../gradient.js';
import { derive, floatType, record } from '../record.js';
import { ShapeError, sameShape, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import {
  type BatchNormOptions,
  type BatchStatistics,
  batchNorm,
  batchStatistics,
  follow,
  type NormEnd,
} from './batch_norm.js';
import { conv2d } from './conv2d.js';
import { mul, sigmoid } from './elementwise.js';
import { cast } from './layout.js';
import { sum } from './reduce.js';
import { resize } from './resize.js';

const OP = 'attentionGate';

/** A 1x1 convolution followed by batch norm. */
export interface GateBranch {
  /** weight [f, 1, 1, c], bias [f]. */
  conv: { weight: Tensor; bias?: Tensor };
  /** [f] each, with `training`, `momentum` and `eps` as in `batchNorm`. */
  bn: BatchNormOptions;
}

/** Branches of x and g to f channels, and psi from f channels to one. */
export interface AttentionGateParams {
  x: GateBranch;
  g: GateBranch;
  psi: GateBranch;
}

/** A gate's result and its map. */
export interface Gated {
  gated: Tensor;
  attention: Tensor;
}

const extent = ({ shape: [n, h, w] }: Tensor, scale = 1): string => [n, h * scale, w * scale].join();

/**
 * x times the map sigmoid(psi(relu(Wx x + Wg g))), every W a 1x1 convolution with batch norm: x [n, h, w, cx] (encoder) and
 * g [n, h, w, cg] (decoder) -> [n, h, w, cx]. A g [n, h/2, w/2, cg] counts as upsampled to the nearest, which commutes with Wg and its norm
 * and is done after them, to f channels instead of cg. Throws ShapeError.
 */
export const attentionGate = (x: Tensor, g: Tensor, params: AttentionGateParams): Tensor =>
  gateWithMap(x, g, params).gated;

/** `attentionGate` and its map [n, h, w, 1] in (0, 1). */
export function gateWithMap(x: Tensor, g: Tensor, params: AttentionGateParams): Gated {
  floatType(OP, { x, g });
  const half = extent(x) === extent(g, 2);
  if (x.shape.length !== 4 || g.shape.length !== 4 || (extent(x) !== extent(g) && !half)) {
    throw new ShapeError(
      `${OP}: x and g must agree in [n,h,w] or g have half the height and width, got x ${showShape(x.shape)}, g ${showShape(g.shape)}`,
    );
  }
  const product = ({ conv }: GateBranch, input: Tensor) => conv2d(input, conv.weight, { bias: conv.bias });
  const products = { x: product(params.x, x), g: product(params.g, g) };
  const f = products.x.shape[3];
  const fits = products.g.shape[3] === f && sameShape(params.psi.conv.weight.shape, [1, 1, 1, f]);
  const training = [params.x, params.g, params.psi].every(({ bn }) => bn.training);
  if (training && fits && x.size > 0) return fused(x, products, params, half);
  const attention = composedMap(products, params, half);
  return { gated: mul(x, attention), attention };
}

type Norm = Pick<GateBranch, 'bn'>;

/** Wx x [n, h, w, f] and Wg g [n, h, w, f], or [n, h/2, w/2, f]. */
interface Products {
  x: Tensor;
  g: Tensor;
}

function composedMap({ x, g }: Products, params: Record<'x' | 'g', Norm> & { psi: GateBranch }, half: boolean): Tensor {
  const norm = (y: Tensor, { bn }: Norm, end?: NormEnd & { repeats?: number }) => batchNorm(y, { ...bn, ...end });
  const small = norm(g, params.g, { repeats: half ? 4 : 1 });
  const residual = half ? resize(small, { size: [x.shape[1], x.shape[2]] }) : small;
  const a = norm(x, params.x, { residual, activation: 'relu' }); // [n, h, w, f]
  const { weight, bias } = params.psi.conv;
  return sigmoid(norm(conv2d(a, weight, { bias }), params.psi)); // [n, h, w, 1]
}

/** What stands behind the products, in training. */
function fused(x: Tensor, products: Products, params: AttentionGateParams, half: boolean): Gated {
  const [n, h, w, c] = x.shape;
  const f = products.x.shape[3];
  const { conv, bn } = params.psi;
  const of = {
    x: batchStatistics(products.x, params.x.bn),
    g: batchStatistics(products.g, { ...params.g.bn, repeats: half ? 4 : 1 }),
  };
  const branch = (name: 'x' | 'g'): Tensor[] => {
    const { weight, bias } = params[name].bn;
    return [products[name], of[name].mean, of[name].variance, weight, bias];
  };
  const branches = [x, ...branch('x'), ...branch('g'), conv.weight];
  const [eps_x, eps_g, eps_p] = [params.x.bn, params.g.bn, bn].map(({ eps = 1e-5 }) => eps);
  const numbers = { n, h, w, c, f, half: Number(half), eps_x, eps_g, eps_p };
  const pixels = { shape: [n, h, w, 1] }; // f32 where x is not: the map's gradient takes its distance from 1
  const parts = Math.ceil((n * h * w) / 256); // as native/cpu/attention_gate.cc cuts pixels
  const [gated, attention, p, mean, variance, scratch] = record('attention_gate', {
    inputs: [...branches, conv.bias, bn.weight, bn.bias],
    outputs: [
      { shape: x.shape, dtype: x.dtype },
      pixels,
      pixels,
      { shape: [1] },
      { shape: [1] },
      { shape: [2 * parts + 3 * f] },
    ],
    params: numbers,
  });
  scratch.dispose();
  follow(bn, mean, variance, n * h * w);

  const { weight: weightX, bias: biasX } = params.x.bn;
  const { weight: weightG, bias: biasG } = params.g.bn;
  const inputs = [x, products.x, products.g, weightX, weightG, biasX, conv.weight, bn.weight, bn.bias, biasG];
  const composed = (...leaves: Tensor[]): Tensor => {
    const [, px, pg, weightX, weightG, biasX, psi, weight, bias, biasG] = leaves;
    // The batch's statistics in place of the running ones, which followed already.
    const norm = ({ bn }: Norm, weight: Tensor, bias: Tensor, { mean, variance }: BatchStatistics) => ({
      bn: { ...bn, weight, bias, runningMean: mean, runningVar: variance },
    });
    const branches = {
      x: norm(params.x, weightX, biasX, of.x),
      g: norm(params.g, weightG, biasG, of.g),
      psi: { conv: { weight: psi }, ...norm(params.psi, weight, bias, { mean, variance }) },
    };
    return composedMap({ x: px, g: pg }, branches, half);
  };
  const backward = oncePerGradient((dy: Tensor): Tensor[] => {
    const lines = half ? (n * h) / 2 : n * h;
    const room = 4 * parts + n * h * w + (4 * lines + 6) * f;
    const made = record('attention_gate_grad', {
      inputs: [...branches, bn.weight, attention, p, mean, variance, dy],
      outputs: [...inputs.slice(0, 9).map(({ shape, dtype }) => ({ shape, dtype })), { shape: [room] }],
      params: numbers,
    });
    made.pop()?.dispose();
    made.forEach((part, i) => {
      const sources = [...inputs, dy];
      const gradientOf = (...leaves: Tensor[]) =>
        gradient(sum(mul(mul(leaves[0], composed(...leaves)), leaves[inputs.length])), leaves[i]);
      derive(`${OP}Gradient`, part, sources, throughComposition(gradientOf, sources));
    });
    return [...made, made[5]]; // both branches' biases have one gradient
  });
  derive(`${OP}Map`, attention, inputs, throughComposition(composed, inputs));
  derive(
    OP,
    gated,
    [...inputs, conv.bias],
    // psi's norm takes its bias out again.
    [...inputs.map((_, i) => (dy: Tensor) => backward(dy)[i]), () => zeros([1], { device: x.device })],
  );
  return { gated, attention: cast(attention, x.dtype) };
}
