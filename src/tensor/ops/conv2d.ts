// Convolution, NHWC with weights [oc, kh, kw, ic/groups]. It is linear in each argument, so three ops are closed under
// differentiation, each derivative being the other two; transposed convolution is the middle one:
//
//   conv2d        (x, w) -> y     grad: x: conv2dInput(dy, w)    w: conv2dWeight(x, dy)
//   conv2dInput   (y, w) -> x     grad: y: conv2d(dx, w)         w: conv2dWeight(dx, y)
//   conv2dWeight  (x, y) -> w     grad: x: conv2dInput(y, dw)    y: conv2d(x, dw)
import { checkDType, derive, record } from '../record.js';
import { roundUp, type Shape, ShapeError, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { permute } from './layout.js';
import { type Pair, pair } from './pool2d.js';
import { sum } from './reduce.js';

/** Ends and packing as a plain convolution has them; `freeze.ts` is where others come from. */
const PLAIN = { activation: 0, slope: 0, packed: 0 };

const MAX_TAPS = 1024; // kMaxTaps of native/cpu/conv2d.cc

export interface ConvOptions {
  /** [oc], added to every output position. */
  bias?: Tensor;
  /** Numbers for both axes, or [h, w]. */
  stride?: Pair;
  padding?: Pair;
  dilation?: Pair;
  /** Output channel group g sees input channel group g only. */
  groups?: number;
}

export interface ConvTransposeOptions extends Omit<ConvOptions, 'dilation'> {
  /** Rows and columns added at the bottom and right, less than the stride. */
  outputPadding?: Pair;
}

/** Everything the three kernels need, under the names of kernels.def. */
interface Geometry {
  n: number;
  ih: number;
  iw: number;
  ic: number;
  oh: number;
  ow: number;
  oc: number;
  kh: number;
  kw: number;
  sh: number;
  sw: number;
  ph: number;
  pw: number;
  dh: number;
  dw: number;
  groups: number;
}

const xShape = (g: Geometry): Shape => [g.n, g.ih, g.iw, g.ic];
const yShape = (g: Geometry): Shape => [g.n, g.oh, g.ow, g.oc];
const wShape = (g: Geometry): Shape => [g.oc, g.kh, g.kw, g.ic / g.groups];

/** Floats of packed weights: the factor that becomes panel columns is rounded up; depthwise weights are only turned. */
function scratchShape(g: Geometry, rounded: 'ic' | 'oc'): Shape {
  const [icg, ocg] = [g.ic / g.groups, g.oc / g.groups];
  if (icg === 1 && ocg === 1) return [g.kh * g.kw * g.ic];
  return [g.kh * g.kw * (rounded === 'oc' ? roundUp(ocg, 64) * icg : ocg * roundUp(icg, 64))];
}

/** Floats of x with the padding that the kernel reaches, and of dy, for one group. */
function weightScratch(g: Geometry): Shape {
  const [icg, ocg] = [g.ic / g.groups, g.oc / g.groups];
  if (icg === 1 && ocg === 1) return [1];
  const yp = (g.oh - 1) * g.sh + (g.kh - 1) * g.dh + 1;
  const xp = (g.ow - 1) * g.sw + (g.kw - 1) * g.dw + 1;
  return [g.n * (yp * xp * roundUp(icg, 32) + g.oh * g.ow * (ocg + 7)) + 64];
}

let keptDirect = 0;

/** Convolutions recorded by fn take their direct forms, whose sums round as plain sums do. */
export function directly<T>(fn: () => T): T {
  keptDirect++;
  try {
    return fn();
  } finally {
    keptDirect--;
  }
}

/** Tiles of `side` times `side` outputs. */
const tilesOf = ({ n, oh, ow }: Pick<Geometry, 'n' | 'oh' | 'ow'>, side: 2 | 4): number =>
  n * Math.ceil(oh / side) * Math.ceil(ow / side);

/**
 * The tile of Winograd's form where it pays: 3x3 of stride 1, `channels` or more for its transforms to be cheap beside the products (the weight
 * gradient's want more), and enough tiles for the transformed weights, a multiple of the weights, to be worth their bytes. F(4x4) saves more
 * products, F(2x2) has more tiles.
 */
function winogradTile(g: Geometry, channels: 16 | 32): 2 | 4 | undefined {
  const suits =
    keptDirect === 0 &&
    g.kh === 3 &&
    g.kw === 3 &&
    g.sh * g.sw * g.dh * g.dw * g.groups === 1 &&
    g.ph <= 2 &&
    g.pw <= 2 &&
    Math.min(g.ic, g.oc) >= channels;
  return suits ? ([4, 2] as const).find((side) => tilesOf(g, side) >= 16) : undefined;
}

/** Up to so many tiles weights are transformed as they are used: to write them and read them again would take longer. */
const FEW_TILES = 24;

/** Floats of a convolution's weights once they are in the order of its kernel, were they kept. */
export const winogradWeights = ({ ic, oc, tile }: { ic: number; oc: number; tile: number }): number =>
  ((tile + 2) ** 2 * roundUp(ic, 64) * roundUp(oc, 64) * 33) / 32;

/** The convolution (or, turned, the input gradient of one) by F(tile x tile, 3x3). */
function winograd(
  tile: 2 | 4,
  x: Tensor,
  w: Tensor,
  bias: Tensor | undefined,
  shape: Shape,
  [ph, pw]: number[],
  turned: boolean,
): Tensor {
  const [n, ih, iw, ic] = x.shape;
  const [, oh, ow, oc] = shape;
  const kept = tilesOf({ n, oh, ow }, tile) > FEW_TILES;
  const outputs = [{ shape }, { shape: [kept ? winogradWeights({ ic, oc, tile }) : 1] }];
  const params = { n, ih, iw, ic, oh, ow, oc, ph, pw, turned: Number(turned), tile, kept: Number(kept), ...PLAIN };
  const [y, scratch] = record('winograd', { inputs: [x, w, bias, undefined], outputs, params });
  scratch.dispose();
  return y;
}

function direct(
  kernel: string,
  g: Geometry,
  inputs: (Tensor | undefined)[],
  shape: Shape,
  rounded: 'ic' | 'oc',
): Tensor {
  const outputs = [{ shape }, { shape: scratchShape(g, rounded) }];
  const [y, scratch] = record(kernel, { inputs, outputs, params: { ...g, ...PLAIN } });
  scratch.dispose();
  return y;
}

function forward(op: string, g: Geometry, x: Tensor, w: Tensor, bias?: Tensor): Tensor {
  const tile = winogradTile(g, 16);
  const y = tile
    ? winograd(tile, x, w, bias, yShape(g), [g.ph, g.pw], false)
    : direct('conv2d', g, [x, w, bias, undefined], yShape(g), 'oc');
  return derive(
    op,
    y,
    [x, w, bias],
    [(dy) => input(op, g, dy, w), (dy) => weight(op, g, x, dy), bias && sumOverPixels],
  );
}

function input(op: string, g: Geometry, y: Tensor, w: Tensor, bias?: Tensor): Tensor {
  const tile = winogradTile({ ...g, oh: g.ih, ow: g.iw }, 16);
  const x = tile
    ? winograd(tile, y, w, bias, xShape(g), [2 - g.ph, 2 - g.pw], true)
    : direct('conv2d_input', g, [y, w, bias], xShape(g), 'ic');
  return derive(
    op,
    x,
    [y, w, bias],
    [(dx) => forward(op, g, dx, w), (dx) => weight(op, g, dx, y), bias && sumOverPixels],
  );
}

function weight(op: string, g: Geometry, x: Tensor, y: Tensor): Tensor {
  const { n, ih, iw, ic, oh, ow, oc, ph, pw } = g;
  const tiles = tilesOf(g, 4);
  const [w, scratch] =
    winogradTile(g, 32) === 4
      ? record('winograd_weight', {
          inputs: [x, y],
          outputs: [{ shape: wShape(g) }, { shape: [36 * roundUp(tiles, Math.min(64, tiles)) * (oc + 7)] }],
          params: { n, ih, iw, ic, oh, ow, oc, ph, pw },
        })
      : record('conv2d_weight', {
          inputs: [x, y],
          outputs: [{ shape: wShape(g) }, { shape: weightScratch(g) }],
          params: { ...g },
        });
  scratch.dispose();
  return derive(op, w, [x, y], [(dw) => input(op, g, y, dw), (dw) => forward(op, g, x, dw)]);
}

const sumOverPixels = (dy: Tensor): Tensor => sum(dy, { axes: [0, 1, 2] });

function check(op: string, x: Tensor, w: Tensor, bias: Tensor | undefined, biasSize: number): void {
  checkDType(op, 'x', x, 'f32');
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
  const { bias, stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
  check('conv2d', x, w, bias, w.shape[0]);
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
