// `npm run bench [-- name ...] [--json FILE]`: every benchmark of the case files, forward and backward, with benchmark.js.
// Prints milliseconds, GFLOP/s (or GB/s where no operations are counted), the share of what the machine was measured to do at best,
// and the spread of the runs.
import Benchmark from 'benchmark';
import { gradient, randn, type Tensor, tensor, tidy } from '../src/tensor/index.js';
import type { Sample } from '../test/cases/case.js';
import { cases } from '../test/cases/index.js';
import { measurePeak, wait } from './peak.js';
import { machine, writeResult } from './report.js';

interface Row {
  op: string;
  name: string;
  pass: 'forward' | 'backward';
  milliseconds: number;
  /** Relative margin of error of the mean, percent. */
  margin: number;
  gflops?: number;
  gigabytes?: number;
  /** Of the machine's peak in that unit; above 1 where a form needs fewer operations than the direct one, or memory is cached. */
  share: number;
}

function inputsOf(sample: Sample): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(sample.inputs).map(([name, input], i) => {
      if (!('shape' in input)) return [name, randn(input, { seed: i })];
      const size = input.shape.reduce((a, b) => a * b, 1);
      let seed = 1;
      const values = Float64Array.from({ length: size }, () => {
        seed = (seed * 16807) % 2147483647;
        return input.value(() => seed / 2147483647);
      });
      return [name, tensor(values, { shape: input.shape, dtype: input.dtype })];
    }),
  );
}

function time(f: () => void): { milliseconds: number; margin: number } {
  const benchmark = new Benchmark(f, { maxTime: 0.5, minSamples: 10 }).run();
  if (benchmark.error) throw benchmark.error;
  return { milliseconds: benchmark.stats.mean * 1000, margin: benchmark.stats.rme };
}

function measure(op: string, sample: Sample): Row[] {
  const inputs = inputsOf(sample);
  const elements = Object.values(inputs).reduce((sum, x) => sum + x.size, 0) + tidy(() => sample.run(inputs).size);
  const row = (pass: Row['pass'], work: number, bytes: number, f: () => void): Row => {
    const { milliseconds, margin } = time(f);
    const rate = (amount: number) => amount / milliseconds / 1e6;
    return {
      op,
      name: sample.name,
      pass,
      milliseconds,
      margin,
      ...(work ? { gflops: rate(work) } : { gigabytes: rate(bytes) }),
      share: work ? rate(work) / peak.gflops : rate(bytes) / peak.gigabytes,
    };
  };
  const rows = [row('forward', sample.flops ?? 0, 4 * elements, () => tidy(() => wait(sample.run(inputs))))];
  const names = sample.differentiable ?? Object.keys(sample.inputs).filter((name) => !('dtype' in sample.inputs[name]));
  if (names.length > 0) {
    const loss = sample.run(inputs).sum();
    const targets = names.map((name) => inputs[name]);
    const backward = () => tidy(() => gradient(loss, targets).forEach(wait));
    rows.push(row('backward', 2 * (sample.flops ?? 0), 8 * elements, backward));
  }
  return rows;
}

const args = process.argv.slice(2);
const at = args.indexOf('--json');
const file = at >= 0 ? args.splice(at, 2)[1] : undefined;
const about = machine();
const peak = measurePeak();
console.log(
  `${about.cpu}, ${about.threads} threads, ${about.instructionSet}, node ${about.node}, load ${about.load.toFixed(1)}; ` +
    `at best ${peak.gflops.toFixed(0)} GFLOP/s, ${peak.gigabytes.toFixed(1)} GB/s`,
);
const rows: Row[] = [];
for (const [op, { benchmarks = [] }] of Object.entries(cases)) {
  if (args.length > 0 && !args.includes(op)) continue;
  for (const sample of benchmarks) {
    for (const row of measure(op, sample)) {
      rows.push(row);
      const rate =
        row.gflops !== undefined ? `${row.gflops.toFixed(1)} GFLOP/s` : `${(row.gigabytes ?? 0).toFixed(1)} GB/s`;
      const text = [
        op.padEnd(12),
        row.name.padEnd(26),
        row.pass.padEnd(9),
        `${row.milliseconds.toFixed(3)} ms`.padStart(12),
        rate.padStart(16),
        `${(100 * row.share).toFixed(0)} %`.padStart(6),
      ];
      console.log(`${text.join(' ')}  ±${row.margin.toFixed(1)}%`);
    }
  }
}
if (file) writeResult(file, { bench: 'ops', machine: { ...about, peak }, rows });
