// MobileNet-V1 (Howard et al. 2017) as 3DDFA_V2 uses it: 62 whitened parameters of the face model from a 120x120 crop.
import { type Initializer, initializers, uninitialized } from '../nn/init.js';
import { BatchNorm2d, Conv2d, Linear } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { mul, relu, sub } from '../tensor/ops/elementwise.js';
import { cast, reshape } from '../tensor/ops/layout.js';
import { globalAvgPool2d } from '../tensor/ops/pool2d.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { toBgr } from './bgr.js';

/** Depthwise 3x3 and pointwise 1x1 convolution, each with norm and ReLU. */
class DepthwiseSeparable extends Module {
  readonly conv_dw: Conv2d;
  readonly bn_dw: BatchNorm2d;
  readonly conv_sep: Conv2d;
  readonly bn_sep: BatchNorm2d;

  constructor(ic: number, oc: number, stride: number, init: Initializer) {
    super();
    this.conv_dw = new Conv2d(ic, ic, 3, { stride, padding: 1, groups: ic, bias: false, init });
    this.bn_dw = new BatchNorm2d(ic);
    this.conv_sep = new Conv2d(ic, oc, 1, { bias: false, init });
    this.bn_sep = new BatchNorm2d(oc);
  }

  /** x [n, h, w, ic] -> [n, h/stride, w/stride, oc]. */
  forward(x: Tensor): Tensor {
    const y = relu(this.bn_dw.forward(this.conv_dw.forward(x)));
    return relu(this.bn_sep.forward(this.conv_sep.forward(y)));
  }
}

export interface MobileNetV1Options {
  /** Of every channel count: 0.5 for mb05, 1 for mb1. */
  widthMultiplier?: number;
  /** Numbers predicted. */
  outputs?: number;
  /** Of the input: 3, or 6 for a photo with PNCC. */
  channels?: number;
  /** False leaves all weights 0, for a state that is about to be loaded. */
  initialize?: boolean;
}

/** The names of the blocks, in order. */
const BLOCKS = [
  'dw2_1',
  'dw2_2',
  'dw3_1',
  'dw3_2',
  'dw4_1',
  'dw4_2',
  'dw5_1',
  'dw5_2',
  'dw5_3',
  'dw5_4',
  'dw5_5',
  'dw5_6',
  'dw6',
] as const;

/**
 * Starts in evaluation mode. 3DDFA_V2's checkpoints load with `from: 'torch'`; they also hold a landmark head that served
 * training only, and load with `ignore: MobileNetV1.trainingHeads`.
 */
export class MobileNetV1 extends Module {
  static readonly trainingHeads: readonly string[] = ['fc_lm'];

  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly dw2_1: DepthwiseSeparable;
  readonly dw2_2: DepthwiseSeparable;
  readonly dw3_1: DepthwiseSeparable;
  readonly dw3_2: DepthwiseSeparable;
  readonly dw4_1: DepthwiseSeparable;
  readonly dw4_2: DepthwiseSeparable;
  readonly dw5_1: DepthwiseSeparable;
  readonly dw5_2: DepthwiseSeparable;
  readonly dw5_3: DepthwiseSeparable;
  readonly dw5_4: DepthwiseSeparable;
  readonly dw5_5: DepthwiseSeparable;
  readonly dw5_6: DepthwiseSeparable;
  readonly dw6: DepthwiseSeparable;
  readonly fc_param: Linear;

  constructor({ widthMultiplier = 0.5, outputs = 62, channels = 3, initialize = true }: MobileNetV1Options = {}) {
    super();
    if (!(widthMultiplier > 0))
      throw new ShapeError(`MobileNetV1: widthMultiplier must be > 0, got ${widthMultiplier}`);
    const c = (channels: number) => Math.floor(channels * widthMultiplier);
    const { heNormal: init } = initialize ? initializers() : uninitialized;
    const block = (ic: number, oc: number, stride = 1) => new DepthwiseSeparable(c(ic), c(oc), stride, init);
    this.conv1 = new Conv2d(channels, c(32), 3, { stride: 2, padding: 1, bias: false, init });
    this.bn1 = new BatchNorm2d(c(32));
    this.dw2_1 = block(32, 64);
    this.dw2_2 = block(64, 128, 2);
    this.dw3_1 = block(128, 128);
    this.dw3_2 = block(128, 256, 2);
    this.dw4_1 = block(256, 256);
    this.dw4_2 = block(256, 512, 2);
    this.dw5_1 = block(512, 512);
    this.dw5_2 = block(512, 512);
    this.dw5_3 = block(512, 512);
    this.dw5_4 = block(512, 512);
    this.dw5_5 = block(512, 512);
    this.dw5_6 = block(512, 1024, 2);
    this.dw6 = block(1024, 1024);
    this.fc_param = new Linear(c(1024), outputs);
    this.eval();
  }

  /** Every intermediate by name: conv1, bn1 (before its ReLU), the blocks, avgpool [n, 1, 1, c]. x [n, h, w, 3] as in `forward`. */
  intermediates(x: Tensor): Record<string, Tensor> {
    const conv1 = this.conv1.forward(x); // [n, h/2, w/2, 16]
    const bn1 = this.bn1.forward(conv1);
    const values: Record<string, Tensor> = { conv1, bn1 };
    let y = relu(bn1);
    for (const name of BLOCKS) {
      y = this[name].forward(y); // [n, h/2, w/2, 32] -> ... -> [n, h/32, w/32, 512]
      values[name] = y;
    }
    values.avgpool = globalAvgPool2d(y); // [n, 1, 1, 512]
    return values;
  }

  /** x [n, h, w, 3], BGR as (value - 127.5) / 128 -> [n, outputs]. Throws ShapeError. */
  forward(x: Tensor): Tensor {
    const { avgpool } = this.intermediates(x);
    return this.fc_param.forward(reshape(avgpool, [avgpool.shape[0], avgpool.shape[3]]));
  }

  /** Outputs of crops [n, h, w, 3], RGB in 0..255, u8 or f32: row-major [n, outputs]. Throws ShapeError. */
  predict(crops: Tensor): Promise<Float32Array> {
    return predictCrops((x) => this.forward(x), crops);
  }
}

/** `MobileNetV1.predict` by its forward pass, be it frozen. */
export async function predictCrops(forward: (x: Tensor) => Tensor, crops: Tensor): Promise<Float32Array> {
  const { shape, dtype } = crops;
  if (shape.length !== 4 || shape[3] !== 3 || crops.size === 0 || (dtype !== 'u8' && dtype !== 'f32')) {
    throw new ShapeError(`MobileNetV1.predict: crops must be [n,h,w,3] u8 or f32, got ${showShape(shape)} ${dtype}`);
  }
  const y = tidy(() => forward(normalizeCrops(crops)));
  const values = (await y.data()) as Float32Array;
  y.dispose();
  return values;
}

/** RGB in 0..255, u8 or f32, to the network's input: BGR as (value - 127.5) / 128. */
export const normalizeCrops = (crops: Tensor): Tensor =>
  mul(sub(toBgr(crops.dtype === 'f32' ? crops : cast(crops, 'f32')), 127.5), 1 / 128);
