// MATLAB's MAT files, level 5 (what `save` writes by default, `-v6` and `-v7`): numbers, text, cells and structures.
// Contract: arrays come row-major, though the file has them column by column; objects, function handles, complex and sparse arrays are
// refused by name, and `only` keeps the rest of a large file unread. Level 7.3 is HDF5 and level 4 has no header: both are told apart.
import { inflateSync } from 'node:zlib';
import { FormatError } from './error.js';
import { readBytes } from './files.js';
import { countOf, decode, gather, type HostArray, STORED_WIDTH, type StoredType } from './host-array.js';

/** A structure array: one record per element; a plain structure has one. */
export interface MatStruct {
  shape: number[];
  records: Record<string, MatValue>[];
}

/** A cell array, row-major. */
export interface MatCell {
  shape: number[];
  cells: MatValue[];
}

/** Text of several rows comes as one string, rows joined by newlines. */
export type MatValue = HostArray | string | MatStruct | MatCell;

export const isMatArray = (value: MatValue | undefined): value is HostArray =>
  typeof value === 'object' && 'data' in value;

const MATRIX = 14;
const COMPRESSED = 15;

const STORED: Readonly<Record<number, StoredType>> = {
  1: 'i8',
  2: 'u8',
  3: 'i16',
  4: 'u16',
  5: 'i32',
  6: 'u32',
  7: 'f32',
  9: 'f64',
  12: 'i64',
  13: 'u64',
  16: 'u8', // UTF-8
  17: 'u16', // UTF-16
};

const CLASSES = ['', 'cell', 'struct', 'object', 'char', 'sparse', 'double', 'single'].concat([
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'function handle',
  'opaque object',
]);

/** Cells of cells of cells: deeper is no data. */
const MAX_DEPTH = 32;

interface Element {
  type: number;
  bytes: Uint8Array;
}

/**
 * The variables of a level 5 MAT file by name, or of them those in `only`. Doubles and singles become f32, uint8 and logical u8, other
 * integers i32. Throws FormatError for other files, damage, and values of kinds that are not read.
 */
export function readMat(file: string, { only }: { only?: readonly string[] } = {}): Record<string, MatValue> {
  const bytes = readBytes(file);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 116)).toString('latin1');
  if (text.startsWith('MATLAB 7.3') || text.startsWith('\x89HDF')) {
    throw new FormatError(file, 'header', 'is level 7.3 (HDF5); save it with -v7');
  }
  const order = bytes.length >= 128 ? String.fromCharCode(bytes[126], bytes[127]) : '';
  if (order !== 'IM' && order !== 'MI') throw new FormatError(file, 'header', 'is no MAT file of level 5');
  return new Reader(file, order === 'MI', only).variables(bytes);
}

class Reader {
  constructor(
    private readonly file: string,
    private readonly bigEndian: boolean,
    private readonly only: readonly string[] | undefined,
  ) {}

  variables(bytes: Uint8Array): Record<string, MatValue> {
    const found = new Map<string, MatValue>();
    for (let at = 128; at < bytes.length; ) {
      const { element, next } = this.element(bytes, at, `variable at byte ${at}`);
      at = next;
      const { type, bytes: content } = element.type === COMPRESSED ? this.inflate(element.bytes) : element;
      if (type !== MATRIX) continue; // padding, or what later versions may add
      const matrix = this.matrix(content, 0);
      if (matrix) found.set(matrix.name, matrix.value());
    }
    return Object.fromEntries(found);
  }

  private fail(field: string, problem: string): FormatError {
    return new FormatError(this.file, field, problem);
  }

  private u32(bytes: Uint8Array, at: number): number {
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, !this.bigEndian);
  }

  /** The element at `at`; short ones keep their data within the tag. */
  private element(bytes: Uint8Array, at: number, field: string): { element: Element; next: number } {
    if (at + 8 > bytes.length) throw this.fail(field, 'the file ends within it');
    const first = this.u32(bytes, at);
    if (first >>> 16 !== 0) {
      const length = first >>> 16;
      if (length > 4) throw this.fail(field, `a short element of ${length} bytes`);
      return { element: { type: first & 0xffff, bytes: bytes.subarray(at + 4, at + 4 + length) }, next: at + 8 };
    }
    const length = this.u32(bytes, at + 4);
    const end = at + 8 + length;
    if (end > bytes.length) throw this.fail(field, `reaches byte ${end} of ${bytes.length}`);
    const padded = first === COMPRESSED ? end : at + 8 + Math.ceil(length / 8) * 8;
    return { element: { type: first, bytes: bytes.subarray(at + 8, end) }, next: padded };
  }

  private inflate(bytes: Uint8Array): Element {
    let data: Uint8Array;
    try {
      // zlib packs at most about 1030 to 1, so a small file cannot ask for the whole memory.
      data = inflateSync(bytes, { maxOutputLength: Math.min(2 ** 32 - 1, 1100 * bytes.length + 1024) });
    } catch (error) {
      throw this.fail('compressed variable', (error as Error).message);
    }
    return this.element(data, 0, 'compressed variable').element;
  }

  /** A variable's name and a way to its value; undefined for names outside `only`. */
  private matrix(bytes: Uint8Array, depth: number): { name: string; value: () => MatValue } | undefined {
    if (bytes.length === 0)
      return { name: '', value: () => ({ dtype: 'f32', shape: [0, 0], data: new Float32Array(0) }) };
    const parts = new Parts((at, field) => this.element(bytes, at, field), bytes.length);
    const flags = parts.next('array flags');
    if (flags.bytes.length < 8) throw this.fail('array flags', `${flags.bytes.length} bytes`);
    const word = this.u32(flags.bytes, 0);
    const kind = CLASSES[word & 0xff];
    const opaque = kind === 'opaque object';
    const dimensions = opaque ? undefined : this.numbers(parts.next('dimensions'), 'dimensions');
    const name = Buffer.from(parts.next('name').bytes).toString('latin1');
    if (depth === 0 && this.only && !this.only.includes(name)) return undefined;
    if (name === '__proto__') throw this.fail('name', "a variable cannot be called '__proto__'");
    const field = `variable '${name}'`;
    const shape = dimensions ? Array.from(dimensions.data) : [];
    if (
      !kind ||
      opaque ||
      kind === 'object' ||
      kind === 'function handle' ||
      kind === 'sparse' ||
      (word & 0x800) !== 0
    ) {
      const what = (word & 0x800) !== 0 ? `complex ${kind}` : (kind ?? `class ${word & 0xff}`);
      // Variables nobody asked about may be anything; a value that is used has to be data.
      if (depth === 0 && !this.only) return undefined;
      throw this.fail(field, `is ${what}; numbers, text, cells and structures are read`);
    }
    if (depth > MAX_DEPTH) throw this.fail(field, `is nested more than ${MAX_DEPTH} deep`);
    const count = countOf(shape);
    if (count === undefined || shape.some((n) => n < 0)) throw this.fail(field, `has the shape [${shape}]`);
    return { name, value: () => this.value(kind, (word & 0x200) !== 0, shape, count, parts, field, depth) };
  }

  private value(
    kind: string,
    logical: boolean,
    shape: number[],
    count: number,
    parts: Parts,
    field: string,
    depth: number,
  ): MatValue {
    if (kind === 'cell') {
      const cells = Array.from({ length: parts.bounded(count) }, () => this.child(parts, field, depth));
      return { shape, cells: rowMajorItems(cells, shape) };
    }
    if (kind === 'struct') {
      const width = this.numbers(parts.next(field), field).data[0];
      const names = parts.next(field).bytes;
      if (!(width > 0) || names.length % width)
        throw this.fail(field, `field names of ${width} bytes in ${names.length}`);
      const fields = Array.from({ length: names.length / width }, (_, i) =>
        Buffer.from(names.subarray(i * width, (i + 1) * width))
          .toString('latin1')
          .replace(/\0.*$/s, ''),
      );
      const records = Array.from({ length: parts.bounded(count) }, () =>
        Object.fromEntries(
          fields.filter((f) => f !== '__proto__').map((f) => [f, this.child(parts, `${field}.${f}`, depth)]),
        ),
      );
      return { shape, records: rowMajorItems(records, shape) };
    }
    const stored = this.numbers(parts.next(field), field);
    if (stored.data.length !== count) throw this.fail(field, `shape [${shape}] with ${stored.data.length} elements`);
    const array = rowMajor({ dtype: stored.dtype, shape, data: stored.data });
    if (kind === 'char') return asText(array);
    if (kind === 'double' || kind === 'single') {
      return array.dtype === 'f32' ? array : { dtype: 'f32', shape, data: Float32Array.from(array.data) };
    }
    const byte = logical || kind === 'uint8';
    if (byte) return { dtype: 'u8', shape, data: Uint8Array.from(array.data) };
    return { dtype: 'i32', shape, data: array.dtype === 'i32' ? array.data : Int32Array.from(array.data) };
  }

  private child(parts: Parts, field: string, depth: number): MatValue {
    const { type, bytes } = parts.next(field);
    if (type !== MATRIX) throw this.fail(field, `holds an element of type ${type} where an array is wanted`);
    const matrix = this.matrix(bytes, depth + 1);
    if (!matrix) throw this.fail(field, 'holds no array');
    return matrix.value();
  }

  private numbers({ type, bytes }: Element, field: string): Omit<HostArray, 'shape'> {
    const stored = STORED[type];
    if (!stored || bytes.length % STORED_WIDTH[stored]) {
      throw this.fail(field, `${bytes.length} bytes of the element type ${type}`);
    }
    return decode(bytes, stored, (problem) => this.fail(field, problem), this.bigEndian);
  }
}

/** The elements within a matrix, one after the other. */
class Parts {
  private at = 0;

  constructor(
    private readonly read: (at: number, field: string) => { element: Element; next: number },
    private readonly length: number,
  ) {}

  next(field: string): Element {
    const { element, next } = this.read(this.at, field);
    this.at = next;
    return element;
  }

  /** A number of children, each of which takes at least 8 bytes: a few bytes cannot ask for a billion cells. */
  bounded(count: number): number {
    return Math.min(count, Math.ceil((this.length - this.at) / 8) + 1);
  }
}

const columnStrides = (shape: readonly number[]): number[] =>
  shape.map((_, i) => shape.slice(0, i).reduce((product, n) => product * n, 1));

function rowMajor(array: HostArray): HostArray {
  if (array.shape.filter((n) => n > 1).length < 2) return array;
  const data = array.data.slice();
  gather(array.data, data, array.shape, columnStrides(array.shape));
  return { ...array, data };
}

function rowMajorItems<T>(items: T[], shape: readonly number[]): T[] {
  if (shape.filter((n) => n > 1).length < 2) return items;
  const order = new Int32Array(items.length);
  gather(Int32Array.from(items.keys()), order, shape, columnStrides(shape));
  return Array.from(order, (i) => items[i]);
}

function asText({ shape, data }: HostArray): string {
  const columns = shape.at(-1) || 1;
  const rows: string[] = [];
  for (let i = 0; i < data.length; i += columns) rows.push(String.fromCharCode(...data.subarray(i, i + columns)));
  return rows.join('\n');
}
