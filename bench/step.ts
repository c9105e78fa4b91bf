// `npm run bench:step -- --width 64 --size 256 --batch 4 [--kind inference|generator|gan]`: milliseconds, images/s and memory of
// the generator and of training steps, beside PyTorch's where a Python that has it is given or found, and inference beside onnxruntime-node's where
// --onnxruntime names a folder that has it (PyTorch then writes the network). Contract: every subject has
// a process of its own and they take turns in one run, so that the machine's moods meet all of them. With --busy every turn is taken
// once more beside a process that keeps one core busy; with --bf16 inference also runs in bf16 on both sides, with --compile torch.compile runs too.
// With --device cuda (--precision f32, tf32 or bf16) both sides run on the card; memory is then the card's, and a peer that fails is left out.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { besideBusy, local, Peer, rest, script, torchOf } from './peer.js';
import { machine, median, mib, whole, writeResult } from './report.js';
import { type PeerVariant, placeOf, WORK_KINDS, type Work, type WorkKind } from './step-work.js';

/** Of the outputs from the same weights, which lie in [-1, 1], and of the first loss relative to it. */
const TOLERANCE = { f32: [1e-4, 1e-3], tf32: [5e-3, 1e-2], bf16: [5e-2, 5e-2] } as const;

const isBf16 = (subject: string): boolean => subject.endsWith('bf16');

/** cpu: a fair PyTorch is one whose allocator keeps its pages. */
const ALLOCATOR = {
  MALLOC_MMAP_THRESHOLD_: '4294967295',
  MALLOC_TRIM_THRESHOLD_: '68719476736',
  MALLOC_TOP_PAD_: '268435456',
};

interface Answer {
  parameters?: number;
  startBytes?: number;
  difference?: number;
  milliseconds?: number;
  value?: number;
  peakBytes?: number;
  arenaBytes?: number;
  flops?: number | null;
  holders?: string;
}

/** A subject's process: requests and answers are JSON. */
class Process extends Peer {
  async answer(): Promise<Answer> {
    return JSON.parse(await this.next()) as Answer;
  }

  async request(request: 'run' | 'memory'): Promise<Answer> {
    return JSON.parse(await this.ask(JSON.stringify({ request }))) as Answer;
  }
}

interface Row {
  subject: string;
  kind: WorkKind;
  milliseconds: number[];
  median: number;
  min: number;
  /** Median beside a busy process, and how many times as long that is. */
  busyMedian?: number;
  busyRatio?: number;
  imagesPerSecond: number;
  gflops?: number;
  /** Unknown of onnxruntime, which folds the norms. */
  parameters?: number;
  /** Peak of the process, and what it held before it built anything (runtime and libraries). */
  peakBytes: number;
  startBytes: number;
  arenaBytes?: number;
  /** Root mean square difference of the outputs from ours, from the same weights (random ones magnify rounding in single pixels), and of the first loss. */
  difference?: number;
  firstValue: number;
}

const { values: given } = parseArgs({
  options: {
    width: { type: 'string', default: '64' },
    size: { type: 'string', default: '256' },
    batch: { type: 'string', default: '1' },
    kind: { type: 'string', multiple: true, default: [...WORK_KINDS] },
    threads: { type: 'string' },
    repeats: { type: 'string', default: '7' },
    python: { type: 'string' },
    'no-peer': { type: 'boolean', default: false },
    holders: { type: 'boolean', default: false },
    busy: { type: 'boolean', default: false },
    bf16: { type: 'boolean', default: false },
    compile: { type: 'boolean', default: false },
    onnxruntime: { type: 'string' },
    device: { type: 'string', default: 'cpu' },
    precision: { type: 'string', default: 'f32' },
    json: { type: 'string' },
  },
});

const about = machine();
const shape = {
  width: whole('width', given.width),
  size: whole('size', given.size, 32),
  batch: whole('batch', given.batch),
  threads: given.threads ? whole('threads', given.threads) : about.threads,
};
const repeats = whole('repeats', given.repeats);
const place = placeOf(given);
const onCpu = place.device === 'cpu';
if (!onCpu && (given.bf16 || given.busy || given.onnxruntime))
  throw new RangeError('--device: --bf16, --busy and --onnxruntime are for the cpu');
/** What kept a peer from being measured, or its numbers from agreeing, on a card. */
const problems: string[] = [];
/** The cpu's figures are worth nothing then; on a card, which is lent for minutes, the others go on. */
function complain(problem: string): void {
  if (onCpu) throw new Error(problem);
  problems.push(problem);
  console.error(problem);
}
const kinds = given.kind.map((kind) => {
  const known = WORK_KINDS.find((one) => one === kind);
  if (!known) throw new RangeError(`--kind is ${WORK_KINDS.join(', ')}, got '${kind}'`);
  if (known === 'gan' && shape.size < 64)
    throw new RangeError(`--kind gan wants --size 64 or more (its local discriminator sees half), got ${shape.size}`);
  return known;
});

const python = given.python ?? 'python3';
const torch = given['no-peer'] ? undefined : torchOf(python);
if (given.python && !given['no-peer'] && !torch) throw new Error(`--python: ${python} cannot import torch`);
if (given.onnxruntime && !torch)
  throw new Error('--onnxruntime: wants a Python that has torch (--python), to write the network');

function start(work: Work): Process {
  const threads = { RESCUNET_THREADS: String(work.threads), OMP_NUM_THREADS: String(work.threads) };
  const env = onCpu ? threads : { ...threads, RESCUNET_PRECISION: work.precision };
  const described = JSON.stringify(work);
  if (!work.variant)
    return new Process(work.bf16 ? 'ours bf16' : 'ours', process.execPath, [...script('step-subject'), described], env);
  if (work.variant === 'onnxruntime')
    return new Process('onnxruntime', process.execPath, [...script('peers/onnxruntime_step'), described], env);
  const args = [local('./peers/torch_step.py'), described];
  return new Process(`torch ${work.variant}${work.bf16 ? ' bf16' : ''}`, python, args, { ...env, ...ALLOCATOR });
}

/** Writes the weights that peers start from. In a process of its own: copies of all weights are no part of our work's memory. */
async function handOver(work: Work): Promise<void> {
  const writer = start(work);
  await writer.answer().finally(() => writer.close());
}

/** The network of the weights handed over, for onnxruntime. */
function writeOnnx(work: Work, path: string): void {
  const { status, stderr } = spawnSync(python, [local('./peers/torch_to_onnx.py'), JSON.stringify(work), path], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`torch_to_onnx ended: ${stderr.trim().split('\n').slice(-4).join(' | ')}`);
}

/** All subjects of one kind of work, in turns. */
async function measure(kind: WorkKind, weights: string): Promise<Row[]> {
  let subjects: { process: Process; ready: Answer; first: number; times: number[]; busy: number[] }[] = [];
  const open = async (work: Work): Promise<Answer> => {
    const process = start(work);
    const subject = { process, ready: {} as Answer, first: Number.NaN, times: [], busy: [] };
    subjects.push(subject);
    subject.ready = await process.answer();
    return subject.ready;
  };
  /** Does something with every subject; one that ends is none any more. */
  const each = async (work: (subject: (typeof subjects)[number]) => Promise<void>): Promise<void> => {
    for (const subject of [...subjects]) {
      try {
        await work(subject);
      } catch (error) {
        if (subject === subjects[0]) throw error;
        complain(`${kind}: ${(error as Error).message}`);
        subject.process.close();
        subjects = subjects.filter((one) => one !== subject);
      }
    }
  };
  try {
    const own = { kind, ...shape, ...place, holders: given.holders };
    const [output, loss] = TOLERANCE[place.precision];
    const inBf16 = given.bf16 && kind === 'inference';
    if (torch || inBf16) await handOver({ ...own, weights });
    const ours = await open(own);
    const variants: PeerVariant[] = onCpu ? ['eager', 'channels_last'] : ['channels_last'];
    if (given.compile) variants.push('compile');
    if (given.compile && !onCpu) variants.push('graphs');
    const peers: Partial<Work>[] = torch ? variants.map((variant) => ({ variant })) : [];
    if (torch && inBf16) peers.push(...variants.slice(1).map((variant) => ({ variant, bf16: true })));
    if (given.onnxruntime && kind === 'inference') {
      const onnx = join(dirname(weights), 'generator.onnx');
      writeOnnx({ ...own, weights }, onnx);
      peers.push({ variant: 'onnxruntime', onnx, runtime: given.onnxruntime });
    }
    if (inBf16) {
      const { difference = Number.NaN } = await open({ ...own, weights, bf16: true });
      if (!(difference <= TOLERANCE.bf16[0])) complain(`${kind}: our bf16 differs by ${difference}`);
    }
    for (const peer of peers) {
      try {
        const { parameters, difference = Number.NaN } = await open({ ...own, weights, ...peer });
        const allowed = peer.bf16 ? TOLERANCE.bf16[0] : output;
        if (peer.variant !== 'onnxruntime' && parameters !== ours.parameters)
          complain(`${kind}: ours has ${ours.parameters} parameters, torch ${parameters}: no comparison`);
        if (!(difference <= allowed))
          complain(`${kind}: outputs from the same weights differ by ${difference}, allowed ${allowed}`);
      } catch (error) {
        complain(`${kind}: ${(error as Error).message}`);
        subjects.pop()?.process.close();
      }
    }
    await each(async (subject) => {
      subject.first = (await subject.process.request('run')).value ?? Number.NaN;
    });
    for (const { process, first } of subjects) {
      if (isBf16(process.name)) continue;
      if (!(Math.abs(first - subjects[0].first) <= loss * Math.max(1, Math.abs(first))))
        complain(`${kind}: the first step of ${process.name} gives ${first}, ours ${subjects[0].first}`);
    }
    // Rounds to settle: a card's second replay becomes a graph, and PyTorch's graphs are recorded in its second or third run.
    const settling = place.device.startsWith('cuda') ? 3 : 1;
    for (let round = -settling; round < repeats; round++) {
      await each(async ({ process, times, busy }) => {
        await rest(given.onnxruntime ? 100 : undefined); // its threads spin for some 20 ms
        const { milliseconds = Number.NaN } = await process.request('run');
        if (round >= 0) times.push(milliseconds);
        if (round >= 0 && given.busy)
          busy.push((await besideBusy(() => process.request('run'))).milliseconds ?? Number.NaN);
      });
    }
    const rows: Row[] = [];
    let flops: number | null | undefined;
    for (const { process, ready, first, times, busy } of subjects) {
      const memory = await process.request('memory');
      flops ??= memory.flops;
      const middle = median(times);
      rows.push({
        subject: process.name,
        kind,
        milliseconds: times,
        median: middle,
        min: Math.min(...times),
        ...(busy.length > 0 && { busyMedian: median(busy), busyRatio: median(busy) / middle }),
        imagesPerSecond: (1000 * shape.batch) / middle,
        gflops: flops ? flops / middle / 1e6 : undefined,
        parameters: ready.parameters,
        peakBytes: memory.peakBytes ?? Number.NaN,
        startBytes: ready.startBytes ?? Number.NaN,
        arenaBytes: memory.arenaBytes,
        difference: ready.difference,
        firstValue: first,
      });
      if (memory.holders) console.log(memory.holders);
    }
    return rows;
  } finally {
    for (const { process } of subjects) process.close();
  }
}

function print(rows: readonly Row[]): void {
  for (const row of rows) {
    const text = [
      row.kind.padEnd(10),
      row.subject.padEnd(20),
      `${row.median.toFixed(1)} ms (min ${row.min.toFixed(1)})`.padStart(28),
      `${row.imagesPerSecond.toFixed(2)} images/s`.padStart(18),
      `${row.gflops?.toFixed(1) ?? '-'} GFLOP/s`.padStart(16),
      `peak ${mib(row.peakBytes)} (${mib(row.startBytes)} at the start)`,
      row.arenaBytes === undefined ? '' : `arena ${mib(row.arenaBytes)}`,
      isBf16(row.subject) ? `differs from f32 by ${row.difference?.toExponential(1)}` : '',
      row.busyRatio === undefined ? '' : `beside a busy process ${row.busyRatio.toFixed(2)} times as long`,
    ];
    console.log(text.filter(Boolean).join('  '));
  }
  for (const peer of rows.filter(({ subject }) => !subject.startsWith('ours'))) {
    const ours = rows.find(({ subject }) => subject === (isBf16(peer.subject) ? 'ours bf16' : 'ours')) ?? rows[0];
    const ratio = (peer.median / ours.median).toFixed(2);
    const memory = (ours.peakBytes / peer.peakBytes).toFixed(2);
    console.log(
      `${ours.kind.padEnd(10)}  ${ours.subject} is ${ratio} times as quick as ${peer.subject}, in ${memory} of its memory`,
    );
  }
}

if (!onCpu)
  console.log(`${place.device} (${about.card ?? 'no card that nvidia-smi knows'}), products in ${place.precision}`);
console.log(
  `${about.cpu}, ${shape.threads} threads, ${about.instructionSet}, node ${about.node}, load ${about.load.toFixed(1)}`,
);
console.log(torch ? `torch ${torch}` : given['no-peer'] ? 'ours alone' : `${python} has no torch: ours alone`);
const folder = mkdtempSync(join(tmpdir(), 'rescunet-bench-'));
const rows: Row[] = [];
try {
  for (const kind of kinds) {
    const measured = await measure(kind, join(folder, 'weights.safetensors'));
    print(measured);
    rows.push(...measured);
    // After each kind: whoever ends this early has what was found.
    if (given.json)
      writeResult(given.json, {
        bench: 'step',
        machine: { ...about, torch },
        shape,
        ...place,
        repeats,
        problems,
        rows,
      });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
