// onnxruntime's side of `bench/step.ts`, inference only: the argument is a Work as JSON whose `onnx` torch_to_onnx.py has written; then one JSON
// line in, one JSON line out. The package is taken from `runtime`, a folder that has it: none of our own dependencies.
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { peakMemory } from '../report.js';
import { handedMap, rms, type Work } from '../step-work.js';

interface Value {
  readonly data: Float32Array;
}
interface Runtime {
  InferenceSession: {
    create(
      path: string,
      options: { intraOpNumThreads: number },
    ): Promise<{ run(inputs: { x: Value }): Promise<{ final: Value; aux: Value }> }>;
  };
  Tensor: new (type: 'float32', data: Float32Array, shape: readonly number[]) => Value;
}

const startBytes = peakMemory();
const work: Work = JSON.parse(process.argv[2]);
const { weights, onnx, runtime, threads } = work;
if (!weights || !onnx || !runtime) throw new Error('onnxruntime_step: wants weights, onnx and runtime');
const { InferenceSession, Tensor: Input }: Runtime = createRequire(join(resolve(runtime), 'package.json'))(
  'onnxruntime-node',
);

/** Of a map handed over as [n, h, w, c], what is asked of [n, c, h, w]. */
function channelsFirst(name: string): { data: Float32Array; shape: number[] } {
  const {
    data: handed,
    shape: [n, h, w, c],
  } = handedMap(weights as string, name);
  const data = handed.map((_, i) => {
    const [image, channel, pixel] = [Math.floor(i / (c * h * w)), Math.floor(i / (h * w)) % c, i % (h * w)];
    return handed[(image * h * w + pixel) * c + channel];
  });
  return { data, shape: [n, c, h, w] };
}
const [input, final, aux] = ['x', 'final', 'aux'].map(channelsFirst);

const session = await InferenceSession.create(onnx, { intraOpNumThreads: threads });
const x = new Input('float32', input.data, input.shape);
const first = await session.run({ x });
const difference = Math.max(rms(first.final.data, final.data), rms(first.aux.data, aux.data));

const say = (line: Record<string, unknown>): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
say({ ready: true, difference, startBytes });
for await (const line of createInterface({ input: process.stdin })) {
  if ((JSON.parse(line) as { request: string }).request === 'memory') {
    say({ peakBytes: peakMemory() });
    continue;
  }
  const start = performance.now();
  const value = (await session.run({ x })).final.data[0];
  say({ milliseconds: performance.now() - start, value });
}
process.exit(0);
