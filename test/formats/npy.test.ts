// npy and npz: round trips, byte orders, Fortran order, refusals, damage.
import { readFileSync, writeFileSync } from 'node:fs';
import { strToU8, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { loadNpy, loadNpz, readNpy, readNpz, saveNpy, saveNpz } from '../../src/formats/npy.js';
import { tensor } from '../../src/tensor/create.js';
import { sharedPath } from '../shared.js';
import { expectDamageIsFound, formatError, temporaryFolder } from './samples.js';

const temporary = temporaryFolder();

function craft(header: string, data: ArrayBufferView | number[], version = 1): Buffer {
  const text = Buffer.from(header, 'latin1');
  const prefix = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0, 0, 0, 0, 0]);
  prefix.writeUInt32LE(text.length, 8);
  const bytes = Array.isArray(data) ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([prefix.subarray(0, version === 1 ? 10 : 12), text, bytes]);
}

function file(bytes: Uint8Array): string {
  writeFileSync(temporary('array.npy'), bytes);
  return temporary('array.npy');
}

const header = (descr: string, shape: string, order = 'False') =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }\n`;

describe('npy', () => {
  it('keeps tensors', async () => {
    for (const t of [
      tensor([
        [1, 2, 3],
        [4, 5, 6.5],
      ]),
      tensor([7, -8], { dtype: 'i32' }),
      tensor([0, 255], { dtype: 'u8' }),
      tensor(3),
    ]) {
      saveNpy(temporary('t.npy'), t);
      const read = loadNpy(temporary('t.npy'));
      expect([read.dtype, read.shape]).toEqual([t.dtype, [...t.shape]]);
      expect(await read.toArray()).toEqual(await t.toArray());
    }
    expect(readFileSync(temporary('t.npy')).indexOf('\n') % 64).toBe(63);
    saveNpy(temporary('t.npy'), tensor([1, 0.5], { dtype: 'bf16' }));
    expect([...readNpy(temporary('t.npy')).data]).toEqual([1, 0.5]);
  });

  it('reads either order of bytes and axes', () => {
    expect([...readNpy(file(craft(header('>f4', '(2,)'), [0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0]))).data]).toEqual([1, -2]);
    expect([...readNpy(file(craft(header('>i8', '(1,)'), [255, 255, 255, 255, 255, 255, 255, 254]))).data]).toEqual([
      -2,
    ]);
    expect([...readNpy(file(craft(header('>f2', '(1,)'), [0x38, 0]))).data]).toEqual([0.5]);
    expect([...readNpy(file(craft(header('<f8', '(1,)'), Float64Array.of(0.5), 2))).data]).toEqual([0.5]);
    expect([...readNpy(file(craft(header('|b1', '(2,)'), [0, 1], 3))).data]).toEqual([0, 1]);
    const fortran = readNpy(file(craft(header('<i2', '(2, 3)', 'True'), Int16Array.of(1, 4, 2, 5, 3, 6))));
    expect([fortran.shape, [...fortran.data]]).toEqual([
      [2, 3],
      [1, 2, 3, 4, 5, 6],
    ]);
    const cube = readNpy(file(craft(header('|u1', '(2, 2, 2)', 'True'), [0, 4, 2, 6, 1, 5, 3, 7])));
    expect([...cube.data]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it.each<[string, Buffer, string]>([
    ['objects', craft(header('|O', '(1,)'), [1]), 'descr'],
    ['text', craft(header('<U1', '(1,)'), [1, 0, 0, 0]), 'descr'],
    ['records', craft("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", [0, 0, 0, 0]), 'descr'],
    ['complex numbers', craft(header('<c8', '(1,)'), [0, 0, 0, 0, 0, 0, 0, 0]), 'descr'],
    ['a negative size', craft(header('|u1', '(-1,)'), [0]), 'header'],
    ['a huge shape', craft(header('|u1', '(99999999999, 99999999999)'), [0]), 'shape'],
    ['too few data', craft(header('<f4', '(2,)'), [0, 0, 0, 0]), 'shape'],
    ['too many data', craft(header('<f4', '(1,)'), [0, 0, 0, 0, 0]), 'shape'],
    ['code in the header', craft("{'descr': exit(), 'fortran_order': False, 'shape': (1,)}", [0]), 'header'],
    ['a missing entry', craft("{'descr': '|u1', 'shape': (1,)}", [0]), 'header'],
    ['an entry twice', craft("{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", [0]), 'header'],
    ['an unknown entry', craft("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'x': True}", [0]), 'header'],
    ['wide integers', craft(header('<i8', '(1,)'), BigInt64Array.of(2n ** 33n)), 'data'],
    ['other versions', craft(header('|u1', '(1,)'), [0], 9), 'version'],
    ['other files', Buffer.from('<html>nothing</html>'), 'magic'],
  ])('refuses %s', (_, bytes, field) => {
    expect(formatError(() => readNpy(file(bytes))).field).toBe(field);
  });
});

describe('npz', () => {
  const arrays = { a: tensor([1, 2, 3]), 'b/c': tensor([[4], [5]], { dtype: 'i32' }) };

  it.each([false, true])('keeps tensors, compressed: %s', async (compressed) => {
    saveNpz(temporary('all.npz'), arrays, { compressed });
    const read = loadNpz(temporary('all.npz'));
    expect(Object.keys(read)).toEqual(['a', 'b/c']);
    expect([await read.a.toArray(), await read['b/c'].toArray()]).toEqual([
      [1, 2, 3],
      [[4], [5]],
    ]);
  });

  it('refuses archives that are damaged, foreign or bombs', () => {
    const path = temporary('bad.npz');
    const npy = craft(header('|u1', '(100000,)'), new Uint8Array(100000));
    const bytes = zipSync({ 'a.npy': npy }, { level: 9 });
    const patched = (at: number, value: number) => {
      const copy = Buffer.from(bytes);
      copy.writeUInt32LE(value, at);
      return copy;
    };
    const start = Buffer.from(bytes).indexOf('PK\x01\x02', 0, 'latin1');
    expect(start).toBeGreaterThan(0);
    const cases: [Uint8Array, string, string][] = [
      [zipSync({ 'a.txt': strToU8('text') }), "entry 'a.txt'", 'is no .npy array'],
      [zipSync({ '__proto__.npy': npy }), 'zip directory', '__proto__'],
      [patched(start + 24, 0xfffffff0), 'zip directory', 'cannot be'],
      [patched(start + 24, 99999), "entry 'a.npy'", 'inflates to more'],
      [patched(start + 16, 1), "entry 'a.npy'", 'checksum'],
      [patched(start + 42, 5), "entry 'a.npy'", 'header is damaged'],
      [patched(start + 8, 1), 'zip directory', 'encrypted'],
      [Buffer.from('no archive'), 'zip archive', 'is not a zip archive'],
    ];
    for (const [content, field, text] of cases) {
      writeFileSync(path, content);
      const error = formatError(() => readNpz(path));
      expect([error.field, error.message]).toEqual([field, expect.stringContaining(text)]);
    }
  });

  it.each([false, true])('finds damage, compressed: %s', (compressed) => {
    saveNpz(temporary('whole.npz'), arrays, { compressed });
    const bytes = readFileSync(temporary('whole.npz'));
    expectDamageIsFound({ path: temporary('damaged'), bytes, read: readNpz, tries: 400, seed: 5 });
  });
});

describe('damage', () => {
  const labels = sharedPath('data/faces/umist/labels.npy');
  const read = (path: string) => ({ array: readNpy(path) });
  it('is found in a written file', () => {
    saveNpy(
      temporary('whole.npy'),
      tensor([
        [1, 2],
        [3, 4],
      ]),
    );
    expectDamageIsFound({
      path: temporary('damaged'),
      bytes: readFileSync(temporary('whole.npy')),
      read,
      tries: 300,
      seed: 6,
    });
  });
  it.runIf(labels)('is found in a real file', () => {
    expectDamageIsFound({
      path: temporary('damaged'),
      bytes: readFileSync(labels as string),
      read,
      tries: 100,
      seed: 7,
    });
  });
});
