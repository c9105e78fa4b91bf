// 3x3 convolution over a map upsampled twofold and, beside it, a skip connection: what a decoder of a U-Net does at every step. Neither the
// upsampled nor the joined map is ever laid out (kernels.def, winograd_up); the derivatives are those of the composition.
import { throughComposition } from '../fused.js';
import { checkDType, derive, floatType, record } from '../record.js';
import { ShapeError, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { conv2d } from './conv2d.js';
import {
  FEW_TILES,
  type Geometry,
  inputPart,
  isDirect,
  plain,
  sumOverPixels,
  tilesOf,
  weight,
  winogradWeightScratch,
  winogradWeights,
} from './conv2d_forms.js';
import { concat } from './layout.js';
import { resize } from './resize.js';

const OP = 'conv2dUpsampled';

/** Fewer channels on any side leave the form's transforms dearer than the products that it saves. */
const LEAST_CHANNELS = 16;

const doubled = (x: Tensor): Tensor => resize(x, { size: [2 * x.shape[1], 2 * x.shape[2]] });
const joined = (x: Tensor, skip?: Tensor): Tensor => (skip ? concat([doubled(x), skip], { axis: 3 }) : doubled(x));

export interface UpsampledConvOptions {
  /** [n, 2h, 2w, sc] */
  skip?: Tensor;
  /** [oc] */
  bias?: Tensor;
}

/**
 * conv2d(concat([x upsampled twofold to the nearest, skip]), w, padding 1): x [n, h, w, ic], w [oc, 3, 3, ic + sc] -> [n, 2h, 2w, oc]. The part of
 * x takes 9 products for 2x2 outputs instead of 36, by exact algebra; the skip's takes `conv2d`'s forms. Throws ShapeError.
 */
export function conv2dUpsampled(x: Tensor, w: Tensor, { skip, bias }: UpsampledConvOptions = {}): Tensor {
  const dtype = floatType(OP, { x, skip });
  checkDType(OP, 'w', w, 'f32');
  const [n, ih, iw, ic] = x.shape;
  const [oc, kh, kw, channels] = w.shape;
  const [oh, ow, sc] = [2 * ih, 2 * iw, channels - ic];
  const shown = `x ${showShape(x.shape)}, skip ${skip ? showShape(skip.shape) : 'none'}, w ${showShape(w.shape)}`;
  if (x.shape.length !== 4 || w.shape.length !== 4 || kh !== 3 || kw !== 3) {
    throw new ShapeError(`${OP}: wants x [n,h,w,ic] and w [oc,3,3,ic + sc], got ${shown}`);
  }
  const fits = skip ? skip.shape.join() === [n, oh, ow, sc].join() && sc > 0 : sc === 0;
  if (!fits)
    throw new ShapeError(`${OP}: x and skip [n,2h,2w,sc] must have the ${channels} channels of w, got ${shown}`);
  const few = Math.min(ic, oc, skip ? sc : LEAST_CHANNELS) < LEAST_CHANNELS;
  if (isDirect() || few || n * ih * iw === 0) return conv2d(joined(x, skip), w, { bias, padding: 1 });

  const size = { n, oh, ow };
  const tile = fourByFour(size) ? 4 : 2;
  const kept = tilesOf(size, tile) > FEW_TILES;
  const params = { n, ih, iw, ic, sc, oh, ow, oc, tile, kept: Number(kept), ...plain() };
  const outputs = [{ shape: [n, oh, ow, oc], dtype }, { shape: [kept ? winogradWeights(params) : 1] }];
  const [y, scratch] = record('winograd_up', { inputs: [x, skip, w, bias, undefined], outputs, params });
  scratch.dispose();

  const geometry = (c: number) => {
    const step = { kh, kw, sh: 1, sw: 1, ph: 1, pw: 1, dh: 1, dw: 1, groups: 1 };
    return { n, ih: oh, iw: ow, ic: c, oh, ow, oc, ...step };
  };
  return derive(
    OP,
    y,
    [x, skip, w, bias],
    [
      (dy) => inputPart(OP, geometry(ic), dy, w, 0, true),
      skip && ((dy) => inputPart(OP, geometry(sc), dy, w, ic)),
      (dy) => weightUpsampled(geometry(channels), x, skip, dy),
      bias && sumOverPixels,
    ],
  );
}

const fourByFour = (size: { n: number; oh: number; ow: number }): boolean => tilesOf(size, 4) >= 16;

/** dw of y = conv(joined(x, skip), w), the joined map read where its parts lie. */
function weightUpsampled(g: Geometry, x: Tensor, skip: Tensor | undefined, y: Tensor): Tensor {
  const composed = (x: Tensor, skip: Tensor | undefined, y: Tensor): Tensor => weight(OP, g, joined(x, skip), y);
  if (!fourByFour(g)) return composed(x, skip, y);
  const [n, ih, iw, ic] = x.shape;
  const { oh, ow, oc } = g;
  const [w, scratch] = record('winograd_up_weight', {
    inputs: [x, skip, y],
    outputs: [{ shape: [oc, 3, 3, g.ic] }, { shape: winogradWeightScratch(g) }],
    params: { n, ih, iw, ic, sc: g.ic - ic, oh, ow, oc },
  });
  scratch.dispose();
  return derive(OP, w, [x, skip, y], throughComposition(composed, [x, skip, y] as const));
}
