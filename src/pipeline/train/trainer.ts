// The training run: data in, checkpoints, logs and networks out. Contract: what a run does at step k depends on its
// configuration and its state after step k - 1 alone, so a run that was killed and taken up ends with the same bits.
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { writeAtomicallySync } from '../../formats/files.js';
import type { HostArray } from '../../formats/host-array.js';
import { writeSafetensors } from '../../formats/safetensors.js';
import { setDefaultDevice } from '../../tensor/device.js';
import { type Batch, type BatchLoader, openLoader, PairError } from '../dataset/loader.js';
import { saveGenerator } from '../generators.js';
import { checkpointSteps, loadCheckpoint, type Progress, saveCheckpoint } from './checkpoint.js';
import { learningRate, type TrainConfig } from './config.js';
import { RunLog } from './log.js';
import { createStep } from './networks.js';
import { Preview } from './preview.js';
import type { GanStep, PairBatch, StepLosses } from './step.js';
import type { StepReport, TrainOptions, TrainReport } from './types.js';

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

/** Names in a run's folder. */
export const RUN_FILES = {
  /** The configuration, with all defaults. */
  config: 'config.json',
  /** The newest network (the average of its weights where one is kept), for `complete`, `synth` and `eval`. */
  generator: 'generator.safetensors',
  /** The one that scored best on the validation pairs. */
  best: 'best.safetensors',
} as const;

/** Keys of a configuration that may differ when a run is taken up. */
const FREE = ['run', 'device', 'steps', 'epochs', 'checkpoint', 'log', 'validate'] as const;

/**
 * Trains as configured; with `resume`, goes on from the newest whole checkpoint of the run. `config.device` becomes the
 * process's default. Throws FormatError for a run that is there already, or whose configuration differs; DeviceError for a device
 * that is not here; TrainingError when a loss is NaN or infinite.
 */
export async function train(
  config: TrainConfig,
  { resume = false, onStep, signal }: TrainOptions = {},
): Promise<TrainReport> {
  const { run, device } = config;
  if (device !== undefined) setDefaultDevice(device);
  const there = checkpointSteps(run).length > 0 || existsSync(path.join(run, RUN_FILES.config));
  if (there && !resume) throw new FormatError(run, 'run', 'holds a run already; go on with --resume or name another');
  const problems: string[] = [];
  // A run that was killed before its first checkpoint, or was never begun, begins.
  const saved = resume && checkpointSteps(run).length > 0 ? loadCheckpoint(run, problems) : undefined;
  if (saved) checkSame(run, saved.config, config);
  const progress: Progress = { step: saved?.step ?? 0, best: saved?.best };
  const { data, batch, seed } = config;
  const loader = await openLoader(data.train, {
    batch,
    seed,
    flip: data.flip,
    cut: data.cut,
    relight: data.relight,
    workers: data.workers,
    from: progress.step,
  });
  problems.push(...loader.problems);
  let step: GanStep | undefined;
  let preview: Preview | undefined;
  let log: RunLog | undefined;
  try {
    step = createStep(config, loader);
    if (saved) step.loadState(saved.state);
    for (const x of Object.values(saved?.state ?? {})) x.dispose();
    preview = data.validation && (await Preview.open(data.validation, config.validate.pairs, loader));
    mkdirSync(run, { recursive: true });
    writeAtomicallySync(path.join(run, RUN_FILES.config), Buffer.from(`${JSON.stringify(config, null, 2)}\n`));
    log = new RunLog(run, progress.step);
    const report = await new Run(config, { loader, step, preview, log, progress, onStep, signal, problems }).go();
    return { ...report, problems };
  } finally {
    log?.close();
    step?.dispose();
    await loader.close();
  }
}

function checkSame(run: string, saved: unknown, config: TrainConfig): void {
  // How many threads make the batches changes nothing in them.
  const comparable = (one: TrainConfig): Record<string, unknown> => ({ ...one, data: { ...one.data, workers: 0 } });
  const [before, now] = [comparable(saved as TrainConfig), comparable(config)];
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
  loader: BatchLoader;
  step: GanStep;
  preview: Preview | undefined;
  log: RunLog;
  progress: Progress;
  onStep: TrainOptions['onStep'];
  signal: TrainOptions['signal'];
  /** Gets a line for each batch that is left out. */
  problems: string[];
}

/** So many batches in a row that cannot be read end a run. */
const MISSES = 20;

class Run {
  private readonly total: number;
  private readonly started = performance.now();
  private readonly first: number;
  /** Sums of the losses since they were last logged, and of how many steps. */
  private sums: StepLosses = {};
  private learned = 0;
  /** Batches in a row that could not be read. */
  private missed = 0;
  /** Step of the newest checkpoint of this process. */
  private saved = -1;
  private since = { step: 0, time: 0 };

  constructor(
    private readonly config: TrainConfig,
    private readonly parts: Parts,
  ) {
    const { steps, epochs = 1 } = config;
    this.total = steps ?? epochs * parts.loader.stepsPerEpoch;
    this.first = parts.progress.step;
  }

  async go(): Promise<Omit<TrainReport, 'problems'>> {
    const { config, parts, total } = this;
    const { step, progress, signal } = parts;
    this.since = { step: progress.step, time: performance.now() };
    while (progress.step < total && !signal?.aborted) {
      const batch = await this.nextBatch();
      if (batch) await this.learn(batch);
      progress.step++;
      const last = progress.step === total || signal?.aborted === true;
      if (progress.step % config.log.every === 0 || last) this.report();
      if (last || this.due(config.validate.every)) this.validate();
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
      arenaBytes: step.arenaBytes,
      interrupted: progress.step < total,
    };
  }

  /** Undefined where a pair cannot be read: the step passes without learning, so that the data keeps its place in the run. */
  private async nextBatch(): Promise<Batch | undefined> {
    const { loader, problems } = this.parts;
    try {
      const batch = await loader.next();
      this.missed = 0;
      return batch;
    } catch (error) {
      if (!(error instanceof PairError) || ++this.missed > MISSES) throw error;
      problems.push(error.message);
      return undefined;
    }
  }

  private async learn(batch: Batch): Promise<void> {
    const { step, progress } = this.parts;
    step.setLearningRate(learningRate(this.config, progress.step, this.total));
    const losses = await step.run(batch);
    for (const [term, value] of Object.entries(losses)) {
      if (!Number.isFinite(value)) throw this.failure(term, value, batch);
      this.sums[term] = (this.sums[term] ?? 0) + value;
    }
    this.learned++;
  }

  private due(every: number): boolean {
    return every > 0 && this.parts.progress.step % every === 0;
  }

  /** Means since the last report, to the log and the caller. */
  private report(event?: StepReport['event'], score?: StepLosses): void {
    const { config, parts, total } = this;
    const { step } = parts.progress;
    const count = step - this.since.step;
    const epoch = Math.floor((step - 1) / parts.loader.stepsPerEpoch);
    if (count > 0) {
      const now = performance.now();
      const imagesPerSecond = (count * config.batch * 1000) / (now - this.since.time);
      const losses = Object.fromEntries(Object.entries(this.sums).map(([term, sum]) => [term, sum / this.learned]));
      parts.log.scalars(step, { ...losses, lr: learningRate(config, step - 1, total), imagesPerSecond, epoch });
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
  private validate(): void {
    const { preview, step, progress } = this.parts;
    if (!preview) return;
    const score = preview.score(step, this.config.batch);
    if (!progress.best || score['validation/psnr'] > progress.best.score) {
      progress.best = { step: progress.step, score: score['validation/psnr'] };
      this.saveNetwork(RUN_FILES.best);
    }
    this.report('validation', score);
  }

  private pictures(): void {
    const { preview, step, log, progress } = this.parts;
    for (const [name, picture] of preview?.pictures(step) ?? []) log.image(progress.step, name, picture);
  }

  private save(): void {
    const { config, parts } = this;
    this.saveNetwork(RUN_FILES.generator);
    saveCheckpoint(config.run, parts.progress, {
      state: parts.step.state(),
      config,
      keep: config.checkpoint.keep,
    });
    this.saved = parts.progress.step;
    this.report('checkpoint');
  }

  private saveNetwork(name: string): void {
    const { config, parts } = this;
    saveGenerator(path.join(config.run, name), parts.step.best, {
      about: { trainedOn: JSON.stringify(config.data.train), step: String(parts.progress.step) },
    });
  }

  private failure(term: string, value: number, { incomplete, complete, mask }: PairBatch): TrainingError {
    const { run } = this.config;
    const { size } = this.parts.loader;
    const step = this.parts.progress.step + 1;
    const file = path.join(run, `failed-step-${step}.safetensors`);
    const shape = [mask.length / (size * size), size, size];
    const maps = (data: Uint8Array): HostArray => ({ dtype: 'u8', shape: [...shape, 3], data });
    writeSafetensors(
      file,
      { incomplete: maps(incomplete), complete: maps(complete), mask: { dtype: 'u8', shape, data: mask } },
      { step: String(step), term, value: String(value) },
    );
    return new TrainingError(step, term, value, file);
  }
}
