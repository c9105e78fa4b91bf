// In which order an epoch shows its pairs. Contract: it follows from the seed and the epoch alone and shows every pair once.
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
