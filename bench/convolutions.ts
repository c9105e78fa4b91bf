// `npm run bench:convolutions [-- --python PATH] [--only 3x3] [--repeats K] [--json FILE]`: the generator's dominant convolutions at
// width 64, batch 1: forward, input gradient and weight gradient, in GFLOP/s and as a share of the machine's peak, beside PyTorch
// (eager and channels_last, in turns of many calls) where a Python that has it is given or found. With `--ragged` instead what odd sizes cost (ragged.ts).
import { parseArgs } from 'node:util';
import { conv2d, randn, type Tensor, tidy } from '../src/tensor/index.js';
import { measurePeak, wait } from './peak.js';
import { local, Peer, rest, torchOf } from './peer.js';
import { measureRagged } from './ragged.js';
import { machine, median, whole, writeResult } from './report.js';

/** Kernel side, channels in and out, side of the map. */
const SHAPES: readonly (readonly [k: number, ic: number, oc: number, side: number])[] = [
  [1, 256, 64, 64],
  [1, 64, 256, 64],
  [1, 1024, 256, 16],
  [1, 256, 1024, 16],
  [3, 64, 64, 64],
  [3, 128, 128, 32],
  [3, 256, 256, 16],
  [3, 512, 512, 8],
  [3, 3072, 256, 16],
  [3, 512, 128, 64],
  [3, 192, 64, 128],
  [3, 64, 32, 256],
  [3, 32, 32, 256],
];
/** Operations of a turn: one call alone would mostly measure how long threads take to wake up. */
const TURN = 4e9;
const PASSES = ['forward', 'input gradient', 'weight gradient'] as const;
const VARIANTS = ['eager', 'channels_last'] as const;

const { values: given } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    python: { type: 'string', default: 'python3' },
    'no-peer': { type: 'boolean', default: false },
    ragged: { type: 'boolean', default: false },
    repeats: { type: 'string', default: '15' },
    json: { type: 'string' },
  },
});
const repeats = whole('repeats', given.repeats);
const shapes = SHAPES.map(([k, ic, oc, side]) => ({ k, ic, oc, side, name: `${k}x${k} ${ic}->${oc} @${side}` })).filter(
  ({ name }) => name.includes(given.only),
);
if (shapes.length === 0) throw new RangeError(`--only: no convolution's name has '${given.only}' in it`);

const about = machine();
if (given.ragged) {
  const rows = measureRagged(repeats);
  if (given.json) writeResult(given.json, { bench: 'ragged', machine: about, repeats, rows });
  process.exit();
}
const peak = measurePeak();
const torch = given['no-peer'] ? undefined : torchOf(given.python);
const peer = torch
  ? new Peer('torch', given.python, [local('./peers/torch_convolutions.py'), String(about.threads)])
  : undefined;
console.log(
  `${about.cpu}, ${about.threads} threads, ${about.instructionSet}, load ${about.load.toFixed(1)}, peak ${peak.gflops.toFixed(0)} GFLOP/s; ` +
    (torch ? `torch ${torch}` : `${given.python} has no torch, or none is wanted: ours alone`),
);

/** Milliseconds of every pass of one convolution, ours and theirs in turns of so many calls. */
async function measure({ k, ic, oc, side }: (typeof shapes)[number], calls: number) {
  const x = randn([1, side, side, ic], { seed: 1 });
  const w = randn([oc, k, k, ic], { seed: 2 });
  const dy = randn([1, side, side, oc], { seed: 3 });
  const run = () => conv2d(x, w, { padding: (k - 1) / 2 });
  const y = run();
  const [toInput, toWeight] = y.origin?.gradients ?? [];
  const ours: (() => Tensor | undefined)[] = [run, () => toInput?.(dy), () => toWeight?.(dy)];
  const times = PASSES.map(() => ({ ours: [] as number[], eager: [] as number[], channels_last: [] as number[] }));
  for (let i = -3; i < repeats; i++) {
    for (const [pass, work] of ours.entries()) {
      await rest();
      const start = performance.now();
      for (let call = 1; call <= calls; call++) {
        tidy(() => {
          const made = work();
          if (made && call === calls) wait(made);
        });
      }
      const taken = (performance.now() - start) / calls;
      if (i >= 0) times[pass].ours.push(taken);
      for (const variant of peer ? VARIANTS : []) {
        await rest();
        const theirs = Number(await peer?.ask(JSON.stringify({ k, ic, oc, side, pass, variant, calls })));
        if (i >= 0) times[pass][variant].push(theirs);
      }
    }
  }
  for (const t of [x, w, dy, y]) t.dispose();
  return times;
}

const rows: unknown[] = [];
for (const shape of shapes) {
  const flops = 2 * shape.k ** 2 * shape.ic * shape.oc * shape.side ** 2;
  const calls = Math.max(1, Math.round(TURN / flops));
  for (const [pass, times] of (await measure(shape, calls)).entries()) {
    const [ours, ...theirs] = [times.ours, times.eager, times.channels_last].map((list) => list.length && median(list));
    const gflops = flops / ours / 1e6;
    const row = { name: shape.name, pass: PASSES[pass], milliseconds: ours, gflops, share: gflops / peak.gflops };
    const best = Math.min(...theirs);
    const ratio = best > 0 ? best / ours : undefined;
    rows.push({ ...row, ...(ratio && { eager: theirs[0], channels_last: theirs[1], ratio }) });
    const columns = [
      shape.name.padEnd(20),
      PASSES[pass].padEnd(16),
      `${ours.toFixed(2)} ms`.padStart(10),
      `${gflops.toFixed(0)} GFLOP/s`.padStart(13),
      `${(100 * row.share).toFixed(0)} % of peak`.padStart(14),
      ratio ? `${ratio.toFixed(2)} times torch (${theirs.map((t) => t.toFixed(2)).join(', ')} ms)` : '',
    ];
    console.log(columns.join(' ').trimEnd());
  }
}
peer?.close();
if (given.json) writeResult(given.json, { bench: 'convolutions', machine: { ...about, torch, peak }, repeats, rows });
