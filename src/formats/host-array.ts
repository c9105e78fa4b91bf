// HostArray: what every reader produces and every writer takes, in host memory; and the element types that files store.
// Contract: files and this machine are little-endian unless a reader says otherwise (`bigEndian`).
import { tensor } from '../tensor/create.js';
import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';

export type HostData = Float32Array | Int32Array | Uint8Array | Uint16Array;

/**
 * A row-major array: f32 as Float32Array, i32 as Int32Array, u8 as Uint8Array, bf16 as a Uint16Array of bit patterns.
 */
export interface HostArray {
  dtype: DType;
  shape: number[];
  data: HostData;
}

/** Element types found in files. */
export type StoredType =
  | 'f64'
  | 'f32'
  | 'f16'
  | 'bf16'
  | 'i64'
  | 'i32'
  | 'i16'
  | 'i8'
  | 'u64'
  | 'u32'
  | 'u16'
  | 'u8'
  | 'bool';

/** Bytes of one element. */
export const STORED_WIDTH: Readonly<Record<StoredType, number>> = {
  f64: 8,
  f32: 4,
  f16: 2,
  bf16: 2,
  i64: 8,
  i32: 4,
  i16: 2,
  i8: 1,
  u64: 8,
  u32: 4,
  u16: 2,
  u8: 1,
  bool: 1,
};

/** numpy's element types, as in `descr` of a .npy file and in its pickles, without the byte order. */
export const NUMPY_TYPES: Readonly<Record<string, StoredType>> = {
  f2: 'f16',
  f4: 'f32',
  f8: 'f64',
  i1: 'i8',
  i2: 'i16',
  i4: 'i32',
  i8: 'i64',
  u1: 'u8',
  u2: 'u16',
  u4: 'u32',
  u8: 'u64',
  b1: 'bool',
};

/** Reports what is wrong with the array being read or written. */
export type Fail = (problem: string) => Error;

/**
 * `bytes` as elements: f32, i32, u8 and bf16 stay what they are (where alignment allows, the result is a view of
 * `bytes`), f64 and f16 become f32, the other integers i32, bool u8. Throws `fail(...)` for an integer that i32 cannot
 * hold. `bytes.length` must be a multiple of the element's width.
 */
export function decode(
  bytes: Uint8Array,
  type: StoredType,
  fail: Fail,
  bigEndian = false,
): { dtype: DType; data: HostData } {
  const { buffer, byteOffset, length } = aligned(bytes, STORED_WIDTH[type], bigEndian);
  const count = length / STORED_WIDTH[type];
  switch (type) {
    case 'f32':
      return { dtype: 'f32', data: new Float32Array(buffer, byteOffset, count) };
    case 'f64':
      return { dtype: 'f32', data: Float32Array.from(new Float64Array(buffer, byteOffset, count)) };
    case 'f16':
      return { dtype: 'f32', data: fromHalf(new Uint16Array(buffer, byteOffset, count)) };
    case 'bf16':
      return { dtype: 'bf16', data: new Uint16Array(buffer, byteOffset, count) };
    case 'i32':
      return { dtype: 'i32', data: new Int32Array(buffer, byteOffset, count) };
    case 'i16':
      return { dtype: 'i32', data: Int32Array.from(new Int16Array(buffer, byteOffset, count)) };
    case 'i8':
      return { dtype: 'i32', data: Int32Array.from(new Int8Array(buffer, byteOffset, count)) };
    case 'u16':
      return { dtype: 'i32', data: Int32Array.from(new Uint16Array(buffer, byteOffset, count)) };
    case 'u32':
      return { dtype: 'i32', data: checkedUnsigned(new Uint32Array(buffer, byteOffset, count), fail) };
    case 'i64':
    case 'u64':
      return { dtype: 'i32', data: narrowed(new Int32Array(buffer, byteOffset, 2 * count), type === 'i64', fail) };
    case 'u8':
      return { dtype: 'u8', data: new Uint8Array(buffer, byteOffset, count) };
    case 'bool':
      return { dtype: 'u8', data: Uint8Array.from(new Uint8Array(buffer, byteOffset, count), (b) => (b ? 1 : 0)) };
  }
}

/** The same bytes where a typed array of this width may start, in this machine's order. */
function aligned(bytes: Uint8Array, width: number, bigEndian: boolean): Uint8Array {
  if (width === 1 || (!bigEndian && bytes.byteOffset % width === 0)) return bytes;
  const copy = new Uint8Array(bytes);
  if (bigEndian) {
    for (let i = 0; i < copy.length; i += width) copy.subarray(i, i + width).reverse();
  }
  return copy;
}

function checkedUnsigned(values: Uint32Array, fail: Fail): Int32Array {
  const data = new Int32Array(values.buffer, values.byteOffset, values.length);
  const at = data.findIndex((value) => value < 0);
  if (at >= 0) throw fail(`element ${at} is ${values[at]}, more than i32 can hold`);
  return data;
}

/** 64-bit integers, given as (low, high) pairs of 32-bit halves. */
function narrowed(halves: Int32Array, signed: boolean, fail: Fail): Int32Array {
  const data = new Int32Array(halves.length / 2);
  for (let i = 0; i < data.length; i++) {
    const low = halves[2 * i];
    const high = halves[2 * i + 1];
    if (signed ? high !== low >> 31 : high !== 0 || low < 0) {
      const value = (BigInt(signed ? high : high >>> 0) << 32n) | BigInt(low >>> 0);
      throw fail(`element ${i} is ${value}, outside what i32 can hold`);
    }
    data[i] = low;
  }
  return data;
}

let halves: Float32Array | undefined;

/** The value of every one of the 65536 bit patterns of IEEE 754 binary16. */
function halfValues(): Float32Array {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >>> 10) & 31;
    const fraction = bits & 1023;
    let value: number;
    if (exponent === 31) value = fraction ? Number.NaN : Number.POSITIVE_INFINITY;
    else if (exponent === 0) value = fraction * 2 ** -24;
    else value = (1024 + fraction) * 2 ** (exponent - 25);
    halves[bits] = bits & 0x8000 ? -value : value;
  }
  return halves;
}

function fromHalf(bits: Uint16Array): Float32Array {
  const values = halfValues();
  const data = new Float32Array(bits.length);
  for (let i = 0; i < data.length; i++) data[i] = values[bits[i]];
  return data;
}

/** f32 to binary16 bits, to nearest, ties to even; beyond 65504 infinity. */
export function toHalf(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const sign = (words[i] >>> 16) & 0x8000;
    const magnitude = words[i] & 0x7fffffff;
    if (magnitude > 0x7f800000) bits[i] = sign | 0x7e00;
    else if (magnitude >= 0x477ff000) bits[i] = sign | 0x7c00;
    else if (magnitude >= 0x38800000) {
      bits[i] = sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
    } else {
      const scaled = Math.abs(values[i]) * 2 ** 24; // in units of the smallest binary16
      const floor = Math.floor(scaled);
      const rest = scaled - floor;
      bits[i] = sign | (floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0));
    }
  }
  return bits;
}

/** f32 to bfloat16 bits, to nearest, ties to even. */
export function toBfloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(words, (word) =>
    (word & 0x7fffffff) > 0x7f800000 ? (word >>> 16) | 64 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16,
  );
}

/** bfloat16 bits as f32, exactly. */
export function fromBfloat16(bits: Uint16Array): Float32Array {
  const words = Uint32Array.from(bits, (b) => b << 16);
  return new Float32Array(words.buffer);
}

/** The same array with bf16 widened to f32. */
export const widened = (array: HostArray): HostArray =>
  array.data instanceof Uint16Array ? { dtype: 'f32', shape: array.shape, data: fromBfloat16(array.data) } : array;

/** The bytes of a typed array, without a copy. */
export const bytesOf = (data: ArrayBufferView): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** The number of elements, or undefined where it is not a safe integer. */
export function countOf(shape: readonly number[]): number | undefined {
  if (shape.includes(0)) return 0;
  let count = 1;
  for (const n of shape) {
    count *= n;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}

/** Copies a strided array to row-major order. */
export function gather(from: HostData, to: HostData, shape: readonly number[], strides: readonly number[]): void {
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let i = 0; i < to.length; i++) {
    to[i] = from[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

export const toTensor = ({ data, shape, dtype }: HostArray): Tensor => tensor(data, { shape, dtype });

/** All arrays as tensors, made only once every array has been read. */
export const toTensors = (arrays: Record<string, HostArray>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, toTensor(array)]));

/** The tensor's elements on the host; waits for its device. */
export function fromTensor(t: Tensor): HostArray {
  const data = t.dataSync();
  return {
    dtype: t.dtype,
    shape: [...t.shape],
    data: data instanceof Float64Array ? Float32Array.from(data) : data,
  };
}

export const fromTensors = (tensors: Record<string, Tensor>): Record<string, HostArray> =>
  Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, fromTensor(t)]));
