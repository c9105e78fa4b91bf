// `node --import ./test/typescript.mjs bench/curves.ts A B C`: how near the losses of run B come to those of A, beside those of C, which differs from A by its
// seed. Contract: the files are a run's metrics.jsonl, or what --out made of one: step and losses alone, to five digits.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

type Line = Record<string, number>;

const LAST = 50; // steps of the mean at the end, and of the running mean

const { values: given, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { out: { type: 'string' } },
});
if (files.length !== 3)
  throw new Error(`curves: wants three files, a run, another and one of another seed; got ${files.length}`);

const runs = files.map((file): Line[] => {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines.map((line) => {
    const { step, ...rest } = JSON.parse(line) as Line;
    const losses = Object.entries(rest).filter(([name]) => name.includes('/'));
    return { step, ...Object.fromEntries(losses.map(([name, value]) => [name, Number(value.toPrecision(5))])) };
  });
});
const [first] = runs;
const steps = first.map(({ step }) => step).join();
for (const [i, run] of runs.entries())
  if (run.map(({ step }) => step).join() !== steps)
    throw new Error(`curves: ${files[i]} has other steps than ${files[0]}`);

if (given.out) {
  for (const [i, run] of runs.entries()) {
    const name = path.basename(path.dirname(path.resolve(files[i])));
    writeFileSync(path.join(given.out, `${name}.jsonl`), `${run.map((line) => JSON.stringify(line)).join('\n')}\n`);
  }
}

const span = Math.round(LAST / (first[1].step - first[0].step));
const average = (values: number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
/** Of the lines before and with each. */
const running = (values: number[]): number[] =>
  values.map((_, i) => average(values.slice(Math.max(0, i + 1 - span), i + 1)));
const largest = (a: number[], b: number[]): number => Math.max(...a.map((x, i) => Math.abs(x - b[i])));

console.log(
  `| mean of the last ${LAST} steps | ${files.map((file) => path.basename(path.dirname(file))).join(' | ')} | largest gap, running means | of the seeds |`,
);
console.log('| --- | ---: | ---: | ---: | ---: | ---: |');
for (const name of Object.keys(first[0]).filter((key) => key !== 'step')) {
  const curves = runs.map((run) => run.map((line) => line[name]));
  const [a, b, c] = curves.map(running);
  const ends = curves.map((curve) => average(curve.slice(-span)).toFixed(4));
  console.log(`| ${name} | ${ends.join(' | ')} | ${largest(a, b).toFixed(4)} | ${largest(a, c).toFixed(4)} |`);
}
