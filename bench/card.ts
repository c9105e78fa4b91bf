// All that is to be learnt of a card in one call of under ten minutes, on a machine with this and node alone:
//   card [--device cuda] [--out FOLDER] [--seconds 540] [--parts cases,step-16] [--python python3]
// Parts run one after the other, each in processes of its own with a limit of its own; one that fails, or whose tool is not here, is noted and the next
// begins. What they found so far is in FOLDER/card.json after each, what they printed in FOLDER/log.txt. `--device sim` proves the script, at sizes of
// seconds. scripts/prepare-card.mjs packs it; docs/performance.md says how it is used.
import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { heaviest, METRICS } from './card-kernels.js';
import { GFLOP_PER_IMAGE, PREDICTED } from './card-predictions.js';
import { script, torchOf } from './peer.js';
import { answerOf, machine, whole, writeResult } from './report.js';
import type { Work, WorkKind } from './step-work.js';

const { values: given } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    out: { type: 'string', default: 'bench/results/cuda' },
    seconds: { type: 'string', default: '540' },
    parts: { type: 'string' },
    python: { type: 'string', default: 'python3' },
  },
});
const { device, out, python } = given;
const small = device === 'sim';
const ends = performance.now() + 1000 * whole('seconds', given.seconds, 10);
const scratch = mkdtempSync(join(tmpdir(), 'rescunet-card-'));
mkdirSync(out, { recursive: true });
const logFile = join(out, 'log.txt');
writeFileSync(logFile, '');

/** One process of a part: a program of ours, or one of another's around it. */
interface Job {
  name: string;
  args: readonly string[];
  /** What ours is run under. */
  under?: readonly string[];
  env?: Record<string, string>;
  /** The result is made of what it prints. */
  reads?: (stdout: string) => unknown;
}

interface Part {
  name: string;
  seconds: number;
  /** A program without which there is nothing to do. */
  needs?: string;
  /** They run at the same time, where times do not matter. */
  jobs: readonly Job[];
}

interface Outcome {
  seconds: number;
  /** 'ok', why it did not run, or how it ended. */
  status: string;
  result?: unknown;
}

const PRECISIONS = small ? (['f32', 'bf16'] as const) : (['f32', 'tf32', 'bf16'] as const);
const onDevice = ['--device', device];

const torch = torchOf(python);
const PEER = torch ? ['--python', python] : ['--no-peer'];

const casesOf = (precision: string, more: readonly string[], under?: readonly string[]): Job => ({
  name: `${under ? `${under[2]} ` : ''}${precision}`,
  args: [...script('card-cases'), ...onDevice, '--precision', precision, ...more],
  under,
});

/** Widths and sides of the paper's network, or of one that an emulation steps in seconds. */
const [width, size] = small ? [4, 32] : [64, 256];
const KINDS: readonly WorkKind[] = small ? ['inference', 'generator'] : ['gan', 'generator', 'inference'];

function step(batch: number, precision: string, more: readonly string[] = [], env?: Record<string, string>): Job {
  const shape = ['--width', `${width}`, '--size', `${size}`, '--batch', `${batch}`, '--repeats', small ? '1' : '15'];
  const kinds = KINDS.flatMap((kind) => ['--kind', kind]);
  const name = ['step', batch, precision, ...Object.values(env ?? {})].join(' ');
  const args = [...script('step'), ...onDevice, '--precision', precision, ...shape, ...kinds, ...PEER, ...more];
  return { name, args, env };
}

const convolutions = (batch: number, precision: string): Job => ({
  name: `convolutions ${batch} ${precision}`,
  args: [
    ...script('convolutions'),
    ...onDevice,
    ...['--precision', precision, '--batch', `${batch}`, '--repeats', small ? '1' : '7', ...PEER],
  ],
});

const profiled: Work = { kind: 'generator', width, size, batch: small ? 1 : 4, threads: 1, device, precision: 'bf16' };
const subset = small ? ['--only', 'softmax,conv2d', '--samples', '1'] : [];
const checked = ['--only', 'matmul,conv2d,batchNorm,reduce,layout,attentionGate', '--samples', '2'];
/** Most wanted first. */
const PARTS: readonly Part[] = [
  { name: 'gaps', seconds: 30, jobs: [{ name: 'gaps', args: [...script('card-gaps'), ...onDevice] }] },
  { name: 'cases', seconds: 100, jobs: PRECISIONS.map((precision) => casesOf(precision, subset)) },
  { name: 'step-16', seconds: 170, jobs: [step(small ? 2 : 16, 'bf16', small ? [] : ['--compile'])] },
  { name: 'convolutions', seconds: 45, jobs: [convolutions(small ? 1 : 16, 'bf16')] },
  {
    name: 'sanitizer',
    seconds: 60,
    needs: 'compute-sanitizer',
    jobs: ['memcheck', 'racecheck', 'synccheck'].map((tool) =>
      casesOf('bf16', checked, ['compute-sanitizer', '--tool', tool, '--error-exitcode', '9']),
    ),
  },
  {
    name: 'kernels',
    seconds: 60,
    needs: 'ncu',
    jobs: [
      {
        name: 'kernels',
        args: [...script('step-subject'), JSON.stringify(profiled), 'once'],
        under: ['ncu', '--clock-control', 'none', '--csv', '--page', 'raw', '--metrics', Object.values(METRICS).join()],
        env: { RESCUNET_PRECISION: 'bf16' },
        reads: (csv) => heaviest(csv),
      },
    ],
  },
  { name: 'step-64', seconds: 110, jobs: small ? [] : [step(64, 'bf16', ['--compile'])] },
  {
    name: 'streams',
    seconds: 30,
    jobs: ['1', '2']
      .map((streams) => step(small ? 2 : 16, 'bf16', ['--no-peer'], { RESCUNET_STREAMS: streams }))
      .slice(small ? 1 : 0),
  },
  { name: 'step-1', seconds: 60, jobs: small ? [] : [step(1, 'bf16')] },
  { name: 'step-tf32', seconds: 40, jobs: small ? [] : [step(16, 'tf32')] },
  { name: 'step-f32', seconds: 60, jobs: small ? [] : [step(16, 'f32')] },
  { name: 'convolutions-tf32', seconds: 40, jobs: small ? [] : [convolutions(16, 'tf32')] },
];

const has = (program: string): boolean => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;

/** Processes under way; whoever ends this ends them. */
const children = new Set<number>();
const endAll = (): void => {
  for (const pid of children) process.kill(-pid, 'SIGKILL');
};
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    endAll();
    process.exit(1);
  });

/** Runs one process to its end or its limit. */
function run(job: Job, seconds: number): Promise<Outcome> {
  const file = join(scratch, `${job.name.replaceAll(' ', '-')}.json`);
  const args = [...(job.under?.slice(1) ?? []), ...(job.under ? [process.execPath] : []), ...job.args];
  if (!job.reads) args.push('--json', file);
  const start = performance.now();
  // A group of its own: what it started ends with it.
  const child = spawn(job.under?.[0] ?? process.execPath, args, {
    env: { ...process.env, ...job.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const { pid } = child;
  if (pid) children.add(pid);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr = `${stderr}${text}`.slice(-20_000);
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    if (pid) process.kill(-pid, 'SIGKILL');
  }, 1000 * seconds);
  return new Promise((resolve) => {
    const end = (status: string): void => {
      clearTimeout(timer);
      if (pid) children.delete(pid);
      appendFileSync(logFile, `==== ${job.name}: ${status}\n${job.reads ? '' : stdout}${stderr}\n`);
      let result: unknown;
      try {
        if (job.reads) result = job.reads(stdout);
        else if (existsSync(file)) result = JSON.parse(readFileSync(file, 'utf8'));
      } catch (error) {
        status = `${status}; ${(error as Error).message}`;
      }
      resolve({ seconds: Math.round((performance.now() - start) / 100) / 10, status, result });
    };
    child.once('error', (error) => end(error.message));
    child.once('close', (code, signal) => {
      const last = stderr.trim().split('\n').at(-1) ?? '';
      if (late) end(`ended after its ${Math.round(seconds)} seconds`);
      else end(code === 0 ? 'ok' : `ended with ${code ?? signal}: ${last}`);
    });
  });
}

/** Steps beside what a model of them predicts. */
function comparisons(outcomes: Record<string, Record<string, Outcome>>) {
  const measured = Object.values(outcomes).flatMap((jobs) => Object.values(jobs)) as { result?: StepResult }[];
  return measured.flatMap(({ result }) => {
    if (result?.bench !== 'step') return [];
    const { shape, precision, rows } = result;
    return rows.map(({ kind, subject, median }) => {
      const predicted = width === 64 && size === 256 ? PREDICTED[kind][shape.batch] : undefined;
      const teraflops = (GFLOP_PER_IMAGE[kind] * shape.batch) / median;
      return {
        kind,
        batch: shape.batch,
        precision,
        subject,
        milliseconds: median,
        ...(predicted && { teraflops, predicted }),
      };
    });
  });
}
interface StepResult {
  bench: string;
  shape: { batch: number };
  precision: string;
  rows: { kind: WorkKind; subject: string; median: number }[];
}

const wanted = given.parts?.split(',');
for (const name of wanted ?? [])
  if (!PARTS.some((part) => part.name === name))
    throw new RangeError(`--parts: there is no '${name}'; ${PARTS.map((part) => part.name).join(', ')}`);
const about = {
  ...machine(),
  device,
  torch,
  cuda: answerOf('nvcc', ['--version'])?.match(/release [\d.]+/)?.[0],
  clocks: answerOf('nvidia-smi', ['--query-gpu=clocks.sm,clocks.mem,power.limit', '--format=csv,noheader']),
};
const outcomes: Record<string, Record<string, Outcome>> = {};
let failed = 0;
for (const part of PARTS) {
  if (part.jobs.length === 0 || (wanted && !wanted.includes(part.name))) continue;
  const left = (ends - performance.now()) / 1000 - 5;
  const missing =
    part.needs && !has(part.needs) ? `${part.needs} is not here` : left < 10 ? 'no time was left' : undefined;
  const named = await Promise.all(
    part.jobs.map(async (job): Promise<[string, Outcome]> => {
      return [
        job.name,
        missing ? { seconds: 0, status: missing } : await run(job, Math.min(small ? left : part.seconds, left)),
      ];
    }),
  );
  outcomes[part.name] = Object.fromEntries(named);
  for (const [name, { seconds, status }] of named) {
    if (status !== 'ok' && !missing) failed++;
    console.log(`${part.name.padEnd(18)} ${name.padEnd(24)} ${seconds.toFixed(1).padStart(6)} s  ${status}`);
  }
  const written = { bench: 'card', machine: about, comparisons: comparisons(outcomes), parts: outcomes };
  writeResult(join(out, 'card.json'), written);
}
rmSync(scratch, { recursive: true, force: true });
console.log(`${join(out, 'card.json')}, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
