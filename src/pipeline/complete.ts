// From what a photo shows of a face to its whole texture: by symmetry, or by a generator of the paper's family.
// Contract: maps are f32 [h, w, 3] in 0..255, black outside the footprint.
import { tensor } from '../tensor/create.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { completeByMirror, mergeViews, type View } from './blend.js';
import { generatorInput, generatorOutput } from './generator-input.js';
import type { GeneratorNetwork } from './generators.js';

export type CompletionMethod = 'mirror' | 'generator';

export interface CompleteOptions {
  /** By default `generator` where one is given, else `mirror`. */
  method?: CompletionMethod;
  /** In evaluation mode (`loadGenerator` returns it so). */
  generator?: GeneratorNetwork;
  /** Keep the pixels that the photo saw and blend the generator's into the rest (our choice, not the paper's). */
  composite?: boolean;
}

/**
 * Completes an unwrapped face. `mirror` needs no weights; `generator` sees the map as its input mode says (raw in the paper:
 * x / 127.5 - 1, -1 outside the footprint) and its answer stands as it is unless `composite`. Map sides must be multiples of
 * 32 for a generator. Throws ShapeError.
 */
export function complete(view: View, footprint: Uint8Array, options: CompleteOptions = {}): Tensor {
  const { generator, composite = false } = options;
  const { method = generator ? 'generator' : 'mirror' } = options;
  if (method === 'mirror') return completeByMirror(view, footprint);
  if (method !== 'generator') throw new ShapeError(`complete: method is mirror or generator, got '${method}'`);
  if (!generator) throw new ShapeError('complete: the method generator wants a generator, got none');
  return tidy(() => {
    const { input: mode } = generator.options;
    const drawn = generatorOutput(generator.forward(generatorInput(view, footprint, { mode })).final, footprint);
    return composite ? keepSeen(view, drawn, footprint) : drawn;
  });
}

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
