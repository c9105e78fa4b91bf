// What a pair goes through before it is shown: mirrored, cut to the face, lit anew. Contract: which pairs and how follows from the
// seed and the place in the run alone, and all maps of a pair go through the same.
import { Random } from '../../head/random.js';
import { seedOf } from './recent.js';

/** Whether entry i of batch `step` is mirrored. */
export const isFlipped = (seed: number, step: number, i: number): boolean =>
  new Random(seedOf(seed, step, i, 0xf11b)).chance(0.5);

/**
 * Where each pixel of a mirrored map comes from; -1 is black. Layouts are symmetric about u = 1/2, but the outline of one that
 * was cut from scans is so only to a pixel or two: there a pixel takes its nearest neighbour in the row, and nothing leaves the footprint.
 */
export function mirrorTable(footprint: Uint8Array, size: number): Int32Array {
  return Int32Array.from(footprint, (inside, p) => {
    if (!inside) return -1;
    const x = p % size;
    const row = p - x;
    const twin = size - 1 - x;
    for (let d = 0; d < size; d++) {
      if (twin - d >= 0 && footprint[row + twin - d]) return row + twin - d;
      if (twin + d < size && footprint[row + twin + d]) return row + twin + d;
    }
    return -1;
  });
}

/** A map of one pixel after the other, `channels` bytes each, mirrored by a `mirrorTable`, in place; `scratch` holds a copy. */
export function mirrorInto(map: Uint8Array, channels: number, table: Int32Array, scratch: Uint8Array): void {
  scratch.set(map);
  for (let p = 0; p < table.length; p++) {
    for (let c = 0; c < channels; c++) map[p * channels + c] = table[p] < 0 ? 0 : scratch[table[p] * channels + c];
  }
}

/** An oval in a map of side 1: centre and half axes. */
export interface Oval {
  x: number;
  y: number;
  across: number;
  down: number;
}

/** What entry i of batch `step` is cut to, if it is: about where face meshes without ears and neck end (our choice). */
export function ovalOf(seed: number, step: number, i: number, share: number): Oval | undefined {
  if (share <= 0) return undefined;
  const random = new Random(seedOf(seed, step, i, 0x0a1));
  if (!random.chance(share)) return undefined;
  return {
    x: 0.5,
    y: random.uniform(0.49, 0.55),
    across: random.uniform(0.3, 0.42),
    down: random.uniform(0.3, 0.4),
  };
}

/** Blackens a square map outside the oval, in place. */
export function cutTo({ x, y, across, down }: Oval, map: Uint8Array, size: number): void {
  const channels = map.length / (size * size);
  for (let row = 0; row < size; row++) {
    const off = ((row + 0.5) / size - y) / down;
    const half = Math.abs(off) < 1 ? across * Math.sqrt(1 - off * off) : 0;
    const begin = Math.max(0, Math.ceil((x - half) * size - 0.5));
    const end = half === 0 ? begin : Math.min(size, Math.floor((x + half) * size + 0.5));
    map.fill(0, row * size * channels, (row * size + begin) * channels);
    map.fill(0, (row * size + end) * channels, (row + 1) * size * channels);
  }
}

/** A change of light and camera: map -> 255 gain exp(across x + down y) (map / 255)^gamma, with x and y in [-1, 1]. */
export interface Light {
  /** One per channel. */
  gain: readonly [number, number, number];
  gamma: number;
  across: number;
  down: number;
}

/**
 * The light that entry i of batch `step` is put into, if any: log-normal exposure, white balance, contrast and a fall-off over the face (our
 * choice: photos have more of each than drawn people). `strength` is the standard deviation of the exposure's logarithm.
 */
export function lightOf(seed: number, step: number, i: number, strength: number): Light | undefined {
  if (strength <= 0) return undefined;
  const random = new Random(seedOf(seed, step, i, 0x119));
  const draw = (share: number) => strength * share * random.truncated(2.5);
  const exposure = draw(1);
  const gain: Light['gain'] = [
    Math.exp(exposure + draw(0.5)),
    Math.exp(exposure + draw(0.5)),
    Math.exp(exposure + draw(0.5)),
  ];
  return { gain, gamma: Math.exp(draw(1)), across: draw(1), down: draw(0.5) };
}

/** Lights square maps [size, size, 3] anew, in place; black stays black, what is brighter than 255 becomes 255. */
export function relight({ gain, gamma, across, down }: Light, map: Uint8Array, size: number): void {
  const curves = gain.map((g) => Float32Array.from({ length: 256 }, (_, v) => 255 * g * (v / 255) ** gamma));
  const at = (i: number) => (2 * (i + 0.5)) / size - 1;
  const columns = Float32Array.from({ length: size }, (_, x) => Math.exp(across * at(x)));
  for (let y = 0, p = 0; y < size; y++) {
    const row = Math.exp(down * at(y));
    for (let x = 0; x < size; x++) {
      const scale = row * columns[x];
      for (let c = 0; c < 3; c++, p++) map[p] = Math.min(255, Math.round(scale * curves[c][map[p]]));
    }
  }
}
