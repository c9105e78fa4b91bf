// Zip archives as torch and numpy write them: a directory of entries read from the end of the file, entries read one at
// a time. The sizes that an archive declares are not believed: they are checked against the file, and against what
// deflate can reach.
import { Inflate } from 'fflate';
import { crc32 } from './crc.js';
import { FormatError } from './error.js';
import { allocate, type InputFile } from './files.js';

/** One file of the archive. */
export interface ZipEntry {
  name: string;
  /** Bytes once inflated. */
  size: number;
  compressed: number;
  method: number;
  crc: number;
  /** Where its local header lies. */
  offset: number;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const STORED = 0;
const DEFLATED = 8;
/** Deflate cannot shrink by more. */
const MAX_RATIO = 1032;

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

export const isZip = (file: InputFile): boolean =>
  file.size >= 4 && [LOCAL, END].includes(view(file.read(0, 4, 'zip archive')).getUint32(0, true));

/** The entries by name. Throws FormatError for damaged, encrypted, split or overlapping archives. */
export function readDirectory(file: InputFile): Map<string, ZipEntry> {
  const fail = (problem: string) => new FormatError(file.path, 'zip directory', problem);
  const { count, size, offset } = findDirectory(file, fail);
  const bytes = file.read(offset, size, 'zip directory');
  const data = view(bytes);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > size || data.getUint32(at, true) !== CENTRAL) throw fail(`entry ${i} of ${count} is damaged`);
    const nameEnd = at + 46 + data.getUint16(at + 28, true);
    const extraEnd = nameEnd + data.getUint16(at + 30, true);
    const next = extraEnd + data.getUint16(at + 32, true);
    if (next > size) throw fail(`entry ${i} of ${count} is cut off`);
    const name = text(bytes.subarray(at + 46, nameEnd));
    if (data.getUint16(at + 8, true) & 1) throw fail(`'${name}' is encrypted`);
    const entry: ZipEntry = {
      name,
      method: data.getUint16(at + 10, true),
      crc: data.getUint32(at + 16, true),
      compressed: data.getUint32(at + 20, true),
      size: data.getUint32(at + 24, true),
      offset: data.getUint32(at + 42, true),
    };
    widen(entry, view(bytes.subarray(nameEnd, extraEnd)), fail);
    if (entries.has(name)) throw fail(`'${name}' occurs twice`);
    entries.set(name, entry);
    at = next;
  }
  if (at !== size) throw fail(`${size - at} bytes follow the last of ${count} entries`);
  checkRanges([...entries.values()], offset, fail);
  return entries;
}

function findDirectory(file: InputFile, fail: (problem: string) => FormatError) {
  const tailSize = Math.min(file.size, 65535 + 22);
  const tail = view(file.read(file.size - tailSize, tailSize, 'zip directory'));
  let end = tailSize - 22;
  // The end record carries a comment of any length; the right one reaches exactly to the end of the file.
  while (end >= 0 && !(tail.getUint32(end, true) === END && end + 22 + tail.getUint16(end + 20, true) === tailSize))
    end--;
  if (end < 0) throw fail('not found: the file is truncated or no zip archive');
  const directory = {
    count: tail.getUint16(end + 10, true),
    size: tail.getUint32(end + 12, true),
    offset: tail.getUint32(end + 16, true),
  };
  const before = file.size - tailSize + end - 20;
  if (before >= 0) {
    const locator = view(file.read(before, 20, 'zip directory'));
    if (locator.getUint32(0, true) === LOCATOR64) {
      const record = view(file.read(safe(locator.getBigUint64(8, true), fail), 56, 'zip64 end record'));
      if (record.getUint32(0, true) !== END64) throw fail('the zip64 end record is damaged');
      directory.count = safe(record.getBigUint64(32, true), fail);
      directory.size = safe(record.getBigUint64(40, true), fail);
      directory.offset = safe(record.getBigUint64(48, true), fail);
    }
  }
  return directory;
}

function safe(value: bigint, fail: (problem: string) => FormatError): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw fail(`the number ${value} is out of range`);
  return Number(value);
}

/** Takes the 64-bit numbers of the zip64 extra field for those that do not fit 32 bits. */
function widen(entry: ZipEntry, extra: DataView, fail: (problem: string) => FormatError): void {
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const id = extra.getUint16(at, true);
    const end = at + 4 + extra.getUint16(at + 2, true);
    if (end > extra.byteLength) throw fail(`the extra field of '${entry.name}' is damaged`);
    if (id === 1) {
      let from = at + 4;
      for (const key of ['size', 'compressed', 'offset'] as const) {
        if (entry[key] !== 0xffffffff) continue;
        if (from + 8 > end) throw fail(`the zip64 field of '${entry.name}' is damaged`);
        entry[key] = safe(extra.getBigUint64(from, true), fail);
        from += 8;
      }
    }
    at = end;
  }
}

/** Entries lie before the directory and do not overlap (or a small file could hold endless data). */
function checkRanges(entries: ZipEntry[], directory: number, fail: (problem: string) => FormatError): void {
  let free = 0;
  for (const { name, offset, compressed, size, method } of entries.sort((a, b) => a.offset - b.offset)) {
    if (offset < free) throw fail(`'${name}' overlaps another entry`);
    free = offset + 30 + compressed;
    if (free > directory) throw fail(`'${name}' reaches outside the file`);
    if (method !== STORED && method !== DEFLATED)
      throw fail(`'${name}' is compressed by method ${method}, not deflate`);
    const sizeFits = method === STORED ? size === compressed : size <= compressed * MAX_RATIO;
    if (!sizeFits) throw fail(`'${name}' cannot be ${size} bytes from ${compressed}`);
  }
}

export const isCompressed = (entry: ZipEntry): boolean => entry.method !== STORED;

/** Where the entry's data start in the file. */
export function startOfEntry(file: InputFile, entry: ZipEntry): number {
  const field = `entry '${entry.name}'`;
  const header = view(file.read(entry.offset, 30, field));
  if (header.getUint32(0, true) !== LOCAL) throw new FormatError(file.path, field, 'its header is damaged');
  return entry.offset + 30 + header.getUint16(26, true) + header.getUint16(28, true);
}

/** The bytes of an entry, in a fresh buffer, its checksum verified. */
export function readEntry(file: InputFile, entry: ZipEntry): Uint8Array {
  const field = `entry '${entry.name}'`;
  const raw = file.read(startOfEntry(file, entry), entry.compressed, field);
  const bytes = entry.method === STORED ? raw : inflate(file, entry, raw, field);
  if (crc32(bytes) !== entry.crc)
    throw new FormatError(file.path, field, 'its checksum is wrong: the data are damaged');
  return bytes;
}

function inflate(file: InputFile, entry: ZipEntry, raw: Uint8Array, field: string): Uint8Array {
  const fail = (problem: string) => new FormatError(file.path, field, problem);
  const bytes = new Uint8Array(allocate(file.path, field, entry.size));
  let size = 0;
  let complete = false;
  const stream = new Inflate((chunk, final) => {
    if (size + chunk.length > bytes.length) throw fail(`inflates to more than its ${entry.size} bytes`);
    bytes.set(chunk, size);
    size += chunk.length;
    complete ||= final;
  });
  try {
    const step = 65536;
    for (let at = 0; at < raw.length; at += step) stream.push(raw.subarray(at, at + step), at + step >= raw.length);
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw fail(`is not valid deflate data (${error instanceof Error ? error.message : error})`);
  }
  if (!complete || size !== entry.size) throw fail(`inflates to ${size} bytes, ${entry.size} are declared`);
  return bytes;
}
