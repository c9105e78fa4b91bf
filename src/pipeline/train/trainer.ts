// The training loop: steps, checkpoints, logs, the best network, for any job (job.ts). Contract: what a run does at step k depends on
// its configuration and its state after step k - 1 alone, so a run that was killed and taken up ends with the same bits.
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { writeAtomicallySync } from '../../formats/files.js';
import { writeSafetensors } from '../../formats/safetensors.js';
import { flush, setDefaultDevice } from '../../tensor/device.js';
import { BatchError } from '../dataset/batches.js';
import { checkpointSteps, loadCheckpoint, type Progress, saveCheckpoint } from './checkpoint.js';
import {
  type Losses,
  RUN_FILES,
  type RunConfig,
  type Scalars,
  type Score,
  type TrainJob,
  type TrainTask,
} from './job.js';
import { RunLog } from './log.js';
import { type AnyTrainConfig, taskOf } from './tasks.js';
import type { StepReport, TrainOptions, TrainReport } from './types.js';

export { RUN_FILES } from './job.js';

/** A loss that is no number any more. The batch that led there is in `file`. */
export class TrainingError extends Error {
  override readonly name = 'TrainingError';

  constructor(
    readonly step: number,
    readonly term: string,
    readonly value: number,
    readonly file: string,
  ) {
    super(
      `step ${step}: ${term} is ${value}; the batch is in ${file}. Lower optimiser.lr, or take the run up from a checkpoint with --resume`,
    );
  }
}

/** Keys of a configuration that may differ when a run is taken up. */
const FREE = ['run', 'device', 'steps', 'epochs', 'checkpoint', 'log', 'validate'] as const;

/**
 * Trains as configured; with `resume`, goes on from the newest whole checkpoint of the run. `config.device` becomes the
 * process's default. Throws FormatError for a run that is there already, or whose configuration differs; DeviceError for a device
 * that is not here; TrainingError when a loss is NaN or infinite.
 */
export function train(config: AnyTrainConfig, options: TrainOptions = {}): Promise<TrainReport> {
  return trainTask(taskOf(config), config, options);
}

/** The same for a task that is not one of this package's. */
export async function trainTask<C extends RunConfig>(
  task: TrainTask<C>,
  config: C,
  { resume = false, onStep, signal }: TrainOptions = {},
): Promise<TrainReport> {
  const { run, device } = config;
  if (device !== undefined) setDefaultDevice(device);
  const there = checkpointSteps(run).length > 0 || existsSync(path.join(run, RUN_FILES.config));
  if (there && !resume) throw new FormatError(run, 'run', 'holds a run already; go on with --resume or name another');
  const problems: string[] = [];
  // A run that was killed before its first checkpoint, or was never begun, begins.
  const saved = resume && checkpointSteps(run).length > 0 ? loadCheckpoint(run, problems) : undefined;
  let job: TrainJob | undefined;
  let log: RunLog | undefined;
  try {
    if (saved) checkSame(run, saved.config, config);
    const progress: Progress = { step: saved?.step ?? 0, best: saved?.best };
    job = await task.open(config, progress.step);
    problems.push(...job.problems);
    if (saved) job.loadState(saved.state);
    for (const x of Object.values(saved?.state ?? {})) x.dispose();
    mkdirSync(run, { recursive: true });
    writeAtomicallySync(path.join(run, RUN_FILES.config), Buffer.from(`${JSON.stringify(config, null, 2)}\n`));
    log = new RunLog(run, progress.step);
    const parts: Parts = { job, result: task.result, score: task.score, log, progress, onStep, signal, problems };
    const report = await new Run(config, parts).go();
    return { ...report, problems };
  } finally {
    log?.close();
    await job?.close();
  }
}

function checkSame(run: string, saved: unknown, config: RunConfig): void {
  // How many threads make the batches changes nothing in them.
  const comparable = (one: RunConfig & { data?: object }): Record<string, unknown> => ({
    ...one,
    ...(one.data && { data: { ...one.data, workers: 0 } }),
  });
  const [before, now] = [comparable(saved as RunConfig), comparable(config)];
  const keys = new Set([...Object.keys(before), ...Object.keys(now)]);
  for (const key of FREE) keys.delete(key);
  const changed = [...keys].filter((key) => JSON.stringify(before[key]) !== JSON.stringify(now[key]));
  if (changed.length === 0) return;
  throw new FormatError(
    run,
    changed.join(', '),
    'differ from what the run began with; only how long it goes may change',
  );
}

interface Parts {
  job: TrainJob;
  /** Name of the newest network's file. */
  result: string;
  score: Score;
  log: RunLog;
  progress: Progress;
  onStep: TrainOptions['onStep'];
  signal: TrainOptions['signal'];
  /** Gets a line for each batch that is left out. */
  problems: string[];
}

/** Losses are read after so many steps at most, so that the device need not wait for the loop; their batches are kept until then. */
const UNREAD = 8;

/** So many batches in a row that cannot be read end a run. */
const MISSES = 20;

class Run {
  private readonly total: number;
  private readonly started = performance.now();
  private readonly first: number;
  /** Sums of the losses since they were last logged, and of how many steps. */
  private sums: Scalars = {};
  private learned = 0;
  /** Steps whose losses have not been read, 1 being the first. */
  private unread: { step: number; batch: unknown; losses: Losses }[] = [];
  /** Batches in a row that could not be read. */
  private missed = 0;
  /** Step of the newest checkpoint of this process. */
  private saved = -1;
  private since = { step: 0, time: 0 };

  constructor(
    private readonly config: RunConfig,
    private readonly parts: Parts,
  ) {
    const { steps, epochs = 1 } = config;
    this.total = steps ?? epochs * parts.job.stepsPerEpoch;
    this.first = parts.progress.step;
  }

  async go(): Promise<Omit<TrainReport, 'problems'>> {
    const { config, parts, total } = this;
    const { job, progress, signal } = parts;
    this.since = { step: progress.step, time: performance.now() };
    while (progress.step < total && !signal?.aborted) {
      const batch = await this.nextBatch();
      progress.step++;
      if (batch !== undefined) this.learn(batch);
      const last = progress.step === total || signal?.aborted === true;
      // Nothing is told, scored or saved of steps whose losses may not be numbers.
      const { log, validate, checkpoint } = config;
      const told = [log.every, log.images, validate.every, checkpoint.every].some((every) => this.due(every));
      if (last || told || this.unread.length >= UNREAD) await this.readLosses();
      if (progress.step % config.log.every === 0 || last) this.report();
      if (last || this.due(config.validate.every)) await this.validate();
      if (this.due(config.log.images)) this.pictures();
      if (last || this.due(config.checkpoint.every)) this.save();
    }
    if (signal?.aborted && this.saved !== progress.step) this.save(); // aborted by `onStep`
    return {
      step: progress.step,
      totalSteps: total,
      best: progress.best,
      seconds: (performance.now() - this.started) / 1000,
      imagesPerSecond: ((progress.step - this.first) * config.batch * 1000) / (performance.now() - this.started),
      arenaBytes: job.arenaBytes,
      interrupted: progress.step < total,
    };
  }

  /** Undefined where it cannot be read: the step passes without learning, so that the data keeps its place in the run. */
  private async nextBatch(): Promise<unknown> {
    const { job, problems } = this.parts;
    try {
      const batch = await job.next();
      this.missed = 0;
      return batch;
    } catch (error) {
      if (!(error instanceof BatchError) || ++this.missed > MISSES) throw error;
      problems.push(error.message);
      return undefined;
    }
  }

  private learn(batch: unknown): void {
    const { job, progress } = this.parts;
    const { step } = progress;
    this.unread.push({ step, batch, losses: job.step(batch, job.learningRate(step - 1, this.total)) });
    flush();
  }

  private async readLosses(): Promise<void> {
    const unread = this.unread;
    this.unread = [];
    const read = await Promise.all(unread.map(({ losses }) => losses()));
    for (const [i, losses] of read.entries()) {
      for (const [term, value] of Object.entries(losses)) {
        if (!Number.isFinite(value)) throw this.failure(unread[i].step, term, value, unread[i].batch);
        this.sums[term] = (this.sums[term] ?? 0) + value;
      }
      this.learned++;
    }
  }

  private due(every: number): boolean {
    return every > 0 && this.parts.progress.step % every === 0;
  }

  /** Means since the last report, to the log and the caller. */
  private report(event?: StepReport['event'], score?: Scalars): void {
    const { config, parts, total } = this;
    const { step } = parts.progress;
    const count = step - this.since.step;
    const epoch = Math.floor((step - 1) / parts.job.stepsPerEpoch);
    if (count > 0) {
      const now = performance.now();
      const imagesPerSecond = (count * config.batch * 1000) / (now - this.since.time);
      const losses = Object.fromEntries(Object.entries(this.sums).map(([term, sum]) => [term, sum / this.learned]));
      parts.log.scalars(step, { ...losses, lr: parts.job.learningRate(step - 1, total), imagesPerSecond, epoch });
      this.last = { losses, imagesPerSecond, secondsLeft: ((total - step) * config.batch) / imagesPerSecond };
      this.sums = {};
      this.learned = 0;
      this.since = { step, time: now };
    }
    if (score) parts.log.scalars(step, score);
    parts.onStep?.({ step, totalSteps: total, epoch, ...this.last, losses: { ...this.last.losses, ...score }, event });
  }

  private last: Pick<StepReport, 'losses' | 'imagesPerSecond' | 'secondsLeft'> = {
    losses: {},
    imagesPerSecond: 0,
    secondsLeft: Number.NaN,
  };

  /** Scores the network to use; the best so far is kept apart. */
  private async validate(): Promise<void> {
    const { job, score, progress } = this.parts;
    if (!job.validates) return;
    const scores = await job.validate();
    const value = scores[score.name];
    const best = progress.best?.score;
    if (best === undefined || (score.better === 'higher' ? value > best : value < best)) {
      progress.best = { step: progress.step, score: value };
      this.saveNetwork(RUN_FILES.best);
    }
    this.report('validation', scores);
  }

  private pictures(): void {
    const { job, log, progress } = this.parts;
    for (const [name, picture] of job.pictures()) log.image(progress.step, name, picture);
  }

  private save(): void {
    const { config, parts } = this;
    this.saveNetwork(parts.result);
    saveCheckpoint(config.run, parts.progress, {
      state: parts.job.state(),
      config,
      keep: config.checkpoint.keep,
    });
    this.saved = parts.progress.step;
    this.report('checkpoint');
  }

  private saveNetwork(name: string): void {
    this.parts.job.saveNetwork(path.join(this.config.run, name), this.parts.progress.step);
  }

  private failure(step: number, term: string, value: number, batch: unknown): TrainingError {
    const file = path.join(this.config.run, `failed-step-${step}.safetensors`);
    writeSafetensors(file, this.parts.job.record(batch), { step: String(step), term, value: String(value) });
    return new TrainingError(step, term, value, file);
  }
}
