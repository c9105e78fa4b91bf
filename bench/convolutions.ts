// `npm run bench:convolutions [-- --python PATH] [--only 3x3] [--repeats K] [--json FILE]`: the generator's dominant convolutions at
// width 64, batch 1: forward, input gradient and weight gradient, in GFLOP/s and as a share of the machine's peak, beside PyTorch
// (eager and channels_last, in turns of many calls) where a Python that has it is given or found. With --device cuda [--precision bf16] [--batch 16]
// both sides replay a graph of several calls, one after the other: what is compared is cuDNN's kernels and ours, not how they are started. With --ragged
// instead what odd sizes cost (ragged.ts; --only 1x1 here too).
import { parseArgs } from 'node:util';
import { capture, conv2d, randn, setDefaultDevice, slice, type Tensor, tidy } from '../src/tensor/index.js';
import { measurePeak, wait } from './peak.js';
import { local, Peer, rest, torchOf } from './peer.js';
import { measureRagged } from './ragged.js';
import { machine, median, whole, writeResult } from './report.js';
import { placeOf } from './step-work.js';

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
/** What the emulation of a card can do in seconds: that the bench runs, not how long anything takes. */
const TINY: typeof SHAPES = [
  [1, 16, 8, 8],
  [3, 8, 16, 8],
];
/** Operations of a turn: one call alone would mostly measure how long threads take to wake up. */
const TURN = 4e9;
const PASSES = ['forward', 'input gradient', 'weight gradient'] as const;
const VARIANTS = ['eager', 'channels_last'] as const;
/** Calls in a graph of a card. */
const CALLS = 20;

const { values: given } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    python: { type: 'string', default: 'python3' },
    'no-peer': { type: 'boolean', default: false },
    ragged: { type: 'boolean', default: false },
    repeats: { type: 'string', default: '15' },
    json: { type: 'string' },
    device: { type: 'string', default: 'cpu' },
    precision: { type: 'string', default: 'f32' },
    batch: { type: 'string', default: '1' },
  },
});
const { device, precision } = placeOf(given);
const onCpu = device === 'cpu';
const batch = whole('batch', given.batch);
// Read when the device opens. One stream: calls that do not depend on one another would run side by side.
Object.assign(process.env, { RESCUNET_PRECISION: precision, RESCUNET_STREAMS: '1' });
setDefaultDevice(device);
const repeats = whole('repeats', given.repeats);
const shapes = (device === 'sim' ? TINY : SHAPES)
  .map(([k, ic, oc, side]) => ({ k, ic, oc, side, name: `${k}x${k} ${ic}->${oc} @${side}` }))
  .filter(({ name }) => name.includes(given.only));
if (shapes.length === 0 && !given.ragged)
  throw new RangeError(`--only: no convolution's name has '${given.only}' in it`);

const about = machine();
if (given.ragged) {
  const rows = measureRagged(repeats, given.only);
  if (given.json) writeResult(given.json, { bench: 'ragged', machine: about, repeats, rows });
  process.exit();
}
const peak = measurePeak(device);
/** What shares are of. */
const best = peak.products ?? peak.gflops;
const torch = given['no-peer'] ? undefined : torchOf(given.python);
const peer = torch
  ? new Peer('torch', given.python, [local('./peers/torch_convolutions.py'), String(about.threads), device, precision])
  : undefined;
console.log(
  `${about.cpu}, ${about.threads} threads, ${about.instructionSet}, load ${about.load.toFixed(1)}, ${onCpu ? '' : `${device}, ${precision}, `}peak ${best.toFixed(0)} GFLOP/s; ` +
    (torch ? `torch ${torch}` : `${given.python} has no torch, or none is wanted: ours alone`),
);

/** Milliseconds of every pass of one convolution, ours and theirs in turns of so many calls. */
async function measure({ k, ic, oc, side }: (typeof shapes)[number], calls: number) {
  const x = randn([batch, side, side, ic], { seed: 1 });
  const w = randn([oc, k, k, ic], { seed: 2 });
  const dy = randn([batch, side, side, oc], { seed: 3 });
  const run = () => conv2d(x, w, { padding: (k - 1) / 2 });
  const y = run();
  const [toInput, toWeight] = y.origin?.gradients ?? [];
  const ours: (() => Tensor | undefined)[] = [run, () => toInput?.(dy), () => toWeight?.(dy)];
  // A card's turn is a graph that ends with a few numbers, which are waited for.
  const several = (work: () => Tensor | undefined) => () => {
    let made: Tensor | undefined;
    for (let call = 0; call < calls; call++) made = tidy(work);
    return made && slice(made, { start: made.shape.map(() => 0), size: made.shape.map(() => 1) });
  };
  const graphs = onCpu ? [] : ours.map((work) => capture(several(work), { device }));
  const turns = onCpu ? ours.map(several) : graphs;
  const times = PASSES.map(() => ({ ours: [] as number[], eager: [] as number[], channels_last: [] as number[] }));
  for (let i = -3; i < repeats; i++) {
    for (const [pass, turn] of turns.entries()) {
      await rest();
      const start = performance.now();
      tidy(() => {
        const made = turn();
        if (made) wait(made);
      });
      const taken = (performance.now() - start) / calls;
      if (i >= 0) times[pass].ours.push(taken);
      for (const variant of peer ? (onCpu ? VARIANTS : VARIANTS.slice(1)) : []) {
        await rest();
        const theirs = Number(await peer?.ask(JSON.stringify({ batch, k, ic, oc, side, pass, variant, calls })));
        if (i >= 0) times[pass][variant].push(theirs);
      }
    }
  }
  for (const t of [...graphs, x, w, dy, y]) t.dispose();
  return times;
}

const rows: { pass: string; ratio?: number }[] = [];
for (const shape of shapes) {
  const flops = 2 * batch * shape.k ** 2 * shape.ic * shape.oc * shape.side ** 2;
  const calls = onCpu ? Math.max(1, Math.round(TURN / flops)) : device === 'sim' ? 2 : CALLS;
  for (const [pass, times] of (await measure(shape, calls)).entries()) {
    const [ours, ...theirs] = [times.ours, times.eager, times.channels_last].map((list) => list.length && median(list));
    const gflops = flops / ours / 1e6;
    const row = { name: shape.name, pass: PASSES[pass], milliseconds: ours, gflops, share: gflops / best };
    const quickest = Math.min(...theirs.filter((t) => t > 0));
    const ratio = Number.isFinite(quickest) ? quickest / ours : undefined;
    rows.push({ ...row, ...(ratio && { ...(onCpu && { eager: theirs[0] }), channels_last: theirs[1], ratio }) });
    const columns = [
      shape.name.padEnd(20),
      PASSES[pass].padEnd(16),
      `${ours.toFixed(2)} ms`.padStart(10),
      `${gflops.toFixed(0)} GFLOP/s`.padStart(13),
      `${(100 * row.share).toFixed(0)} % of peak`.padStart(14),
      ratio
        ? `${ratio.toFixed(2)} times torch (${theirs
            .filter((t) => t > 0)
            .map((t) => t.toFixed(2))
            .join(', ')} ms)`
        : '',
    ];
    console.log(columns.join(' ').trimEnd());
  }
}
peer?.close();
/** Geometric means of the ratios to PyTorch: how many times as quick ours is. */
const means = Object.fromEntries(
  PASSES.flatMap((pass) => {
    const ratios = rows.flatMap((row) => (row.pass === pass && row.ratio ? [row.ratio] : []));
    if (ratios.length === 0) return [];
    return [[pass, Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length)]];
  }),
);
for (const [pass, mean] of Object.entries(means))
  console.log(`${pass}: ${mean.toFixed(2)} times torch, geometric mean`);
if (given.json) {
  const measured = { repeats, ...(onCpu ? {} : { device, precision, batch }), means, rows };
  writeResult(given.json, { bench: 'convolutions', machine: { ...about, torch, peak }, ...measured });
}
