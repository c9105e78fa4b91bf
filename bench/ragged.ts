// What sizes that fill no vector or tile cost: every kind of convolution and its gradients at channels around 64 and sides around 32, per operation
// beside 64 channels at a side of 32. Use RESCUNET_THREADS=1: turns are short.
import { conv2d, randn, type Tensor, tidy } from '../src/tensor/index.js';
import { wait } from './peak.js';

const KINDS = [
  { name: '1x1', k: 1, stride: 1, padding: 0, groups: 1 },
  { name: '3x3', k: 3, stride: 1, padding: 1, groups: 1 },
  { name: '7x7 s2', k: 7, stride: 2, padding: 3, groups: 1 },
  { name: '4x4 s2', k: 4, stride: 2, padding: 1, groups: 1 },
  { name: 'depthwise 3x3', k: 3, stride: 1, padding: 1, groups: 'channels' },
  { name: '3x3, 4 groups', k: 3, stride: 1, padding: 1, groups: 4 },
] as const;
const PASSES = ['forward', 'input gradient', 'weight gradient'] as const;
const CHANNELS = [64, 60, 61, 63, 65, 68];
const SIDES = [32, 31, 33];
/** Operations of a turn; of depthwise convolutions, which memory bounds, a tenth. */
const TURN = 1e9;
/** Beyond so many times the time per operation it is a cliff. */
const CLIFF = 1.25;

export interface RaggedRow {
  kind: string;
  pass: string;
  channels: number;
  side: number;
  /** Billions of operations a second, in the quickest turn. */
  gflops: number;
  /** Time per operation, of that at 64 channels and a side of 32. */
  ratio: number;
}

/** The quickest of `repeats` turns of every pass, GFLOP/s. */
function measure(kind: (typeof KINDS)[number], channels: number, side: number, repeats: number): number[] {
  const { k, stride, padding } = kind;
  const groups = kind.groups === 'channels' ? channels : kind.groups;
  const x = randn([1, side, side, channels], { seed: 1 });
  const w = randn([channels, k, k, channels / groups], { seed: 2 });
  const run = () => conv2d(x, w, { stride, padding, groups });
  const y = run();
  const dy = randn(y.shape, { seed: 3 });
  const [toInput, toWeight] = y.origin?.gradients ?? [];
  const passes: (() => Tensor | undefined)[] = [run, () => toInput?.(dy), () => toWeight?.(dy)];
  const flops = (2 * k * k * channels * y.size) / groups;
  const calls = Math.max(1, Math.round((kind.groups === 'channels' ? TURN / 10 : TURN) / flops));
  const rates = passes.map((work) => {
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i <= repeats; i++) {
      const start = performance.now();
      for (let call = 1; call <= calls; call++) {
        tidy(() => {
          const made = work();
          if (made && call === calls) wait(made);
        });
      }
      if (i > 0) least = Math.min(least, performance.now() - start);
    }
    return (flops * calls) / least / 1e6;
  });
  for (const t of [x, w, y, dy]) t.dispose();
  return rates;
}

/** Prints all of it, and what is a cliff. */
export function measureRagged(repeats: number): RaggedRow[] {
  const rows: RaggedRow[] = [];
  for (const kind of KINDS) {
    let best: number[] = [];
    for (const channels of CHANNELS) {
      if (typeof kind.groups === 'number' && channels % kind.groups !== 0) continue;
      for (const side of SIDES) {
        const rates = measure(kind, channels, side, repeats);
        if (best.length === 0) best = rates;
        const place = { kind: kind.name, channels, side };
        const found = rates.map((gflops, i) => ({ ...place, pass: PASSES[i], gflops, ratio: best[i] / gflops }));
        rows.push(...found);
        const columns = found.map(({ gflops, ratio }) =>
          `${gflops.toFixed(1)} (${ratio.toFixed(2)}${ratio > CLIFF ? ' !' : ''})`.padStart(16),
        );
        console.log(`${kind.name.padEnd(14)} ${String(channels).padStart(3)} @${side} ${columns.join(' ')}`);
      }
    }
  }
  const cliffs = rows.filter(({ ratio }) => ratio > CLIFF);
  console.log(`${cliffs.length} of ${rows.length} take more than ${CLIFF} times as long per operation`);
  return rows;
}
