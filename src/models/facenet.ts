// FaceNet: Inception-ResNet-v1 (specification section 7), the frozen identity network of the loss of paper Eq. 10. Fields are
// named as in the public VGGFace2 and CASIA-WebFace checkpoints (timesler/facenet-pytorch). Convolutions are not padded
// unless said.
import { Dropout } from '../nn/dropout.js';
import { type Initializer, initializers, uninitialized } from '../nn/init.js';
import { BatchNorm2d, Conv2d, ConvNorm, Linear } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { add, mul, relu } from '../tensor/ops/elementwise.js';
import { concat, reshape } from '../tensor/ops/layout.js';
import { normalize } from '../tensor/ops/losses.js';
import { globalAvgPool2d, maxPool2d, type Pair } from '../tensor/ops/pool2d.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

const EPS = 1e-3;

/** Convolution, norm, ReLU. */
class BasicConv extends ConvNorm {
  constructor(ic: number, oc: number, kernelSize: Pair, init: Initializer, stride: Pair = 1, padding: Pair = 0) {
    super(ic, oc, kernelSize, { stride, padding, eps: EPS, init });
  }

  override forward(x: Tensor): Tensor {
    return relu(super.forward(x));
  }
}

const through = (x: Tensor, layers: readonly BasicConv[]): Tensor => layers.reduce((y, layer) => layer.forward(y), x);
const halved = (x: Tensor): Tensor => maxPool2d(x, { kernelSize: 3, stride: 2 });

interface Residual {
  /** Factor of the branches before they are added. */
  scale: number;
  /** ReLU after the sum. */
  activated?: boolean;
}

/** x + scale conv2d(branches of x): what the three kinds of residual block share. */
abstract class InceptionResidual extends Module {
  protected abstract readonly conv2d: Conv2d;
  protected abstract branches(x: Tensor): Tensor[];
  private readonly residual: Residual;

  constructor(residual: Residual) {
    super();
    this.residual = residual;
  }

  /** x -> the same shape. */
  forward(x: Tensor): Tensor {
    const y = add(x, mul(this.conv2d.forward(concat(this.branches(x), { axis: -1 })), this.residual.scale));
    return (this.residual.activated ?? true) ? relu(y) : y;
  }
}

class Block35 extends InceptionResidual {
  readonly branch0: BasicConv;
  readonly branch1: readonly BasicConv[];
  readonly branch2: readonly BasicConv[];
  readonly conv2d: Conv2d;

  constructor(init: Initializer) {
    super({ scale: 0.17 });
    this.branch0 = new BasicConv(256, 32, 1, init);
    this.branch1 = [new BasicConv(256, 32, 1, init), new BasicConv(32, 32, 3, init, 1, 1)];
    this.branch2 = [
      new BasicConv(256, 32, 1, init),
      new BasicConv(32, 32, 3, init, 1, 1),
      new BasicConv(32, 32, 3, init, 1, 1),
    ];
    this.conv2d = new Conv2d(96, 256, 1, { init });
  }

  protected branches(x: Tensor): Tensor[] {
    return [this.branch0.forward(x), through(x, this.branch1), through(x, this.branch2)];
  }
}

/** Block17 and Block8: a 1x1 branch, and one whose k x k convolution is split into a row and a column. */
class SplitBlock extends InceptionResidual {
  readonly branch0: BasicConv;
  readonly branch1: readonly BasicConv[];
  readonly conv2d: Conv2d;

  constructor(channels: number, width: number, k: number, residual: Residual, init: Initializer) {
    super(residual);
    const p = (k - 1) / 2;
    this.branch0 = new BasicConv(channels, width, 1, init);
    this.branch1 = [
      new BasicConv(channels, width, 1, init),
      new BasicConv(width, width, [1, k], init, 1, [0, p]),
      new BasicConv(width, width, [k, 1], init, 1, [p, 0]),
    ];
    this.conv2d = new Conv2d(2 * width, channels, 1, { init });
  }

  protected branches(x: Tensor): Tensor[] {
    return [this.branch0.forward(x), through(x, this.branch1)];
  }
}

class Mixed6a extends Module {
  readonly branch0: BasicConv;
  readonly branch1: readonly BasicConv[];

  constructor(init: Initializer) {
    super();
    this.branch0 = new BasicConv(256, 384, 3, init, 2);
    this.branch1 = [
      new BasicConv(256, 192, 1, init),
      new BasicConv(192, 192, 3, init, 1, 1),
      new BasicConv(192, 256, 3, init, 2),
    ];
  }

  forward(x: Tensor): Tensor {
    return concat([this.branch0.forward(x), through(x, this.branch1), halved(x)], { axis: -1 });
  }
}

class Mixed7a extends Module {
  readonly branch0: readonly BasicConv[];
  readonly branch1: readonly BasicConv[];
  readonly branch2: readonly BasicConv[];

  constructor(init: Initializer) {
    super();
    this.branch0 = [new BasicConv(896, 256, 1, init), new BasicConv(256, 384, 3, init, 2)];
    this.branch1 = [new BasicConv(896, 256, 1, init), new BasicConv(256, 256, 3, init, 2)];
    this.branch2 = [
      new BasicConv(896, 256, 1, init),
      new BasicConv(256, 256, 3, init, 1, 1),
      new BasicConv(256, 256, 3, init, 2),
    ];
  }

  forward(x: Tensor): Tensor {
    const parts = [this.branch0, this.branch1, this.branch2].map((branch) => through(x, branch));
    return concat([...parts, halved(x)], { axis: -1 });
  }
}

export interface FaceNetOptions {
  /** The initial weights then depend on it alone; otherwise on `manualSeed` and the draws since. */
  seed?: number;
  /** False leaves all weights 0, for a state that is about to be loaded. */
  initialize?: boolean;
}

const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

/**
 * 23,482,624 parameters. Starts in evaluation mode and is meant to stay there: as the identity network of Eq. 10 it is
 * frozen, which takes no more than leaving its parameters out of the targets of `gradient`. Public checkpoints load with
 * `from: 'torch'`, and with `ignore: FaceNet.trainingHeads` where they hold the classifier.
 */
export class FaceNet extends Module {
  static readonly trainingHeads: readonly string[] = ['logits'];

  readonly conv2d_1a: BasicConv;
  readonly conv2d_2a: BasicConv;
  readonly conv2d_2b: BasicConv;
  readonly conv2d_3b: BasicConv;
  readonly conv2d_4a: BasicConv;
  readonly conv2d_4b: BasicConv;
  readonly repeat_1: readonly Block35[];
  readonly mixed_6a: Mixed6a;
  readonly repeat_2: readonly SplitBlock[];
  readonly mixed_7a: Mixed7a;
  readonly repeat_3: readonly SplitBlock[];
  readonly block8: SplitBlock;
  readonly dropout = new Dropout(0.6);
  readonly last_linear: Linear;
  readonly last_bn: BatchNorm2d;

  constructor({ seed, initialize = true }: FaceNetOptions = {}) {
    super();
    const { heUniform: init } = initialize ? initializers(seed) : uninitialized;
    this.conv2d_1a = new BasicConv(3, 32, 3, init, 2);
    this.conv2d_2a = new BasicConv(32, 32, 3, init);
    this.conv2d_2b = new BasicConv(32, 64, 3, init, 1, 1);
    this.conv2d_3b = new BasicConv(64, 80, 1, init);
    this.conv2d_4a = new BasicConv(80, 192, 3, init);
    this.conv2d_4b = new BasicConv(192, 256, 3, init, 2);
    this.repeat_1 = times(5, () => new Block35(init));
    this.mixed_6a = new Mixed6a(init);
    this.repeat_2 = times(10, () => new SplitBlock(896, 128, 7, { scale: 0.1 }, init));
    this.mixed_7a = new Mixed7a(init);
    this.repeat_3 = times(5, () => new SplitBlock(1792, 192, 3, { scale: 0.2 }, init));
    this.block8 = new SplitBlock(1792, 192, 3, { scale: 1, activated: false }, init);
    this.last_linear = new Linear(1792, 512, { bias: false, init });
    this.last_bn = new BatchNorm2d(512, { eps: EPS });
    this.eval();
  }

  /**
   * x [n, 160, 160, 3], RGB as (value - 127.5) / 128 -> [n, 512] of length 1; with `normalized: false` the last norm's output
   * as it is ("the last layer before softmax"), some hundred times longer. Throws ShapeError.
   */
  forward(x: Tensor, { normalized = true }: { normalized?: boolean } = {}): Tensor {
    const [n, h, w, c] = x.shape;
    if (x.shape.length !== 4 || n < 1 || h !== 160 || w !== 160 || c !== 3) {
      throw new ShapeError(`FaceNet: x must be [n,160,160,3], got ${showShape(x.shape)}`);
    }
    let y = this.conv2d_1a.forward(x); // [n, 79, 79, 32]
    y = this.conv2d_2a.forward(y); // [n, 77, 77, 32]
    y = halved(this.conv2d_2b.forward(y)); // [n, 38, 38, 64]
    y = this.conv2d_4a.forward(this.conv2d_3b.forward(y)); // [n, 36, 36, 192]
    y = this.conv2d_4b.forward(y); // [n, 17, 17, 256]
    for (const block of this.repeat_1) y = block.forward(y);
    y = this.mixed_6a.forward(y); // [n, 8, 8, 896]
    for (const block of this.repeat_2) y = block.forward(y);
    y = this.mixed_7a.forward(y); // [n, 3, 3, 1792]
    for (const block of this.repeat_3) y = block.forward(y);
    y = this.dropout.forward(globalAvgPool2d(this.block8.forward(y))); // [n, 1, 1, 1792]
    y = this.last_bn.forward(this.last_linear.forward(reshape(y, [n, 1792]))); // [n, 512]
    return normalized ? normalize(y) : y;
  }
}
