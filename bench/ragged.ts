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
/** Operations of a turn; of depthwise convolutions, which are slower, a fifth. */
const TURN = 2e8;
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

interface Subject {
  kind: string;
  pass: string;
  channels: number;
  side: number;
  flops: number;
  calls: number;
  work: () => Tensor | undefined;
  /** Milliseconds of the quickest turn. */
  least: number;
}

/** The passes of one convolution; its tensors live as long as they. */
function subjects({ name, k, stride, padding, groups: count }: (typeof KINDS)[number]): Subject[] {
  return CHANNELS.flatMap((channels) =>
    SIDES.flatMap((side): Subject[] => {
      const groups = count === 'channels' ? channels : count;
      const batch = count === 'channels' ? 8 : 1; // so that a call takes longer than it takes to make it
      if (channels % groups !== 0) return [];
      const x = randn([batch, side, side, channels], { seed: 1 });
      const w = randn([channels, k, k, channels / groups], { seed: 2 });
      const run = () => conv2d(x, w, { stride, padding, groups });
      const y = run();
      const dy = randn(y.shape, { seed: 3 });
      const [toInput, toWeight] = y.origin?.gradients ?? [];
      const flops = (2 * k * k * channels * y.size) / groups;
      const calls = Math.max(1, Math.round((count === 'channels' ? TURN / 5 : TURN) / flops));
      const works = [run, () => toInput?.(dy), () => toWeight?.(dy)];
      return works.map((work, i) => {
        return { kind: name, pass: PASSES[i], channels, side, flops, calls, work, least: Number.POSITIVE_INFINITY };
      });
    }),
  );
}

function turn(subject: Subject): void {
  const { work, calls } = subject;
  const start = performance.now();
  for (let call = 1; call <= calls; call++) {
    tidy(() => {
      const made = work();
      if (made && call === calls) wait(made);
    });
  }
  subject.least = Math.min(subject.least, performance.now() - start);
}

/** Prints the kinds whose names have `only` in them, and what is a cliff. The sizes take turns, so that a busy neighbour slows all of them down. */
export function measureRagged(repeats: number, only: string): RaggedRow[] {
  const rows: RaggedRow[] = [];
  for (const kind of KINDS.filter(({ name }) => name.includes(only))) {
    const all = subjects(kind);
    for (let i = 0; i < repeats; i++) for (const subject of all) turn(subject);
    const rates = all.map(({ flops, calls, least }) => (flops * calls) / least / 1e6);
    const found = all.map(({ kind, pass, channels, side }, i) => {
      const [gflops, ratio] = [rates[i], rates[i % PASSES.length] / rates[i]];
      return { kind, pass, channels, side, gflops, ratio };
    });
    for (let i = 0; i < found.length; i += PASSES.length) {
      const columns = found
        .slice(i, i + PASSES.length)
        .map(({ gflops, ratio }) =>
          `${gflops.toFixed(1)} (${ratio.toFixed(2)}${ratio > CLIFF ? ' !' : ''})`.padStart(16),
        );
      const { kind, channels, side } = found[i];
      console.log(`${kind.padEnd(14)} ${String(channels).padStart(3)} @${side} ${columns.join(' ')}`);
    }
    rows.push(...found);
  }
  const cliffs = rows.filter(({ ratio }) => ratio > CLIFF);
  console.log(`${cliffs.length} of ${rows.length} take more than ${CLIFF} times as long per operation`);
  return rows;
}
