// From what a photo shows of a face to its whole texture: by symmetry, or by a generator of the paper's family.
// Contract: maps are f32 [h, w, 3] in 0..255, black outside the footprint.
import { FormatError } from '../formats/error.js';
import { loadSafetensors, readSafetensorsMetadata, saveSafetensors } from '../formats/safetensors.js';
import { Generator } from '../models/rescunet.js';
import { tensor } from '../tensor/create.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { completeByMirror, mergeViews, type View } from './blend.js';
import { generatorInput, generatorOutput } from './generator-input.js';

export type CompletionMethod = 'mirror' | 'generator';

export interface CompleteOptions {
  /** By default `generator` where one is given, else `mirror`. */
  method?: CompletionMethod;
  /** Of three channels, in evaluation mode (`loadGenerator` returns it so). */
  generator?: Generator;
  /** Keep the pixels that the photo saw and blend the generator's into the rest (our choice, not the paper's). */
  composite?: boolean;
}

/**
 * Completes an unwrapped face. `mirror` needs no weights; `generator` sees the raw map as the paper does (x / 127.5 - 1, -1 outside the footprint) and
 * its answer stands as it is unless `composite`. Map sides must be multiples of 32 for a generator. Throws ShapeError.
 */
export function complete(view: View, footprint: Uint8Array, options: CompleteOptions = {}): Tensor {
  const { generator, composite = false } = options;
  const { method = generator ? 'generator' : 'mirror' } = options;
  if (method === 'mirror') return completeByMirror(view, footprint);
  if (method !== 'generator') throw new ShapeError(`complete: method is mirror or generator, got '${method}'`);
  if (!generator) throw new ShapeError('complete: the method generator wants a generator, got none');
  return tidy(() => {
    const drawn = generatorOutput(generator.forward(generatorInput(view, footprint)).final, footprint);
    return composite ? keepSeen(view, drawn, footprint) : drawn;
  });
}

/** Cosine below which the generator is believed more than the photo. */
const TRUST = 0.3;

/** The photo's pixels where it saw them well, the drawn ones elsewhere, one Poisson solve over the seam. */
function keepSeen(view: View, drawn: Tensor, footprint: Uint8Array): Tensor {
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

const FLAGS = { true: true, false: false } as const;

/**
 * Writes a generator's weights under the paper's names in PyTorch's layout, its options as metadata. Throws FormatError.
 */
export function saveGenerator(path: string, generator: Generator): void {
  const metadata = { kind: 'generator', layout: 'torch', ...generator.options };
  const text = Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, String(value)]));
  tidy(() => saveSafetensors(path, generator.stateDict({ to: 'torch' }), text));
}

/**
 * The generator of a .safetensors file (weights in PyTorch's layout; metadata baseWidth, attention, coupled, channels, those of `new Generator()`
 * where absent), in evaluation mode. Throws FormatError naming the file for weights that do not fit.
 */
export function loadGenerator(path: string): Generator {
  const metadata = readSafetensorsMetadata(path);
  const number = (key: string, fallback: number) => {
    const value = Number(metadata[key] ?? fallback);
    if (Number.isInteger(value) && value > 0) return value;
    throw new FormatError(path, `metadata ${key}`, `wanted a whole number > 0, got '${metadata[key]}'`);
  };
  const flag = (key: string) => {
    const value = FLAGS[(metadata[key] ?? 'true') as keyof typeof FLAGS];
    if (value !== undefined) return value;
    throw new FormatError(path, `metadata ${key}`, `wanted true or false, got '${metadata[key]}'`);
  };
  const options = {
    baseWidth: number('baseWidth', 64),
    channels: number('channels', 3),
    attention: flag('attention'),
    coupled: flag('coupled'),
  };
  const state = loadSafetensors(path);
  try {
    const generator = new Generator({ ...options, initialize: false });
    generator.loadStateDict(state, { from: 'torch' });
    return generator.eval();
  } catch (error) {
    if (error instanceof ShapeError) throw new FormatError(path, 'weights', `no such generator (${shortened(error)})`);
    throw error;
  } finally {
    for (const t of Object.values(state)) t.dispose();
  }
}

const shortened = ({ message }: Error): string => (message.length > 400 ? `${message.slice(0, 400)} ...` : message);
