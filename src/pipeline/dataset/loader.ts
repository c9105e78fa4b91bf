// Batches for training, made ahead in worker threads. Contract: batch k depends on the data, `BatchOptions` and k alone, not on the
// number of workers nor on where a run was taken up; at most AHEAD batches per worker are held.
import { Worker } from 'node:worker_threads';
import { FormatError } from '../../formats/error.js';
import { type Batch, BatchMaker, type BatchOptions, PairError, stepsPerEpoch } from './batches.js';
import { type DataSpec, openReader, type Prepared, prepareReader } from './reader.js';

export { type Batch, type BatchOptions, PairError } from './batches.js';
export type { DataSpec } from './reader.js';

export interface LoaderOptions extends BatchOptions {
  /** Threads that read and make pairs; 0 does it in this thread, when it is asked for. */
  workers: number;
  /** Number of the first batch, for a run that is taken up. */
  from?: number;
}

export interface BatchLoader {
  /** Pairs. */
  readonly length: number;
  /** The part of an epoch that does not fill a batch is dropped. */
  readonly stepsPerEpoch: number;
  /** Side of the maps in pixels. */
  readonly size: number;
  /** [size, size]: 1 where the layout shows surface. */
  readonly footprint: Uint8Array;
  /** One line for each part of the data that is missing or damaged and was left out. */
  readonly problems: readonly string[];
  /** The next batch; there is always one. Rejects with PairError for a pair that cannot be read; the call after gives the batch after. */
  next(): Promise<Batch>;
  /** Ends the workers. Batches still asked for are rejected. */
  close(): Promise<void>;
}

/** What a worker says. */
export type Answer =
  | { step: number; batch: Batch; problem?: undefined }
  | { step: number; problem: { message: string; stack?: string; pair?: number } };

/** Batches that each worker may have made or under way before they are asked for. */
const AHEAD = 2;

/**
 * Opens data for training. Every epoch shows every pair once, shuffled from (seed, epoch). Shards are shuffled as a whole, since single pairs are
 * read at their place in the file; pairs made while training are shuffled by people, then mixed over eight of them at a time, because a new
 * person costs as much as a dozen pairs. Throws RangeError for options, FormatError for data that is no use or fills no batch.
 */
export async function openLoader(spec: DataSpec, options: LoaderOptions): Promise<BatchLoader> {
  const { batch, seed, flip, cut = 0, relight = 0, workers, from = 0 } = options;
  const within = (name: string, value: number, low: number, high: number) => {
    if (Number.isInteger(value) && value >= low && value <= high) return;
    throw new RangeError(`openLoader: ${name} must be a whole number from ${low} to ${high}, got ${value}`);
  };
  within('batch', batch, 1, 65536);
  within('seed', seed, 0, 2 ** 32 - 1);
  within('workers', workers, 0, 256);
  within('from', from, 0, 2 ** 31 - 1);
  if (!(cut >= 0 && cut <= 1)) throw new RangeError(`openLoader: cut must be a share from 0 to 1, got ${cut}`);
  if (!(relight >= 0 && relight <= 1)) throw new RangeError(`openLoader: relight must be from 0 to 1, got ${relight}`);
  const prepared = await prepareReader(spec);
  const { length } = prepared.mixing;
  if (length < batch) throw new FormatError('data', 'pairs', `${length} do not fill a batch of ${batch}`);
  const making: BatchOptions = { batch, seed, flip, cut, relight };
  const supply =
    workers === 0
      ? new InProcess(new BatchMaker(prepared, making, await openReader(prepared)))
      : new Threads(prepared, making, workers, from);
  let step = from;
  let closed: Promise<void> | undefined;
  return {
    length,
    stepsPerEpoch: stepsPerEpoch(length, batch),
    size: prepared.size,
    footprint: prepared.footprint,
    problems: prepared.problems,
    async next() {
      if (closed) throw new Error('loader: is closed');
      return supply.take(step++);
    },
    close() {
      closed ??= supply.close();
      return closed;
    },
  };
}

interface Supply {
  /** Asked for steps in order. */
  take(step: number): Promise<Batch>;
  close(): Promise<void>;
}

class InProcess implements Supply {
  constructor(private readonly maker: BatchMaker) {}

  async take(step: number): Promise<Batch> {
    return this.maker.make(step);
  }

  async close(): Promise<void> {
    this.maker.close();
  }
}

interface Expected {
  promise: Promise<Batch>;
  resolve(batch: Batch): void;
  reject(error: Error): void;
}

function expected(): Expected {
  let [resolve, reject]: [Expected['resolve'], Expected['reject']] = [() => {}, () => {}];
  const promise = new Promise<Batch>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // A batch made ahead may fail before anybody asks for it.
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/** Batch k is made by worker k modulo their number. */
class Threads implements Supply {
  private readonly stop = new Int32Array(new SharedArrayBuffer(4));
  private readonly workers: Worker[];
  private readonly ended: Promise<void>[];
  private readonly ahead = new Map<number, Expected>();
  private asked: number;
  private failure: Error | undefined;

  constructor(prepared: Prepared, options: BatchOptions, count: number, from: number) {
    this.asked = from;
    const workerData = { prepared, options, stop: this.stop };
    this.workers = Array.from(
      { length: count },
      () => new Worker(new URL('./loader-worker.js', import.meta.url), { workerData }),
    );
    this.ended = this.workers.map((worker) => {
      worker.on('message', (answer: Answer) => this.receive(answer));
      worker.on('error', (error) => this.fail(error));
      return new Promise((resolve) => {
        worker.on('exit', (code) => {
          this.fail(new Error(`loader: is closed${code === 0 ? '' : ` (a worker ended with code ${code})`}`));
          resolve();
        });
      });
    });
    this.askUpTo(from + AHEAD * count);
  }

  async take(step: number): Promise<Batch> {
    if (this.failure) throw this.failure;
    this.askUpTo(step + 1 + AHEAD * this.workers.length);
    const entry = this.ahead.get(step);
    if (!entry) throw new Error(`loader: batch ${step} was taken before`);
    try {
      return await entry.promise;
    } finally {
      this.ahead.delete(step);
    }
  }

  async close(): Promise<void> {
    Atomics.store(this.stop, 0, 1);
    this.fail(new Error('loader: is closed'));
    for (const worker of this.workers) worker.postMessage(null);
    await Promise.all(this.ended);
  }

  private askUpTo(end: number): void {
    for (; this.asked < end; this.asked++) {
      this.ahead.set(this.asked, expected());
      this.workers[this.asked % this.workers.length].postMessage(this.asked);
    }
  }

  private receive({ step, ...answer }: Answer): void {
    const entry = this.ahead.get(step);
    if (!entry) return;
    if (!answer.problem) {
      entry.resolve(answer.batch);
      return;
    }
    const { message, stack, pair } = answer.problem;
    const error = pair === undefined ? new Error(message) : new PairError(step, pair, '');
    error.message = message;
    error.stack = stack;
    entry.reject(error);
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.ahead.values()) reject(this.failure);
  }
}
