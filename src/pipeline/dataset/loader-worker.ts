// A loader's worker thread: takes numbers of batches, gives batches. Contract: what fails is answered, never thrown; a raised `stop`
// drops what is still waiting.
import { parentPort, workerData } from 'node:worker_threads';
import { BatchMaker, type BatchOptions, PairError } from './batches.js';
import type { Answer } from './loader.js';
import { openReader, type Prepared } from './reader.js';

const { prepared, options, stop } = workerData as {
  prepared: Prepared;
  options: BatchOptions;
  stop: Int32Array;
};
const port = parentPort;
if (!port) throw new Error('loader-worker: is started by openLoader');
const waiting: number[] = [];
let maker: BatchMaker | undefined;

function serve(step: number): void {
  if (Atomics.load(stop, 0) || !maker || !port) return;
  try {
    const batch = maker.make(step);
    const answer: Answer = { step, batch };
    const { incomplete, complete, mask, pairs, flipped } = batch;
    port.postMessage(
      answer,
      [incomplete, complete, mask, pairs, flipped].map(({ buffer }) => buffer as ArrayBuffer),
    );
  } catch (error) {
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    const answer: Answer = {
      step,
      problem: { message, stack, pair: error instanceof PairError ? error.pair : undefined },
    };
    port.postMessage(answer);
  }
}

port.on('message', (step: number | null) => {
  if (step === null) {
    maker?.close();
    port.close();
  } else if (maker) serve(step);
  else waiting.push(step);
});
maker = new BatchMaker(prepared, options, await openReader(prepared));
for (const step of waiting) serve(step);
