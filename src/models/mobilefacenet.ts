// MobileFaceNet (Chen et al. 2018) as trained on CASIA-WebFace for crops of 112 rows and 96 columns; fields are named as in
// the public checkpoint (Xiaoccer/MobileFaceNet_Pytorch).
import { initializers } from '../nn/init.js';
import { BatchNorm2d, Conv2d, ConvNorm, PReLU } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { add, mul, sub } from '../tensor/ops/elementwise.js';
import { cast, concat, reshape } from '../tensor/ops/layout.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { mirrored } from './mirror.js';

/** Convolution, norm, PReLU. */
class ConvNormPReLU extends ConvNorm {
  readonly prelu: PReLU;

  constructor(
    ic: number,
    oc: number,
    kernelSize: number,
    options: { stride?: number; padding?: number; groups?: number },
  ) {
    super(ic, oc, kernelSize, { ...options, init: initializers().heNormal });
    this.prelu = new PReLU(oc);
  }

  override forward(x: Tensor): Tensor {
    return this.prelu.forward(super.forward(x));
  }
}

/** Inverted residual: 1x1 to the expanded width, depthwise 3x3, linear 1x1; x is added where the shape stays. */
class Bottleneck extends Module {
  readonly conv: readonly [Conv2d, BatchNorm2d, PReLU, Conv2d, BatchNorm2d, PReLU, Conv2d, BatchNorm2d];
  private readonly residual: boolean;

  constructor(ic: number, oc: number, stride: number, expansion: number) {
    super();
    const { heNormal: init } = initializers();
    const wide = ic * expansion;
    this.residual = stride === 1 && ic === oc;
    this.conv = [
      new Conv2d(ic, wide, 1, { bias: false, init }),
      new BatchNorm2d(wide),
      new PReLU(wide),
      new Conv2d(wide, wide, 3, { stride, padding: 1, groups: wide, bias: false, init }),
      new BatchNorm2d(wide),
      new PReLU(wide),
      new Conv2d(wide, oc, 1, { bias: false, init }),
      new BatchNorm2d(oc),
    ];
  }

  /** x [n, h, w, ic] -> [n, h/stride, w/stride, oc]. */
  forward(x: Tensor): Tensor {
    let y = x;
    for (const layer of this.conv) y = layer.forward(y);
    return this.residual ? add(x, y) : y;
  }
}

/** Expansion, channels, count, stride of the first. */
const BOTTLENECKS = [
  [2, 64, 5, 2],
  [4, 128, 1, 2],
  [2, 128, 6, 1],
  [4, 128, 1, 2],
  [2, 128, 2, 1],
] as const;

/** Starts in evaluation mode. The checkpoint loads with `from: 'torch'`. */
export class MobileFaceNet extends Module {
  readonly conv1: ConvNormPReLU;
  readonly dw_conv1: ConvNormPReLU;
  readonly blocks: readonly Bottleneck[];
  readonly conv2: ConvNormPReLU;
  readonly linear7: ConvNorm;
  readonly linear1: ConvNorm;

  constructor() {
    super();
    const { heNormal: init } = initializers();
    this.conv1 = new ConvNormPReLU(3, 64, 3, { stride: 2, padding: 1 });
    this.dw_conv1 = new ConvNormPReLU(64, 64, 3, { padding: 1, groups: 64 });
    const blocks: Bottleneck[] = [];
    let ic = 64;
    for (const [expansion, oc, count, stride] of BOTTLENECKS) {
      for (let i = 0; i < count; i++) {
        blocks.push(new Bottleneck(ic, oc, i === 0 ? stride : 1, expansion));
        ic = oc;
      }
    }
    this.blocks = blocks;
    this.conv2 = new ConvNormPReLU(128, 512, 1, {});
    this.linear7 = new ConvNorm(512, 512, [7, 6], { groups: 512, init });
    this.linear1 = new ConvNorm(512, 128, 1, { init });
    this.eval();
  }

  /** x [n, 112, 96, 3], RGB as (value - 127.5) / 128, eyes and mouth aligned -> [n, 128], not normalised. Throws ShapeError. */
  forward(x: Tensor): Tensor {
    const [n, h, w, c] = x.shape;
    if (x.shape.length !== 4 || n < 1 || h !== 112 || w !== 96 || c !== 3) {
      throw new ShapeError(`MobileFaceNet: x must be [n,112,96,3], got ${showShape(x.shape)}`);
    }
    let y = this.dw_conv1.forward(this.conv1.forward(x)); // [n, 56, 48, 64]
    for (const block of this.blocks) y = block.forward(y); // [n, 28, 24, 64] -> ... -> [n, 7, 6, 128]
    y = this.linear7.forward(this.conv2.forward(y)); // [n, 1, 1, 512]
    return reshape(this.linear1.forward(y), [n, 128]);
  }

  /**
   * Features of crops [n, 112, 96, 3], RGB in 0..255, u8 or f32: the embedding of each and of its mirror image, side by side
   * [n, 256], to be compared by cosine. Throws ShapeError.
   */
  embed(crops: Tensor): Tensor {
    const { shape, dtype } = crops;
    if (dtype !== 'u8' && dtype !== 'f32') {
      throw new ShapeError(
        `MobileFaceNet.embed: crops must be [n,112,96,3] u8 or f32, got ${showShape(shape)} ${dtype}`,
      );
    }
    return tidy(() => {
      const x = mul(sub(dtype === 'f32' ? crops : cast(crops, 'f32'), 127.5), 1 / 128);
      return concat([this.forward(x), this.forward(mirrored(x))], { axis: -1 });
    });
  }
}
