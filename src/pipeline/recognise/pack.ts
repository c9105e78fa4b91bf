// Verification packs (.bin): a pickle of (list of encoded images, list of truths), images 2i and 2i + 1 being pair i. Contract: our
// reader of pickles runs no code; a pack can only give bytes and truths.
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { readBytes } from '../../formats/files.js';
import { PickleFunction, unpickle } from '../../formats/pickle.js';
import { decodePixels } from '../image.js';
import type { PairSet } from './pair-set.js';
import { contiguousFolds } from './verification.js';

/** Bytes in Python 3's pickles of protocol 2: text whose characters are the bytes. */
const encode = new PickleFunction('_codecs.encode', ([text, encoding]) =>
  typeof text === 'string' && (encoding === 'latin1' || encoding === 'latin-1')
    ? Buffer.from(text, 'latin1')
    : undefined,
);

/** Empty bytes in the same pickles. */
const bytes = new PickleFunction('builtins.bytes', (args) => (args.length === 0 ? new Uint8Array(0) : undefined));

const GLOBALS = new Map<string, unknown>([
  ['_codecs.encode', encode],
  ['__builtin__.bytes', bytes],
  ['builtins.bytes', bytes],
]);

const asBytes = (value: unknown): Uint8Array | undefined => {
  if (value instanceof Uint8Array) return value;
  return typeof value === 'string' ? Buffer.from(value, 'latin1') : undefined; // Python 2's strings
};

const asTruth = (value: unknown): boolean | undefined =>
  value === true || value === 1 ? true : value === false || value === 0 ? false : undefined;

/** Reads a pack; its images are aligned crops, its folds ten contiguous ones. Throws FormatError. */
export function readPack(file: string): PairSet {
  const { value } = unpickle(file, readBytes(file), { globals: GLOBALS });
  const fail = (field: string, problem: string) => new FormatError(file, field, problem);
  if (!Array.isArray(value) || value.length !== 2 || !value.every(Array.isArray)) {
    throw fail('pack', 'wanted a pair of lists, images and truths');
  }
  const [stored, truths] = value as [unknown[], unknown[]];
  if (truths.length === 0 || stored.length !== 2 * truths.length) {
    throw fail('pack', `wanted two images for each truth, got ${stored.length} images and ${truths.length} truths`);
  }
  const images = stored.map((image, i) => {
    const found = asBytes(image);
    if (!found) throw fail(`image ${i}`, 'wanted the bytes of an image file');
    return found;
  });
  const folds = contiguousFolds(truths.length);
  const names = images.map((_, i) => `${file} image ${i}`);
  return {
    name: path.basename(file, path.extname(file)),
    images: names,
    pairs: truths.map((truth, i) => {
      const same = asTruth(truth);
      if (same === undefined) throw fail(`truth ${i}`, 'wanted true or false');
      return { first: 2 * i, second: 2 * i + 1, same, fold: folds[i] };
    }),
    aligned: true,
    read: (image) => decodePixels(images[image], names[image]),
    has: () => true,
  };
}
