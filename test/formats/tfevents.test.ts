// TensorBoard event files: bytes against the published formats, written and read back, cut short and damaged.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { crc32, crc32c } from '../../src/formats/crc.js';
import { FormatError } from '../../src/formats/error.js';
import { encodePng } from '../../src/formats/png.js';
import { fieldsOf, MessageWriter } from '../../src/formats/protobuf.js';
import { EventWriter, maskedCrc, readEvents, scanEvents } from '../../src/formats/tfevents.js';
import { decodePixels } from '../../src/pipeline/image.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-tfevents-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let serial = 0;
const fresh = (): string => join(root, `events.out.tfevents.${serial++}`);

/** Pixels without regularity. */
function noise(height: number, width: number): { data: Uint8Array; height: number; width: number } {
  let x = 7;
  const next = () => {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    return x >>> 24;
  };
  return { data: Uint8Array.from({ length: 3 * height * width }, next), height, width };
}

describe('checksums', () => {
  test('CRC-32 and CRC-32C of "123456789" are the catalogue\'s', () => {
    const digits = Buffer.from('123456789');
    expect(crc32(digits)).toBe(0xcbf43926);
    expect(crc32c(digits)).toBe(0xe3069283);
  });

  test("CRC-32C of RFC 3720's examples", () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i))).toBe(0x113fdb5c);
  });

  test('the mask rotates right by 15 and adds 0xa282ead8', () => {
    expect(maskedCrc(Buffer.from('123456789'))).toBe(
      Number(((0xe3069283n >> 15n) | ((0xe3069283n << 17n) & 0xffffffffn)) + 0xa282ead8n) % 2 ** 32,
    );
  });
});

describe('protocol buffers', () => {
  test("the encoding guide's examples", () => {
    expect(Buffer.from(new MessageWriter().whole(1, 150).finish()).toString('hex')).toBe('089601');
    expect(Buffer.from(new MessageWriter().bytes(2, 'testing').finish()).toString('hex')).toBe('120774657374696e67');
  });

  test('numbers up to 2^53 - 1 come back; others are refused', () => {
    for (const value of [0, 1, 127, 128, 2 ** 31, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER]) {
      expect([...fieldsOf(new MessageWriter().whole(3, value).finish(), 'f', 'm')]).toEqual([{ number: 3, value }]);
    }
    expect(() => new MessageWriter().whole(1, -1)).toThrow(/got -1/);
    expect(() => new MessageWriter().whole(1, 2 ** 53)).toThrow(RangeError);
  });

  test('a damaged message is refused', () => {
    for (const bytes of [[0x12, 9, 1], [0x08], [0x09, 1, 2], [0x0b], new Array(12).fill(0xff)]) {
      expect(() => [...fieldsOf(Uint8Array.from(bytes), 'f', 'm')]).toThrow(FormatError);
    }
  });
});

describe('PNG', () => {
  test.each([
    [1, 1],
    [3, 5],
    [40, 17],
  ])('%i x %i is read back the same by the image library', async (height, width) => {
    const pixels = noise(height, width);
    const back = await decodePixels(encodePng(pixels), 'noise.png');
    expect([back.height, back.width]).toEqual([height, width]);
    expect(Buffer.compare(back.data, pixels.data)).toBe(0);
  });

  test('pixels of another length are refused', () => {
    expect(() => encodePng({ data: new Uint8Array(11), height: 2, width: 2 })).toThrow(/\[2, 2, 3\] bytes, got 11/);
  });
});

describe('event files', () => {
  test('the first record is the version, byte for byte', () => {
    const file = fresh();
    new EventWriter(file).close();
    const bytes = readFileSync(file);
    // 9 bytes of wall time, then field 3: 2 + 13 bytes
    expect(bytes.length).toBe(8 + 4 + 24 + 4);
    expect(bytes.readBigUInt64LE(0)).toBe(24n);
    expect(bytes.readUInt32LE(8)).toBe(maskedCrc(bytes.subarray(0, 8)));
    expect(bytes.readUInt32LE(36)).toBe(maskedCrc(bytes.subarray(12, 36)));
    expect(bytes[12]).toBe((1 << 3) | 1);
    expect(bytes.toString('latin1', 21, 36)).toBe('\x1a\x0dbrain.Event:2');
  });

  test('scalars and pictures come back', async () => {
    const file = fresh();
    const before = Date.now() / 1000;
    const writer = new EventWriter(file);
    writer.start(1);
    writer.scalars(10, { 'final/reconstruction': 0.25, lr: 1e-4, nan: Number.NaN });
    const picture = noise(6, 9);
    writer.image(3_000_000_000, 'maps/0', picture);
    writer.close();
    const [version, start, scalars, image, ...more] = readEvents(file);
    expect(more).toEqual([]);
    expect([version.fileVersion, version.step]).toEqual(['brain.Event:2', 0]);
    expect([start.start, start.step]).toEqual([true, 1]);
    expect(scalars.step).toBe(10);
    expect(scalars.scalars).toEqual({ 'final/reconstruction': 0.25, lr: Math.fround(1e-4), nan: Number.NaN });
    expect(scalars.wallTime).toBeGreaterThanOrEqual(before);
    expect(scalars.wallTime).toBeLessThanOrEqual(Date.now() / 1000);
    expect(image.step).toBe(3_000_000_000);
    const { encoded, ...size } = image.images['maps/0'];
    expect(size).toEqual({ height: 6, width: 9 });
    expect(Buffer.compare((await decodePixels(encoded, 'event')).data, picture.data)).toBe(0);
  });

  test('a file that is there is not written over', () => {
    const file = fresh();
    writeFileSync(file, 'mine');
    expect(() => new EventWriter(file)).toThrow(/exists already/);
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });

  test('wherever a file is cut, the whole records before the cut are read', () => {
    const file = fresh();
    const writer = new EventWriter(file);
    const ends = [statSync(file).size];
    for (let step = 1; step <= 3; step++) {
      writer.scalars(step, { a: step });
      ends.push(statSync(file).size);
    }
    writer.close();
    const whole = readFileSync(file);
    for (let size = whole.length; size >= 0; size -= 3) {
      const cut = fresh();
      writeFileSync(cut, whole.subarray(0, size));
      const steps: number[] = [];
      const { bytes, damage } = scanEvents(cut, ({ step }) => steps.push(step) > 0);
      const count = ends.filter((end) => end <= size).length;
      expect(steps).toEqual([0, 1, 2, 3].slice(0, count));
      expect(bytes).toBe(count === 0 ? 0 : ends[count - 1]);
      if (bytes === size) expect(damage).toBeUndefined();
      else {
        expect(damage).toBe(`record ${count} at byte ${bytes} is unfinished`);
        expect(() => readEvents(cut)).toThrow(/events: record \d at byte \d+ is unfinished/);
      }
    }
    truncateSync(file, ends[2]);
    expect(readEvents(file).map(({ step }) => step)).toEqual([0, 1, 2]);
  });

  test('a flipped bit anywhere in a record is found', () => {
    const file = fresh();
    const writer = new EventWriter(file);
    writer.scalars(1, { a: 1 });
    writer.close();
    const whole = readFileSync(file);
    for (let at = 40; at < whole.length; at++) {
      const bytes = Buffer.from(whole);
      bytes[at] ^= 1 << (at % 8);
      const damaged = fresh();
      writeFileSync(damaged, bytes);
      expect(() => readEvents(damaged)).toThrow(/record 1 at byte 40 .*(checksum)/);
    }
    appendFileSync(file, new Uint8Array(20));
    expect(() => readEvents(file)).toThrow(/length whose checksum is wrong/);
  });
});
