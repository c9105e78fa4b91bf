// ResNet's bottleneck levels, named as torchvision names them, so that an ImageNet checkpoint fits.
import { type Initializers, initializers } from '../nn/init.js';
import { BatchNorm2d, Conv2d } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { zeros } from '../tensor/create.js';
import { maxPool2d } from '../tensor/ops/pool2d.js';
import { tidy } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';

const RELU = { activation: 'relu' } as const;

/** 1x1, 3x3, 1x1 convolutions around a shortcut; the stride sits on the 3x3. */
export class Bottleneck extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv3: Conv2d;
  readonly bn3: BatchNorm2d;
  /** Projection shortcut where the shape changes: a 1x1 convolution and its norm. */
  readonly downsample: readonly [Conv2d, BatchNorm2d] | undefined;

  constructor(ic: number, width: number, stride: number, { heNormal: init }: Initializers = initializers()) {
    super();
    const oc = 4 * width;
    this.conv1 = new Conv2d(ic, width, 1, { bias: false, init });
    this.bn1 = new BatchNorm2d(width);
    this.conv2 = new Conv2d(width, width, 3, { stride, padding: 1, bias: false, init });
    this.bn2 = new BatchNorm2d(width);
    this.conv3 = new Conv2d(width, oc, 1, { bias: false, init });
    this.bn3 = new BatchNorm2d(oc);
    if (stride !== 1 || ic !== oc) {
      this.downsample = [new Conv2d(ic, oc, 1, { stride, bias: false, init }), new BatchNorm2d(oc)];
    }
  }

  /** x [n, h, w, ic] -> [n, h/stride, w/stride, 4 width]. */
  forward(x: Tensor): Tensor {
    let y = this.bn1.forward(this.conv1.forward(x), RELU); // [n, h, w, width]
    y = this.bn2.forward(this.conv2.forward(y), RELU); // [n, h/stride, w/stride, width]
    const residual = this.downsample ? this.downsample[1].forward(this.downsample[0].forward(x)) : x;
    return this.bn3.forward(this.conv3.forward(y), { residual, ...RELU }); // [n, h/stride, w/stride, 4 width]
  }
}

/** Bottlenecks per level of ResNet-50. */
export const RESNET50: readonly number[] = [3, 4, 6, 3];

/** Levels e2..e5, of ResNet-50 unless `counts` says otherwise; each but the first halves the size. */
export class ResNetStages extends Module {
  readonly layer1: readonly Bottleneck[];
  readonly layer2: readonly Bottleneck[];
  readonly layer3: readonly Bottleneck[];
  readonly layer4: readonly Bottleneck[];

  constructor(baseWidth: number, init: Initializers = initializers(), counts: readonly number[] = RESNET50) {
    super();
    const level = (ic: number, width: number, count: number, stride: number): Bottleneck[] =>
      Array.from(
        { length: count },
        (_, i) => new Bottleneck(i === 0 ? ic : 4 * width, width, i === 0 ? stride : 1, init),
      );
    this.layer1 = level(baseWidth, baseWidth, counts[0], 1);
    this.layer2 = level(4 * baseWidth, 2 * baseWidth, counts[1], 2);
    this.layer3 = level(8 * baseWidth, 4 * baseWidth, counts[2], 2);
    this.layer4 = level(16 * baseWidth, 8 * baseWidth, counts[3], 2);
  }

  /** The last norm of every residual branch starts at 0, so that each block starts as its shortcut. */
  zeroResiduals(): void {
    for (const block of [this.layer1, this.layer2, this.layer3, this.layer4].flat()) {
      tidy(() => block.bn3.weight.assign(zeros(block.bn3.weight.shape)));
    }
  }

  /** Level k = 2..5 on the level before it; level 2 starts with the max pooling. */
  level(k: number, x: Tensor): Tensor {
    const input = k === 2 ? maxPool2d(x, { kernelSize: 3, stride: 2, padding: 1 }) : x;
    const blocks = [this.layer1, this.layer2, this.layer3, this.layer4][k - 2];
    return blocks.reduce((y, block) => block.forward(y), input);
  }
}

/** ResNet without its head (ResNet-50 by default): five feature maps of widths w, 4w, 8w, 16w, 32w. */
export class ResNetEncoder extends ResNetStages {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;

  constructor(channels = 3, baseWidth = 64, init: Initializers = initializers(), counts: readonly number[] = RESNET50) {
    super(baseWidth, init, counts);
    this.conv1 = new Conv2d(channels, baseWidth, 7, { stride: 2, padding: 3, bias: false, init: init.heNormal });
    this.bn1 = new BatchNorm2d(baseWidth);
  }

  /** x [n, h, w, channels] -> [S1, ..., S5]. */
  forward(x: Tensor): Tensor[] {
    const s1 = this.bn1.forward(this.conv1.forward(x), RELU); // [n, h/2, w/2, w]
    const s2 = this.level(2, s1); // [n, h/4, w/4, 4w]
    const s3 = this.level(3, s2); // [n, h/8, w/8, 8w]
    const s4 = this.level(4, s3); // [n, h/16, w/16, 16w]
    const s5 = this.level(5, s4); // [n, h/32, w/32, 32w]
    return [s1, s2, s3, s4, s5];
  }
}
