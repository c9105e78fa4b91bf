// The PatchGAN discriminator of section 5.2: judges each 70x70 patch of an incomplete map together with a complete one.
import { initializers } from '../nn/init.js';
import { BatchNorm2d, Conv2d } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { leakyRelu } from '../tensor/ops/elementwise.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

export interface DiscriminatorOptions {
  /** Channels after the first convolution. */
  baseWidth?: number;
  /** Channels of the input: 6 for an incomplete and a complete map, 3 for a complete one alone. */
  channels?: number;
  /** The initial weights then depend on it alone; otherwise on `manualSeed` and the draws since. */
  seed?: number;
}

const LEAKY = { activation: 'leakyRelu', negativeSlope: 0.2 } as const;
const SMALLEST = 24; // three halvings, then two convolutions that take one position each

/** Five 4x4 convolutions (pix2pix), 2,768,705 parameters at width 64; weights start from N(0, 0.02). */
export class Discriminator extends Module {
  readonly conv1: Conv2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv3: Conv2d;
  readonly bn3: BatchNorm2d;
  readonly conv4: Conv2d;
  readonly bn4: BatchNorm2d;
  readonly conv5: Conv2d;
  private readonly channels: number;

  constructor({ baseWidth: w = 64, channels = 6, seed }: DiscriminatorOptions = {}) {
    super();
    const { narrowNormal: init } = initializers(seed);
    this.channels = channels;
    this.conv1 = new Conv2d(channels, w, 4, { stride: 2, padding: 1, init });
    this.conv2 = new Conv2d(w, 2 * w, 4, { stride: 2, padding: 1, bias: false, init });
    this.bn2 = new BatchNorm2d(2 * w);
    this.conv3 = new Conv2d(2 * w, 4 * w, 4, { stride: 2, padding: 1, bias: false, init });
    this.bn3 = new BatchNorm2d(4 * w);
    this.conv4 = new Conv2d(4 * w, 8 * w, 4, { padding: 1, bias: false, init });
    this.bn4 = new BatchNorm2d(8 * w);
    this.conv5 = new Conv2d(8 * w, 1, 4, { padding: 1, init });
  }

  /** xy [n, h, w, channels] in [-1, 1] -> logits [n, h/8 - 2, w/8 - 2, 1], positive where it looks real. Throws ShapeError. */
  forward(xy: Tensor): Tensor {
    const [, h, w, c] = xy.shape;
    if (xy.shape.length !== 4 || c !== this.channels || h < SMALLEST || w < SMALLEST) {
      throw new ShapeError(
        `Discriminator: xy must be [n,h,w,${this.channels}] of at least ${SMALLEST}x${SMALLEST}, got ${showShape(xy.shape)}`,
      );
    }
    let y = leakyRelu(this.conv1.forward(xy), 0.2); // [n, 128, 128, 64]
    y = this.bn2.forward(this.conv2.forward(y), LEAKY); // [n, 64, 64, 128]
    y = this.bn3.forward(this.conv3.forward(y), LEAKY); // [n, 32, 32, 256]
    y = this.bn4.forward(this.conv4.forward(y), LEAKY); // [n, 31, 31, 512]
    return this.conv5.forward(y); // [n, 30, 30, 1]
  }
}
