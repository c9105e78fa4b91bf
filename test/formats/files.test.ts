// Atomic writing: the old file or the whole new one, and nothing left behind.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../src/formats/error.js';
import { readBytes, writeAtomically, writeAtomicallySync } from '../../src/formats/files.js';
import { formatError, temporaryFolder } from './samples.js';

const temporary = temporaryFolder();
const files = () => readdirSync(path.dirname(temporary('x'))).sort();

describe('writeAtomically', () => {
  it('writes bytes, pieces, and what a function writes at the path it is given', async () => {
    await writeAtomically(temporary('a.bin'), Uint8Array.of(1, 2));
    writeAtomicallySync(temporary('b.bin'), [Uint8Array.of(1), Uint8Array.of(), Uint8Array.of(2, 3)]);
    await writeAtomically(temporary('c.png'), async (file) => {
      expect([path.extname(file), path.dirname(file)]).toEqual(['.png', path.dirname(temporary('x'))]);
      expect(files()).not.toContain('c.png');
      writeFileSync(file, 'image');
    });
    writeAtomicallySync(temporary('d.txt'), (file) => writeFileSync(file, 'text'));
    expect([...readBytes(temporary('b.bin'))]).toEqual([1, 2, 3]);
    expect(readFileSync(temporary('c.png'), 'utf8')).toBe('image');
    expect(files()).toEqual(['a.bin', 'b.bin', 'c.png', 'd.txt']);
  });

  it('keeps the old file and removes its own when the content fails', async () => {
    const half = (file: string) => {
      writeFileSync(file, 'half');
      throw new RangeError('stopped');
    };
    expect(() => writeAtomicallySync(temporary('d.txt'), half)).toThrow(new RangeError('stopped'));
    await expect(writeAtomically(temporary('d.txt'), async (file) => half(file))).rejects.toThrow('stopped');
    await expect(writeAtomically(temporary('d.txt'), async () => {})).rejects.toBeInstanceOf(FormatError);
    expect(readFileSync(temporary('d.txt'), 'utf8')).toBe('text');
    expect(files()).toEqual(['a.bin', 'b.bin', 'c.png', 'd.txt']);
  });

  it('refuses a missing folder before any work', async () => {
    let called = false;
    const file = temporary('none/x.txt');
    const write = writeAtomically(file, async () => {
      called = true;
    });
    await expect(write).rejects.toThrow(`${file}: file: there is no folder`);
    expect(called).toBe(false);
    expect(formatError(() => writeAtomicallySync('', Uint8Array.of())).field).toBe('file');
  });
});
