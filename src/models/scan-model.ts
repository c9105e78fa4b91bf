// A face model from registered scans: alignment, the two-stage PCA of equations 1-2, and what it says of people it has not seen.
// Contract: every scan has the same vertices in the same order; the model is made of the subjects to learn from alone, and held-out
// subjects are only measured.
import { type Components, principalComponents } from './pca.js';
import { generalisedProcrustes, procrustes, robustProcrustes, type Similarity, size, transform } from './procrustes.js';

export interface ScannedSubject {
  name: string;
  /** [N, 3] */
  neutral: Float32Array;
  /** The same person with expressions, each [N, 3]. */
  expressions: Float32Array[];
}

/** `none` takes the scans as they lie. */
export type Alignment = 'similarity' | 'rigid' | 'none';

export interface ScanModelOptions {
  align?: Alignment;
  /** Most modes to keep; fewer where the scans span fewer. */
  identityModes?: number;
  expressionModes?: number;
  seed?: number;
  /** Called as the work goes on. */
  onStage?: (stage: string) => void;
}

/** How well `modes` modes describe scans that were held out, as distances between vertices in the scans' unit. */
export interface Reconstruction {
  modes: number;
  /** Root mean square over all vertices of all scans. */
  rms: number;
  mean: number;
  /** The worst vertex of any scan. */
  worst: number;
}

export interface Stage {
  scans: number;
  modes: number;
  /** Share of the variance that the first 1, 2, ... modes explain together. */
  explained: number[];
  /** Number of modes that explain 90, 95 and 99 % of the variance; absent where those kept do not. */
  modesFor: Partial<Record<'90%' | '95%' | '99%', number>>;
  /** On held-out scans, by the number of modes used, 0 (the mean alone) first; absent without held-out scans. */
  heldOut?: Reconstruction[];
}

export interface ScanModel {
  mean: Float32Array;
  identity: Float32Array;
  identityStd: Float32Array;
  expression: Float32Array;
  expressionStd: Float32Array;
  report: { identity: Stage; expression: Stage };
}

/** As many as the paper's model has (BFM and FaceWarehouse). */
export const IDENTITY_MODES = 199;
export const EXPRESSION_MODES = 29;

/**
 * Mean, modes and deviations from subjects' scans. Neutral scans are brought to their common mean by generalised Procrustes analysis, with
 * `similarity` at equal size; an expressive scan to its subject's neutral one by a rigid motion that gives parts that moved little weight.
 * Identity modes are those of the neutral scans, expression modes those of the differences from neutral, about zero. Modes are
 * orthonormal, so deviations are in the unit of the scans, summed over the face. Throws RangeError for fewer than two subjects, or scans
 * of different sizes. Memory: about five times that of the scans.
 */
export function modelFromScans(
  subjects: readonly ScannedSubject[],
  heldOut: readonly ScannedSubject[],
  {
    align = 'similarity',
    identityModes = IDENTITY_MODES,
    expressionModes = EXPRESSION_MODES,
    seed = 1,
    onStage = () => {},
  }: ScanModelOptions = {},
): ScanModel {
  if (subjects.length < 2) throw new RangeError(`modelFromScans: wanted at least 2 subjects, got ${subjects.length}`);
  const length = subjects[0].neutral.length;
  for (const { name, neutral, expressions } of [...subjects, ...heldOut]) {
    const other = [neutral, ...expressions].find((scan) => scan.length !== length);
    if (other) throw new RangeError(`modelFromScans: '${name}' has ${other.length / 3} vertices, not ${length / 3}`);
  }
  onStage('aligning');
  const scale = align === 'similarity';
  const aligned =
    align === 'none'
      ? undefined
      : generalisedProcrustes(
          subjects.map((s) => s.neutral),
          { scale },
        );
  const learnt = subjects.map((s, i) => settle(s, aligned?.motions[i]));
  const neutrals = learnt.map((s) => s.neutral);
  const moved = learnt.flatMap((s) => s.differences);

  onStage('identity modes');
  const floor = MARGIN * Math.sqrt(length / 3) * size(neutrals[0]);
  const identity = above(floor, principalComponents(neutrals, Math.min(identityModes, neutrals.length - 1), { seed }));
  onStage('expression modes');
  const expression =
    moved.length > 0 && expressionModes > 0
      ? above(floor, principalComponents(moved, Math.min(expressionModes, moved.length), { centre: false, seed }))
      : { modes: new Float32Array(0), std: new Float64Array(0), explained: new Float64Array(0) };

  onStage('held-out scans');
  const mean = Float32Array.from(identity.mean);
  const unseen = heldOut.map((s) => settle(s, aligned && procrustes(s.neutral, aligned.mean, { scale })));
  const away = unseen.map((s) => s.neutral.map((x, i) => x - mean[i]));
  return {
    mean,
    identity: identity.modes,
    identityStd: Float32Array.from(identity.std),
    expression: expression.modes,
    expressionStd: Float32Array.from(expression.std),
    report: {
      identity: stage(neutrals.length, identity, away),
      expression: stage(
        moved.length,
        expression,
        unseen.flatMap((s) => s.differences),
      ),
    },
  };
}

/** Modes that move vertices by less than this share of the face's size (a micrometre) are rounding of the files. */
const MARGIN = 1e-5;

function above(floor: number, { mean, modes, std, explained }: Components): Components {
  const count = std.filter((s) => s > floor).length;
  const length = std.length === 0 ? 0 : modes.length / std.length;
  return {
    mean,
    modes: modes.slice(0, count * length),
    std: std.slice(0, count),
    explained: explained.slice(0, count),
  };
}

/** A subject's aligned neutral scan, and the differences of its aligned expressive ones from it. */
function settle({ neutral, expressions }: ScannedSubject, motion: Similarity | undefined) {
  const settled = motion ? transform(neutral, motion) : neutral;
  const differences = expressions.map((scan) => {
    // The size of a head does not change with its expression.
    const sized = motion ? transform(scan, motion) : scan;
    const moved = motion ? transform(sized, robustProcrustes(sized, settled, { scale: false })) : scan;
    return moved.map((x, i) => x - settled[i]);
  });
  return { neutral: settled, differences };
}

function stage(
  scans: number,
  { modes, std, explained }: { modes: Float32Array; std: Float64Array; explained: Float64Array },
  unseen: readonly Float32Array[],
): Stage {
  let sum = 0;
  const cumulative = Array.from(explained, (share) => {
    sum += share;
    return Math.min(1, sum);
  });
  const modesFor: Stage['modesFor'] = {};
  for (const [name, share] of [
    ['90%', 0.9],
    ['95%', 0.95],
    ['99%', 0.99],
  ] as const) {
    const at = cumulative.findIndex((c) => c >= share);
    if (at >= 0) modesFor[name] = at + 1;
  }
  const out: Stage = { scans, modes: std.length, explained: cumulative, modesFor };
  if (unseen.length > 0) out.heldOut = reconstructions(modes, std.length, unseen);
  return out;
}

/** 0, 1, 2, 5, 10, 20, 50, ... and all. */
function counts(most: number): number[] {
  const out = [0];
  for (let decade = 1; decade <= most; decade *= 10) for (const k of [1, 2, 5]) out.push(k * decade);
  return [...new Set([...out.filter((k) => k < most), most])];
}

/** What is left of differences [3N] after projection on the first modes. */
function reconstructions(modes: Float32Array, count: number, differences: readonly Float32Array[]): Reconstruction[] {
  const wanted = counts(count);
  const sums = wanted.map((k) => ({ modes: k, squares: 0, distances: 0, worst: 0, vertices: 0 }));
  for (const difference of differences) {
    const rest = Float64Array.from(difference);
    let used = 0;
    for (const sum of sums) {
      for (; used < sum.modes; used++) {
        const mode = modes.subarray(used * rest.length, (used + 1) * rest.length);
        let along = 0;
        for (let i = 0; i < rest.length; i++) along += mode[i] * rest[i];
        for (let i = 0; i < rest.length; i++) rest[i] -= along * mode[i];
      }
      for (let i = 0; i < rest.length; i += 3) {
        const square = rest[i] ** 2 + rest[i + 1] ** 2 + rest[i + 2] ** 2;
        const distance = Math.sqrt(square);
        sum.squares += square;
        sum.distances += distance;
        if (distance > sum.worst) sum.worst = distance;
      }
      sum.vertices += rest.length / 3;
    }
  }
  return sums.map((s) => ({
    modes: s.modes,
    rms: Math.sqrt(s.squares / s.vertices),
    mean: s.distances / s.vertices,
    worst: s.worst,
  }));
}
