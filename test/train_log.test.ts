// The logs of a run: what is written is read back, and a run that was killed and taken up has one clean history.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readEvents } from '../src/formats/tfevents.js';
import { eventFiles, METRICS_FILE, RunLog } from '../src/pipeline/train/log.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-log-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const folder = () => mkdtempSync(join(root, 'run-'));

const entries = (run: string): Record<string, number>[] =>
  readFileSync(join(run, METRICS_FILE), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));

/** Steps of the events that tell something, in the order a reader meets them. */
const steps = (run: string): number[] =>
  eventFiles(run)
    .flatMap((name) => readEvents(join(run, name)))
    .filter(({ fileVersion, start }) => fileVersion === undefined && !start)
    .map(({ step }) => step);

const picture = { data: new Uint8Array(12).fill(9), height: 2, width: 2 };

function write(log: RunLog, from: number, to: number): void {
  for (let step = from; step <= to; step++) {
    log.scalars(step, { 'final/reconstruction': 1 / step, epoch: 0, imagesPerSecond: 12.5 });
    if (step % 2 === 0) log.image(step, 'maps/0', picture);
  }
}

test('lines and events hold what was said', () => {
  const run = folder();
  const log = new RunLog(run, 0);
  write(log, 1, 2);
  log.scalars(2, { 'validation/psnr': Number.NaN });
  log.close();
  const [first, second, third] = entries(run);
  expect(first).toEqual({
    step: 1,
    time: expect.any(Number),
    'final/reconstruction': 1,
    epoch: 0,
    imagesPerSecond: 12.5,
  });
  expect(Math.abs(first.time - Date.now() / 1000)).toBeLessThan(60);
  expect(second['final/reconstruction']).toBe(0.5);
  expect(third['validation/psnr']).toBeNull();
  const [name, ...more] = eventFiles(run);
  expect(more).toEqual([]);
  const events = readEvents(join(run, name));
  expect(events.map(({ step }) => step)).toEqual([0, 1, 1, 2, 2, 2]);
  expect(events[1].start).toBe(true);
  expect(events[3].scalars).toEqual({ 'final/reconstruction': 0.5, epoch: 0, imagesPerSecond: 12.5 });
  expect(Object.keys(events[4].images)).toEqual(['maps/0']);
});

test('a run taken up at a step keeps that step and drops what lies beyond', () => {
  const run = folder();
  const log = new RunLog(run, 0);
  write(log, 1, 7);
  log.close();
  const again = new RunLog(run, 4);
  write(again, 5, 6);
  again.close();
  expect(entries(run).map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(steps(run)).toEqual([1, 2, 2, 3, 4, 4, 5, 6, 6]);
  // Back before the second start: its whole file goes.
  const third = new RunLog(run, 3);
  write(third, 4, 4);
  third.close();
  expect(entries(run).map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  expect(steps(run)).toEqual([1, 2, 2, 3, 4, 4]);
  expect(eventFiles(run)).toHaveLength(2);
  const [, last] = eventFiles(run);
  expect(readEvents(join(run, last))[1]).toMatchObject({ start: true, step: 4 });
});

test('an unfinished last line and record are cut off', () => {
  const run = folder();
  const log = new RunLog(run, 0);
  write(log, 1, 3);
  log.close();
  appendFileSync(join(run, METRICS_FILE), '{"step":4,"ti');
  const [name] = eventFiles(run);
  const whole = readFileSync(join(run, name));
  writeFileSync(join(run, name), whole.subarray(0, whole.length - 5));
  const again = new RunLog(run, 10);
  again.scalars(11, { a: 1 });
  again.close();
  expect(entries(run).map(({ step }) => step)).toEqual([1, 2, 3, 11]);
  expect(steps(run)).toEqual([1, 2, 2, 11]);
});

test('0 steps done begins anew', () => {
  const run = folder();
  const log = new RunLog(run, 0);
  write(log, 1, 3);
  log.close();
  writeFileSync(join(run, 'note.txt'), 'mine');
  const again = new RunLog(run, 0);
  write(again, 1, 1);
  again.close();
  expect(entries(run)).toHaveLength(1);
  expect(steps(run)).toEqual([1]);
  expect(readFileSync(join(run, 'note.txt'), 'utf8')).toBe('mine');
});
