// The work behind train: configuration in, progress on the terminal, an orderly end at a signal.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../formats/error.js';
import { writeAtomicallySync } from '../formats/files.js';
import { checkpointSteps } from '../pipeline/train/checkpoint.js';
import { TrainConfigError } from '../pipeline/train/config-reader.js';
import type { Score } from '../pipeline/train/job.js';
import {
  type AnyTrainConfig,
  defaultConfigOf,
  readAnyTrainConfig,
  TASK_NAMES,
  taskOf,
} from '../pipeline/train/tasks.js';
import { RUN_FILES, train } from '../pipeline/train/trainer.js';
import type { StepReport, TrainReport } from '../pipeline/train/types.js';
import { EXIT_OK, EXIT_USAGE, UsageError } from './errors.js';
import { prepareOut } from './output.js';
import type { Progress, Reporter } from './reporter.js';
import type { TrainOptions } from './train.js';

/** What a shell gives a command that a signal ended. */
const EXIT_SIGNAL = { SIGINT: 130, SIGTERM: 143 } as const;

/** Without a terminal a line is printed this often, in milliseconds. */
const LINE_EVERY = 15_000;

export async function runTrain(file: string | undefined, options: TrainOptions, reporter: Reporter): Promise<number> {
  if (options.init !== undefined) return initialise(options.init, options.task, reporter);
  if (file === undefined)
    throw new UsageError('train: name a configuration file, or have one written with --init FILE');
  let config: AnyTrainConfig;
  try {
    const folder = options.run === undefined ? [] : [`run=${JSON.stringify(options.run)}`];
    config = readAnyTrainConfig(file, [...options.set, ...folder]);
  } catch (error) {
    if (!(error instanceof TrainConfigError)) throw error;
    for (const problem of error.problems) reporter.error(`${file}: ${problem}`);
    return EXIT_USAGE;
  }
  prepareOut(config.run, 'run');
  const task = taskOf(config);
  const from = options.resume ? (checkpointSteps(config.run)[0] ?? 0) : 0;
  reporter.line(`${task.title(config)}, batches of ${config.batch}, in ${config.run}`);
  if (options.resume) reporter.line(from > 0 ? `going on after step ${from}` : 'no checkpoint yet: beginning anew');

  const display = new Display(reporter, task.score);
  const stop = new AbortController();
  let signalled: keyof typeof EXIT_SIGNAL | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    const known = signal === 'SIGTERM' ? signal : 'SIGINT';
    if (signalled) process.exit(EXIT_SIGNAL[known]);
    signalled = known;
    display.note('finishing the step and writing a checkpoint; once more to end at once');
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  let report: TrainReport;
  try {
    report = await train(config, {
      resume: options.resume,
      onStep: (step) => display.show(step),
      signal: stop.signal,
    });
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
    await display.stop();
  }
  for (const problem of report.problems) reporter.error(problem);
  conclude(report, config, reporter);
  if (!report.interrupted) return EXIT_OK;
  const again = ['rescunet train', file, ...options.set.map((s) => `--set '${s}'`)];
  if (options.run !== undefined) again.push('--run', options.run);
  const { step, totalSteps } = report;
  reporter.error(`stopped after step ${step} of ${totalSteps}; go on with: ${[...again, '--resume'].join(' ')}`);
  return EXIT_SIGNAL[signalled ?? 'SIGINT'];
}

function initialise(file: string, task: string | undefined, reporter: Reporter): number {
  const text = defaultConfigOf(task);
  if (text === undefined) throw new UsageError(`train: --task is one of ${TASK_NAMES.join(', ')}, got ${task}`);
  if (existsSync(file)) throw new FormatError(file, '--init', 'exists already; name another file');
  writeAtomicallySync(file, Buffer.from(text));
  reporter.line(`${file} has every key with its default; train with: rescunet train ${file}`);
  reporter.document({ command: 'train', init: path.resolve(file) });
  return EXIT_OK;
}

function conclude(report: TrainReport, config: AnyTrainConfig, reporter: Reporter): void {
  const { run, batch } = config;
  const { result, score } = taskOf(config);
  const { step, totalSteps, best, seconds, imagesPerSecond } = report;
  const files = [RUN_FILES.best, result].filter((name) => existsSync(path.join(run, name)));
  reporter.line(
    `step ${step} of ${totalSteps} after ${duration(seconds)} (${imagesPerSecond.toFixed(1)} images/s, batches of ${batch})` +
      (best ? `; best at step ${best.step}: ${best.score.toFixed(2)}${score.unit}` : ''),
  );
  for (const name of files) reporter.line(`  ${path.join(run, name)}`);
  reporter.document({ command: 'train', run, files, ...report });
}

/** Losses, speed and time left: on a terminal as a bar, elsewhere now and then as a line. */
class Display {
  private progress: Progress | undefined;
  private starting: Promise<void> | undefined;
  private lastLine = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly reporter: Reporter,
    private readonly score: Score,
  ) {}

  show(report: StepReport): void {
    const { step, totalSteps, event, losses } = report;
    this.starting ??= this.reporter.start(totalSteps, 'steps').then((progress) => {
      this.progress = progress;
    });
    this.progress?.reach(step, summary(report));
    if (event === 'validation') {
      this.reporter.line(`step ${step}: ${terms(losses, 'validation/', 2)}${this.score.unit}`);
    } else if (event === undefined && !this.reporter.live && performance.now() - this.lastLine > LINE_EVERY) {
      this.lastLine = performance.now();
      this.reporter.line(`step ${step} of ${totalSteps}: ${summary(report)}`);
    }
  }

  note(text: string): void {
    this.reporter.line(text);
  }

  async stop(): Promise<void> {
    await this.starting;
    this.progress?.stop();
  }
}

/** The losses of one part, by their short names. */
const terms = (losses: Readonly<Record<string, number>>, part: string, digits: number): string =>
  Object.entries(losses)
    .filter(([name]) => name.startsWith(part))
    .map(([name, value]) => `${name.slice(part.length)} ${value.toFixed(digits)}`)
    .join(' ');

function summary({ losses, imagesPerSecond, secondsLeft }: StepReport): string {
  // What a narrow terminal cuts off comes last.
  const shown = terms(losses, 'final/', 3) || terms(losses, 'loss/', 3);
  const parts = [`${imagesPerSecond.toFixed(1)} images/s`, shown];
  if (Number.isFinite(secondsLeft) && secondsLeft > 0) parts.unshift(`${duration(secondsLeft)} left`);
  const judged = terms(losses, 'discriminator/', 2);
  if (judged) parts.push(`D ${judged}`);
  return parts.join(' · ');
}

/** Seconds as the two largest units that matter. */
function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [
    Math.floor(whole / 86400),
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 60) % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}
