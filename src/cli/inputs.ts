// Which photos a command line means (files, folders, globs), and the folder that each one's results go to.
// Contract: the same set of photos gives the same folder names, whatever their order, so that a second run finds the first.
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from './errors.js';

/** Endings of photos that can be read. */
export const PHOTO_EXTENSIONS = ['.jpg', '.jpeg', '.png', '.webp', '.gif', '.tif', '.tiff'];

const isPhoto = (file: string): boolean => PHOTO_EXTENSIONS.includes(path.extname(file).toLowerCase());
const isPattern = (text: string): boolean => /[*?{}[\]!]/.test(text);

export interface Input {
  file: string;
  /** Name of the folder of its results. */
  name: string;
}

export interface Inputs {
  photos: Input[];
  /** One line for each argument that means no photo. */
  problems: UsageError[];
}

/** Files as they are; of a folder the photos directly in it; of a glob the photos that match. Sorted within an argument, each photo once. */
export async function findPhotos(inputs: readonly string[]): Promise<Inputs> {
  const files: string[] = [];
  const problems: UsageError[] = [];
  for (const input of inputs) {
    try {
      files.push(...(await photosOf(input)));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      problems.push(error);
    }
  }
  const known = new Set<string>();
  const unique = files.filter((file) => {
    const absolute = path.resolve(file);
    return !known.has(absolute) && known.add(absolute);
  });
  const names = folderNames(unique);
  return { photos: unique.map((file, i) => ({ file, name: names[i] })), problems };
}

async function photosOf(input: string): Promise<string[]> {
  const found = statSync(input, { throwIfNoEntry: false });
  const endings = PHOTO_EXTENSIONS.join(' ');
  if (found?.isDirectory()) {
    const photos = readdirSync(input).filter((name) => isPhoto(name) && !name.startsWith('.'));
    if (photos.length === 0) throw new UsageError(`${input}: the folder holds no photos (${endings})`);
    return photos.sort().map((name) => path.join(input, name));
  }
  if (found) {
    if (!isPhoto(input)) throw new UsageError(`${input}: not a photo by its ending; photos end in ${endings}`);
    return [input];
  }
  if (!isPattern(input)) throw new UsageError(`${input}: does not exist; give a photo, a folder or a pattern`);
  const { glob } = await import('tinyglobby');
  const matches = await glob(path.sep === '\\' ? input.replaceAll('\\', '/') : input, {
    absolute: path.isAbsolute(input),
    expandDirectories: false,
  });
  const photos = matches.filter(isPhoto).sort();
  if (photos.length === 0) throw new UsageError(`${input}: no photo matches this pattern (${endings})`);
  return photos;
}

/**
 * The stem of each file; where several share one, as much more of their paths as tells them apart: the ending, then the
 * folders above. Compared without case, since some disks do not know it.
 */
export function folderNames(files: readonly string[]): string[] {
  const full = files.map((file) => path.resolve(file).split(/[\\/]+/));
  const candidates = (parts: string[]): string[] => {
    const file = parts[parts.length - 1];
    const names = [path.parse(file).name];
    for (let depth = 1; depth <= parts.length; depth++) names.push(parts.slice(-depth).join('_').replace(/[:]/g, ''));
    return names;
  };
  const options = full.map(candidates);
  const level = files.map(() => 0);
  for (;;) {
    const owners = new Map<string, number[]>();
    options.forEach((names, i) => {
      const key = names[level[i]].toLowerCase();
      owners.set(key, [...(owners.get(key) ?? []), i]);
    });
    const clashing = [...owners.values()].filter((group) => group.length > 1).flat();
    const movable = clashing.filter((i) => level[i] < options[i].length - 1);
    if (movable.length === 0)
      return numbered(
        options.map((names, i) => names[level[i]]),
        full.map((parts) => parts.join('/')),
      );
    for (const i of movable) level[i]++;
  }
}

/** Names that whole paths with `_` for `/` still do not tell apart get a number, in the order of the paths. */
function numbered(names: string[], paths: string[]): string[] {
  const taken = new Set<string>();
  const out = [...names];
  for (const i of names.map((_, k) => k).sort((a, b) => (paths[a] < paths[b] ? -1 : 1))) {
    for (let n = 2; taken.has(out[i].toLowerCase()); n++) out[i] = `${names[i]}-${n}`;
    taken.add(out[i].toLowerCase());
  }
  return out;
}
