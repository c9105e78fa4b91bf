// The two-stream network of 3DDFA's journal version (paper-spec 9.3): the photo with the face model drawn beside it, and the photo laid
// out on the face model, to a step of the parameters. Contract: widths are ours, they are not published.
import { initializers, uninitialized } from '../nn/init.js';
import { ConvNorm, Linear } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { relu } from '../tensor/ops/elementwise.js';
import { concat, reshape } from '../tensor/ops/layout.js';
import { maxPool2d } from '../tensor/ops/pool2d.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { PAF_SIDE, PATCH } from './face-features.js';

export interface TwoStreamOptions {
  /** Numbers predicted: 234 for 199 identity and 29 expression coefficients. */
  outputs?: number;
  /** Channels of the first convolutions: 32. */
  baseWidth?: number;
  /** Numbers that each stream ends in: 256. */
  features?: number;
  /** Side of the crops: 100. */
  side?: number;
  /** The initial weights then depend on it alone. */
  seed?: number;
  /** False leaves all weights 0, for a state that is about to be loaded. */
  initialize?: boolean;
}

/** What a network of a cascade looks at; colours as (value - 127.5) / 128, RGB. */
export interface FaceView {
  /** [n, side, side, 3] */
  image: Tensor;
  /** [n, side, side, 3] in [0, 1]; drawn when it is asked for. */
  pncc(): Tensor;
  /** [n, 192, 192, 3] */
  paf(): Tensor;
}

const half = (x: Tensor): Tensor => maxPool2d(x, { kernelSize: 2 });

/** Convolution, norm and ReLU. */
const layer = (conv: ConvNorm, x: Tensor): Tensor => conv.forward(x, { activation: 'relu' });

export class TwoStreamNetwork extends Module {
  /** Photo and PNCC: 5x5, then 3x3. */
  readonly image: readonly ConvNorm[];
  readonly imageOut: Linear;
  /** PAF: one 3x3 step per anchor, then 3x3. */
  readonly model: readonly ConvNorm[];
  readonly modelOut: Linear;
  readonly merge: Linear;
  private readonly settings: Required<Pick<TwoStreamOptions, 'outputs' | 'side'>>;

  constructor(options: TwoStreamOptions = {}) {
    super();
    const { outputs = 234, baseWidth: w = 32, features = 256, side = 100, seed, initialize = true } = options;
    if (![outputs, w, features].every((v) => Number.isInteger(v) && v >= 1) || !Number.isInteger(side) || side < 16) {
      throw new ShapeError(
        `TwoStreamNetwork: wants whole outputs, baseWidth, features >= 1 and side >= 16, got ${outputs}, ${w}, ${features}, ${side}`,
      );
    }
    this.settings = { outputs, side };
    const { heUniform, narrowNormal } = initialize ? initializers(seed) : uninitialized;
    const conv = (ic: number, oc: number, size = 3, stride = 1, padding = 1) =>
      new ConvNorm(ic, oc, size, { stride, padding, init: heUniform });
    this.image = [conv(6, w, 5, 1, 2), conv(w, 2 * w), conv(2 * w, 4 * w), conv(4 * w, 8 * w), conv(8 * w, 8 * w)];
    const small = Math.floor(side / 16); // after four halvings
    this.imageOut = new Linear(8 * w * small * small, features, { init: heUniform, flattened: [small, small] });
    this.model = [conv(3, w, PATCH, PATCH, 0), conv(w, 2 * w), conv(2 * w, 4 * w), conv(4 * w, 8 * w)];
    const laid = PAF_SIDE / PATCH / 8;
    this.modelOut = new Linear(8 * w * laid * laid, features, { init: heUniform, flattened: [laid, laid] });
    // A first step near nothing: a cascade starts from where it was put.
    this.merge = new Linear(2 * features, outputs, { init: narrowNormal });
  }

  /** -> z-scored steps [n, outputs]. Throws ShapeError. */
  forward({ image, pncc, paf }: FaceView): Tensor {
    const { side } = this.settings;
    const [n] = image.shape;
    const seen = concat([image, pncc()], { axis: 3 }); // [n, 100, 100, 6]
    const laid = paf();
    if (image.shape.join() !== [n, side, side, 3].join() || laid.shape.join() !== [n, PAF_SIDE, PAF_SIDE, 3].join()) {
      throw new ShapeError(
        `TwoStreamNetwork: wants an image [n, ${side}, ${side}, 3] and a map [n, ${PAF_SIDE}, ${PAF_SIDE}, 3], got ${showShape(image.shape)} and ${showShape(laid.shape)}`,
      );
    }
    let x = seen;
    for (const conv of this.image.slice(0, 4)) x = half(layer(conv, x)); // [n, 50, 50, 32] [n, 25, 25, 64] [n, 12, 12, 128] [n, 6, 6, 256]
    x = layer(this.image[4], x); // [n, 6, 6, 256]
    const a = relu(this.imageOut.forward(reshape(x, [n, -1]))); // [n, 256]
    let y = layer(this.model[0], laid); // [n, 64, 64, 32]
    for (const conv of this.model.slice(1)) y = half(layer(conv, y)); // [n, 32, 32, 64] [n, 16, 16, 128] [n, 8, 8, 256]
    const b = relu(this.modelOut.forward(reshape(y, [n, -1]))); // [n, 256]
    return this.merge.forward(concat([a, b], { axis: 1 }));
  }
}
