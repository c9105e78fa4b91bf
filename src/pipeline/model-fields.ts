// Arrays of a foreign file by name, checked as they are taken: every problem names the file and the field.
import { FormatError } from '../formats/error.js';
import type { HostArray } from '../formats/host-array.js';
import { isMatArray, type MatStruct } from '../formats/mat.js';

export class Fields {
  constructor(
    readonly file: string,
    /** What the file calls its parts: variable, entry, data set. */
    private readonly what: string,
    private readonly entries: Readonly<Record<string, unknown>>,
  ) {}

  has(...names: string[]): boolean {
    return names.every((name) => Object.hasOwn(this.entries, name));
  }

  fail(name: string, problem: string): FormatError {
    return new FormatError(this.file, `${this.what} '${name}'`, problem);
  }

  array(name: string): HostArray {
    const value = this.has(name) ? this.entries[name] : undefined;
    if (value === undefined) throw this.fail(name, 'there is none');
    if (value === null || typeof value !== 'object' || !isMatArray(value as HostArray))
      throw this.fail(name, 'holds no numbers');
    return value as HostArray;
  }

  /** All numbers, whatever the shape; `count` of them where that is given. */
  floats(name: string, count?: number): Float32Array {
    const { data, shape } = this.array(name);
    if (count !== undefined && data.length !== count)
      throw this.fail(name, `wanted ${count} numbers, got [${shape.join(', ')}]`);
    return data instanceof Float32Array ? data : Float32Array.from(data);
  }

  /** Whole numbers, from `first` (1 in MATLAB) turned to from 0. */
  indices(name: string, first = 0): Int32Array {
    const { data } = this.array(name);
    const out = new Int32Array(data.length);
    for (let i = 0; i < out.length; i++) {
      out[i] = data[i] - first;
      if (out[i] !== data[i] - first || out[i] < 0) throw this.fail(name, `number ${i} is ${data[i]}, no index`);
    }
    return out;
  }

  /** Triangles, stored as [T, 3] or [3, T]. */
  triangles(name: string, first = 0): Int32Array {
    const { shape } = this.array(name);
    const indices = this.indices(name, first);
    if (shape.length !== 2 || (shape[0] !== 3 && shape[1] !== 3))
      throw this.fail(name, `wanted [T, 3] or [3, T], got [${shape.join(', ')}]`);
    if (shape[1] === 3) return indices;
    const count = shape[1];
    return Int32Array.from({ length: 3 * count }, (_, i) => indices[(i % 3) * count + Math.floor(i / 3)]);
  }

  /** Modes stored as columns [length, k] (or [length / 3, 3, k]), as [k, length]; `from` and `to` choose some. */
  columns(name: string, length: number, from = 0, to?: number): { count: number; modes: Float32Array } {
    const { data, shape } = this.array(name);
    const k = shape.at(-1) ?? 0;
    if (shape.length < 2 || k * length !== data.length)
      throw this.fail(name, `wanted [${length}, k], got [${shape.join(', ')}]`);
    const count = Math.max(0, Math.min(to ?? k, k) - from);
    const modes = new Float32Array(count * length);
    for (let i = 0; i < length; i++) for (let c = 0; c < count; c++) modes[c * length + i] = data[i * k + from + c];
    return { count, modes };
  }

  /** A structure's fields. */
  record(name: string): Fields {
    const value = this.entries[name] as MatStruct | undefined;
    const first = value && typeof value === 'object' && 'records' in value ? value.records[0] : undefined;
    if (!first) throw this.fail(name, 'is no structure');
    return new Fields(this.file, `${this.what} '${name}', field`, first);
  }
}
