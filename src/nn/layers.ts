// Layers with PyTorch's parameter names (weight, bias, running_mean, running_var) over NHWC activations. Biases start at 0,
// norms at 1 and 0; weights are He-uniform unless an initialiser is given.
import { full, ones, zeros } from '../tensor/create.js';
import { batchNorm, type NormEnd } from '../tensor/ops/batch_norm.js';
import { conv2d, convTranspose2d } from '../tensor/ops/conv2d.js';
import { conv2dUpsampled } from '../tensor/ops/conv2d_upsampled.js';
import { prelu } from '../tensor/ops/elementwise.js';
import { linear } from '../tensor/ops/matmul.js';
import type { Pair } from '../tensor/ops/pool2d.js';
import { variable } from '../tensor/record.js';
import { tidy } from '../tensor/scope.js';
import { type Shape, ShapeError } from '../tensor/shape.js';
import type { Tensor, Variable } from '../tensor/tensor.js';
import { type Initializer, initializers } from './init.js';
import { Module, type TorchLayout } from './module.js';

export interface ConvLayerOptions {
  stride?: Pair;
  padding?: Pair;
  dilation?: Pair;
  groups?: number;
  bias?: boolean;
  init?: Initializer;
}

const pairOf = (value: Pair): readonly number[] => (typeof value === 'number' ? [value, value] : value);

const created = (make: () => Tensor): Variable => tidy(() => variable(make()));

const heUniform: Initializer = (shape) => initializers().heUniform(shape);

function checkChannels(layer: string, ic: number, oc: number, groups: number): void {
  if (![ic, oc, groups].every((n) => Number.isInteger(n) && n >= 1) || ic % groups !== 0 || oc % groups !== 0) {
    throw new ShapeError(`${layer}: ${ic} input and ${oc} output channels do not form ${groups} groups`);
  }
}

/** `conv2d` with weight [oc, kh, kw, ic/groups] and bias [oc]. */
export class Conv2d extends Module {
  readonly weight: Variable;
  readonly bias: Variable | undefined;
  readonly options: { stride: Pair; padding: Pair; dilation: Pair; groups: number };

  constructor(ic: number, oc: number, kernelSize: Pair, options: ConvLayerOptions = {}) {
    super();
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, init = heUniform } = options;
    checkChannels('Conv2d', ic, oc, groups);
    this.options = { stride, padding, dilation, groups };
    this.weight = created(() => init([oc, ...pairOf(kernelSize), ic / groups]));
    this.bias = bias ? created(() => zeros([oc])) : undefined;
  }

  /** x [n, ih, iw, ic] -> [n, oh, ow, oc]; with `beside`, [x, beside] of ic channels together. Throws ShapeError. */
  forward(x: Tensor, beside?: Tensor): Tensor {
    return conv2d(x, this.weight, { bias: this.bias, ...this.options, beside });
  }

  /** Of a 3x3 kernel with padding 1: the same over [x upsampled twofold, skip] -> [n, 2h, 2w, oc]. Throws ShapeError. */
  forwardUpsampled(x: Tensor, skip?: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this.options;
    if ([stride, padding, dilation, groups].some((value) => pairOf(value).some((k) => k !== 1))) {
      throw new ShapeError('Conv2d: forwardUpsampled wants stride, padding, dilation and groups of 1');
    }
    return conv2dUpsampled(x, this.weight, { skip, bias: this.bias });
  }

  protected override torchLayout(field: string): TorchLayout | undefined {
    if (field !== 'weight') return undefined;
    const [oc, kh, kw, ic] = this.weight.shape;
    const shape = [oc, ic, kh, kw];
    return { shape, view: shape, dims: [0, 2, 3, 1] };
  }
}

export interface ConvTransposeLayerOptions extends Omit<ConvLayerOptions, 'dilation'> {
  outputPadding?: Pair;
}

/** `convTranspose2d` with weight [oc/groups, kh, kw, ic] and bias [oc]. */
export class ConvTranspose2d extends Module {
  readonly weight: Variable;
  readonly bias: Variable | undefined;
  readonly options: { stride: Pair; padding: Pair; outputPadding: Pair; groups: number };

  constructor(ic: number, oc: number, kernelSize: Pair, options: ConvTransposeLayerOptions = {}) {
    super();
    const { stride = 1, padding = 0, outputPadding = 0, groups = 1, bias = true, init = heUniform } = options;
    checkChannels('ConvTranspose2d', ic, oc, groups);
    this.options = { stride, padding, outputPadding, groups };
    this.weight = created(() => init([oc / groups, ...pairOf(kernelSize), ic]));
    this.bias = bias ? created(() => zeros([oc])) : undefined;
  }

  /** x [n, h, w, ic] -> [n, (h - 1) stride - 2 padding + kh + outputPadding, ..., oc]. Throws ShapeError. */
  forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, { bias: this.bias, ...this.options });
  }

  protected override torchLayout(field: string): TorchLayout | undefined {
    if (field !== 'weight') return undefined;
    const [oc, kh, kw, ic] = this.weight.shape;
    const shape = [ic, oc, kh, kw];
    return { shape, view: shape, dims: [1, 2, 3, 0] };
  }
}

/** `batchNorm` over the last axis; in training the running statistics follow with the given momentum. */
export class BatchNorm2d extends Module {
  readonly weight: Variable;
  readonly bias: Variable;
  readonly runningMean: Variable;
  readonly runningVar: Variable;
  readonly momentum: number;
  readonly eps: number;

  constructor(c: number, { momentum = 0.1, eps = 1e-5 }: { momentum?: number; eps?: number } = {}) {
    super();
    this.momentum = momentum;
    this.eps = eps;
    this.weight = created(() => ones([c]));
    this.bias = created(() => zeros([c]));
    this.runningMean = created(() => zeros([c]));
    this.runningVar = created(() => ones([c]));
  }

  /** x [..., c] -> [..., c], with the residual and the activation that follow. Throws ShapeError. */
  forward(x: Tensor, end?: NormEnd): Tensor {
    const { weight, bias, runningMean, runningVar, training, momentum, eps } = this;
    return batchNorm(x, { weight, bias, runningMean, runningVar, training, momentum, eps, ...end });
  }

  protected override get buffers(): readonly string[] {
    return ['runningMean', 'runningVar'];
  }
}

export interface LinearOptions {
  bias?: boolean;
  init?: Initializer;
  /** [h, w] of the image whose flattening is the input: PyTorch flattens it channels first, we channels last. */
  flattened?: readonly [number, number];
}

/** `linear` with weight [out, in] and bias [out]. */
export class Linear extends Module {
  readonly weight: Variable;
  readonly bias: Variable | undefined;
  private readonly flattened: Shape;

  constructor(ins: number, outs: number, options: LinearOptions = {}) {
    super();
    const { bias = true, init = heUniform, flattened = [1, 1] } = options;
    const [h, w] = flattened;
    if (ins % (h * w) !== 0) throw new ShapeError(`Linear: ${ins} inputs are no image of [${h},${w}] pixels`);
    this.flattened = flattened;
    this.weight = created(() => init([outs, ins]));
    this.bias = bias ? created(() => zeros([outs])) : undefined;
  }

  /** x [..., in] -> [..., out]. Throws ShapeError. */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }

  protected override torchLayout(field: string): TorchLayout | undefined {
    const [h, w] = this.flattened;
    if (field !== 'weight' || h * w === 1) return undefined;
    const [outs, ins] = this.weight.shape;
    return { shape: [outs, ins], view: [outs, ins / (h * w), h, w], dims: [0, 2, 3, 1] };
  }
}

/** `prelu` with one slope per channel of the last axis, 0.25 at first. */
export class PReLU extends Module {
  readonly weight: Variable;

  constructor(c: number) {
    super();
    this.weight = created(() => full([c], 0.25));
  }

  /** x [..., c] -> [..., c]. Throws ShapeError. */
  forward(x: Tensor): Tensor {
    return prelu(x, this.weight);
  }
}

/** Convolution and the norm after it, under the names `conv` and `bn`. */
export class ConvNorm extends Module {
  readonly conv: Conv2d;
  readonly bn: BatchNorm2d;

  constructor(ic: number, oc: number, kernelSize: Pair, options: ConvLayerOptions & { eps?: number } = {}) {
    super();
    const { eps, ...convolution } = options;
    this.conv = new Conv2d(ic, oc, kernelSize, { bias: false, ...convolution });
    this.bn = new BatchNorm2d(oc, { eps });
  }

  /** x [n, ih, iw, ic] -> [n, oh, ow, oc], with the residual and the activation that follow; `beside` as in `Conv2d`. Throws ShapeError. */
  forward(x: Tensor, { beside, ...end }: NormEnd & { beside?: Tensor } = {}): Tensor {
    return this.bn.forward(this.conv.forward(x, beside), end);
  }

  /** Over [x upsampled twofold, skip], as `Conv2d.forwardUpsampled`. */
  forwardUpsampled(x: Tensor, skip?: Tensor, end?: NormEnd): Tensor {
    return this.bn.forward(this.conv.forwardUpsampled(x, skip), end);
  }
}
