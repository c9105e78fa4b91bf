// The numbers of one completed map against its truth, by region, and their means over images.
import { ShapeError } from '../../tensor/shape.js';
import type { PairMeta } from '../dataset/pairs.js';
import { meanSsim, ssimMap } from '../metrics.js';
import { YAW_BINS } from './bins.js';

/**
 * `frame`: the whole square, as in the paper's Table 1; black corners that every method has right count. `footprint`: where the
 * layout shows surface. `invisible`: what of it the photo did not see.
 */
export const REGIONS = ['frame', 'footprint', 'invisible'] as const;
export type Region = (typeof REGIONS)[number];

export interface Score {
  /** dB; Infinity where all pixels are equal, NaN where the region has none. */
  psnr: number;
  /** NaN where the region has no pixel at least 5 from the border. */
  ssim: number;
}

export type Scores = Record<Region, Score>;

export interface MapsToScore {
  /** u8 [size, size, 3] */
  truth: Uint8Array;
  map: Uint8Array;
  /** u8 [size, size]: 1 where the photo saw the surface. */
  mask: Uint8Array;
  footprint: Uint8Array;
  size: number;
}

/** PSNR and SSIM of one map by region. SSIM of a region: mean of the full frame's similarity there. Throws ShapeError. */
export function scoreMap({ truth, map, mask, footprint, size }: MapsToScore): Scores {
  const plane = size * size;
  if (size < 11 || [truth, map].some(({ length }) => length !== 3 * plane) || mask.length !== plane) {
    throw new ShapeError(
      `scoreMap: maps of ${size}x${size}, at least 11x11, have ${3 * plane} numbers and masks ${plane}, got ${truth.length}, ${map.length}, ${mask.length}`,
    );
  }
  const hidden = new Uint8Array(plane);
  const squares = { frame: 0, footprint: 0, invisible: 0 };
  const pixels = { frame: plane, footprint: 0, invisible: 0 };
  for (let p = 0, i = 0; p < plane; p++, i += 3) {
    const [r, g, b] = [map[i] - truth[i], map[i + 1] - truth[i + 1], map[i + 2] - truth[i + 2]];
    const square = r * r + g * g + b * b;
    squares.frame += square;
    if (!footprint[p]) continue;
    squares.footprint += square;
    pixels.footprint++;
    if (mask[p]) continue;
    hidden[p] = 1;
    squares.invisible += square;
    pixels.invisible++;
  }
  const similarity = ssimMap(map, truth, { h: size, w: size, c: 3 });
  const masks = { frame: undefined, footprint, invisible: hidden };
  const score = (region: Region): Score => ({
    psnr: pixels[region] === 0 ? Number.NaN : 10 * Math.log10((255 * 255 * 3 * pixels[region]) / squares[region]),
    ssim: meanSsim(similarity, size, size, masks[region]).mean,
  });
  return { frame: score('frame'), footprint: score('footprint'), invisible: score('invisible') };
}

/** A pair and what each method made of it, by the method's name. */
export interface PairScores {
  index: number;
  meta: PairMeta;
  scores: Record<string, Scores>;
}

export interface Statistic {
  /** null where nothing was counted. */
  mean: number | null;
  /** Of the images, population. */
  std: number | null;
  /** Images that were averaged. */
  count: number;
  /** Images left out because their value is infinite: map and truth are equal. */
  infinite: number;
  /** Images left out because the region has no pixel. */
  empty: number;
}

export interface Cell {
  method: string;
  region: Region;
  /** Name of one of YAW_BINS. */
  bin: string;
  psnr: Statistic;
  ssim: Statistic;
}

/** Mean and standard deviation of what is finite. */
export function statistic(values: readonly number[]): Statistic {
  const finite = values.filter(Number.isFinite);
  const infinite = values.filter((v) => v === Number.POSITIVE_INFINITY).length;
  const count = finite.length;
  const empty = values.length - count - infinite;
  if (count === 0) return { mean: null, std: null, count, infinite, empty };
  const mean = finite.reduce((sum, v) => sum + v, 0) / count;
  const std = Math.sqrt(finite.reduce((sum, v) => sum + (v - mean) ** 2, 0) / count);
  return { mean, std, count, infinite, empty };
}

/** One cell for each method, region and yaw bin: metrics per image, then averaged. */
export function tabulate(methods: readonly string[], pairs: readonly PairScores[]): Cell[] {
  return methods.flatMap((method) =>
    REGIONS.flatMap((region) =>
      YAW_BINS.map(({ name, holds }) => {
        const within = pairs.filter(({ meta }) => holds(meta.yaw)).map(({ scores }) => scores[method][region]);
        return {
          method,
          region,
          bin: name,
          psnr: statistic(within.map(({ psnr }) => psnr)),
          ssim: statistic(within.map(({ ssim }) => ssim)),
        };
      }),
    ),
  );
}
