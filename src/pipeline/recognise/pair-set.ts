// Pairs of images to be told same or different, as data sets publish them. Contract: pairs keep the order of their file and
// folds are numbered from 0 without a gap; every image is listed once.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { readBytes } from '../../formats/files.js';
import { type Pixels, readPixels } from '../image.js';
import { contiguousFolds } from './verification.js';

export interface ImagePair {
  /** Positions in `images`. */
  first: number;
  second: number;
  same: boolean;
  fold: number;
}

export interface PairSet {
  name: string;
  /** Files, or what stands for them in messages. */
  images: readonly string[];
  pairs: readonly ImagePair[];
  /** Whether the images already are crops of 112x112 on ArcFace's template. */
  aligned: boolean;
  /** Throws FormatError. */
  read(image: number): Promise<Pixels>;
  /** Whether an image is there. */
  has(image: number): boolean;
}

/** A pair by its files, before images are numbered. */
export interface FilePair {
  first: string;
  second: string;
  same: boolean;
  fold: number;
}

/** A set of photos in files. */
export function fileSet(name: string, pairs: readonly FilePair[]): PairSet {
  const numbers = new Map<string, number>();
  const number = (file: string): number => {
    const known = numbers.get(file) ?? numbers.size;
    numbers.set(file, known);
    return known;
  };
  const numbered = pairs.map(({ first, second, same, fold }) => {
    return { first: number(first), second: number(second), same, fold };
  });
  const images = [...numbers.keys()];
  return {
    name,
    images,
    pairs: numbered,
    aligned: false,
    read: (image) => readPixels(images[image]),
    has: (image) => existsSync(images[image]),
  };
}

/** The set without the pairs whose images are not there, and how many images and pairs those are. */
export function withoutMissing(set: PairSet): { set: PairSet; images: string[]; pairs: number } {
  const there = set.images.map((_, image) => set.has(image));
  const pairs = set.pairs.filter(({ first, second }) => there[first] && there[second]);
  const images = set.images.filter((_, image) => !there[image]);
  return { set: { ...set, pairs: renumbered(pairs) }, images, pairs: set.pairs.length - pairs.length };
}

/** Throws FormatError that counts the images which are not there and names the first. */
export function requireImages(set: PairSet): void {
  const { images, pairs } = withoutMissing(set);
  if (images.length === 0) return;
  const counts = `${images.length} of ${set.images.length} images are missing, in ${pairs} of ${set.pairs.length} pairs`;
  throw new FormatError(set.name, 'images', `${counts}; the first is ${images[0]}`);
}

/** Folds that lost all their pairs leave no gap. */
function renumbered(pairs: readonly ImagePair[]): ImagePair[] {
  const folds = [...new Set(pairs.map(({ fold }) => fold))].sort((a, b) => a - b);
  return pairs.map((pair) => ({ ...pair, fold: folds.indexOf(pair.fold) }));
}

const linesOf = (file: string): string[] => new TextDecoder().decode(readBytes(file)).split(/\r?\n/);

/** Image number n of a person in LFW's layout: NAME/NAME_0001.jpg, or .png where that is what is there. */
function lfwImage(folder: string, person: string, number: string): string {
  const stem = path.join(folder, person, `${person}_${number.padStart(4, '0')}`);
  return existsSync(`${stem}.png`) && !existsSync(`${stem}.jpg`) ? `${stem}.png` : `${stem}.jpg`;
}

/**
 * LFW's pairs.txt: `folds n`, then for each fold n lines `name i j` and n lines `name i name j`. Throws FormatError naming the line.
 */
export function readLfwPairs(file: string, folder: string): PairSet {
  const lines = linesOf(file);
  while (lines.at(-1)?.trim() === '') lines.pop();
  const fail = (line: number, problem: string) => new FormatError(file, `line ${line + 1}`, problem);
  const header = lines[0]?.trim().split(/\s+/).map(Number);
  if (header?.length !== 2 || !header.every((n) => Number.isInteger(n) && n > 0)) {
    throw fail(0, `wanted 'folds pairs' as in '10 300', got '${lines[0] ?? ''}'`);
  }
  const [folds, each] = header;
  if (lines.length !== 1 + 2 * folds * each) {
    throw new FormatError(
      file,
      'pairs',
      `its first line speaks of ${2 * folds * each} pairs, it has ${lines.length - 1}`,
    );
  }
  const pairs = lines.slice(1).map((text, i): FilePair => {
    const fields = text.trim().split(/\t| +/);
    const same = i % (2 * each) < each;
    const wanted = same ? 3 : 4;
    const numbers = same ? fields.slice(1) : [fields[1], fields[3]];
    if (fields.length !== wanted || !numbers.every((n) => /^\d+$/.test(n))) {
      throw fail(i + 1, `wanted ${same ? "'name i j'" : "'name i name j'"}, got '${text}'`);
    }
    const [first, second] = [fields[0], same ? fields[0] : fields[2]];
    return {
      first: lfwImage(folder, first, numbers[0]),
      second: lfwImage(folder, second, numbers[1]),
      same,
      fold: Math.floor(i / (2 * each)),
    };
  });
  return fileSet('LFW', pairs);
}

/**
 * CPLFW's pairs_CPLFW.txt: two lines `file label` for each pair, label 1 for the same person; images in one folder. Ten contiguous
 * folds. Throws FormatError naming the line.
 */
export function readCplfwPairs(file: string, folder: string, name = 'CPLFW'): PairSet {
  const lines = linesOf(file);
  while (lines.at(-1)?.trim() === '') lines.pop();
  if (lines.length === 0 || lines.length % 2 !== 0) {
    throw new FormatError(file, 'pairs', `wanted two lines for each pair, got ${lines.length} lines`);
  }
  const fields = lines.map((text, i) => {
    const found = /^(.+?)\s+([01])\s*$/.exec(text);
    if (!found) throw new FormatError(file, `line ${i + 1}`, `wanted 'file label' with label 0 or 1, got '${text}'`);
    return { image: path.join(folder, found[1]), same: found[2] === '1' };
  });
  const folds = contiguousFolds(lines.length / 2);
  const pairs = Array.from(folds, (fold, i): FilePair => {
    const [a, b] = [fields[2 * i], fields[2 * i + 1]];
    if (a.same !== b.same) {
      throw new FormatError(
        file,
        `line ${2 * i + 2}`,
        'its label differs from that of the line before, its other half',
      );
    }
    return { first: a.image, second: b.image, same: a.same, fold };
  });
  return fileSet(name, pairs);
}

const TRUTHS: Readonly<Record<string, boolean>> = { 1: true, true: true, 0: false, false: false };

/** Fields of a line of a CSV file; `"` quotes and doubles. */
function fieldsOf(line: string): string[] {
  const fields: string[] = [];
  for (const [, quoted, plain] of line.matchAll(/(?:^|,)(?:\s*"((?:[^"]|"")*)"\s*|([^,]*))/g)) {
    fields.push(quoted === undefined ? plain.trim() : quoted.replaceAll('""', '"'));
  }
  return fields;
}

/**
 * A plain CSV of pairs: first, second, same (1/0 or true/false), and perhaps a fold (a number; otherwise ten contiguous
 * ones). A header and empty lines are passed over; files are relative to `folder`. Throws FormatError naming the line.
 */
export function readPairsCsv(file: string, folder: string = path.dirname(file)): PairSet {
  const rows: (Omit<FilePair, 'fold'> & { fold?: number })[] = [];
  linesOf(file).forEach((line, i) => {
    if (line.trim() === '') return;
    const [first, second, truth = '', fold, ...more] = fieldsOf(line);
    const same = TRUTHS[truth.toLowerCase()];
    if (same === undefined && rows.length === 0 && i === 0) return;
    const fail = (problem: string) => new FormatError(file, `line ${i + 1}`, `${problem}, got '${line}'`);
    if (!first || !second || same === undefined || more.length > 0) {
      throw fail('wanted first,second,same[,fold] with same 1 or 0');
    }
    if (fold !== undefined && !/^\d+$/.test(fold)) throw fail('wanted a whole number as fold');
    if (rows.length > 0 && (rows[0].fold === undefined) !== (fold === undefined)) {
      throw fail('wanted a fold on every line or on none');
    }
    rows.push({
      first: path.resolve(folder, first),
      second: path.resolve(folder, second),
      same,
      ...(fold !== undefined && { fold: Number(fold) }),
    });
  });
  if (rows.length === 0) throw new FormatError(file, 'pairs', 'the file holds none');
  const contiguous = contiguousFolds(rows.length);
  const given = [...new Set(rows.flatMap(({ fold }) => fold ?? []))].sort((a, b) => a - b);
  const pairs = rows.map((row, i): FilePair => {
    return { ...row, fold: row.fold === undefined ? contiguous[i] : given.indexOf(row.fold) };
  });
  return fileSet(path.basename(file, path.extname(file)), pairs);
}

/**
 * CFP's own layout: Protocol/Pair_list_F.txt and Pair_list_P.txt (`number file`), Protocol/Split/FF|FP/NN/same.txt and diff.txt
 * (`i,j`). FF compares frontal images, FP frontal with profile ones. Throws FormatError naming file and line.
 */
export function readCfp(folder: string, protocol: 'FF' | 'FP'): PairSet {
  const root = path.join(folder, 'Protocol');
  const list = (letter: 'F' | 'P'): Map<string, string> => {
    const file = path.join(root, `Pair_list_${letter}.txt`);
    const entries = linesOf(file).flatMap((line, i): [string, string][] => {
      if (line.trim() === '') return [];
      const found = /^\s*(\d+)\s+(.+?)\s*$/.exec(line);
      if (!found) throw new FormatError(file, `line ${i + 1}`, `wanted 'number file', got '${line}'`);
      return [[found[1], path.resolve(root, found[2].replaceAll('\\', '/'))]];
    });
    return new Map(entries);
  };
  const frontal = list('F');
  const other = protocol === 'FF' ? frontal : list('P');
  const pairs: FilePair[] = [];
  for (let fold = 0; fold < 10; fold++) {
    const split = path.join(root, 'Split', protocol, String(fold + 1).padStart(2, '0'));
    for (const [name, same] of [
      ['same.txt', true],
      ['diff.txt', false],
    ] as const) {
      const file = path.join(split, name);
      linesOf(file).forEach((line, i) => {
        if (line.trim() === '') return;
        const [a, b, ...more] = line.split(',').map((text) => text.trim());
        const [first, second] = [frontal.get(a), other.get(b)];
        if (first === undefined || second === undefined || more.length > 0) {
          throw new FormatError(file, `line ${i + 1}`, `wanted two numbers of the lists, got '${line}'`);
        }
        pairs.push({ first, second, same, fold });
      });
    }
  }
  return fileSet(`CFP-${protocol}`, pairs);
}
