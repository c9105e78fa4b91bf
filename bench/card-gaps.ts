// What starting a kernel costs, and what the device can do at best.
//   card-gaps --device cuda [--json FILE]
// Chains of additions of a few numbers take nothing but their starts: the difference between a long and a short one, per kernel, in a captured step's
// graph and recorded anew. `beside`: additions that do not wait for one another, over the streams of a graph.
import { parseArgs } from 'node:util';
import { add, capture, ones, setDefaultDevice, type Tensor, tidy } from '../src/tensor/index.js';
import { measurePeak, wait } from './peak.js';
import { machine, median, writeResult } from './report.js';

const { values: given } = parseArgs({
  options: { device: { type: 'string', default: 'cuda' }, json: { type: 'string' } },
});
const { device } = given;
setDefaultDevice(device);
const [short, long, repeats] = device === 'sim' ? [2, 6, 2] : [100, 1100, 30];

const chain = (count: number) => (x: Tensor) => {
  let y = x;
  for (let i = 0; i < count; i++) y = add(y, 1);
  return y;
};
const fan = (count: number) => (x: Tensor) => {
  const ys = Array.from({ length: count }, () => add(x, 1));
  return ys[count - 1];
};

/** Median milliseconds of fn on one vector. */
function time(fn: (x: Tensor) => Tensor): number {
  const x = ones([64], { device });
  const times: number[] = [];
  for (let i = -3; i < repeats; i++) {
    const start = performance.now();
    tidy(() => wait(fn(x)));
    if (i >= 0) times.push(performance.now() - start);
  }
  x.dispose();
  return median(times);
}

/** Microseconds that one more kernel takes. */
function perKernel(of: (count: number) => (x: Tensor) => Tensor, captured: boolean): number {
  const [less, more] = [short, long].map((count) => time(captured ? capture(of(count), { device }) : of(count)));
  return (1000 * (more - less)) / (long - short);
}

const gaps = {
  graph: perKernel(chain, true),
  beside: perKernel(fan, true),
  recorded: perKernel(chain, false),
  replay: 1000 * time(capture(chain(1), { device })),
};
const peak = measurePeak(device);
for (const [name, microseconds] of Object.entries(gaps))
  console.log(`${name.padEnd(10)} ${microseconds.toFixed(2)} us`);
console.log(
  `registers ${(peak.gflops / 1000).toFixed(1)} TFLOP/s, memory ${(peak.gigabytes / 1000).toFixed(2)} TB/s, ` +
    `a large product ${((peak.products ?? 0) / 1000).toFixed(1)} TFLOP/s`,
);
if (given.json) writeResult(given.json, { bench: 'card-gaps', machine: machine(), device, microseconds: gaps, peak });
process.exit(0);
