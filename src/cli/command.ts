// What every command's file is given.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Reporter, ReporterOptions } from './reporter.js';

/** Runs a command's work with a reporter made from its options; the number returned is the exit code. */
export type Run = (options: ReporterOptions, work: (reporter: Reporter) => Promise<number>) => Promise<void>;

/** The face model that ships with the package. */
export const EMBEDDED_MODEL = fileURLToPath(new URL('../../assets/face.safetensors', import.meta.url));

export function packageVersion(): string {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;
}
