// From what a photo shows of a face to its whole texture: by symmetry, or by a generator of the paper's family.
// Contract: maps are f32 [h, w, 3] in 0..255, black outside the footprint.
import '../tensor/methods.js';
import { tensor } from '../tensor/create.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { completeByMirror, mergeViews, type View } from './blend.js';
import { completeMaps, footprintTensor } from './generator-input.js';
import type { GeneratorNetwork } from './generators.js';

export type CompletionMethod = 'mirror' | 'generator';

export interface CompleteOptions {
  /** By default `generator` where one is given, else `mirror`. */
  method?: CompletionMethod;
  /** In evaluation mode (`loadGenerator` returns it so). */
  generator?: GeneratorNetwork;
  /**
   * Keep the pixels that the photo saw, and blend the mirrored half in the generator's light into the rest (our choice, not the paper's).
   */
  composite?: boolean;
}

/**
 * Completes an unwrapped face. `mirror` needs no weights; `generator` sees the map as its input mode says (raw in the paper:
 * x / 127.5 - 1, -1 outside the footprint) and its answer stands as it is unless `composite`. Map sides must be multiples of
 * 32 for a generator that does not know the size it was trained on. Throws ShapeError.
 */
export function complete(view: View, footprint: Uint8Array, options: CompleteOptions = {}): Tensor {
  const { generator, composite = false } = options;
  const { method = generator ? 'generator' : 'mirror' } = options;
  if (method === 'mirror') return completeByMirror(view, footprint);
  if (method !== 'generator') throw new ShapeError(`complete: method is mirror or generator, got '${method}'`);
  if (!generator) throw new ShapeError('complete: the method generator wants a generator, got none');
  return tidy(() => {
    const drawn = drawnBy(generator, view, footprint);
    return composite ? keepSeen(view, relitMirror(drawn, view, footprint), footprint) : drawn;
  });
}

/** The generator's map f32 [h, w, 3] of one view. */
function drawnBy(generator: GeneratorNetwork, { texture, mask }: View, footprint: Uint8Array): Tensor {
  const [h, w] = texture.shape;
  const maps = texture.reshape([1, h, w, 3]);
  const inside = footprintTensor(footprint, h, w);
  return completeMaps(generator, maps, mask.reshape([1, h, w]), inside, { seed: 0 }).final.reshape([h, w, 3]);
}

/** Side, in parts of the map's, of the squares over which light and colour are taken from the generator. */
const LIGHT = 1 / 16;
/** Added to both sides of a ratio of colours, so that black on black is no light. */
const DARK = 8;

/**
 * The face's other half in the light and colours of the generator (our choice): a small network knows well how light falls on the hidden half
 * and draws no detail, with symmetry it is the other way round. Photos have cameras and skins that the drawn people of its training have
 * not, so its colours are first brought to the photo's, one gain per channel over what the photo saw well.
 */
function relitMirror(drawn: Tensor, view: View, footprint: Uint8Array): Tensor {
  const [h, w, c] = drawn.shape;
  const kernelSize = Math.max(1, Math.round(h * LIGHT));
  const light = (map: Tensor) =>
    map
      .reshape([1, h, w, c])
      .avgPool2d({ kernelSize })
      .resize({ size: [h, w], mode: 'bilinear' })
      .reshape([h, w, c])
      .add(DARK);
  const seen = view.confidence.greater(WELL).reshape([h, w, 1]);
  const overall = (map: Tensor) =>
    map
      .mul(seen)
      .sum({ axes: [0, 1] })
      .add(1); // [3]
  const matched = drawn.mul(overall(view.texture).div(overall(drawn)));
  const mirrored = completeByMirror(view, footprint);
  return mirrored
    .mul(light(matched).div(light(mirrored)))
    .clip(0, 255)
    .mul(footprintTensor(footprint, h, w));
}

/** Cosine from which the photo's colours are taken as the face's. */
const WELL = 0.4;
/** Cosine below which the generator is believed more than the photo. */
const TRUST = 0.3;

/** The photo's pixels where it saw them well, the drawn ones elsewhere, one Poisson solve over the seam. */
export function keepSeen(view: View, drawn: Tensor, footprint: Uint8Array): Tensor {
  const [h, w] = drawn.shape;
  const everywhere: View = {
    texture: drawn,
    mask: tensor(footprint, { shape: [h, w], dtype: 'u8' }),
    confidence: tensor(
      Float32Array.from(footprint, (inside) => TRUST * inside),
      { shape: [h, w] },
    ),
  };
  return mergeViews([view, everywhere], footprint, { gain: false });
}
