// Convolution, NHWC with weights [oc, kh, kw, ic/groups], and transposed convolution, its input gradient as a layer. Derivatives and the choice of a
// kernel: conv2d_forms.ts.
import { checkDType, floatType } from '../record.js';
import { ShapeError, sameShape, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { forward, input } from './conv2d_forms.js';
import { concat, permute } from './layout.js';
import { type Pair, pair } from './pool2d.js';

const MAX_TAPS = 1024; // kMaxTaps of native/cpu/conv2d.cc

export interface ConvOptions {
  /** [oc], added to every output position. */
  bias?: Tensor;
  /** A map of x's shape whose channels follow x's: conv2d(concat([x, beside])), read where it lies by a 1x1 kernel. Not with groups. */
  beside?: Tensor;
  /** Numbers for both axes, or [h, w]. */
  stride?: Pair;
  padding?: Pair;
  dilation?: Pair;
  /** Output channel group g sees input channel group g only. */
  groups?: number;
}

export interface ConvTransposeOptions extends Omit<ConvOptions, 'dilation' | 'beside'> {
  /** Rows and columns added at the bottom and right, less than the stride. */
  outputPadding?: Pair;
}

function check(op: string, x: Tensor, w: Tensor, bias: Tensor | undefined, biasSize: number): void {
  floatType(op, { x });
  checkDType(op, 'w', w, 'f32');
  if (x.shape.length !== 4) throw new ShapeError(`${op}: x must be [n,h,w,c], got ${showShape(x.shape)}`);
  if (w.shape.length !== 4) throw new ShapeError(`${op}: w must have 4 dimensions, got ${showShape(w.shape)}`);
  if (w.shape[1] * w.shape[2] > MAX_TAPS || w.shape.includes(0)) {
    throw new ShapeError(`${op}: a kernel has 1 to ${MAX_TAPS} positions, w is ${showShape(w.shape)}`);
  }
  if (bias) {
    checkDType(op, 'bias', bias, 'f32');
    if (bias.shape.length !== 1 || bias.shape[0] !== biasSize) {
      throw new ShapeError(`${op}: bias must be [${biasSize}], got ${showShape(bias.shape)}`);
    }
  }
}

function checkGroups(op: string, groups: number, channels: number, name: string, shown: string): void {
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
    throw new ShapeError(`${op}: ${channels} ${name} channels do not divide into ${groups} groups (${shown})`);
  }
}

/**
 * Convolution of x [n, ih, iw, ic] with w [oc, kh, kw, ic/groups]: [n, oh, ow, oc] with
 * oh = floor((ih + 2 padding - dilation (kh - 1) - 1) / stride) + 1. Throws ShapeError before any work.
 */
export function conv2d(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  const { bias, stride = 1, padding = 0, dilation = 1, groups = 1, beside } = options;
  check('conv2d', x, w, bias, w.shape[0]);
  if (beside) return besides('conv2d', x, beside, w, options);
  const [n, ih, iw, ic] = x.shape;
  const [oc, kh, kw, icg] = w.shape;
  const [sh, sw] = pair('conv2d', 'stride', stride, 1);
  const [ph, pw] = pair('conv2d', 'padding', padding, 0);
  const [dh, dw] = pair('conv2d', 'dilation', dilation, 1);
  const shown = `x ${showShape(x.shape)}, w ${showShape(w.shape)}`;
  checkGroups('conv2d', groups, ic, 'input', shown);
  checkGroups('conv2d', groups, oc, 'output', shown);
  if (icg * groups !== ic) {
    const wanted = groups === 1 ? `w expects ${icg}` : `w expects ${icg} in each of ${groups} groups`;
    throw new ShapeError(`conv2d: x has ${ic} channels, ${wanted} (${shown})`);
  }
  const oh = Math.floor((ih + 2 * ph - dh * (kh - 1) - 1) / sh) + 1;
  const ow = Math.floor((iw + 2 * pw - dw * (kw - 1) - 1) / sw) + 1;
  if (oh < 1 || ow < 1) {
    const reach = `[${dh * (kh - 1) + 1},${dw * (kw - 1) + 1}]`;
    throw new ShapeError(
      `conv2d: kernel ${reach} is larger than the padded input [${ih + 2 * ph},${iw + 2 * pw}] (${shown})`,
    );
  }
  return forward('conv2d', { n, ih, iw, ic, oh, ow, oc, kh, kw, sh, sw, ph, pw, dh, dw, groups }, x, w, bias);
}

const LEAST_CHANNELS = 16; // below, two maps are as good as joined

function besides(op: string, x: Tensor, beside: Tensor, w: Tensor, { beside: _, ...options }: ConvOptions): Tensor {
  const { bias, groups = 1 } = options;
  const [n, ih, iw, ic] = x.shape;
  const [oc, kh, kw, channels] = w.shape;
  floatType(op, { x, beside });
  if (!sameShape(x.shape, beside.shape) || channels !== 2 * ic || groups !== 1) {
    throw new ShapeError(
      `${op}: beside must have x's shape, w the channels of both and one group, got x ${showShape(x.shape)}, beside ${showShape(beside.shape)}, w ${showShape(w.shape)}, ${groups} groups`,
    );
  }
  const plain = [options.stride ?? 1, options.dilation ?? 1, options.padding ?? 0].join() === '1,1,0';
  if (!plain || kh * kw > 1 || ic < LEAST_CHANNELS || n * ih * iw === 0)
    return conv2d(concat([x, beside], { axis: 3 }), w, options);
  const g = { n, ih, iw, ic, oh: ih, ow: iw, oc, kh, kw, sh: 1, sw: 1, ph: 0, pw: 0, dh: 1, dw: 1, groups };
  return forward(op, g, x, w, bias, beside);
}

/**
 * Transposed convolution: the input gradient of `conv2d` as a layer. x [n, h, w, ic], w [oc/groups, kh, kw, ic] (channels of
 * group g contiguous in ic), result [n, (h - 1) stride - 2 padding + kh + outputPadding, ..., oc].
 */
export function convTranspose2d(x: Tensor, w: Tensor, options: ConvTransposeOptions = {}): Tensor {
  const { bias, stride = 1, padding = 0, outputPadding = 0, groups = 1 } = options;
  const op = 'convTranspose2d';
  check(op, x, w, bias, w.shape[0] * groups);
  const [n, oh, ow, oc] = x.shape; // x is the output of the convolution that this one transposes
  const [icg, kh, kw, channels] = w.shape;
  const [sh, sw] = pair(op, 'stride', stride, 1);
  const [ph, pw] = pair(op, 'padding', padding, 0);
  const [eh, ew] = pair(op, 'outputPadding', outputPadding, 0);
  const shown = `x ${showShape(x.shape)}, w ${showShape(w.shape)}`;
  checkGroups(op, groups, oc, 'input', shown);
  if (channels !== oc) throw new ShapeError(`${op}: x has ${oc} channels, w expects ${channels} (${shown})`);
  if (eh >= sh || ew >= sw)
    throw new ShapeError(`${op}: outputPadding [${eh},${ew}] must be less than stride [${sh},${sw}]`);
  const ih = (oh - 1) * sh - 2 * ph + kh + eh;
  const iw = (ow - 1) * sw - 2 * pw + kw + ew;
  if (ih < 1 || iw < 1) throw new ShapeError(`${op}: padding [${ph},${pw}] leaves nothing of the output (${shown})`);
  const g = { n, ih, iw, ic: icg * groups, oh, ow, oc, kh, kw, sh, sw, ph, pw, dh: 1, dw: 1, groups };
  return input(op, g, x, permute(w, [3, 1, 2, 0]), bias); // [oc, kh, kw, ic/groups]
}
