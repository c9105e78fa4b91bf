// `npm run bench:data`: pairs per second of training data, made (SynthPIE in this process and in the loader's workers) and read
// (the loader from shards). Contract: what opens a source (its face model, its worker threads, the first batch) is not timed.
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { prepareShards } from '../src/pipeline/dataset/index.js';
import { type DataSpec, openLoader } from '../src/pipeline/dataset/loader.js';
import { type SynthPieOptions, synthPie } from '../src/pipeline/dataset/synth-pie.js';
import { machine, whole, writeResult } from './report.js';

interface Row {
  source: 'synthPie' | 'synthPie loader' | 'shards loader';
  size: number;
  workers: number;
  pairs: number;
  seconds: number;
  pairsPerSecond: number;
}

const { values: given } = parseArgs({
  options: {
    size: { type: 'string', multiple: true, default: ['128', '256'] },
    pairs: { type: 'string', default: '256' },
    batch: { type: 'string', default: '8' },
    workers: { type: 'string', default: String(cpus().length) },
    json: { type: 'string' },
  },
});
const sizes = given.size.map((size) => whole('size', size, 32));
const batch = whole('batch', given.batch);
const workers = whole('workers', given.workers);
const pairs = whole('pairs', given.pairs, batch);
const steps = Math.floor(pairs / batch);

const rows: Row[] = [];
function report(source: Row['source'], size: number, threads: number, count: number, milliseconds: number): void {
  const row = { source, size, workers: threads, pairs: count, seconds: milliseconds / 1000 };
  const pairsPerSecond = (1000 * count) / milliseconds;
  rows.push({ ...row, pairsPerSecond });
  console.log(
    `${source.padEnd(16)} ${String(size).padStart(4)}  ${String(threads).padStart(2)} workers  ${pairsPerSecond.toFixed(1).padStart(9)} pairs/s`,
  );
}

async function timeLoader(source: Row['source'], spec: DataSpec, size: number, threads: number): Promise<void> {
  const loader = await openLoader(spec, { batch, seed: 1, flip: true, workers: threads });
  try {
    // Past the start: from here as many batches lie ready when the clock starts as when it stops.
    for (let i = 0; i < 1 + 2 * threads; i++) await loader.next();
    const start = performance.now();
    for (let i = 0; i < steps; i++) await loader.next();
    report(source, size, threads, steps * batch, performance.now() - start);
  } finally {
    await loader.close();
  }
}

const about = machine();
console.log(`${about.cpu}, ${about.cores} cores, node ${about.node}, load ${about.load.toFixed(1)}`);
const folder = mkdtempSync(join(tmpdir(), 'rescunet-bench-'));
try {
  for (const size of sizes) {
    // 3 expressions x 4 lights x 4 views of a person, so that a person's paint is shared as in training.
    const people = Math.max(8, Math.ceil(pairs / 48));
    const data: SynthPieOptions = { identities: people, illuminations: 4, viewpoints: 4, size, seed: 1 };
    const source = synthPie(data);
    source.pair(0);
    const start = performance.now();
    for (let i = 0; i < pairs; i++) source.pair(1 + (i % (source.length - 1)));
    report('synthPie', size, 1, pairs, performance.now() - start);
    for (const threads of new Set([1, workers])) await timeLoader('synthPie loader', { synthPie: data }, size, threads);

    const shards = join(folder, `shards-${size}`);
    await prepareShards({ synthPie: { ...data, identities: Math.ceil(pairs / 48) } }, shards, { workers });
    for (const threads of new Set([1, workers])) await timeLoader('shards loader', { shards: [shards] }, size, threads);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (given.json) writeResult(given.json, { bench: 'data', machine: about, batch, rows });
