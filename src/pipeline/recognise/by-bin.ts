// Verification in bins, as the paper's Table 2 counts it (paper-spec 11.4): of each bin all pairs of one person and as many random ones of
// different people, ten folds. Contract: the same pairs and seed give the same numbers.
import { Random } from '../../head/random.js';
import { contiguousFolds, type VerificationResult, verify } from './verification.js';

/** Two faces that may be compared. */
export interface BinnedPair {
  /** Squared distance of their embeddings. */
  distance: number;
  same: boolean;
  /** Number of the bin; what is not a bin's is left out. */
  bin: number;
}

/** One result for each bin; undefined where it has fewer than ten pairs of one person, or too few of different ones. */
export function verifyBins(
  pairs: readonly BinnedPair[],
  bins: number,
  { seed = 1, folds = 10 }: { seed?: number; folds?: number } = {},
): (VerificationResult | undefined)[] {
  return Array.from({ length: bins }, (_, bin) => {
    const own = pairs.filter((pair) => pair.bin === bin);
    const same = own.filter((pair) => pair.same);
    const others = own.filter((pair) => !pair.same);
    if (same.length < folds || others.length < same.length) return undefined;
    const random = new Random(seed + bin);
    for (let i = 0; i < same.length; i++) {
      const j = i + random.below(others.length - i);
      [others[i], others[j]] = [others[j], others[i]];
    }
    const taken = same.flatMap((pair, i) => [pair, others[i]]);
    return verify({
      distances: Float64Array.from(taken, ({ distance }) => distance),
      same: Uint8Array.from(taken, (pair) => Number(pair.same)),
      folds: contiguousFolds(taken.length, folds),
    });
  });
}
