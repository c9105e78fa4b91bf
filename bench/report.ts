// What every bench reports: the machine it ran on, the median and minimum of its times, and a file under bench/results.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { writeAtomicallySync } from '../src/formats/files.js';
import { addon } from '../src/tensor/native.js';

/** Half of the times are at most this. */
export function median(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The load shows whether the machine was quiet: a figure taken beside other work is no figure. */
export function machine() {
  let commit: string | undefined;
  try {
    commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    // an installed package has no history
  }
  return {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    ...addon.info().cpu,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    load: loadavg()[0],
    node: process.version,
    commit,
    date: new Date().toISOString(),
  };
}

/** The most memory this process has held, bytes. The kernel's own mark: getrusage would count the parent's at the fork. */
export function peakMemory(): number {
  try {
    const kib = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (kib) return 1024 * Number(kib);
  } catch {
    // not Linux
  }
  return 1024 * process.resourceUsage().maxRSS;
}

export const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;

export function writeResult(file: string, result: unknown): void {
  mkdirSync(dirname(file), { recursive: true });
  writeAtomicallySync(file, new TextEncoder().encode(`${JSON.stringify(result, null, 1)}\n`));
}

/** A whole number from `low` up, of a command line. Throws RangeError. */
export function whole(name: string, text: string, low = 1): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= low) return value;
  throw new RangeError(`--${name} wants a whole number from ${low}, got '${text}'`);
}
