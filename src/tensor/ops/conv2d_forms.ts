// The forms that convolutions take and the rule by which one is chosen; what users call stands in conv2d.ts and conv2d_upsampled.ts. Convolution is
// linear in each argument, so three ops are closed under differentiation, each derivative being the other two:
//
//   forward  (x, w) -> y     grad: x: input(dy, w)    w: weight(x, dy)
//   input    (y, w) -> x     grad: y: forward(dx, w)  w: weight(dx, y)
//   weight   (x, y) -> w     grad: x: input(y, dw)    y: forward(x, dw)
//
// x and y are of one type, f32 or bf16, w is f32. Where a convolution reads two maps as one, the derivatives of each are taken where the other's channels
// lie: `inputPart` reads some channels of the weights.
import { throughComposition } from '../fused.js';
import { derive, record } from '../record.js';
import { roundUp, type Shape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { mul } from './elementwise.js';
import { slice } from './layout.js';
import { avgPool2d } from './pool2d.js';
import { sum } from './reduce.js';

/** Everything the three kernels need, under the names of kernels.def. */
export interface Geometry {
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

/** Floats of packed weights: the factor that becomes panel columns is rounded up, up to four turned ones beside; depthwise weights are only turned. */
function scratchShape(g: Geometry, rounded: 'ic' | 'oc', maps = 1): Shape {
  const [icg, ocg] = [g.ic / g.groups, g.oc / g.groups];
  if (icg === 1 && ocg === 1) return [g.kh * g.kw * roundUp(g.ic, 16)];
  return [g.kh * g.kw * (rounded === 'oc' ? roundUp(ocg, 64) * icg * maps : ocg * (roundUp(icg, 64) + 4))];
}

/** Floats of x with the padding that the kernel reaches, and of dy, for one group; of a 1x1 kernel, up to 16 sums that become one. */
function weightScratch(g: Geometry, maps: number): Shape {
  const [icg, ocg] = [(g.ic / g.groups) * maps, g.oc / g.groups];
  if (icg === 1 && ocg === 1) return [1];
  if (g.kh * g.kw === 1 && g.ph + g.pw === 0) return [Math.min(16 * icg * ocg, 2 ** 20)];
  const yp = (g.oh - 1) * g.sh + (g.kh - 1) * g.dh + 1;
  const xp = (g.ow - 1) * g.sw + (g.kw - 1) * g.dw + 1;
  return [g.n * (yp * xp * roundUp(icg, 32) + g.oh * g.ow * (ocg + 7)) + 64];
}

/** `exact`: direct forms, whose sums round as plain sums do; `bf16`: products in bf16 where the processor can, of transformed numbers where their weights are kept. */
export type ConvPrecision = 'fast' | 'exact' | 'bf16';

let precision: ConvPrecision = 'fast';

/** Convolutions recorded by fn are recorded so. */
export function withPrecision<T>(wanted: ConvPrecision, fn: () => T): T {
  const before = precision;
  precision = wanted;
  try {
    return fn();
  } finally {
    precision = before;
  }
}

export const isDirect = (): boolean => precision === 'exact';

/** Ends and packing as a plain convolution has them (`freeze.ts` is where others come from), and the precision. */
export const plain = () => ({ activation: 0, slope: 0, packed: 0, bf16: Number(precision === 'bf16') });

/** Tiles of `side` times `side` outputs. */
export const tilesOf = ({ n, oh, ow }: Pick<Geometry, 'n' | 'oh' | 'ow'>, side: 2 | 4): number =>
  n * Math.ceil(oh / side) * Math.ceil(ow / side);

/**
 * The tile of Winograd's form where it pays: 3x3 of stride 1, 16 channels or more for its transforms to be cheap beside the products, and enough
 * tiles for the transformed weights, a multiple of the weights, to be worth their bytes. F(4x4) saves more products, F(2x2) has more tiles.
 */
function winogradTile(g: Geometry): 2 | 4 | undefined {
  const suits =
    !isDirect() &&
    g.kh === 3 &&
    g.kw === 3 &&
    g.sh * g.sw * g.dh * g.dw * g.groups === 1 &&
    g.ph <= 2 &&
    g.pw <= 2 &&
    Math.min(g.ic, g.oc) >= 16;
  return suits ? ([4, 2] as const).find((side) => tilesOf(g, side) >= 16) : undefined;
}

/** Up to so many tiles weights are transformed as they are used: to write them and read them again would take longer. */
export const FEW_TILES = 24;

/** Floats of transformed weights, `planes` numbers for a kernel's nine; few outputs beyond whole vectors take a panel of their own. */
const transformed = (planes: number, ic: number, oc: number): number =>
  (planes * roundUp(ic, 64) * (roundUp(oc, 64) + (oc % 16 ? 32 : 0)) * 33) / 32;

/** Floats that a `winograd` keeps, or with `sc` a `winograd_up`. */
export const winogradWeights = ({ ic, sc, oc, tile }: { ic: number; sc?: number; oc: number; tile: number }): number =>
  sc === undefined
    ? transformed((tile + 2) ** 2, ic, oc)
    : transformed(9, ic, oc) + transformed((tile + 2) ** 2, sc, oc);

/** The convolution (or, turned, the input gradient of one, of `oc` channels of w from `from` on) by F(tile x tile, 3x3). */
function winograd(
  tile: 2 | 4,
  x: Tensor,
  w: Tensor,
  bias: Tensor | undefined,
  [, oh, ow, oc]: Shape,
  [ph, pw]: number[],
  { turned = false, from = 0, halved = false } = {},
): Tensor {
  const [n, ih, iw, ic] = x.shape;
  const kept = tilesOf({ n, oh, ow }, tile) > FEW_TILES;
  const shape = halved ? [n, oh / 2, ow / 2, oc] : [n, oh, ow, oc];
  const outputs = [{ shape, dtype: x.dtype }, { shape: [kept ? winogradWeights({ ic, oc, tile }) : 1] }];
  const weights = { turned: Number(turned), wc: w.shape[3], w0: from, halved: Number(halved) };
  const params = { n, ih, iw, ic, oh, ow, oc, ph, pw, ...weights, tile, kept: Number(kept), ...plain() };
  const [y, scratch] = record('winograd', { inputs: [x, w, bias, undefined], outputs, params });
  scratch.dispose();
  return y;
}

function direct(
  kernel: string,
  g: Geometry,
  inputs: (Tensor | undefined)[],
  shape: Shape,
  scratch: Shape,
  params: Record<string, number>,
): Tensor {
  const outputs = [{ shape, dtype: inputs[0]?.dtype }, { shape: scratch }];
  const [y, rest] = record(kernel, { inputs, outputs, params: { ...g, ...params } });
  rest.dispose();
  return y;
}

/** With `beside`, a map like x, a 1x1 convolution over [x, beside]: w [oc, 1, 1, 2 ic]. */
export function forward(op: string, g: Geometry, x: Tensor, w: Tensor, bias?: Tensor, beside?: Tensor): Tensor {
  const tile = winogradTile(g);
  const y = tile
    ? winograd(tile, x, w, bias, yShape(g), [g.ph, g.pw])
    : direct('conv2d', g, [x, beside, w, bias, undefined], yShape(g), scratchShape(g, 'oc', beside ? 2 : 1), plain());
  if (beside) {
    return derive(
      op,
      y,
      [x, beside, w, bias],
      [
        (dy) => inputPart(op, g, dy, w, 0),
        (dy) => inputPart(op, g, dy, w, g.ic),
        (dy) => weight(op, g, x, dy, beside),
        bias && sumOverPixels,
      ],
    );
  }
  return derive(
    op,
    y,
    [x, w, bias],
    [(dy) => input(op, g, dy, w), (dy) => weight(op, g, x, dy), bias && sumOverPixels],
  );
}

export function input(op: string, g: Geometry, y: Tensor, w: Tensor, bias?: Tensor): Tensor {
  const tile = winogradTile({ ...g, oh: g.ih, ow: g.iw });
  const x = tile
    ? winograd(tile, y, w, bias, xShape(g), [2 - g.ph, 2 - g.pw], { turned: true })
    : directInput(g, y, w, 0, bias);
  return derive(
    op,
    x,
    [y, w, bias],
    [(dx) => forward(op, g, dx, w), (dx) => weight(op, g, dx, y), bias && sumOverPixels],
  );
}

const directInput = (g: Geometry, y: Tensor, w: Tensor, from: number, bias?: Tensor): Tensor =>
  direct('conv2d_input', g, [y, w, bias], xShape(g), scratchShape(g, 'ic'), { wc: w.shape[3], w0: from });

/** The adjoint of upsampling twofold to the nearest: sums of 2x2 pixels. */
const sumsOf2x2 = (x: Tensor): Tensor => mul(avgPool2d(x, { kernelSize: 2 }), 4);

/** `input` by g.ic channels of w from `from` on, read where they lie; `halved`: in sums of 2x2 pixels. */
export function inputPart(op: string, g: Geometry, y: Tensor, w: Tensor, from: number, halved = false): Tensor {
  const tile = winogradTile({ ...g, oh: g.ih, ow: g.iw });
  const composed = (y: Tensor, w: Tensor): Tensor => {
    const part = slice(w, { start: [0, 0, 0, from], size: [g.oc, g.kh, g.kw, g.ic] });
    const x = input(op, g, y, part);
    return halved ? sumsOf2x2(x) : x;
  };
  if (halved && !tile) return composed(y, w);
  const x = tile
    ? winograd(tile, y, w, undefined, xShape(g), [2 - g.ph, 2 - g.pw], { turned: true, from, halved })
    : directInput(g, y, w, from);
  return derive(op, x, [y, w], throughComposition(composed, [y, w] as const));
}

/** Floats that Winograd's weight gradients take, by tiles of 4x4 pixels. */
export function winogradWeightScratch(g: Pick<Geometry, 'n' | 'oh' | 'ow' | 'oc'>): Shape {
  const tiles = tilesOf(g, 4);
  return [36 * (roundUp(tiles, Math.min(64, tiles)) + 256) * (g.oc + 7)];
}

export function weight(op: string, g: Geometry, x: Tensor, y: Tensor, beside?: Tensor): Tensor {
  const { n, ih, iw, ic, oh, ow, oc, ph, pw } = g;
  const [w, scratch] =
    winogradTile(g) === 4
      ? record('winograd_weight', {
          inputs: [x, y],
          outputs: [{ shape: wShape(g) }, { shape: winogradWeightScratch(g) }],
          params: { n, ih, iw, ic, oh, ow, oc, ph, pw },
        })
      : record('conv2d_weight', {
          inputs: [x, beside, y],
          outputs: [{ shape: beside ? [oc, 1, 1, 2 * ic] : wShape(g) }, { shape: weightScratch(g, beside ? 2 : 1) }],
          params: { ...g },
        });
  scratch.dispose();
  if (beside) {
    return derive(
      op,
      w,
      [x, beside, y],
      [
        (dw) => inputPart(op, g, y, dw, 0),
        (dw) => inputPart(op, g, y, dw, ic),
        (dw) => forward(op, g, x, dw, undefined, beside),
      ],
    );
  }
  return derive(op, w, [x, y], [(dw) => input(op, g, y, dw), (dw) => forward(op, g, x, dw)]);
}

export const sumOverPixels = (dy: Tensor): Tensor => sum(dy, { axes: [0, 1, 2] });
