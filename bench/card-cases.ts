// Every sample of every case on a device, against the float64 reference: what test/sim.test.ts holds, for machines that have node and nothing else.
//   card-cases --device cuda [--precision bf16] [--only conv2d,matmul] [--samples 3] [--json FILE]
// Of each: the largest difference, that a second run has the same bits, and that a captured one has them in every replay. Ends with 1 if one does not hold.
import { parseArgs } from 'node:util';
import { capture, setDefaultDevice, type Tensor, tensor } from '../src/tensor/index.js';
import type { Sample } from '../test/cases/case.js';
import { cases } from '../test/cases/index.js';
import { relativeDifference } from '../test/difference.js';
import { draw, evaluate, randomFrom, seedOf, shapeOf, type Values } from '../test/samples.js';
import { machine, whole, writeResult } from './report.js';
import { placeOf } from './step-work.js';

/** Of products whose factors are rounded, through two of them; a sample that allows more has its way. */
const ALLOWED = { f32: 1e-5, tf32: 2e-3, bf16: 1.5e-2 } as const;
/** The third replay of a card is its second as a graph. */
const REPLAYS = 3;

const { values: given } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    precision: { type: 'string', default: 'f32' },
    only: { type: 'string' },
    samples: { type: 'string' },
    json: { type: 'string' },
  },
});
const { device, precision } = placeOf(given);
const limit = given.samples ? whole('samples', given.samples) : Number.POSITIVE_INFINITY;
const only = given.only?.split(',');
process.env.RESCUNET_PRECISION = precision; // read when the device opens
setDefaultDevice(device);

interface Row {
  name: string;
  difference?: number;
  allowed: number;
  /** Whether replays of the captured forward pass had its bits; undefined where it cannot be captured. */
  captured?: boolean;
  wrong?: string;
}

type Results = Record<string, Float32Array | Int32Array | Uint8Array | Uint16Array>;

async function resultsOf(sample: Sample, values: Values, seed: number): Promise<Results> {
  const { y, gradients } = evaluate(sample, values, device, seed);
  const results: Results = { output: await y.data() };
  for (const [name, dx] of Object.entries(gradients)) results[`gradient of ${name}`] = await dx.data();
  return results;
}

const bits = (results: Results): string =>
  Object.values(results)
    .map((x) => Buffer.from(x.buffer, x.byteOffset, x.byteLength).toString('base64'))
    .join(' ');

/** The forward pass as a graph. */
async function replayed(sample: Sample, values: Values, output: Results['output']): Promise<boolean | undefined> {
  const names = Object.keys(sample.inputs);
  const inputs = names.map((name) => {
    const input = sample.inputs[name];
    return tensor(values[name], {
      shape: shapeOf(sample, name),
      dtype: 'dtype' in input ? input.dtype : 'f32',
      device,
    });
  });
  const step = capture((...xs: Tensor[]) => sample.run(Object.fromEntries(names.map((name, i) => [name, xs[i]]))), {
    device,
  });
  try {
    for (let i = 0; i < REPLAYS; i++) {
      let y: Tensor;
      try {
        y = step(...inputs);
      } catch (error) {
        if (i === 0 && /^capture|^variable/.test((error as Error).message)) return undefined; // uploads in the middle, say
        throw error;
      }
      if (bits({ output: await y.data() }) !== bits({ output })) return false;
    }
    return true;
  } finally {
    step.dispose();
  }
}

async function check(stem: string, sample: Sample): Promise<Row> {
  const name = `${stem}, ${sample.name}`;
  const row: Row = { name, allowed: Math.max(sample.tolerance ?? 0, ALLOWED[precision]) };
  try {
    const seed = seedOf(`${stem} ${sample.name}`);
    const values = draw(sample, randomFrom(seed));
    const expected = evaluate(sample, values, 'reference', seed + 1);
    const actual = await resultsOf(sample, values, seed + 1);
    const wanted = { output: expected.y };
    for (const [input, dx] of Object.entries(expected.gradients))
      Object.assign(wanted, { [`gradient of ${input}`]: dx });
    const differences = Object.entries(wanted).map(([what, x]) => relativeDifference(actual[what], x));
    row.difference = differences.some(Number.isNaN) ? Number.NaN : Math.max(...differences);
    if (!(row.difference <= row.allowed)) row.wrong = `differs by ${row.difference}, allowed ${row.allowed}`;
    else if (bits(await resultsOf(sample, values, seed + 1)) !== bits(actual))
      row.wrong = 'a second run has other bits';
    // Random numbers go on from run to run.
    else if (stem !== 'random') row.captured = await replayed(sample, values, actual.output);
    if (row.captured === false) row.wrong = 'a captured run has other bits';
  } catch (error) {
    row.wrong = (error as Error).message;
  }
  return row;
}

const rows: Row[] = [];
const about = machine();
for (const [stem, { samples }] of Object.entries(cases)) {
  if (only && !only.includes(stem)) continue;
  for (const sample of samples.slice(0, limit)) {
    const row = await check(stem, sample);
    rows.push(row);
    if (row.wrong) console.log(`${row.name}: ${row.wrong}`);
  }
  // After each file: whoever ends this early has what was found.
  if (given.json) writeResult(given.json, { bench: 'card-cases', machine: about, device, precision, rows });
}
if (rows.length === 0) throw new RangeError(`--only: there is no case '${given.only}'`);
const wrong = rows.filter((row) => row.wrong).length;
const captured = rows.filter((row) => row.captured).length;
console.log(`${device}, ${precision}: ${rows.length} samples, ${captured} of them captured too, ${wrong} wrong`);
process.exit(wrong > 0 ? 1 : 0);
