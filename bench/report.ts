// What every bench reports: the machine it ran on, the median and minimum of its times, and a file under bench/results.
import { spawnSync } from 'node:child_process';
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

/** What a program prints, where there is one. */
export function answerOf(command: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** The load shows whether the machine was quiet: a figure taken beside other work is no figure. */
export function machine() {
  // A bundle knows where it came from; an installed package has no history.
  const commit = process.env.RESCUNET_COMMIT ?? answerOf('git', ['rev-parse', '--short', 'HEAD']);
  const card = answerOf('nvidia-smi', ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader']);
  return {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    ...addon.info().cpu,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    load: loadavg()[0],
    node: process.version,
    commit,
    ...(card && { card }),
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
