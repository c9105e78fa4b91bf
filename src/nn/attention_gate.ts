// The attention gate as a module; the arithmetic is the op of the same name.
import { type Gated, gateWithMap } from '../tensor/ops/attention_gate.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Initializer } from './init.js';
import { ConvNorm } from './layers.js';
import { Module } from './module.js';

/** Additive attention gate with batch norm on its three 1x1 convolutions (paper-spec 3.3). */
export class AttentionGate extends Module {
  readonly x: ConvNorm;
  readonly g: ConvNorm;
  readonly psi: ConvNorm;

  /** cx, cg: channels of the encoder's and the decoder's features; f: of the space they are compared in. */
  constructor(cx: number, cg: number, f: number, { init }: { init?: Initializer } = {}) {
    super();
    this.x = new ConvNorm(cx, f, 1, { bias: true, init });
    this.g = new ConvNorm(cg, f, 1, { bias: true, init });
    this.psi = new ConvNorm(f, 1, 1, { bias: true, init });
  }

  /** x [n, h, w, cx], g [n, h, w, cg] or [n, h/2, w/2, cg] (then upsampled to the nearest) -> the gated x [n, h, w, cx] and its map [n, h, w, 1] in (0, 1). */
  forward(x: Tensor, g: Tensor): Gated {
    return gateWithMap(x, g, this);
  }
}
