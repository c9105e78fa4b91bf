// What a run says of itself: RUN/metrics.jsonl, one JSON object per line, and TensorBoard's RUN/events.out.tfevents.*. Contract: steps
// never go back, neither within a file nor from one event file to the next, so what a killed run left behind its last
// checkpoint is always at an end, and taking a run up gives one clean history.
import fs from 'node:fs';
import path from 'node:path';
import { EventWriter, scanEvents } from '../../formats/tfevents.js';
import type { Pixels } from '../image.js';

export const METRICS_FILE = 'metrics.jsonl';

const EVENT_FILE = /^events\.out\.tfevents\.\d+$/;

/** Names of the run's event files, oldest first. */
export const eventFiles = (run: string): string[] =>
  fs
    .readdirSync(run)
    .filter((name) => EVENT_FILE.test(name))
    .sort();

export class RunLog {
  private readonly metrics: number;
  private readonly events: EventWriter;

  /**
   * Opens the logs of the folder `run`, which must be there. Entries of steps beyond `done`, the steps that the run has done, are dropped, and
   * an unfinished last one with them; 0 begins anew. Throws FormatError.
   */
  constructor(run: string, done: number) {
    const metrics = path.join(run, METRICS_FILE);
    if (fs.existsSync(metrics)) fs.truncateSync(metrics, wholeLines(metrics, done));
    for (const name of eventFiles(run)) trim(path.join(run, name), done);
    this.metrics = fs.openSync(metrics, 'a');
    this.events = new EventWriter(path.join(run, nextName(run)));
    this.events.start(done + 1);
  }

  /** A line and an event. A value that is no number becomes null in the line. */
  scalars(step: number, values: Readonly<Record<string, number>>): void {
    const time = Date.now() / 1000;
    fs.writeSync(this.metrics, `${JSON.stringify({ step, time, ...values })}\n`);
    this.events.scalars(step, values);
  }

  image(step: number, name: string, pixels: Pixels): void {
    this.events.image(step, name, pixels);
  }

  close(): void {
    fs.closeSync(this.metrics);
    this.events.close();
  }
}

/** Bytes of the lines up to step `done`. */
function wholeLines(file: string, done: number): number {
  const text = fs.readFileSync(file);
  let end = 0;
  for (let newline = text.indexOf(10); newline >= 0; newline = text.indexOf(10, end)) {
    if (!(stepOf(text.toString('utf8', end, newline)) <= done)) break;
    end = newline + 1;
  }
  return end;
}

/** NaN for a line that is damaged. */
function stepOf(line: string): number {
  try {
    return Number(JSON.parse(line).step);
  } catch {
    return Number.NaN;
  }
}

/** Cuts an event file behind step `done`; one that then tells nothing is removed. */
function trim(file: string, done: number): void {
  let told = 0;
  const { bytes } = scanEvents(file, ({ step, fileVersion, start }) => {
    if (step > done) return false;
    if (fileVersion === undefined && !start) told++;
    return true;
  });
  if (told === 0) fs.rmSync(file);
  else fs.truncateSync(file, bytes);
}

/** TensorBoard reads the files of a folder in the order of their names, which begin with a time. */
function nextName(run: string): string {
  const last = Number(eventFiles(run).at(-1)?.split('.').at(-1) ?? 0);
  return `events.out.tfevents.${String(Math.max(Math.floor(Date.now() / 1000), last + 1)).padStart(10, '0')}`;
}
