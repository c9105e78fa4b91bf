// Folders of results and the marker that makes a killed run resumable. Contract: `fit.json` is written last, after every
// file it lists; a folder without it, or with one from other settings, is not finished.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from './errors.js';

export const MARKER = 'fit.json';

/** One level after the other: where the system says no, node's own recursion may try for ever (/proc). */
function makeFolder(folder: string): void {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found?.isDirectory()) return;
  if (!found) makeFolder(path.dirname(path.resolve(folder)));
  mkdirSync(folder);
}

/** Makes the folder where it is missing and writes into it once, so that no long work ends in a refusal. Throws UsageError. */
export function prepareOut(folder: string, option = '--out'): void {
  if (folder === '') throw new UsageError(`${option}: is empty; give a folder`);
  const probe = path.join(folder, `.rescunet-${process.pid}.tmp`);
  try {
    makeFolder(folder);
    writeFileSync(probe, '');
    rmSync(probe);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reasons: Record<string, string> = {
      EEXIST: 'is a file, not a folder',
      ENOTDIR: 'lies under a file, not a folder',
      EACCES: 'cannot be written (permission denied)',
      EPERM: 'cannot be written (permission denied)',
      EROFS: 'lies on a read-only disk',
      ENOENT: 'cannot be made there',
      ENOSPC: 'lies on a full disk',
    };
    throw new UsageError(
      `${option} ${folder}: ${(code && reasons[code]) ?? message}; give a folder that can be written`,
    );
  }
}

/** What a finished folder was made from and how; two equal ones give equal files. */
export interface Run {
  command: string;
  settings: Record<string, unknown>;
  photo: { file: string; bytes: number; modified: string };
}

/** Describes a run on a photo. Throws where the photo is not there. */
export function describeRun(command: string, settings: Record<string, unknown>, file: string): Run {
  const { size, mtime } = statSync(file);
  // Through JSON, so that it equals what the marker gives back.
  return JSON.parse(
    JSON.stringify({ command, settings, photo: { file: path.resolve(file), bytes: size, modified: mtime } }),
  );
}

/** The marker of a folder that was finished by an equal run and still has every file; otherwise undefined. */
export function finishedRun(folder: string, run: Run): Record<string, unknown> | undefined {
  const marker = readMarker(folder);
  if (!marker || JSON.stringify(marker.run) !== JSON.stringify(run) || !Array.isArray(marker.files)) return undefined;
  return marker.files.every((file) => existsSync(path.join(folder, String(file)))) ? marker : undefined;
}

/** The folder's `fit.json`, or undefined where there is none that can be read. */
export function readMarker(folder: string): Record<string, unknown> | undefined {
  try {
    const marker: unknown = JSON.parse(readFileSync(path.join(folder, MARKER), 'utf8'));
    return marker !== null && typeof marker === 'object' && !Array.isArray(marker)
      ? (marker as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Names that a marker may list and a new run may remove. */
const RESULT = /^(face-\d+\/)?(views\/)?[\w+.-]+\.(png|obj|mtl|glb|json)$/;

/** What a run that was killed in the middle of a file leaves behind. */
const UNFINISHED = /^\..+\.\d+-\d+\.tmp(\.\w+)?$/;

/** Begins a folder anew: it no longer counts as finished, and what its marker lists is removed, so that no old view stays behind. */
export function beginFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (let n = 2; existsSync(path.join(folder, `face-${n}`)); n++) beginFolder(path.join(folder, `face-${n}`));
  for (const place of [folder, path.join(folder, 'views')]) {
    if (!existsSync(place)) continue;
    for (const name of readdirSync(place)) if (UNFINISHED.test(name)) rmSync(path.join(place, name), { force: true });
  }
  const files = readMarker(folder)?.files;
  rmSync(path.join(folder, MARKER), { force: true });
  if (!Array.isArray(files)) return;
  for (const file of files) if (RESULT.test(String(file))) rmSync(path.join(folder, String(file)), { force: true });
}
