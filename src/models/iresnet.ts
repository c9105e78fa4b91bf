// IR-18/34/50/100: residual networks for face recognition (Deng et al. 2019; specification section 11), with the parameter
// names of the public checkpoints (deepinsight/insightface). The paper's "ResNet-101" is IR-100 here.
import { type Initializer, initializers, uninitialized } from '../nn/init.js';
import { BatchNorm2d, Conv2d, Linear, PReLU } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { add } from '../tensor/ops/elementwise.js';
import { reshape } from '../tensor/ops/layout.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** Norm, 3x3 convolution, norm, PReLU, 3x3 convolution with the stride, norm; nothing after the sum. */
class IRBlock extends Module {
  readonly bn1: BatchNorm2d;
  readonly conv1: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly prelu: PReLU;
  readonly conv2: Conv2d;
  readonly bn3: BatchNorm2d;
  /** Projection shortcut of a level's first block: a 1x1 convolution and its norm. */
  readonly downsample: readonly [Conv2d, BatchNorm2d] | undefined;

  constructor(ic: number, oc: number, stride: number, init: Initializer) {
    super();
    this.bn1 = new BatchNorm2d(ic);
    this.conv1 = new Conv2d(ic, oc, 3, { padding: 1, bias: false, init });
    this.bn2 = new BatchNorm2d(oc);
    this.prelu = new PReLU(oc);
    this.conv2 = new Conv2d(oc, oc, 3, { stride, padding: 1, bias: false, init });
    this.bn3 = new BatchNorm2d(oc);
    if (stride !== 1 || ic !== oc) {
      this.downsample = [new Conv2d(ic, oc, 1, { stride, bias: false, init }), new BatchNorm2d(oc)];
    }
  }

  /** x [n, h, w, ic] -> [n, h/stride, w/stride, oc]. */
  forward(x: Tensor): Tensor {
    const y = this.prelu.forward(this.bn2.forward(this.conv1.forward(this.bn1.forward(x)))); // [n, h, w, oc]
    const shortcut = this.downsample ? this.downsample[1].forward(this.downsample[0].forward(x)) : x;
    return add(this.bn3.forward(this.conv2.forward(y)), shortcut);
  }
}

/** The norm of the embedding: its scale stays 1, as the public checkpoints' training keeps it. */
class EmbeddingNorm extends BatchNorm2d {
  protected override get buffers(): readonly string[] {
    return [...super.buffers, 'weight'];
  }
}

/** Blocks per level. */
const BLOCKS = { 18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 14, 3], 100: [3, 13, 30, 3] } as const;

export interface IResNetOptions {
  depth?: keyof typeof BLOCKS;
  /** Channels of the first level, 64 in the public networks; the others have 2, 4, 8 times as many. */
  width?: number;
  /** The initial weights then depend on it alone; otherwise on `manualSeed` and the draws since. */
  seed?: number;
  /** False leaves all weights 0, for a state that is about to be loaded. */
  initialize?: boolean;
}

/** Starts in evaluation mode. Public checkpoints load with `from: 'torch'`. */
export class IResNet extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly prelu: PReLU;
  readonly layer1: readonly IRBlock[];
  readonly layer2: readonly IRBlock[];
  readonly layer3: readonly IRBlock[];
  readonly layer4: readonly IRBlock[];
  readonly bn2: BatchNorm2d;
  readonly fc: Linear;
  readonly features: BatchNorm2d;

  constructor({ depth = 50, width = 64, seed, initialize = true }: IResNetOptions = {}) {
    super();
    const blocks = BLOCKS[depth];
    if (!blocks) throw new ShapeError(`IResNet: depth must be one of ${Object.keys(BLOCKS).join(', ')}, got ${depth}`);
    if (!Number.isInteger(width) || width < 1) throw new ShapeError(`IResNet: width must be at least 1, got ${width}`);
    const { heUniform: init } = initialize ? initializers(seed) : uninitialized;
    const level = (ic: number, oc: number, count: number): IRBlock[] =>
      Array.from({ length: count }, (_, i) => new IRBlock(i === 0 ? ic : oc, oc, i === 0 ? 2 : 1, init));
    this.conv1 = new Conv2d(3, width, 3, { padding: 1, bias: false, init });
    this.bn1 = new BatchNorm2d(width);
    this.prelu = new PReLU(width);
    this.layer1 = level(width, width, blocks[0]);
    this.layer2 = level(width, 2 * width, blocks[1]);
    this.layer3 = level(2 * width, 4 * width, blocks[2]);
    this.layer4 = level(4 * width, 8 * width, blocks[3]);
    this.bn2 = new BatchNorm2d(8 * width);
    this.fc = new Linear(8 * width * 7 * 7, 512, { init, flattened: [7, 7] });
    this.features = new EmbeddingNorm(512);
    this.eval();
  }

  /** x [n, 112, 112, 3], RGB as (value - 127.5) / 127.5 -> embeddings [n, 512], not normalised. Throws ShapeError. */
  forward(x: Tensor): Tensor {
    const [n, h, w, c] = x.shape;
    if (x.shape.length !== 4 || n < 1 || h !== 112 || w !== 112 || c !== 3) {
      throw new ShapeError(`IResNet: x must be [n,112,112,3], got ${showShape(x.shape)}`);
    }
    let y = this.prelu.forward(this.bn1.forward(this.conv1.forward(x))); // [n, 112, 112, 64]
    for (const level of [this.layer1, this.layer2, this.layer3, this.layer4]) {
      for (const block of level) y = block.forward(y); // [n, 56, 56, 64] -> ... -> [n, 7, 7, 512]
    }
    y = this.bn2.forward(y); // [n, 7, 7, 512]
    y = reshape(y, [n, y.size / n]);
    return this.features.forward(this.fc.forward(y)); // [n, 512]
  }
}
