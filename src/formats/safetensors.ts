// safetensors: 8-byte little-endian header length, JSON header, raw little-endian data without gaps.
// Every range is checked against the file before a byte of data is read, and tensors are made only when all arrays are
// there.
import type { Tensor } from '../tensor/tensor.js';
import { FormatError } from './error.js';
import { InputFile, writeAtomicallySync } from './files.js';
import {
  bytesOf,
  countOf,
  decode,
  fromTensors,
  type HostArray,
  STORED_WIDTH,
  type StoredType,
  toBfloat16,
  toHalf,
  toTensors,
  widened,
} from './host-array.js';

const STORED: Readonly<Record<string, StoredType>> = {
  F64: 'f64',
  F32: 'f32',
  F16: 'f16',
  BF16: 'bf16',
  I64: 'i64',
  I32: 'i32',
  I16: 'i16',
  I8: 'i8',
  U64: 'u64',
  U32: 'u32',
  U16: 'u16',
  U8: 'u8',
  BOOL: 'bool',
};
const NAME_OF = Object.fromEntries(Object.entries(STORED).map(([name, type]) => [type, name]));

const MAX_HEADER = 100_000_000;

/** Text that travels with the tensors, name -> value. */
export type Metadata = Record<string, string>;

interface Entry {
  name: string;
  type: StoredType;
  shape: number[];
  begin: number;
  end: number;
}

export interface LoadOptions {
  /** 'f32' widens bf16 tensors; by default they stay bf16. */
  dtype?: 'f32';
}

export interface SaveOptions {
  /** How f32 and bf16 tensors are stored; integers stay as they are. By default f32 as f32, bf16 as bf16. */
  dtype?: 'f32' | 'f16' | 'bf16';
  /** Names that `dtype` leaves as they are (positions in a face model, where f16 would be coarser than the surface). */
  exact?: readonly string[];
}

/**
 * The tensors of a .safetensors file by name. f32, i32, u8 and bf16 as stored; f64 and f16 as f32; other integers as
 * i32; bool as u8. Throws FormatError (file, tensor or header field) for a file that is missing, truncated, malformed,
 * or holds an integer outside i32.
 */
export const loadSafetensors = (path: string, options: LoadOptions = {}): Record<string, Tensor> =>
  toTensors(readSafetensors(path, options));

/** The same in host memory, for users that need no tensors. */
export function readSafetensors(path: string, { dtype }: LoadOptions = {}): Record<string, HostArray> {
  return InputFile.with(path, (file) => {
    const { entries, start } = readHeader(file);
    const arrays = entries.map(({ name, type, shape, begin, end }): [string, HostArray] => {
      const field = `tensor '${name}'`;
      const bytes = file.read(start + begin, end - begin, field);
      const array = { shape, ...decode(bytes, type, (problem) => new FormatError(path, field, problem)) };
      return [name, dtype === 'f32' ? widened(array) : array];
    });
    return Object.fromEntries(arrays);
  });
}

/** The file's `__metadata__` (empty where there is none). Reads the header only, and checks all of it. */
export const readSafetensorsMetadata = (path: string): Metadata =>
  InputFile.with(path, (file) => readHeader(file).metadata);

/** Where the bytes of each tensor lie in the file (absolute, end excluded), for readers that want some rows only. */
export const readSafetensorsPlaces = (
  path: string,
): Record<string, { type: StoredType; shape: number[]; begin: number; end: number }> =>
  InputFile.with(path, (file) => {
    const { entries, start } = readHeader(file);
    return Object.fromEntries(
      entries.map(({ name, type, shape, begin, end }) => [
        name,
        { type, shape, begin: start + begin, end: start + end },
      ]),
    );
  });

function readHeader(file: InputFile): { entries: Entry[]; metadata: Metadata; start: number } {
  const fail = (field: string, problem: string) => new FormatError(file.path, field, problem);
  if (file.size < 8) throw fail('header length', `the file has ${file.size} bytes, 8 are wanted`);
  const prefix = file.read(0, 8, 'header length');
  const length = Number(new DataView(prefix.buffer).getBigUint64(0, true));
  if (length > MAX_HEADER) throw fail('header length', `${length} is more than ${MAX_HEADER}`);
  if (8 + length > file.size) throw fail('header length', `${length} is more than the file holds (${file.size} bytes)`);
  const header = parseObject(file.read(8, length, 'header'), (problem) => fail('header', problem));
  const start = 8 + length;
  const metadata: Metadata = {};
  const entries: Entry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__proto__') throw fail('header', "a tensor cannot be called '__proto__'");
    if (name !== '__metadata__') {
      entries.push(parseEntry(name, value, (problem) => fail(`tensor '${name}'`, problem)));
      continue;
    }
    if (!isObject(value)) throw fail('__metadata__', 'must be an object of strings');
    for (const [key, text] of Object.entries(value)) {
      if (typeof text !== 'string' || key === '__proto__') throw fail('__metadata__', `'${key}' must be a string`);
      metadata[key] = text;
    }
  }
  checkLayout(entries, file.size - start, fail);
  return { entries, metadata, start };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parseObject(bytes: Uint8Array, fail: (problem: string) => FormatError): Record<string, unknown> {
  if (bytes[0] !== 0x7b) throw fail("must begin with '{'");
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (error) {
    throw fail(`is not valid JSON (${error instanceof Error ? error.message.slice(0, 100) : error})`);
  }
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined) throw fail(`the name '${duplicate}' occurs twice`);
  if (!isObject(value)) throw fail('must be an object');
  return value;
}

/** The first key that an object of this (valid) JSON text has twice: JSON.parse would silently keep the last. */
function duplicateKey(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  let last = '';
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') {
      const begin = i++;
      while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
      last = text.slice(begin, i + 1);
    } else if (c === '{') open.push(new Set());
    else if (c === '[') open.push(undefined);
    else if (c === '}' || c === ']') open.pop();
    else if (c === ':') {
      const keys = open[open.length - 1];
      const key: string = JSON.parse(last);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
}

function parseEntry(name: string, value: unknown, fail: (problem: string) => FormatError): Entry {
  if (!isObject(value)) throw fail('must be an object with dtype, shape and data_offsets');
  const { dtype, shape, data_offsets: offsets, ...rest } = value;
  const extra = Object.keys(rest)[0];
  if (extra !== undefined) throw fail(`has an unknown field '${extra}'`);
  if (typeof dtype !== 'string') throw fail('dtype is missing');
  const type = Object.hasOwn(STORED, dtype) ? STORED[dtype] : undefined;
  if (!type) throw fail(`dtype '${dtype}' is none of ${Object.keys(STORED).join(', ')}`);
  if (!isSizes(shape)) throw fail('shape must be a list of whole numbers >= 0');
  if (!isSizes(offsets) || offsets.length !== 2) throw fail('data_offsets must be two whole numbers >= 0');
  const [begin, end] = offsets;
  const count = countOf(shape);
  if (count === undefined || count * STORED_WIDTH[type] !== end - begin) {
    throw fail(
      `shape [${shape}] of ${dtype} does not take the ${end - begin} bytes of data_offsets [${begin}, ${end}]`,
    );
  }
  return { name, type, shape, begin, end };
}

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);

/** The data must be covered exactly once. */
function checkLayout(entries: Entry[], size: number, fail: (field: string, problem: string) => FormatError): void {
  let covered = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) {
      const problem = begin < covered ? 'overlaps another tensor' : 'leaves a gap before it';
      throw fail(`tensor '${name}'`, `data_offsets [${begin}, ${end}] ${problem}`);
    }
    if (end > size)
      throw fail(`tensor '${name}'`, `data_offsets [${begin}, ${end}] end outside the ${size} bytes of data`);
    covered = end;
  }
  if (covered !== size) throw fail('data', `${size - covered} bytes follow the last tensor`);
}

/**
 * Writes tensors (and metadata) to a .safetensors file, atomically; the same input gives the same bytes.
 * Throws FormatError for a reserved name, for metadata that is not text, or where the file cannot be written.
 */
export function saveSafetensors(
  path: string,
  tensors: Record<string, Tensor>,
  metadata: Metadata = {},
  options: SaveOptions = {},
): void {
  writeSafetensors(path, fromTensors(tensors), metadata, options);
}

/** The same from host memory. */
export function writeSafetensors(
  path: string,
  arrays: Record<string, HostArray>,
  metadata: Metadata = {},
  { dtype, exact = [] }: SaveOptions = {},
): void {
  for (const name of Object.keys(arrays)) {
    if (name === '__metadata__' || name === '__proto__') {
      throw new FormatError(path, 'tensors', `a tensor cannot be called '${name}'`);
    }
  }
  for (const [key, text] of Object.entries(metadata)) {
    if (typeof text !== 'string') throw new FormatError(path, '__metadata__', `'${key}' must be a string`);
  }
  if (dtype !== undefined && !['f32', 'f16', 'bf16'].includes(dtype)) {
    throw new FormatError(path, 'dtype', `'${dtype}' is none of f32, f16, bf16`);
  }
  const stored = Object.entries(arrays).map(([name, array]) => {
    if (countOf(array.shape) !== array.data.length) {
      throw new FormatError(path, `tensor '${name}'`, `shape [${array.shape}] with ${array.data.length} elements`);
    }
    return { name, shape: array.shape, ...encode(array, exact.includes(name) ? undefined : dtype) };
  });
  // Wide elements first, so that every tensor is aligned for readers that map the file.
  stored.sort((a, b) => STORED_WIDTH[b.type] - STORED_WIDTH[a.type]);
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let end = 0;
  for (const { name, type, shape, bytes } of stored) {
    const begin = end;
    end += bytes.length;
    header[name] = { dtype: NAME_OF[type], shape, data_offsets: [begin, end] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER) throw new FormatError(path, 'header', `${length} bytes are more than ${MAX_HEADER}`);
  const head = new Uint8Array(8 + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(json, 8);
  writeAtomicallySync(path, [head, ...stored.map(({ bytes }) => bytes)]);
}

function encode(array: HostArray, dtype: SaveOptions['dtype']): { type: StoredType; bytes: Uint8Array } {
  const { data } = array.dtype === 'bf16' && dtype !== undefined && dtype !== 'bf16' ? widened(array) : array;
  if (data instanceof Uint16Array) return { type: 'bf16', bytes: bytesOf(data) };
  if (!(data instanceof Float32Array)) return { type: data instanceof Int32Array ? 'i32' : 'u8', bytes: bytesOf(data) };
  if (dtype === 'f16') return { type: 'f16', bytes: bytesOf(toHalf(data)) };
  if (dtype === 'bf16') return { type: 'bf16', bytes: bytesOf(toBfloat16(data)) };
  return { type: 'f32', bytes: bytesOf(data) };
}
