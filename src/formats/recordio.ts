// MXNet's RecordIO files of labelled images, as InsightFace distributes its training sets: train.rec and, beside it, train.idx. Contract: the
// file is opened once and images are read at their place; nothing but labels is held in memory.
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { FormatError } from './error.js';

const MAGIC = 0xced7230a;
/** Bytes before a record: the magic number; three bits that say which part of a split record it is, and 29 of its length. */
const HEAD = 8;
/** IRHeader: flag u32, label f32, two ids u64. */
const HEADER = 24;

/** Images by number with a whole-number label each. */
export interface ImageRecords {
  readonly file: string;
  /** Label of each image. */
  readonly labels: Int32Array;
  /** The image's file as it was packed, e.g. a JPEG. Throws FormatError. */
  read(image: number): Uint8Array;
  close(): void;
}

interface Found {
  flag: number;
  labels: number[];
  /** Bytes behind header and labels. */
  image: Uint8Array;
}

/**
 * Opens FILE.rec. Offsets come from FILE.idx where it is there, else from a walk through the file. InsightFace's record 0 and its records
 * of whole identities hold no image and are left out. Throws FormatError.
 */
export function openImageRecords(file: string): ImageRecords {
  if (!existsSync(file)) throw new FormatError(file, 'file', 'does not exist');
  const size = statSync(file).size;
  const handle = openSync(file, 'r');
  try {
    const reader = new Reader(file, handle, size);
    const index = file.replace(/\.rec$/, '.idx');
    const given = index !== file && existsSync(index);
    const places = given ? readIndex(index) : reader.walk();
    if (places.length === 0) throw new FormatError(file, 'records', 'there are none');
    const first = reader.record(places[0].offset, HEADER + 64);
    // Record 0 of InsightFace: the images are those with keys below its first label.
    const end = first.flag >= 2 && first.image.length === 0 ? first.labels[0] : Number.POSITIVE_INFINITY;
    const images = places.filter(({ key }, i) => key < end && !(i === 0 && end !== Number.POSITIVE_INFINITY));
    const labels = Int32Array.from(images, ({ offset, key }) => {
      const [label] = reader.record(offset, HEADER + 64).labels;
      if (!Number.isInteger(label))
        throw new FormatError(file, `record ${key}`, `its label is ${label}, no whole number`);
      return label;
    });
    if (images.length === 0) throw new FormatError(file, 'records', 'none holds an image');
    return {
      file,
      labels,
      read: (i) => reader.record(images[i].offset).image,
      close: () => closeSync(handle),
    };
  } catch (error) {
    closeSync(handle);
    throw error;
  }
}

interface Place {
  key: number;
  offset: number;
}

/** Lines of a key and an offset. */
function readIndex(file: string): Place[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  const places = lines.flatMap((line, i): Place[] => {
    if (line.trim() === '') return [];
    const [key, offset] = line.trim().split(/\s+/).map(Number);
    if (Number.isInteger(key) && Number.isInteger(offset)) return [{ key, offset }];
    throw new FormatError(file, `line ${i + 1}`, `wanted a key and an offset, got '${line.slice(0, 40)}'`);
  });
  return places.sort((a, b) => a.key - b.key);
}

class Reader {
  constructor(
    private readonly file: string,
    private readonly handle: number,
    private readonly size: number,
  ) {}

  /** Keys count from 0. */
  walk(): Place[] {
    const places: Place[] = [];
    for (let offset = 0, whole = true; offset < this.size; ) {
      const { part, length } = this.head(offset);
      if (whole) places.push({ key: places.length, offset });
      whole = part === 0 || part === 3;
      offset += HEAD + 4 * Math.ceil(length / 4);
    }
    return places;
  }

  /** At most `most` bytes of it, enough for its labels. */
  record(offset: number, most = Number.POSITIVE_INFINITY): Found {
    const bytes = this.bytesOf(offset, most);
    if (bytes.length < HEADER) throw this.fault(offset, `holds ${bytes.length} bytes, a header has ${HEADER}`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const flag = view.getUint32(0, true);
    const behind = HEADER + 4 * flag;
    if (behind > bytes.length) throw this.fault(offset, `wants ${flag} labels, holds ${bytes.length} bytes`);
    const labels =
      flag === 0
        ? [view.getFloat32(4, true)]
        : Array.from({ length: flag }, (_, i) => view.getFloat32(HEADER + 4 * i, true));
    return { flag, labels, image: bytes.subarray(behind) };
  }

  /** A record whose data held the magic number was split there. */
  private bytesOf(start: number, most: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let total = 0;
    for (let offset = start; total < most; ) {
      const { part, length } = this.head(offset);
      if (parts.length > 0) parts.push(Uint8Array.of(0x0a, 0x23, 0xd7, 0xce));
      const data = this.bytes(offset + HEAD, Math.min(length, most - total), offset);
      parts.push(data);
      total += data.length;
      if (part === 0 || part === 3) break;
      offset += HEAD + 4 * Math.ceil(length / 4);
    }
    return parts.length === 1 ? parts[0] : new Uint8Array(Buffer.concat(parts));
  }

  private head(offset: number): { part: number; length: number } {
    const view = new DataView(this.bytes(offset, HEAD).buffer);
    if (view.getUint32(0, true) !== MAGIC) throw this.fault(offset, 'does not begin with the magic number');
    const word = view.getUint32(4, true);
    return { part: word >>> 29, length: word & 0x1fffffff };
  }

  private bytes(offset: number, length: number, record = offset): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    if (!(offset >= 0) || readSync(this.handle, bytes, 0, length, offset) !== length) {
      throw this.fault(record, `wants ${length} bytes, the file has ${this.size}`);
    }
    return bytes;
  }

  private fault(offset: number, problem: string): FormatError {
    return new FormatError(this.file, `record at byte ${offset}`, problem);
  }
}
