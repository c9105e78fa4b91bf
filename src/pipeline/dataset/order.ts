// In which order an epoch shows its pairs, and which of them are mirrored or cut. Contract: both follow from the seed and the
// place in the run alone; the order of an epoch shows every pair once.
import { Random } from '../../head/random.js';
import { seedOf } from './recent.js';

/** How the pairs of a source may be mixed. */
export interface Mixing {
  length: number;
  /** Neighbouring pairs that share much work; blocks are shuffled as wholes first. */
  block: number;
  /** Blocks that are mixed with one another: as many as the source keeps in memory. */
  window: number;
}

/** The pairs of an epoch: blocks shuffled, then all pairs within each window of them. One window over all is uniform. */
export function epochOrder({ length, block, window }: Mixing, seed: number, epoch: number): Int32Array {
  const random = new Random(seedOf(seed, epoch, 0x0bde));
  const blocks = Int32Array.from({ length: Math.ceil(length / block) }, (_, i) => i);
  if (blocks.length > window) shuffle(blocks, 0, blocks.length, random);
  const order = new Int32Array(length);
  let at = 0;
  for (let first = 0; first < blocks.length; first += window) {
    const begin = at;
    for (const b of blocks.subarray(first, first + window)) {
      for (let i = b * block; i < Math.min(length, (b + 1) * block); i++) order[at++] = i;
    }
    shuffle(order, begin, at, random);
  }
  return order;
}

function shuffle(list: Int32Array, begin: number, end: number, random: Random): void {
  for (let i = end - 1; i > begin; i--) {
    const j = begin + random.below(i - begin + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
}

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
