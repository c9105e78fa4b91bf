// TensorBoard's event files: scalars and pictures by step, each a protocol buffer in a TFRecord (length, its masked CRC-32C,
// bytes, their masked CRC-32C). Contract: a record is appended in one write, so that a process that is killed leaves at most
// its last one unfinished; `scanEvents` says where the whole ones end.
import fs from 'node:fs';
import { crc32c } from './crc.js';
import { FormatError } from './error.js';
import { InputFile } from './files.js';
import { encodePng } from './png.js';
import { fieldsOf, MessageWriter } from './protobuf.js';

export interface LoggedEvent {
  /** Seconds since 1970. */
  wallTime: number;
  step: number;
  /** `brain.Event:2`, in the first event of a file alone. */
  fileVersion?: string;
  /** By tag; f32. */
  scalars: Record<string, number>;
  images: Record<string, EventImage>;
  /** A run was started or taken up here: what a reader holds of this step and later is void. */
  start?: boolean;
}

export interface EventImage {
  height: number;
  width: number;
  /** PNG. */
  encoded: Uint8Array;
}

/** Field numbers of tensorflow/core/util/event.proto and framework/summary.proto. */
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 };
const VALUE = { tag: 1, simple: 2, image: 4 };
const IMAGE = { height: 1, width: 2, colours: 3, encoded: 4 };
const SESSION_START = 1;
const VERSION = 'brain.Event:2';

/** Appends to an event file. Writes happen at once. */
export class EventWriter {
  private readonly descriptor: number;

  /** A new file; TensorBoard wants `tfevents` in its name. Throws FormatError where it is there already. */
  constructor(readonly file: string) {
    if (fs.existsSync(file)) throw new FormatError(file, 'file', 'exists already');
    this.descriptor = fs.openSync(file, 'ax');
    this.append(0, new MessageWriter().bytes(EVENT.fileVersion, VERSION));
  }

  /** Voids what a running TensorBoard has of this step and later. */
  start(step: number): void {
    this.append(
      step,
      new MessageWriter().bytes(EVENT.sessionLog, new MessageWriter().whole(1, SESSION_START).finish()),
    );
  }

  scalars(step: number, values: Readonly<Record<string, number>>): void {
    const summary = new MessageWriter();
    for (const [tag, value] of Object.entries(values)) {
      summary.bytes(1, new MessageWriter().bytes(VALUE.tag, tag).float(VALUE.simple, value).finish());
    }
    this.append(step, new MessageWriter().bytes(EVENT.summary, summary.finish()));
  }

  /** data [height, width, 3], rows from the top. */
  image(step: number, tag: string, pixels: { data: Uint8Array; height: number; width: number }): void {
    const { height, width } = pixels;
    const image = new MessageWriter().whole(IMAGE.height, height).whole(IMAGE.width, width).whole(IMAGE.colours, 3);
    const value = new MessageWriter()
      .bytes(VALUE.tag, tag)
      .bytes(VALUE.image, image.bytes(IMAGE.encoded, encodePng(pixels)).finish());
    const summary = new MessageWriter().bytes(1, value.finish()).finish();
    this.append(step, new MessageWriter().bytes(EVENT.summary, summary));
  }

  close(): void {
    fs.closeSync(this.descriptor);
  }

  private append(step: number, rest: MessageWriter): void {
    const head = new MessageWriter().double(EVENT.wallTime, Date.now() / 1000);
    if (step > 0) head.whole(EVENT.step, step);
    fs.writeSync(this.descriptor, frame(Buffer.concat([head.finish(), rest.finish()])));
  }
}

/** A TFRecord. */
function frame(data: Uint8Array): Uint8Array {
  const out = Buffer.alloc(16 + data.length);
  out.writeBigUInt64LE(BigInt(data.length), 0);
  out.writeUInt32LE(maskedCrc(out.subarray(0, 8)), 8);
  out.set(data, 12);
  out.writeUInt32LE(maskedCrc(data), 12 + data.length);
  return out;
}

/** CRC-32C, rotated and shifted, because the checksum of data that hold their own checksum says little. */
export function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

export interface Scan {
  /** Bytes of the whole records that were visited. */
  bytes: number;
  /** What is wrong with the record after them, where one is damaged or unfinished. */
  damage?: string;
}

/**
 * Calls `visit` with every event and the offset of its record, one in memory at a time, until it returns false or a record
 * is damaged. Throws FormatError for a file that cannot be read, or whose whole records hold no events.
 */
export function scanEvents(file: string, visit: (event: LoggedEvent, offset: number) => boolean): Scan {
  return InputFile.with(file, (input) => {
    let at = 0;
    for (let n = 0; at < input.size; n++) {
      const record = `record ${n} at byte ${at}`;
      if (input.size - at < 16) return { bytes: at, damage: `${record} is unfinished` };
      const head = Buffer.from(input.read(at, 12, record).buffer);
      if (head.readUInt32LE(8) !== maskedCrc(head.subarray(0, 8))) {
        return { bytes: at, damage: `${record} has a length whose checksum is wrong` };
      }
      const length = Number(head.readBigUInt64LE(0));
      if (length > input.size - at - 16) return { bytes: at, damage: `${record} is unfinished` };
      const body = Buffer.from(input.read(at + 12, length + 4, record).buffer);
      const data = body.subarray(0, length);
      if (body.readUInt32LE(length) !== maskedCrc(data)) {
        return { bytes: at, damage: `${record} has a wrong checksum` };
      }
      if (!visit(decode(data, file, record), at)) return { bytes: at };
      at += 16 + length;
    }
    return { bytes: at };
  });
}

/** All events of a file. Throws FormatError where a record is damaged or unfinished. */
export function readEvents(file: string): LoggedEvent[] {
  const events: LoggedEvent[] = [];
  const { damage } = scanEvents(file, (event) => events.push(event) > 0);
  if (damage !== undefined) throw new FormatError(file, 'events', damage);
  return events;
}

function decode(message: Uint8Array, file: string, record: string): LoggedEvent {
  const event: LoggedEvent = { wallTime: 0, step: 0, scalars: {}, images: {} };
  const fields = (bytes: Uint8Array | number) => {
    if (typeof bytes === 'number') throw new FormatError(file, record, 'holds a number where a message is wanted');
    return fieldsOf(bytes, file, record);
  };
  const text = (bytes: Uint8Array | number) => (typeof bytes === 'number' ? '' : Buffer.from(bytes).toString('utf8'));
  for (const { number, value } of fields(message)) {
    if (number === EVENT.wallTime) event.wallTime = Number(value);
    else if (number === EVENT.step) event.step = Number(value);
    else if (number === EVENT.fileVersion) event.fileVersion = text(value);
    else if (number === EVENT.sessionLog) {
      for (const status of fields(value)) if (status.number === 1) event.start = status.value === SESSION_START;
    } else if (number === EVENT.summary) {
      for (const entry of fields(value)) {
        if (entry.number !== 1) continue;
        let tag = '';
        let scalar: number | undefined;
        let image: EventImage | undefined;
        for (const part of fields(entry.value)) {
          if (part.number === VALUE.tag) tag = text(part.value);
          else if (part.number === VALUE.simple) scalar = Number(part.value);
          else if (part.number === VALUE.image) image = decodeImage(fields(part.value));
        }
        if (scalar !== undefined) event.scalars[tag] = scalar;
        if (image) event.images[tag] = image;
      }
    }
  }
  return event;
}

function decodeImage(fields: Iterable<{ number: number; value: number | Uint8Array }>): EventImage {
  const image: EventImage = { height: 0, width: 0, encoded: new Uint8Array(0) };
  for (const { number, value } of fields) {
    if (typeof value !== 'number') {
      if (number === IMAGE.encoded) image.encoded = value;
    } else if (number === IMAGE.height) image.height = value;
    else if (number === IMAGE.width) image.width = value;
  }
  return image;
}
