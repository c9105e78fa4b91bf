// MAT files of level 5: every kind of value, both byte orders, compression, damage.
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../src/formats/error.js';
import { isMatArray, readMat } from '../../src/formats/mat.js';
import { double, matFile, single, type Written } from './mat.js';
import { formatError, random, temporaryFolder } from './samples.js';

const temporary = temporaryFolder();

function file(bytes: Uint8Array): string {
  writeFileSync(temporary('t.mat'), bytes);
  return temporary('t.mat');
}

const variables: Record<string, Written> = {
  a: double([2, 3], [1, 2, 3, 4, 5, 6.5]),
  long_name: single([3, 1], [1, -2, 0.5]),
  tri: { kind: 'int32', shape: [2, 2], data: [1, 2, -3, 4] },
  bytes: { kind: 'uint8', shape: [1, 3], data: [0, 128, 255] },
  small: { kind: 'double', shape: [1, 2], data: [7, 200], storedAs: 'u8' },
  cube: double([2, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7]),
  text: { kind: 'text', text: 'Basel' },
  model: { kind: 'struct', fields: { w: double([1, 2], [3, 4]), name: { kind: 'text', text: 'x' } } },
  list: { kind: 'cell', cells: [double([1, 1], [9]), { kind: 'text', text: 'nine' }] },
};

describe.each([
  { compress: false, big: false },
  { compress: true, big: false },
  { compress: false, big: true },
])('compressed $compress, big-endian $big', (options) => {
  it('comes back row-major', () => {
    const read = readMat(file(matFile(variables, options)));
    const array = (name: string) => {
      const value = read[name];
      if (!isMatArray(value)) throw new Error(`${name} is no array`);
      return [value.dtype, value.shape, [...value.data]];
    };
    expect(array('a')).toEqual(['f32', [2, 3], [1, 2, 3, 4, 5, 6.5]]);
    expect(array('long_name')).toEqual(['f32', [3, 1], [1, -2, 0.5]]);
    expect(array('tri')).toEqual(['i32', [2, 2], [1, 2, -3, 4]]);
    expect(array('bytes')).toEqual(['u8', [1, 3], [0, 128, 255]]);
    expect(array('small')).toEqual(['f32', [1, 2], [7, 200]]);
    expect(array('cube')).toEqual(['f32', [2, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7]]);
    expect(read.text).toBe('Basel');
    const { records } = read.model as { records: Record<string, { data: Float32Array } | string>[] };
    expect([...(records[0].w as { data: Float32Array }).data]).toEqual([3, 4]);
    expect(records[0].name).toBe('x');
    const { cells } = read.list as { cells: unknown[] };
    expect(cells[1]).toBe('nine');
  });
});

it('reads only what is asked for', () => {
  expect(Object.keys(readMat(file(matFile(variables, { compress: true })), { only: ['tri', 'absent'] }))).toEqual([
    'tri',
  ]);
});

it('says what other files are', () => {
  const header = Buffer.alloc(512, ' ');
  header.write('MATLAB 7.3 MAT-file');
  expect(formatError(() => readMat(file(header))).message).toMatch(/header: is level 7.3/);
  expect(formatError(() => readMat(file(Buffer.from('hello')))).message).toMatch(/header: is no MAT file of level 5/);
});

it('meets damage with a value or a FormatError, never with anything else', () => {
  const bytes = matFile(variables);
  expect(() => readMat(file(bytes.subarray(0, 200)))).toThrow(FormatError);
  expect(() => readMat(file(bytes.subarray(0, bytes.length - 40)))).toThrow(FormatError);
  const next = random(5);
  let refused = 0;
  for (let i = 0; i < 100; i++) {
    const damaged = Buffer.from(bytes);
    damaged[128 + Math.floor(next() * (bytes.length - 128))] ^= 1 << Math.floor(8 * next());
    try {
      readMat(file(damaged));
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(5);
});
