// PNG of 8-bit RGB pixels, synchronous: what a log line's picture is kept as. Reading, and every other format, is sharp's
// (pipeline/image.ts).
import { deflateSync } from 'node:zlib';
import { crc32 } from './crc.js';
import { FormatError } from './error.js';

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const UP = 2;

/** data [height, width, 3], rows from the top. Throws FormatError where it is of another length. */
export function encodePng({ data, height, width }: { data: Uint8Array; height: number; width: number }): Uint8Array {
  const row = 3 * width;
  if (!(height > 0 && width > 0) || data.length !== row * height) {
    const wanted = `[${height}, ${width}, 3] bytes`;
    throw new FormatError('PNG', 'pixels', `wanted ${wanted}, got ${data.length}`);
  }
  const filtered = new Uint8Array((row + 1) * height);
  for (let y = 0; y < height; y++) {
    const to = y * (row + 1);
    filtered[to] = UP;
    for (let i = 0; i < row; i++) {
      const at = y * row + i;
      filtered[to + 1 + i] = data[at] - (y > 0 ? data[at - row] : 0); // modulo 256
    }
  }
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // bits of a channel
  header.setUint8(9, 2); // RGB
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', new Uint8Array(header.buffer)),
    chunk('IDAT', deflateSync(filtered)),
    chunk('IEND', new Uint8Array(0)),
  ]);
}

function chunk(name: string, data: Uint8Array): Uint8Array {
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length, 0);
  out.write(name, 4, 'latin1');
  out.set(data, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
  return out;
}
