// Verification of all pairs of a set of faces, told apart by how far the two heads are turned from each other.
import { ShapeError } from '../../tensor/shape.js';
import { cosineSimilarity } from './embed.js';
import { areaUnder, equalErrorRate, type RocCurve, rocCurve } from './verification.js';

export interface YawDifferenceBin {
  /** Difference of the yaw angles in degrees: at least `from`, below `to`. */
  from: number;
  to: number;
  same: number;
  different: number;
  /** Undefined where the bin lacks pairs of either kind. */
  auc: number | undefined;
  /** Mean cosine. */
  sameCosine: number | undefined;
  differentCosine: number | undefined;
}

export interface AllPairsResult {
  same: number;
  different: number;
  auc: number;
  eer: number;
  /** Best mean of TAR and 1 - FAR. */
  balancedAccuracy: number;
  bins: YawDifferenceBin[];
  roc: RocCurve;
}

/** Edges of the bins in degrees; the last has no upper one. */
export const YAW_EDGES: readonly number[] = [0, 20, 40, 60];

/** The cosines of a list of embeddings, for `verifyAllPairs`. */
export const cosinesOf =
  (embeddings: readonly ArrayLike<number>[]) =>
  (i: number, j: number): number =>
    cosineSimilarity(embeddings[i], embeddings[j]);

/**
 * Compares every face with every other by `similarity`, -1..1. One label and yaw (degrees) for each face. Throws ShapeError for
 * lists of different lengths.
 */
export function verifyAllPairs(
  similarity: (i: number, j: number) => number,
  labels: ArrayLike<number>,
  yaws: ArrayLike<number>,
  edges: readonly number[] = YAW_EDGES,
): AllPairsResult {
  const n = labels.length;
  if (yaws.length !== n || n < 2) throw new ShapeError(`verifyAllPairs: ${n} labels and ${yaws.length} yaws`);
  const all = new Pairs();
  const bins = edges.map((from, i) => ({ from, to: edges[i + 1] ?? 180, pairs: new Pairs() }));
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const cosine = similarity(i, j);
      const same = labels[i] === labels[j];
      const turn = Math.abs(yaws[i] - yaws[j]);
      all.add(cosine, same);
      bins.find(({ from, to }, k) => turn >= from && (turn < to || k === bins.length - 1))?.pairs.add(cosine, same);
    }
  }
  const roc = all.roc();
  const balanced = roc.far.reduce((best, far, i) => Math.max(best, (roc.tar[i] + 1 - far) / 2), 0);
  return {
    ...all.counts(),
    auc: areaUnder(roc),
    eer: equalErrorRate(roc),
    balancedAccuracy: balanced,
    bins: bins.map(({ from, to, pairs }) => {
      const { same, different } = pairs.counts();
      const auc = same > 0 && different > 0 ? areaUnder(pairs.roc()) : undefined;
      return { from, to, same, different, auc, sameCosine: pairs.mean(1), differentCosine: pairs.mean(0) };
    }),
    roc,
  };
}

class Pairs {
  private readonly distances: number[] = [];
  private readonly same: number[] = [];

  add(cosine: number, same: boolean): void {
    this.distances.push(2 - 2 * cosine);
    this.same.push(same ? 1 : 0);
  }

  counts(): { same: number; different: number } {
    const same = this.same.reduce((sum, value) => sum + value, 0);
    return { same, different: this.same.length - same };
  }

  mean(kind: 0 | 1): number | undefined {
    const of = this.distances.filter((_, i) => this.same[i] === kind);
    return of.length === 0 ? undefined : 1 - of.reduce((sum, value) => sum + value, 0) / of.length / 2;
  }

  roc(): RocCurve {
    return rocCurve({ distances: Float64Array.from(this.distances), same: Uint8Array.from(this.same) });
  }
}
