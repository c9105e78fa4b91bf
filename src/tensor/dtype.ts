// Element types and their typed arrays.

/** f32; i32 and u8 for indices and images; bf16 as storage of maps that are computed with in f32 (Uint16Array of bit patterns). */
export type DType = 'f32' | 'i32' | 'u8' | 'bf16';

/** Float64Array is what the tests' reference device holds an f32 tensor in. */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array | Uint16Array;

const DTYPES = {
  f32: { code: 0, bytes: 4, array: Float32Array },
  i32: { code: 1, bytes: 4, array: Int32Array },
  u8: { code: 2, bytes: 1, array: Uint8Array },
  bf16: { code: 3, bytes: 2, array: Uint16Array },
} as const;

/** The number that stands for the type in an instruction (enum DType of native/kernels.h). */
export const dtypeCode = (dtype: DType): number => DTYPES[dtype].code;

export const bytesPerElement = (dtype: DType): number => DTYPES[dtype].bytes;

export const isDType = (name: string): name is DType => Object.hasOwn(DTYPES, name);

export function newArray(dtype: DType, size: number): TypedArray {
  return new DTYPES[dtype].array(size);
}

/** The values as the type's own array: bf16 rounds to nearest even, u8 saturates, integers truncate. */
export function toArray(dtype: DType, values: ArrayLike<number>): TypedArray {
  if (values instanceof DTYPES[dtype].array) return values;
  if (dtype === 'bf16') return Uint16Array.from(values, bf16FromNumber);
  if (dtype === 'u8') return Uint8Array.from(new Uint8ClampedArray(Int32Array.from(values)));
  return DTYPES[dtype].array.from(values);
}

const word = new DataView(new ArrayBuffer(4));

export function bf16FromNumber(value: number): number {
  word.setFloat32(0, value);
  const bits = word.getUint32(0);
  if (Number.isNaN(value)) return (bits >>> 16) | 64;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

export function numberFromBf16(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}
