// safetensors: round trips, stored types, every check of the header, damage.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { HostArray } from '../../src/formats/host-array.js';
import { toBfloat16, toHalf } from '../../src/formats/host-array.js';
import {
  loadSafetensors,
  readSafetensors,
  readSafetensorsMetadata,
  saveSafetensors,
  writeSafetensors,
} from '../../src/formats/safetensors.js';
import { tensor } from '../../src/tensor/create.js';
import { sharedPath } from '../shared.js';
import { expectDamageIsFound, expectSame, f32, formatError, leftovers, temporaryFolder } from './samples.js';

const temporary = temporaryFolder();

/** A file with this header (text or object) and data. */
function craft(name: string, header: unknown, data: number[] = [], length?: bigint): string {
  const json = Buffer.isBuffer(header)
    ? header
    : Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(json.length));
  const file = temporary(name);
  writeFileSync(file, Buffer.concat([prefix, json, Buffer.from(data)]));
  return file;
}

const entry = (dtype: string, shape: unknown, ...data_offsets: unknown[]) => ({ dtype, shape, data_offsets });

describe('round trips', () => {
  const arrays: Record<string, HostArray> = {
    bytes: { dtype: 'u8', shape: [3], data: Uint8Array.of(1, 2, 255) },
    matrix: f32([2, 3], 1, -2, 0.1, Number.POSITIVE_INFINITY, -0, 1e-42),
    indices: { dtype: 'i32', shape: [1, 2], data: Int32Array.of(-(2 ** 31), 2 ** 31 - 1) },
    half: { dtype: 'bf16', shape: [2], data: Uint16Array.of(0x3f80, 0xc000) },
    scalar: f32([], 7),
    empty: f32([0, 4]),
    'a "quoted" \u00e4 name': f32([1], 3),
    constructor: f32([1], 4),
  };

  it('keeps arrays and metadata, and the same input gives the same bytes', () => {
    const file = temporary('all.safetensors');
    writeSafetensors(file, arrays, { format: 'pt', note: 'line\nbreak' });
    expectSame(readSafetensors(file), arrays);
    expect(readSafetensorsMetadata(file)).toEqual({ format: 'pt', note: 'line\nbreak' });
    const first = readFileSync(file);
    writeSafetensors(file, arrays, { format: 'pt', note: 'line\nbreak' });
    expect(readFileSync(file).equals(first)).toBe(true);
    expect(leftovers(path.dirname(file))).toEqual([]);
  });

  it('keeps tensors', async () => {
    const file = temporary('tensors.safetensors');
    saveSafetensors(file, {
      w: tensor([
        [1, 2],
        [3, 4.5],
      ]),
      n: tensor([5], { dtype: 'i32' }),
    });
    const { w, n } = await loadSafetensors(file);
    expect(await w.toArray()).toEqual([
      [1, 2],
      [3, 4.5],
    ]);
    expect([n.dtype, await n.item()]).toEqual(['i32', 5]);
    expect(readSafetensorsMetadata(file)).toEqual({});
  });

  it('stores f32 as f16 or bf16 when asked, and integers as they are', () => {
    const file = temporary('narrow.safetensors');
    const input = { x: f32([4], 1, 1 / 3, 65504, 1e9), n: arrays.indices };
    writeSafetensors(file, input, {}, { dtype: 'f16' });
    expect([...readSafetensors(file).x.data]).toEqual([1, 0.333251953125, 65504, Number.POSITIVE_INFINITY]);
    expect(readSafetensors(file).n).toEqual(arrays.indices);
    writeSafetensors(file, input, {}, { dtype: 'bf16' });
    expect(readSafetensors(file).x.dtype).toBe('bf16');
    expect([...readSafetensors(file, { dtype: 'f32' }).x.data]).toEqual(
      [1, 0.333984375, 65536, 998244352].map(Math.fround),
    );
  });

  it('rounds to f16 and bf16 to nearest, ties to even, over every f16', () => {
    const patterns = Array.from({ length: 65536 }, (_, i) => i).filter((i) => (i & 0x7c00) !== 0x7c00 || !(i & 1023));
    const file = craft('halves', { x: entry('F16', [patterns.length], 0, 2 * patterns.length) }, [
      ...new Uint8Array(Uint16Array.from(patterns).buffer),
    ]);
    const values = readSafetensors(file).x.data as Float32Array;
    expect(values[1]).toBe(2 ** -24);
    expect([...toHalf(values)]).toEqual(patterns);
    const ties = Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 2 ** -25, 3 * 2 ** -25, 65519.996, 65520, Number.NaN);
    expect([...toHalf(ties)]).toEqual([0x3c00, 0x3c02, 0, 2, 0x7bff, 0x7c00, 0x7e00]);
    expect([...toBfloat16(Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, Number.NaN, 3.4e38))]).toEqual([
      0x3f80, 0x3f82, 0x7fc0, 0x7f80,
    ]);
  });
});

describe('stored types', () => {
  it('converts to what the library has', () => {
    const bytes = new DataView(new ArrayBuffer(35));
    bytes.setFloat64(0, 0.1, true);
    bytes.setBigInt64(8, -5n, true);
    bytes.setBigUint64(16, 2n ** 31n - 1n, true);
    bytes.setUint32(24, 7, true);
    bytes.setInt16(28, -3, true);
    bytes.setUint16(30, 65535, true);
    bytes.setInt8(32, -128);
    bytes.setUint8(33, 200);
    bytes.setUint8(34, 2);
    const file = craft(
      'types',
      {
        f64: entry('F64', [1], 0, 8),
        i64: entry('I64', [], 8, 16),
        u64: entry('U64', [1], 16, 24),
        u32: entry('U32', [1], 24, 28),
        i16: entry('I16', [1], 28, 30),
        u16: entry('U16', [1], 30, 32),
        i8: entry('I8', [1], 32, 33),
        u8: entry('U8', [1], 33, 34),
        bool: entry('BOOL', [1], 34, 35),
      },
      [...new Uint8Array(bytes.buffer)],
    );
    const found = Object.entries(readSafetensors(file)).map(([name, { dtype, data }]) => [name, dtype, data[0]]);
    expect(found).toEqual([
      ['f64', 'f32', Math.fround(0.1)],
      ['i64', 'i32', -5],
      ['u64', 'i32', 2 ** 31 - 1],
      ['u32', 'i32', 7],
      ['i16', 'i32', -3],
      ['u16', 'i32', 65535],
      ['i8', 'i32', -128],
      ['u8', 'u8', 200],
      ['bool', 'u8', 1],
    ]);
  });

  it.each([
    ['I64', [0, 0, 0, 128, 0, 0, 0, 0], '2147483648'],
    ['I64', [255, 255, 255, 127, 255, 255, 255, 255], '-2147483649'],
    ['U64', [255, 255, 255, 255, 255, 255, 255, 255], '18446744073709551615'],
    ['U32', [0, 0, 0, 128], '2147483648'],
  ])('refuses a %s that i32 cannot hold', (dtype, bytes, value) => {
    const error = formatError(() =>
      readSafetensors(craft('wide', { step: entry(dtype, [1], 0, bytes.length) }, bytes)),
    );
    expect(error.field).toBe("tensor 'step'");
    expect(error.message).toContain(value);
  });
});

describe('checks', () => {
  const x = entry('F32', [1], 0, 4);
  it.each<[string, unknown, number[], string]>([
    ['bad JSON', '{"x": ', [], 'header'],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), [], 'header'],
    ['no object', '[1]', [], 'header'],
    [
      'a name twice',
      '{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
      [],
      'header',
    ],
    ['a field twice', '{"x":{"dtype":"F32","dtype":"U8","shape":[0],"data_offsets":[0,0]}}', [], 'header'],
    [
      'an escaped name twice',
      '{"\\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
      [],
      'header',
    ],
    ['__proto__', '{"__proto__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}', [], 'header'],
    ['metadata that is no text', { __metadata__: { a: 1 } }, [], '__metadata__'],
    ['metadata that is a list', { __metadata__: [] }, [], '__metadata__'],
    ['an entry that is no object', { x: 5 }, [], "tensor 'x'"],
    ['no dtype', { x: { shape: [1], data_offsets: [0, 4] } }, [0, 0, 0, 0], "tensor 'x'"],
    ['no shape', { x: { dtype: 'F32', data_offsets: [0, 4] } }, [0, 0, 0, 0], "tensor 'x'"],
    ['no offsets', { x: { dtype: 'F32', shape: [1] } }, [0, 0, 0, 0], "tensor 'x'"],
    ['an unknown field', { x: { ...x, more: 1 } }, [0, 0, 0, 0], "tensor 'x'"],
    ['an unknown dtype', { x: entry('F8_E4M3', [4], 0, 4) }, [0, 0, 0, 0], "tensor 'x'"],
    ['a dtype of Object.prototype', { x: entry('toString', [4], 0, 4) }, [0, 0, 0, 0], "tensor 'x'"],
    ['a negative size', { x: entry('F32', [-1, -1], 0, 4) }, [0, 0, 0, 0], "tensor 'x'"],
    ['a fractional size', { x: entry('F32', [0.5, 2], 0, 4) }, [0, 0, 0, 0], "tensor 'x'"],
    ['a huge shape', { x: entry('F32', [2 ** 40, 2 ** 40], 0, 4) }, [0, 0, 0, 0], "tensor 'x'"],
    ['a shape of other size', { x: entry('F32', [2], 0, 4) }, [0, 0, 0, 0], "tensor 'x'"],
    ['offsets backwards', { x: entry('F32', [0], 4, 0) }, [0, 0, 0, 0], "tensor 'x'"],
    ['three offsets', { x: entry('F32', [1], 0, 4, 4) }, [0, 0, 0, 0], "tensor 'x'"],
    ['an overlap', { x, y: entry('U8', [2], 3, 5) }, [0, 0, 0, 0, 0], "tensor 'y'"],
    ['a gap', { x, y: entry('U8', [1], 5, 6) }, [0, 0, 0, 0, 0, 0], "tensor 'y'"],
    ['data that end early', { x }, [0, 0, 0], "tensor 'x'"],
    ['bytes after the data', { x }, [0, 0, 0, 0, 0], 'data'],
  ])('refuses %s', (_, header, data, field) => {
    const error = formatError(() => readSafetensors(craft('bad', header, data)));
    expect(error.field).toBe(field);
  });

  it('refuses header lengths beyond the file and beyond 100 MB', () => {
    expect(formatError(() => readSafetensors(craft('long', '{}', [], 3n))).field).toBe('header length');
    expect(formatError(() => readSafetensors(craft('long', '{}', [], 2n ** 63n))).field).toBe('header length');
  });

  it('names what cannot be opened', () => {
    const folder = temporary('folder');
    mkdirSync(folder);
    symlinkSync('/nowhere/at/all', temporary('dangling'));
    expect(formatError(() => readSafetensors(folder)).message).toBe(`${folder}: file: is a directory`);
    expect(formatError(() => readSafetensors(temporary('missing'))).message).toContain('does not exist');
    expect(formatError(() => readSafetensors(temporary('dangling'))).message).toContain('does not exist');
    expect(formatError(() => readSafetensors('/dev/zero')).message).toContain('is not a regular file');
  });

  it('leaves the old file in place when writing fails', () => {
    const file = temporary('kept.safetensors');
    writeSafetensors(file, { x: f32([1], 1) });
    formatError(() => writeSafetensors(file, { __proto__x: f32([1], 1), __metadata__: f32([1], 1) }));
    formatError(() => writeSafetensors(file, { x: f32([2], 1) }));
    formatError(() => writeSafetensors(file, {}, { n: 1 as unknown as string }));
    expect([...readSafetensors(file).x.data]).toEqual([1]);
    expect(formatError(() => writeSafetensors(temporary('no/such/folder'), {})).message).toContain(
      'there is no folder',
    );
    expect(formatError(() => writeSafetensors(temporary('folder'), {})).message).toContain('is a directory');
    expect(leftovers(path.dirname(file))).toEqual([]);
  });
});

describe('damage', () => {
  it('is found in a written file', () => {
    const file = temporary('whole.safetensors');
    const arrays = { a: f32([5, 7], ...Array.from({ length: 35 }, (_, i) => i)), b: f32([3], 1, 2, 3) };
    writeSafetensors(file, arrays, { author: 'test' });
    const damage = { path: temporary('damaged'), bytes: readFileSync(file), read: readSafetensors };
    expectDamageIsFound({ ...damage, tries: 400, seed: 1 });
  });

  const real = sharedPath('data/uv-textures/deep3d-204/params.safetensors');
  it.runIf(real)('is found in a real file', () => {
    const damage = { path: temporary('damaged'), bytes: readFileSync(real as string), read: readSafetensors };
    expectDamageIsFound({ ...damage, tries: 100, seed: 2 });
  });
});
