// HDF5 files: numeric and text data sets by their paths. The reading is done by h5wasm (the HDF5 library compiled to WebAssembly),
// loaded on first use. Contract: only data sets asked for are read.
import { FormatError } from './error.js';
import { InputFile } from './files.js';
import { countOf, type HostArray, type HostData } from './host-array.js';

const MAGIC = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];

export interface Hdf5File {
  /** Paths of all data sets, e.g. `shape/model/mean`. */
  readonly names: readonly string[];
  /** A data set of numbers: floats as f32, uint8 as u8, other integers as i32. Throws FormatError where it is absent or of another kind. */
  array(name: string): HostArray;
  /** A data set of text (the first, where it has several). */
  text(name: string): string;
}

/** Opens an HDF5 file, hands it to `use`, closes it. Throws FormatError for other files. */
export async function withHdf5<T>(file: string, use: (input: Hdf5File) => T): Promise<T> {
  InputFile.with(file, (input) => {
    const magic = input.read(0, Math.min(8, input.size), 'magic');
    if (!MAGIC.every((byte, i) => magic[i] === byte)) throw new FormatError(file, 'magic', 'is no HDF5 file');
  });
  const { default: h5wasm } = await import('h5wasm/node');
  await h5wasm.ready;
  const opened = new h5wasm.File(file, 'r');
  if (opened.file_id < 0n) throw new FormatError(file, 'file', 'cannot be opened as HDF5');
  try {
    const dataSet = (name: string) => {
      const found = opened.get(name);
      if (!(found instanceof h5wasm.Dataset)) throw new FormatError(file, `data set '${name}'`, 'there is none');
      return found;
    };
    return use({
      names: (opened.paths() as string[]).filter((name) => opened.get(name) instanceof h5wasm.Dataset),
      array: (name) => {
        const found = dataSet(name);
        const fail = (problem: string) => new FormatError(file, `data set '${name}'`, problem);
        const value: unknown = found.value;
        const data = typeof value === 'number' ? Float64Array.of(value) : ArrayBuffer.isView(value) ? value : undefined;
        const shape = Array.from(found.shape ?? []);
        if (!data || data instanceof DataView) throw fail('holds no numbers');
        const numbers = hostData(data as ArrayLike<number | bigint> & ArrayBufferView, fail);
        if (numbers.data.length !== countOf(shape)) throw fail(`shape [${shape}] with ${numbers.data.length} numbers`);
        return { ...numbers, shape };
      },
      text: (name) => {
        const value: unknown = dataSet(name).value;
        const first = Array.isArray(value) ? value[0] : value;
        if (typeof first !== 'string') throw new FormatError(file, `data set '${name}'`, 'holds no text');
        return first;
      },
    });
  } finally {
    opened.close();
  }
}

function hostData(
  data: ArrayLike<number | bigint> & ArrayBufferView,
  fail: (problem: string) => FormatError,
): { dtype: HostArray['dtype']; data: HostData } {
  if (data instanceof Float32Array) return { dtype: 'f32', data };
  if (data instanceof Float64Array) return { dtype: 'f32', data: Float32Array.from(data) };
  if (data instanceof Uint8Array) return { dtype: 'u8', data };
  const numbers = Int32Array.from(data as ArrayLike<number>, Number);
  for (let i = 0; i < numbers.length; i++) {
    if (numbers[i] !== Number(data[i])) throw fail(`element ${i} is ${data[i]}, outside what i32 can hold`);
  }
  return { dtype: 'i32', data: numbers };
}
