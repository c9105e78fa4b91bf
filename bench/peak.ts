// What this machine can do at best, measured: every bench's figures are shares of it.

import { ones, type Tensor, tidy } from '../src/tensor/index.js';
import { fmaChain } from '../src/tensor/ops/fma_chain.js';

/** Waits until x has been computed, without copying it. */
export const wait = (x: Tensor): void => {
  x.owner.readSync(x.storage.slot, 'u8', 0);
};

export interface Peak {
  /** Multiplications and additions in registers, all threads. */
  gflops: number;
  /** Reading and writing arrays that fit no cache. */
  gigabytes: number;
}

/** Takes half a second. */
export function measurePeak(): Peak {
  const best = (rounds: number, work: () => Tensor): number => {
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < rounds; i++) {
      const start = performance.now();
      tidy(() => wait(work()));
      least = Math.min(least, performance.now() - start);
    }
    return least;
  };
  return tidy(() => {
    const registers = ones([1 << 14]);
    const rounds = 20_000;
    const memory = ones([1 << 24]);
    return {
      gflops: (2 * registers.size * rounds) / best(40, () => fmaChain(registers, rounds)) / 1e6,
      gigabytes: (2 * 4 * memory.size) / best(10, () => memory.clone()) / 1e6,
    };
  });
}
