// Yaw bins, and samples that are balanced over them.
import { Random } from '../../head/random.js';

/** Multi-PIE's viewpoints to either side. */
export const NOMINAL_YAWS: readonly number[] = [0, 15, 30, 45, 60, 75, 90];

/** |yaw| in degrees to the nearest of Multi-PIE's viewpoints; whatever lies beyond 90 counts as 90. */
export const nominalYaw = (yaw: number): number => Math.min(90, 15 * Math.round(Math.abs(yaw) / 15));

export interface YawBin {
  name: string;
  /** yaw in degrees, either side. */
  holds(yaw: number): boolean;
}

const range = (low: number, high: number): YawBin => ({
  name: `${low}-${high}`,
  holds: (yaw) => Math.abs(yaw) >= low && Math.abs(yaw) <= high,
});

/** All; Multi-PIE's viewpoints (rounded); the ranges of published work on UV completion, and 45 and beyond (as they are). */
export const YAW_BINS: readonly YawBin[] = [
  { name: 'all', holds: () => true },
  ...NOMINAL_YAWS.map((nominal) => ({ name: String(nominal), holds: (yaw: number) => nominalYaw(yaw) === nominal })),
  range(20, 30),
  range(40, 50),
  range(70, 80),
  { name: '>=45', holds: (yaw) => Math.abs(yaw) >= 45 },
];

/**
 * Numbers of `count` of the pairs whose yaws are given, ascending: equally many of each of Multi-PIE's viewpoints where there
 * are as many, drawn from `seed`. All of them where there are no more than `count`.
 */
export function sampleByYaw(yaws: readonly number[], count: number, seed: number): number[] {
  const random = new Random(seed);
  const strata = NOMINAL_YAWS.map((nominal) =>
    shuffled(
      [...yaws.keys()].filter((i) => nominalYaw(yaws[i]) === nominal),
      random,
    ),
  ).sort((a, b) => a.length - b.length);
  const chosen: number[] = [];
  for (const [k, stratum] of strata.entries()) {
    // Smallest first, so that what one cannot give is shared by those that follow.
    chosen.push(...stratum.slice(0, Math.ceil((count - chosen.length) / (strata.length - k))));
  }
  return chosen.slice(0, count).sort((a, b) => a - b);
}

function shuffled(items: number[], random: Random): number[] {
  for (let i = items.length - 1; i > 0; i--) {
    const k = Math.min(i, Math.floor(random.uniform(0, i + 1)));
    [items[i], items[k]] = [items[k], items[i]];
  }
  return items;
}
