// The wire format of protocol buffers, as far as event files need it. Contract: whole numbers up to 2^53; a reader passes over
// fields that it does not know.
import { FormatError } from './error.js';

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Fields of one message, in the order they are written. */
export class MessageWriter {
  private readonly parts: Uint8Array[] = [];

  finish(): Uint8Array {
    return Buffer.concat(this.parts);
  }

  /** A whole number >= 0. */
  whole(field: number, value: number): this {
    return this.tag(field, VARINT).push(varint(value));
  }

  double(field: number, value: number): this {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    return this.tag(field, FIXED64).push(bytes);
  }

  float(field: number, value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value);
    return this.tag(field, FIXED32).push(bytes);
  }

  /** Bytes, text, or a message. */
  bytes(field: number, value: Uint8Array | string): this {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    return this.tag(field, BYTES).push(varint(bytes.length)).push(bytes);
  }

  private tag(field: number, type: number): this {
    return this.push(varint(field * 8 + type));
  }

  private push(bytes: Uint8Array): this {
    this.parts.push(bytes);
    return this;
  }
}

function varint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`protobuf: wanted a whole number, got ${value}`);
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/** A field as it stands in a message: a number, or the bytes of a text or message. */
export interface Field {
  number: number;
  value: number | Uint8Array;
}

/** The fields of a message. Throws FormatError naming `file` and `name` where it is damaged. */
export function* fieldsOf(message: Uint8Array, file: string, name: string): Generator<Field> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 0;
  const take = (count: number): number => {
    if (count > message.length - at) throw new FormatError(file, name, 'the message is damaged: it ends in a field');
    at += count;
    return at - count;
  };
  const whole = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[take(1)];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      if (scale > 2 ** 63) throw new FormatError(file, name, 'the message is damaged: a number without end');
    }
  };
  while (at < message.length) {
    const tag = whole();
    const [number, type] = [Math.floor(tag / 8), tag % 8];
    if (type === VARINT) yield { number, value: whole() };
    else if (type === FIXED64) yield { number, value: view.getFloat64(take(8), true) };
    else if (type === FIXED32) yield { number, value: view.getFloat32(take(4), true) };
    else if (type === BYTES) {
      const length = whole();
      const from = take(length);
      yield { number, value: message.subarray(from, from + length) };
    } else throw new FormatError(file, name, `the message is damaged: a field of type ${type}`);
  }
}
