// numpy's .npy and .npz: plain number arrays in C or Fortran order, either byte order; object, text and structured
// arrays are refused.
import { type Zippable, zipSync } from 'fflate';
import type { Tensor } from '../tensor/tensor.js';
import { FormatError } from './error.js';
import { InputFile, readBytes, writeAtomicallySync } from './files.js';
import {
  bytesOf,
  countOf,
  decode,
  fromTensor,
  fromTensors,
  gather,
  type HostArray,
  NUMPY_TYPES,
  STORED_WIDTH,
  toTensor,
  toTensors,
  widened,
} from './host-array.js';
import { isZip, readDirectory, readEntry } from './zip.js';

type Fail = (field: string, problem: string) => FormatError;

/**
 * The array of a .npy file: f2 f4 f8 as f32, u1 and b1 as u8, other integers as i32.
 * Throws FormatError for damaged files, other element types, and integers outside i32.
 */
export const loadNpy = (path: string): Tensor => toTensor(readNpy(path));

/** The same in host memory. */
export const readNpy = (path: string): HostArray =>
  parse(readBytes(path), (field, problem) => new FormatError(path, field, problem));

/** The arrays of a .npz file by name (without `.npy`). Throws FormatError as `loadNpy`. */
export const loadNpz = (path: string): Record<string, Tensor> => toTensors(readNpz(path));

/** The same in host memory. */
export function readNpz(path: string): Record<string, HostArray> {
  return InputFile.with(path, (file) => {
    if (!isZip(file)) throw new FormatError(path, 'zip archive', 'is not a zip archive, as .npz files are');
    const arrays = [...readDirectory(file).values()].map((entry): [string, HostArray] => {
      if (!entry.name.endsWith('.npy')) throw new FormatError(path, `entry '${entry.name}'`, 'is no .npy array');
      const name = entry.name.slice(0, -'.npy'.length);
      if (name === '__proto__') throw new FormatError(path, 'zip directory', "an array cannot be called '__proto__'");
      const fail: Fail = (field, problem) => new FormatError(path, `array '${name}' ${field}`, problem);
      return [name, parse(readEntry(file, entry), fail)];
    });
    return Object.fromEntries(arrays);
  });
}

function parse(bytes: Uint8Array, fail: Fail): HostArray {
  if (bytes.length < 10 || Buffer.from(bytes.subarray(0, 6)).toString('latin1') !== '\x93NUMPY') {
    throw fail('magic', 'is not a .npy array');
  }
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const major = bytes[6];
  if (major < 1 || major > 3) throw fail('version', `${major} is none of 1, 2, 3`);
  const begin = major === 1 ? 10 : 12;
  if (bytes.length < begin) throw fail('header length', 'the file is truncated');
  const end = begin + (major === 1 ? data.getUint16(8, true) : data.getUint32(8, true));
  if (end > bytes.length) throw fail('header length', `reaches byte ${end} of ${bytes.length}`);
  const { type, bigEndian, fortran, shape } = parseHeader(
    Buffer.from(bytes.subarray(begin, end)).toString('latin1'),
    fail,
  );
  const count = countOf(shape);
  const size = bytes.length - end;
  if (count === undefined || count * STORED_WIDTH[type] !== size) {
    throw fail('shape', `[${shape}] of ${STORED_WIDTH[type]}-byte elements does not take the ${size} bytes of data`);
  }
  const array = decode(bytes.subarray(end), type, (problem) => fail('data', problem), bigEndian);
  if (!fortran || shape.length < 2) return { shape, ...array };
  const rowMajor = array.data.slice();
  const strides = shape.map((_, i) => shape.slice(0, i).reduce((product, n) => product * n, 1));
  gather(array.data, rowMajor, shape, strides);
  return { shape, dtype: array.dtype, data: rowMajor };
}

/** The header is a Python dict literal of three entries, in any order. */
function parseHeader(text: string, fail: Fail) {
  if (text.length > 10_000) throw fail('header', `${text.length} characters`);
  const body = /^\{(.*)\}\s*$/s.exec(text.trim())?.[1];
  if (body === undefined) throw fail('header', 'is no dict');
  const values = new Map<string, string>();
  const item = /\s*(['"])(\w+)\1\s*:\s*('[^']*'|"[^"]*"|True|False|\([\d,\sL]*\)|\[[^\]]*\])\s*(?:,|$)/y;
  while (item.lastIndex < body.trimEnd().length) {
    const at = item.lastIndex;
    const match = item.exec(body);
    if (!match) throw fail('header', `cannot be understood at '${body.slice(at, at + 30)}'`);
    if (values.has(match[2])) throw fail('header', `'${match[2]}' occurs twice`);
    values.set(match[2], match[3]);
  }
  const [descr, order, sizes] = ['descr', 'fortran_order', 'shape'].map((key) => {
    const value = values.get(key);
    if (value === undefined) throw fail('header', `'${key}' is missing`);
    return value;
  });
  if (values.size !== 3) throw fail('header', `has unknown entries (${[...values.keys()].join(', ')})`);
  const [, byteOrder, code] = /^['"]([<>|=])([a-z]\d)['"]$/.exec(descr) ?? [];
  if (code === undefined || !Object.hasOwn(NUMPY_TYPES, code)) {
    throw fail('descr', `${descr} is no plain number type (objects, text and records are not read)`);
  }
  if (order !== 'True' && order !== 'False') throw fail('fortran_order', `${order} is neither True nor False`);
  const numbers = /^\(\s*((?:\d+L?\s*,\s*)*(?:\d+L?)?)\s*\)$/.exec(sizes)?.[1];
  if (numbers === undefined) throw fail('shape', `${sizes} is no tuple of whole numbers`);
  const shape = (numbers.match(/\d+/g) ?? []).map(Number);
  if (shape.length > 64 || !shape.every(Number.isSafeInteger)) throw fail('shape', `${sizes} is too large`);
  return { type: NUMPY_TYPES[code], bigEndian: byteOrder === '>', fortran: order === 'True', shape };
}

/** Writes a .npy file (f4, i4 or u1; bf16 as f4), atomically. Throws FormatError where the file cannot be written. */
export function saveNpy(path: string, t: Tensor): void {
  writeAtomicallySync(path, pieces(fromTensor(t)));
}

/**
 * Writes an .npz file, atomically; `compressed` deflates it as numpy.savez_compressed. The same input gives the same
 * bytes.
 */
export function saveNpz(path: string, tensors: Record<string, Tensor>, { compressed = false } = {}): void {
  const files: Zippable = {};
  let size = 0;
  for (const [name, array] of Object.entries(fromTensors(tensors))) {
    if (name === '' || name === '__proto__')
      throw new FormatError(path, 'arrays', `an array cannot be called '${name}'`);
    const [head, body] = pieces(array);
    const bytes = new Uint8Array(head.length + body.length);
    bytes.set(head);
    bytes.set(body, head.length);
    size += bytes.length;
    if (size > 0xf0000000) throw new FormatError(path, 'arrays', 'take more than the 4 GB of a plain zip archive');
    files[`${name}.npy`] = bytes;
  }
  writeAtomicallySync(path, zipSync(files, { level: compressed ? 6 : 0, mtime: new Date(1980, 0, 1) }));
}

function pieces(array: HostArray): [Uint8Array, Uint8Array] {
  const { data, shape } = widened(array);
  const descr = data instanceof Float32Array ? '<f4' : data instanceof Int32Array ? '<i4' : '|u1';
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const length = Math.ceil((10 + header.length + 1) / 64) * 64;
  const head = Buffer.from(`\x93NUMPY\x01\x00\x00\x00${header.padEnd(length - 11)}\n`, 'latin1');
  head.writeUInt16LE(length - 10, 8);
  return [head, bytesOf(data)];
}
