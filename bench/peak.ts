// What this machine can do at best, measured: every bench's figures are shares of it.

import { matmul, ones, type Tensor, tidy } from '../src/tensor/index.js';
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
  /** Of a large matrix product in the device's precision, GFLOP/s; not on the cpu. */
  products?: number;
}

/** Elements in registers and how often they are multiplied, elements in memory, side of the product: long enough to be timed, and no longer. */
const SIZES: Record<string, { registers: number; rounds: number; memory: number; product: number }> = {
  cpu: { registers: 1 << 14, rounds: 20_000, memory: 1 << 24, product: 0 },
  cuda: { registers: 1 << 21, rounds: 20_000, memory: 1 << 28, product: 8192 },
  sim: { registers: 1 << 8, rounds: 10, memory: 1 << 10, product: 64 },
};

/** Takes half a second. */
export function measurePeak(device = 'cpu'): Peak {
  const sizes = SIZES[device.replace(/:.*/, '')] ?? SIZES.cuda;
  const best = (rounds: number, work: () => Tensor): number => {
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < rounds; i++) {
      const start = performance.now();
      tidy(() => wait(work()));
      least = Math.min(least, performance.now() - start);
    }
    return least;
  };
  const peak = tidy((): Peak => {
    const registers = ones([sizes.registers], { device });
    const memory = ones([sizes.memory], { device });
    return {
      gflops: (2 * sizes.registers * sizes.rounds) / best(40, () => fmaChain(registers, sizes.rounds)) / 1e6,
      gigabytes: (2 * 4 * sizes.memory) / best(10, () => memory.clone()) / 1e6,
    };
  });
  if (sizes.product === 0) return peak;
  const products = tidy(() => {
    const a = ones([sizes.product, sizes.product], { device });
    return (2 * sizes.product ** 3) / best(10, () => matmul(a, a)) / 1e6;
  });
  return { ...peak, products };
}
