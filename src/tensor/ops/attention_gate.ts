// The additive attention gate (paper-spec 3.3 after Oktay et al.), a composition: what the encoder passes on, decided by
// encoder and decoder together.
import { ShapeError, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { type BatchNormOptions, batchNorm, type NormEnd } from './batch_norm.js';
import { conv2d } from './conv2d.js';
import { mul, sigmoid } from './elementwise.js';
import { resize } from './resize.js';

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

const through = ({ conv, bn }: GateBranch, x: Tensor, end?: NormEnd & { repeats?: number }): Tensor =>
  batchNorm(conv2d(x, conv.weight, { bias: conv.bias }), { ...bn, ...end });

const extent = ({ shape: [n, h, w] }: Tensor, scale = 1): string => [n, h * scale, w * scale].join();

/**
 * The map sigmoid(psi(relu(Wx x + Wg g))), every W a 1x1 convolution with batch norm: x [n, h, w, cx] (encoder) and
 * g [n, h, w, cg] (decoder) -> [n, h, w, 1] in (0, 1). A g [n, h/2, w/2, cg] counts as upsampled to the nearest, which commutes with Wg and its norm
 * and is done after them, to f channels instead of cg. Throws ShapeError.
 */
export function attentionMap(x: Tensor, g: Tensor, params: AttentionGateParams): Tensor {
  const half = extent(x) === extent(g, 2);
  if (x.shape.length !== 4 || g.shape.length !== 4 || (extent(x) !== extent(g) && !half)) {
    throw new ShapeError(
      `attentionGate: x and g must agree in [n,h,w] or g have half the height and width, got x ${showShape(x.shape)}, g ${showShape(g.shape)}`,
    );
  }
  const small = through(params.g, g, { repeats: half ? 4 : 1 });
  const residual = half ? resize(small, { size: [x.shape[1], x.shape[2]] }) : small; // [n, h, w, f]
  const a = through(params.x, x, { residual, activation: 'relu' }); // [n, h, w, f]
  return sigmoid(through(params.psi, a)); // [n, h, w, 1]
}

/** x times its attention map, broadcast over channels: [n, h, w, cx]. */
export function attentionGate(x: Tensor, g: Tensor, params: AttentionGateParams): Tensor {
  return mul(x, attentionMap(x, g, params));
}
