// ResNet-50 and 101 of bottlenecks as recognisers: the other reading of the paper's "ResNet-101" (specification 11.1 b). The trunk
// has torchvision's names under `trunk`; what follows it is our choice.
import { initializers, uninitialized } from '../nn/init.js';
import { BatchNorm2d, Linear } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { reshape } from '../tensor/ops/layout.js';
import { globalAvgPool2d } from '../tensor/ops/pool2d.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { RESNET50, ResNetEncoder } from './resnet.js';

const COUNTS: Readonly<Record<number, readonly number[]>> = { 50: RESNET50, 101: [3, 4, 23, 3] };

export interface ResNetRecogniserOptions {
  depth?: 50 | 101;
  /** The initial weights then depend on it alone; otherwise on `manualSeed` and the draws since. */
  seed?: number;
  /** False leaves all weights 0, for a state that is about to be loaded. */
  initialize?: boolean;
}

/**
 * Trunk, global average, `fc` to 512 and a norm: IR's head on the average instead of all pixels, our choice because the 2048
 * channels of 4x4 would make it nearly as large as the trunk. Starts in evaluation mode.
 */
export class ResNetRecogniser extends Module {
  readonly trunk: ResNetEncoder;
  readonly fc: Linear;
  readonly features: BatchNorm2d;

  constructor({ depth = 101, seed, initialize = true }: ResNetRecogniserOptions = {}) {
    super();
    const counts = COUNTS[depth];
    if (!counts) {
      throw new ShapeError(`ResNetRecogniser: depth must be one of ${Object.keys(COUNTS).join(', ')}, got ${depth}`);
    }
    const init = initialize ? initializers(seed) : uninitialized;
    this.trunk = new ResNetEncoder(3, 64, init, counts);
    this.fc = new Linear(2048, 512, { init: init.heUniform });
    this.features = new BatchNorm2d(512);
    this.eval();
  }

  /** x [n, 112, 112, 3], RGB as (value - 127.5) / 127.5 -> embeddings [n, 512], not normalised. Throws ShapeError. */
  forward(x: Tensor): Tensor {
    const [n, h, w, c] = x.shape;
    if (x.shape.length !== 4 || n < 1 || h !== 112 || w !== 112 || c !== 3) {
      throw new ShapeError(`ResNetRecogniser: x must be [n,112,112,3], got ${showShape(x.shape)}`);
    }
    const levels = this.trunk.forward(x); // [n, 56, 56, 64] ... [n, 4, 4, 2048]
    const average = reshape(globalAvgPool2d(levels[4]), [n, 2048]);
    return this.features.forward(this.fc.forward(average)); // [n, 512]
  }
}
