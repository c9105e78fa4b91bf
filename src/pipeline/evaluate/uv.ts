// The evaluation of UV completion (paper-spec 12): every method on the same pairs.
import { ShapeError } from '../../tensor/shape.js';
import type { Pair, PairMeta, PairSource } from '../dataset/pairs.js';
import { sampleByYaw } from './bins.js';
import { type Completer, composited, PHOTO_KEPT } from './completer.js';
import { type Cell, type PairScores, scoreMap, tabulate } from './scores.js';

export interface EvaluateUvOptions {
  /** At most so many pairs, balanced over yaw; all without it. */
  samples?: number;
  /** What the sample is drawn from. */
  seed?: number;
  /** Pairs given to a method at a time. */
  batch?: number;
  /** Methods that redraw what the photo saw are measured with the photo's pixels kept, too, as `NAME + photo`. */
  composite?: boolean;
  /** Of two coupled U-Nets the first one's map is measured, too, as `NAME, first`. */
  intermediate?: boolean;
  /** Called after each pair. */
  onPair?: (done: number, total: number) => void;
}

export interface UvEvaluation {
  size: number;
  /** What was measured, of how many there are. */
  measured: number;
  available: number;
  /** Names in the order of the tables, variants after their method. */
  methods: { name: string; about: Completer['about'] }[];
  /** The mean of each method, region and yaw bin. */
  cells: Cell[];
  pairs: PairScores[];
}

/** What pair `index` is; made where its source cannot say it otherwise. */
export const metaOf = (source: PairSource, index: number): PairMeta => source.meta?.(index) ?? source.pair(index).meta;

/** Numbers of the pairs that are measured, ascending. Throws RangeError for a sample of none. */
export function chosenPairs(
  source: PairSource,
  { samples, seed = 1 }: Pick<EvaluateUvOptions, 'samples' | 'seed'>,
): number[] {
  const all = Array.from({ length: source.length }, (_, i) => i);
  if (samples === undefined) return all;
  if (!Number.isInteger(samples) || samples < 1) {
    throw new RangeError(`evaluateUv: samples must be a whole number of at least 1, got ${samples}`);
  }
  if (samples >= source.length) return all;
  return sampleByYaw(
    all.map((i) => metaOf(source, i).yaw),
    samples,
    seed,
  );
}

/**
 * Completes the pairs of a source by every method and measures the maps: PSNR and SSIM per image in three regions, then their
 * means by yaw. Throws ShapeError for no methods or two of one name, and what a method throws for maps that do not suit it.
 */
export async function evaluateUv(
  methods: readonly Completer[],
  source: PairSource,
  options: EvaluateUvOptions = {},
): Promise<UvEvaluation> {
  const { batch = 8, composite = false, intermediate = false, onPair } = options;
  const names = methods.map(({ name }) => name);
  if (names.length === 0 || new Set(names).size < names.length) {
    throw new ShapeError(`evaluateUv: wants methods of different names, got ${names.join(', ') || 'none'}`);
  }
  if (!Number.isInteger(batch) || batch < 1) throw new RangeError(`evaluateUv: batch must be at least 1, got ${batch}`);
  const { size, footprint } = source;
  const chosen = chosenPairs(source, options);
  const about = new Map<string, Completer['about']>();
  const pairs: PairScores[] = [];
  for (let first = 0; first < chosen.length; first += batch) {
    const indices = chosen.slice(first, first + batch);
    const group = indices.map((i) => source.pair(i));
    const scored: PairScores[] = group.map(({ meta }, i) => ({ index: indices[i], meta, scores: {} }));
    const score = (name: string, entry: Completer['about'], maps: readonly Uint8Array[]) => {
      if (!about.has(name)) about.set(name, entry);
      for (const [i, map] of maps.entries())
        scored[i].scores[name] = scoreMap({ ...asked(group[i]), map, footprint, size });
    };
    for (const method of methods) {
      const made = await method.complete(group, source);
      const maps = made.map(({ map }) => map);
      score(method.name, method.about, maps);
      const firsts = made.flatMap((completion) => completion.intermediate ?? []);
      if (intermediate && firsts.length === made.length) {
        score(`${method.name}, first`, { of: method.name, variant: 'first U-Net' }, firsts);
      }
      if (composite && method.redraws) {
        const kept = maps.map((map, i) => composited(group[i], map, source));
        score(`${method.name} + photo`, { of: method.name, variant: PHOTO_KEPT }, kept);
      }
    }
    pairs.push(...scored);
    for (const i of group.keys()) onPair?.(first + i + 1, chosen.length);
    await new Promise(setImmediate); // lets a progress bar draw
  }
  return {
    size,
    measured: chosen.length,
    available: source.length,
    methods: [...about].map(([name, entry]) => ({ name, about: entry })),
    cells: tabulate([...about.keys()], pairs),
    pairs,
  };
}

const asked = ({ complete, mask }: Pair) => ({ truth: complete, mask });
