// What the format tests share: a folder that is removed, comparison by bytes, seeded damage, and hand-built checkpoints.
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { FormatError } from '../../src/formats/error.js';
import { bytesOf, type HostArray } from '../../src/formats/host-array.js';

/** A folder for this test file; `temporary('name')` is a path in it. */
export function temporaryFolder(): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'rescunet-formats-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return (name) => join(folder, name);
}

/** Files that a failed or finished write must not leave. */
export const leftovers = (folder: string): string[] =>
  existsSync(folder) && statSync(folder).isDirectory()
    ? readdirSync(folder).filter((name) => name.includes('.tmp'))
    : [];

export const f32 = (shape: number[], ...values: number[]): HostArray => ({
  dtype: 'f32',
  shape,
  data: Float32Array.from(values),
});

/** Bit for bit, without walking typed arrays element by element. */
export const sameArray = (a: HostArray, b: HostArray): boolean =>
  a.dtype === b.dtype &&
  String(a.shape) === String(b.shape) &&
  a.data.constructor === b.data.constructor &&
  Buffer.compare(bytesOf(a.data), bytesOf(b.data)) === 0;

export function expectSame(actual: Record<string, HostArray>, expected: Record<string, HostArray>): void {
  expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
  expect(Object.keys(expected).filter((name) => !sameArray(actual[name], expected[name]))).toEqual([]);
}

/** Numbers in [0, 1) that depend on the seed only (Mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The FormatError that `read` throws; fails on success and on any other error. */
export function formatError(read: () => unknown): FormatError {
  try {
    read();
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw new Error(`not a FormatError: ${error instanceof Error ? error.stack : error}`);
  }
  throw new Error('no error was thrown');
}

export interface Damage {
  path: string;
  /** The intact file. */
  bytes: Uint8Array;
  read: (path: string) => Record<string, HostArray>;
  /** How many cuts and how many flips are tried. */
  tries: number;
  seed: number;
}

const valid = ({ dtype, shape, data }: HostArray): boolean =>
  ['f32', 'i32', 'u8', 'bf16'].includes(dtype) && shape.reduce((product, n) => product * n, 1) === data.length;

/**
 * Every cut of the file must give a FormatError; every flip of one to three bytes a FormatError or whole arrays (a flip within
 * raw numbers cannot be seen). Anything else - another exception, a hang, memory far beyond the file's - fails.
 */
export function expectDamageIsFound({ path, bytes, read, tries, seed }: Damage): void {
  const next = random(seed);
  const cuts = new Set([0, 1, 7, 8, 9, bytes.length - 1]);
  while (cuts.size < Math.min(tries, bytes.length)) cuts.add(Math.floor(next() ** 2 * bytes.length));
  for (const cut of cuts) {
    writeFileSync(path, bytes.subarray(0, cut));
    const error = formatError(() => read(path));
    expect(error.message.startsWith(`${path}: ${error.field}: `), `cut at ${cut}: ${error.message}`).toBe(true);
    expect(error.message).not.toContain('\n');
  }
  for (let i = 0; i < tries; i++) {
    const damaged = Uint8Array.from(bytes);
    // Squared: most of the structure lies at the front; and every other try at the end.
    for (let k = 0; k <= i % 3; k++) {
      const place = Math.floor(next() ** 2 * bytes.length);
      damaged[i % 2 ? place : bytes.length - 1 - place] ^= 1 + Math.floor(next() * 255);
    }
    writeFileSync(path, damaged);
    try {
      const arrays = Object.values(read(path));
      expect(arrays.every(valid), `flip ${i}`).toBe(true);
      const size = arrays.reduce((sum, { data }) => sum + data.byteLength, 0);
      expect(size).toBeLessThanOrEqual(16 * bytes.length + 2 ** 26);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
}
