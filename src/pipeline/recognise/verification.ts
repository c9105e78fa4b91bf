// How well distances tell same from different: accuracy over folds with thresholds from the others, VAL at FAR, ROC, AUC, EER,
// TAR at FAR (paper-spec 11.4). Contract: a distance is that of embeddings of length 1, ||a - b||^2 in 0..4, smaller more alike;
// a pair counts as same where its distance lies below the threshold.
import { ShapeError } from '../../tensor/shape.js';

/** Distances of pairs and what is true of them. */
export interface Verification {
  distances: Float64Array;
  /** 1 where both are one person. */
  same: Uint8Array;
  /** Fold of each pair, counted from 0. */
  folds: Int32Array;
}

export interface FoldAccuracy {
  pairs: number;
  /** The one that was best on the other folds. */
  threshold: number;
  accuracy: number;
}

export interface RocCurve {
  /** Share of different pairs that are accepted, rising from 0 to 1. */
  far: Float64Array;
  /** Share of same pairs that are accepted. */
  tar: Float64Array;
  /** Largest distance accepted; -1 at the first point, which accepts none. */
  distance: Float64Array;
}

export interface VerificationResult {
  pairs: number;
  same: number;
  different: number;
  /** Mean and population standard deviation over the folds. */
  accuracy: number;
  accuracyStd: number;
  folds: FoldAccuracy[];
  auc: number;
  /** Where FAR and FRR are equal. */
  eer: number;
  /** Best mean of TAR and 1 - FAR over all thresholds, and its threshold. */
  balancedAccuracy: number;
  balancedThreshold: number;
  /** TAR of the whole set at the last point whose FAR is not above `far`. */
  tarAtFar: { far: number; tar: number }[];
  /** Thresholds for a FAR from the other folds, applied to each: mean TAR, its std, mean FAR. */
  valAtFar: { far: number; val: number; valStd: number; meanFar: number };
  meanDistance: { same: number; different: number };
  roc: RocCurve;
}

/** Squared distance of two embeddings after scaling both to length 1. Throws ShapeError. */
export function embeddingDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new ShapeError(`embeddingDistance: ${a.length} numbers against ${b.length}`);
  let [aa, bb] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  const [la, lb] = [Math.sqrt(aa), Math.sqrt(bb)];
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] / la - b[i] / lb) ** 2;
  return sum;
}

/** Folds of n pairs in their order: equal ones, the first n mod k one larger. */
export function contiguousFolds(n: number, k = 10): Int32Array {
  const folds = new Int32Array(n);
  const [size, larger] = [Math.floor(n / k), n % k];
  for (let fold = 0, at = 0; fold < k; fold++) {
    for (let i = 0; i < size + (fold < larger ? 1 : 0); i++) folds[at++] = fold;
  }
  return folds;
}

/** Accepted pairs of every fold at thresholds k step, k = 0 .. count - 1. */
interface Counts {
  step: number;
  count: number;
  /** [folds][count] */
  accepted: { same: Int32Array[]; different: Int32Array[] };
  totals: { same: Int32Array; different: Int32Array };
}

function countAccepted({ distances, same, folds }: Verification, step: number, count: number): Counts {
  const foldCount = 1 + folds.reduce((most, fold) => Math.max(most, fold), 0);
  const table = () => Array.from({ length: foldCount }, () => new Int32Array(count));
  const accepted = { same: table(), different: table() };
  const totals = { same: new Int32Array(foldCount), different: new Int32Array(foldCount) };
  for (let i = 0; i < distances.length; i++) {
    const kind = same[i] ? 'same' : 'different';
    totals[kind][folds[i]]++;
    // The first k with distance < k step, in the rounding that the comparison itself would see.
    let k = Math.max(0, Math.floor(distances[i] / step));
    while (k > 0 && distances[i] < (k - 1) * step) k--;
    while (k < count && !(distances[i] < k * step)) k++;
    if (k < count) accepted[kind][folds[i]][k]++;
  }
  for (const rows of [accepted.same, accepted.different]) {
    for (const row of rows) for (let k = 1; k < count; k++) row[k] += row[k - 1];
  }
  return { step, count, accepted, totals };
}

const total = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, value) => sum + value, 0);

const mean = (values: ArrayLike<number>): number => total(values) / values.length;

/** Population standard deviation. */
export const populationStd = (values: readonly number[]): number => {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
};

/** Accuracy of each fold at the first threshold of 0, 0.01, .. 3.99 that is best on the other folds. */
function foldAccuracies(verification: Verification): FoldAccuracy[] {
  const { step, count, accepted, totals } = countAccepted(verification, 0.01, 400);
  const right = (fold: number, k: number) =>
    accepted.same[fold][k] + totals.different[fold] - accepted.different[fold][k];
  return accepted.same.map((_, fold) => {
    let [best, most] = [0, -1];
    for (let k = 0; k < count; k++) {
      let sum = 0;
      for (let other = 0; other < accepted.same.length; other++) if (other !== fold) sum += right(other, k);
      if (sum > most) [most, best] = [sum, k];
    }
    const pairs = totals.same[fold] + totals.different[fold];
    return { pairs, threshold: best * step, accuracy: right(fold, best) / pairs };
  });
}

/**
 * VAL at FAR: on the other folds FAR is a rising function of thresholds 0, 0.001, .. 3.999, linear between them; where it
 * reaches `far` (at the end of a plateau of just that height) is the threshold for the fold, 0 where it never does.
 */
function valAtFar(verification: Verification, far: number): VerificationResult['valAtFar'] {
  const { step, count, accepted, totals } = countAccepted(verification, 0.001, 4000);
  const { distances, same, folds } = verification;
  const foldCount = accepted.same.length;
  const thresholds = Array.from({ length: foldCount }, (_, fold) => {
    const others = total(totals.different) - totals.different[fold];
    const at = (k: number) => {
      let sum = 0;
      for (let other = 0; other < foldCount; other++) if (other !== fold) sum += accepted.different[other][k];
      return sum / others;
    };
    if (!(others > 0) || at(count - 1) < far) return 0;
    let [low, high] = [-1, count - 1]; // the last k whose FAR is not above `far` is low or lies between
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (at(middle) <= far) low = middle;
      else high = middle;
    }
    if (at(high) <= far) return high * step;
    if (low < 0) return 0;
    return step * (low + (far - at(low)) / (at(high) - at(low)));
  });
  const accept = { same: new Float64Array(foldCount), different: new Float64Array(foldCount) };
  for (let i = 0; i < distances.length; i++) {
    if (distances[i] < thresholds[folds[i]]) accept[same[i] ? 'same' : 'different'][folds[i]]++;
  }
  const shares = (kind: 'same' | 'different') =>
    Array.from(accept[kind], (n, fold) => n / totals[kind][fold]).filter((share) => !Number.isNaN(share));
  const vals = shares('same');
  return { far, val: mean(vals), valStd: populationStd(vals), meanFar: mean(shares('different')) };
}

/** The ROC with one point per distinct distance, from accepting none. */
export function rocCurve({ distances, same }: Pick<Verification, 'distances' | 'same'>): RocCurve {
  const order = Array.from(distances.keys()).sort((i, j) => distances[i] - distances[j]);
  const positives = total(same);
  const negatives = same.length - positives;
  const [far, tar, distance]: number[][] = [[0], [0], [-1]];
  let [accepted, wrong] = [0, 0];
  order.forEach((i, at) => {
    if (same[i]) accepted++;
    else wrong++;
    if (at + 1 < order.length && distances[order[at + 1]] === distances[i]) return;
    far.push(wrong / negatives);
    tar.push(accepted / positives);
    distance.push(distances[i]);
  });
  return { far: Float64Array.from(far), tar: Float64Array.from(tar), distance: Float64Array.from(distance) };
}

/** Area under a ROC by trapezoids. */
export function areaUnder({ far, tar }: RocCurve): number {
  let area = 0;
  for (let i = 1; i < far.length; i++) area += ((far[i] - far[i - 1]) * (tar[i] + tar[i - 1])) / 2;
  return area;
}

/** Where the ROC, straight between its points, has as many wrong acceptances as wrong refusals. */
export function equalErrorRate({ far, tar }: RocCurve): number {
  for (let i = 1; i < far.length; i++) {
    const [before, after] = [far[i - 1] + tar[i - 1] - 1, far[i] + tar[i] - 1];
    if (after < 0) continue;
    return after === before ? far[i] : far[i - 1] - (before / (after - before)) * (far[i] - far[i - 1]);
  }
  return 1;
}

/** TAR at the last point of the ROC whose FAR is not above `far`. */
export function tarAtFar(roc: RocCurve, far: number): number {
  let tar = 0;
  for (let i = 0; i < roc.far.length && roc.far[i] <= far; i++) tar = roc.tar[i];
  return tar;
}

const FARS = [1e-1, 1e-2, 1e-3, 1e-4];

/**
 * Everything that is reported of a verification; the FAR of VAL is 1e-3. Throws ShapeError for lists that do not belong
 * together, distances that are not finite, a set without same or without different pairs, and fewer than two folds.
 */
export function verify(verification: Verification): VerificationResult {
  const { distances, same, folds } = verification;
  if (distances.length !== same.length || distances.length !== folds.length) {
    throw new ShapeError(
      `verify: ${distances.length} distances, ${same.length} truths and ${folds.length} folds do not pair`,
    );
  }
  const bad = distances.findIndex((distance) => !(distance >= 0 && Number.isFinite(distance)));
  if (bad >= 0) throw new ShapeError(`verify: the distance of pair ${bad} is ${distances[bad]}`);
  const positives = total(same);
  const negatives = same.length - positives;
  if (positives === 0 || negatives === 0) {
    throw new ShapeError(`verify: wants same and different pairs, got ${positives} and ${negatives}`);
  }
  checkFolds(folds);
  const accuracies = foldAccuracies(verification);
  const roc = rocCurve(verification);
  const balanced = roc.far.map((far, i) => (roc.tar[i] + 1 - far) / 2);
  const best = balanced.reduce((most, value, i) => (value > balanced[most] ? i : most), 0);
  const ofKind = (kind: 0 | 1) => mean(distances.filter((_, i) => same[i] === kind));
  return {
    pairs: distances.length,
    same: positives,
    different: negatives,
    accuracy: mean(accuracies.map(({ accuracy }) => accuracy)),
    accuracyStd: populationStd(accuracies.map(({ accuracy }) => accuracy)),
    folds: accuracies,
    auc: areaUnder(roc),
    eer: equalErrorRate(roc),
    balancedAccuracy: balanced[best],
    balancedThreshold: roc.distance[best],
    tarAtFar: FARS.map((far) => ({ far, tar: tarAtFar(roc, far) })),
    valAtFar: valAtFar(verification, 1e-3),
    meanDistance: { same: ofKind(1), different: ofKind(0) },
    roc,
  };
}

function checkFolds(folds: Int32Array): void {
  const sizes = new Map<number, number>();
  for (const fold of folds) sizes.set(fold, (sizes.get(fold) ?? 0) + 1);
  const count = sizes.size;
  if (count < 2) throw new ShapeError(`verify: wants at least 2 folds, got ${count}`);
  for (let fold = 0; fold < count; fold++) {
    if (!sizes.has(fold)) throw new ShapeError(`verify: ${count} folds, but none is numbered ${fold}`);
  }
}
