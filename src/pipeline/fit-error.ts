// The error of a fit as AFLW2000-3D counts it (paper-spec 9.5): NME of the 68 landmarks, by bins of yaw.

/** Bins of |yaw| in degrees, lower bounds included. */
export const FIT_YAW_BINS: readonly { name: string; from: number; to: number }[] = [
  { name: '0-30', from: 0, to: 30 },
  { name: '30-60', from: 30, to: 60 },
  { name: '60-90', from: 60, to: Infinity },
];

/**
 * Mean distance of landmarks [n, 2] or [n, 3] (x and y count) from the true ones over the root of the area of the true ones' box, in per
 * cent. Throws RangeError where they are not as many.
 */
export function normalizedMeanError(found: ArrayLike<number>, truth: ArrayLike<number>, columns: 2 | 3): number {
  if (found.length !== truth.length || found.length === 0 || found.length % columns !== 0) {
    throw new RangeError(`normalizedMeanError: ${found.length} and ${truth.length} numbers in rows of ${columns}`);
  }
  const n = found.length / columns;
  const low = [Infinity, Infinity];
  const high = [-Infinity, -Infinity];
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const at = columns * i;
    for (let c = 0; c < 2; c++) {
      low[c] = Math.min(low[c], truth[at + c]);
      high[c] = Math.max(high[c], truth[at + c]);
    }
    sum += Math.hypot(found[at] - truth[at], found[at + 1] - truth[at + 1]) / n;
  }
  return (100 * sum) / Math.sqrt((high[0] - low[0]) * (high[1] - low[1]));
}

/** Means by bin of |yaw| and their mean, the bins counting alike; a bin without a face is left out. */
export function byYaw(errors: readonly { yaw: number; nme: number }[]): { bins: Record<string, number>; mean: number } {
  const bins: Record<string, number> = {};
  for (const { name, from, to } of FIT_YAW_BINS) {
    const inside = errors.filter(({ yaw }) => Math.abs(yaw) >= from && Math.abs(yaw) < to);
    if (inside.length > 0) bins[name] = inside.reduce((sum, { nme }) => sum + nme, 0) / inside.length;
  }
  const values = Object.values(bins);
  return { bins, mean: values.reduce((sum, v) => sum + v, 0) / values.length };
}
