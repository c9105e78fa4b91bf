// What the user sees: results on stdout, progress and errors on stderr. Contract: with --json nothing but one JSON document
// is ever written to stdout; with --quiet nothing but errors is written at all.
import type { SingleBar } from 'cli-progress';

export interface Stream {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

export interface Streams {
  stdout: Stream;
  stderr: Stream;
}

export interface ReporterOptions {
  json?: boolean;
  quiet?: boolean;
}

export class Reporter {
  readonly json: boolean;
  readonly quiet: boolean;
  private progress: Progress | undefined;

  constructor(
    private readonly streams: Streams,
    { json = false, quiet = false }: ReporterOptions = {},
  ) {
    this.json = json;
    this.quiet = quiet;
  }

  /** A line of the result, for people. */
  line(text: string): void {
    if (!this.json && !this.quiet) this.print(this.streams.stdout, text);
  }

  /** The result, for programs: only with --json, once. */
  document(value: unknown): void {
    if (this.json) this.print(this.streams.stdout, JSON.stringify(value, rounded));
  }

  /** Whether a bar can be shown. */
  get live(): boolean {
    const { stderr } = this.streams;
    return !this.quiet && stderr.isTTY === true && (stderr.columns ?? 80) >= 40;
  }

  /** One line on what went wrong. */
  error(message: string): void {
    this.print(this.streams.stderr, `rescunet: ${message}`);
  }

  /** The stack of an error, when RESCUNET_DEBUG=1. */
  trace(error: unknown): void {
    if (process.env.RESCUNET_DEBUG === '1' && error instanceof Error && error.stack) {
      this.print(this.streams.stderr, error.stack);
    }
  }

  /** A bar on a terminal; elsewhere nothing, since each finished step prints its line. End it with `stop`. */
  async start(total: number, unit: string): Promise<Progress> {
    const { stderr } = this.streams;
    if (!this.live) return new Progress(total);
    const { default: cliProgress } = await import('cli-progress');
    const bar = new cliProgress.SingleBar({
      stream: stderr as NodeJS.WritableStream,
      format: `{bar} {value}/{total} ${unit} · {stage}`,
      barCompleteChar: '\u2588',
      barIncompleteChar: '\u2591',
      barsize: 24,
      clearOnComplete: true,
      // Its handler would swallow Ctrl-C.
      gracefulExit: false,
    });
    this.progress = new Progress(total, bar);
    return this.progress;
  }

  private print(stream: Stream, text: string): void {
    this.progress?.pause();
    stream.write(`${text}\n`);
    this.progress?.resume();
  }
}

/** How far a command has come. */
export class Progress {
  private value = 0;
  private stage = '';
  private running = false;

  constructor(
    private readonly total: number,
    private readonly bar?: SingleBar,
  ) {
    this.resume();
  }

  /** What is being done now. */
  show(stage: string): void {
    this.stage = stage;
    if (this.running) this.bar?.update(this.value, { stage });
  }

  /** `value` of `total` are done. */
  reach(value: number, stage: string): void {
    this.value = value;
    this.show(stage);
  }

  /** One of `total` is done. */
  advance(): void {
    this.value++;
    this.show(this.stage);
  }

  stop(): void {
    this.pause();
    this.value = this.total;
  }

  /** Takes the bar off the screen while a line is printed. */
  pause(): void {
    if (this.running) this.bar?.stop();
    this.running = false;
  }

  resume(): void {
    if (!this.bar || this.value >= this.total) return;
    this.bar.start(this.total, this.value, { stage: this.stage });
    this.running = true;
  }
}

/** Single-precision numbers carry seven digits; the rest is noise in a document. */
function rounded(_: string, value: unknown): unknown {
  if (value instanceof Float32Array || value instanceof Float64Array) return Array.from(value, seven);
  if (ArrayBuffer.isView(value)) return Array.from(value as Uint8Array);
  return value;
}

const seven = (value: number): number => Number(value.toPrecision(7));
