// What is compared: methods that complete incomplete maps, all behind one interface. Contract: maps are u8 [size, size, 3],
// black outside the footprint, rounded as files hold them, so that no method gains by fractions.
import { capture } from '../../tensor/plan.js';
import '../../tensor/methods.js';
import { tensor } from '../../tensor/create.js';
import { tidy } from '../../tensor/scope.js';
import type { Tensor } from '../../tensor/tensor.js';
import { completeByMirror, type View } from '../blend.js';
import { keepSeen } from '../complete.js';
import type { Pair } from '../dataset/pairs.js';
import { type CompletedMaps, completeMaps, footprintTensor } from '../generator-input.js';
import { type GeneratorNetwork, kindOf } from '../generators.js';

/** What a method is shown. */
export type Incomplete = Pick<Pair, 'incomplete' | 'mask'>;

/** The layout of the maps: their side and u8 [size, size], 1 where they show surface. */
export interface Frame {
  readonly size: number;
  readonly footprint: Uint8Array;
}

export interface Completion {
  map: Uint8Array;
  /** The first U-Net's map, where there are two. */
  intermediate?: Uint8Array;
}

export interface Completer {
  readonly name: string;
  /** What it is, for the record. */
  readonly about: Readonly<Record<string, string | number | boolean | undefined>>;
  /** True where it draws seen pixels anew, so that `composite` makes a difference. */
  readonly redraws: boolean;
  /** Completions in the order of the pairs. Throws ShapeError where the maps do not suit the method. */
  complete(pairs: readonly Incomplete[], frame: Frame): Promise<Completion[]>;
  dispose(): void;
}

/** Values in 0..255, rounded as `toPixels` does. */
const rounded = (values: ArrayLike<number>): Uint8Array => new Uint8Array(new Uint8ClampedArray(values).buffer);

/** Nothing is done: how far the photo alone is from the truth. */
export function inputCompleter(name = 'input'): Completer {
  return {
    name,
    about: { kind: 'input' },
    redraws: false,
    async complete(pairs, { footprint }) {
      return pairs.map(({ incomplete }) => ({
        map: incomplete.map((v, i) => v * footprint[Math.floor(i / 3)]),
      }));
    },
    dispose() {},
  };
}

/** The pair as the completions of photos take it; that a pixel was seen is all the confidence there is. */
function viewOf({ incomplete, mask }: Incomplete, size: number): View {
  return {
    texture: tensor(new Float32Array(incomplete), { shape: [size, size, 3] }),
    mask: tensor(mask, { shape: [size, size], dtype: 'u8' }),
    confidence: tensor(new Float32Array(mask), { shape: [size, size] }),
  };
}

/** By symmetry, `completeByMirror`: no weights. */
export function mirrorCompleter(name = 'mirror'): Completer {
  return {
    name,
    about: { kind: 'mirror' },
    redraws: false,
    async complete(pairs, { size, footprint }) {
      return pairs.map((pair) => ({
        map: tidy(() => rounded(completeByMirror(viewOf(pair, size), footprint).dataSync())),
      }));
    },
    dispose() {},
  };
}

/** What a row of such maps says it is. */
export const PHOTO_KEPT = "the photo's pixels kept";

/** A completed map with the photo's pixels where it saw them, one Poisson solve over the seam: `complete`'s `composite`. */
export function composited(pair: Incomplete, map: Uint8Array, { size, footprint }: Frame): Uint8Array {
  return tidy(() => {
    const drawn = tensor(new Float32Array(map), { shape: [size, size, 3] });
    return rounded(keepSeen(viewOf(pair, size), drawn, footprint).dataSync());
  });
}

export interface AttentionMap {
  /** Coefficients in 0..1, rows from the top. */
  values: Float32Array;
  height: number;
  width: number;
}

/** A network of the generators' file formats, several maps at a time through one captured plan per batch size. */
export class NetworkCompleter implements Completer {
  readonly redraws = true;
  readonly about: Completer['about'];
  /** Two U-Nets: the first one's map is worth a look. */
  private readonly coupled: boolean;
  private readonly run;

  /** `network` in evaluation mode; this object owns it. */
  constructor(
    readonly name: string,
    private readonly network: GeneratorNetwork,
    about: Completer['about'] = {},
  ) {
    const { options } = network;
    this.coupled = 'coupled' in options && options.coupled;
    this.about = { ...about, ...options, kind: kindOf(network), parameters: network.parameterCount() };
    this.run = capture((maps: Tensor, masks: Tensor, footprint: Tensor) => {
      const { final, aux } = this.draw(maps, masks, footprint); // [n, s, s, 3]
      return this.coupled ? [final, aux] : [final];
    });
  }

  /** Noise, where the mode has any, is the same in every batch. */
  private draw(maps: Tensor, masks: Tensor, footprint: Tensor): CompletedMaps {
    return completeMaps(this.network, maps, masks, footprint, { seed: 0 });
  }

  async complete(pairs: readonly Incomplete[], frame: Frame): Promise<Completion[]> {
    if (pairs.length === 0) return [];
    const outputs = tidy(() => this.run(...batchOf(pairs, frame)));
    const images = await Promise.all(outputs.map((y) => y.data()));
    for (const y of outputs) y.dispose();
    const length = 3 * frame.size ** 2;
    const at = (k: number, i: number) => rounded(images[k].subarray(i * length, (i + 1) * length));
    return pairs.map((_, i) => ({ map: at(0, i), ...(this.coupled && { intermediate: at(1, i) }) }));
  }

  /** The attention maps of the last U-Net for one pair, deep to shallow; none where the network has no gates. */
  async attention(pair: Incomplete, frame: Frame): Promise<AttentionMap[]> {
    const maps = tidy(() => this.draw(...batchOf([pair], frame)).attention);
    const values = await Promise.all(maps.map((map) => map.data()));
    return maps.map((map, i) => {
      const [, height, width] = map.shape; // [1, h, w, 1]
      map.dispose();
      return { values: Float32Array.from(values[i]), height, width };
    });
  }

  dispose(): void {
    this.run.dispose();
    this.network.dispose();
  }
}

/** Maps u8 [n, s, s, 3], masks u8 [n, s, s] and the footprint f32 [s, s, 1]. */
function batchOf(pairs: readonly Incomplete[], { size, footprint }: Frame): [Tensor, Tensor, Tensor] {
  const plane = size * size;
  const maps = new Uint8Array(pairs.length * plane * 3);
  const masks = new Uint8Array(pairs.length * plane);
  for (const [i, { incomplete, mask }] of pairs.entries()) {
    maps.set(incomplete, i * plane * 3);
    masks.set(mask, i * plane);
  }
  return [
    tensor(maps, { shape: [pairs.length, size, size, 3], dtype: 'u8' }),
    tensor(masks, { shape: [pairs.length, size, size], dtype: 'u8' }),
    footprintTensor(footprint, size, size),
  ];
}
