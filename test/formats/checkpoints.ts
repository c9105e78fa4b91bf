// Hand-built checkpoints: a pickle assembler, and the two containers of torch.save around it.
import { strToU8, type Zippable, zipSync } from 'fflate';

const le = (bytes: number, value: number): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64LE(BigInt(value));
  return buffer.subarray(0, bytes);
};

/** A name that is imported and not called. */
export class Name {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}
}

/** A call of a name, with the state set afterwards if there is one. */
export class Call {
  constructor(
    readonly callee: Name,
    readonly args: unknown[],
    readonly state?: unknown,
  ) {}
}

/** A persistent id. */
export class Persistent {
  constructor(readonly id: unknown[]) {}
}

/** Bytes put into the pickle as they are. */
export class Raw {
  constructor(readonly bytes: Uint8Array | string) {}
}

/** One value as instructions: arrays are tuples, `{ list }` lists, Map dicts. */
function encode(value: unknown): Buffer {
  if (value === null) return Buffer.from('N');
  if (typeof value === 'boolean') return Buffer.from([value ? 0x88 : 0x89]);
  if (typeof value === 'number') {
    if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) return Buffer.concat([Buffer.from('J'), le(4, value)]);
    if (Number.isInteger(value)) return Buffer.concat([Buffer.from([0x8a, 8]), le(8, value)]);
    const float = Buffer.alloc(9, 'G');
    float.writeDoubleBE(value, 1);
    return float;
  }
  if (typeof value === 'string') {
    const text = Buffer.from(value);
    return Buffer.concat([Buffer.from('X'), le(4, text.length), text]);
  }
  if (value instanceof Raw) return Buffer.from(value.bytes as string, 'latin1');
  if (value instanceof Name) return Buffer.from(`c${value.module}\n${value.name}\n`);
  if (value instanceof Persistent) return Buffer.concat([encode(value.id), Buffer.from('Q')]);
  if (value instanceof Call) {
    const made = Buffer.concat([encode(value.callee), encode(value.args), Buffer.from('R')]);
    return value.state === undefined ? made : Buffer.concat([made, encode(value.state), Buffer.from('b')]);
  }
  if (value instanceof Map) {
    const items = [...value].flatMap(([key, item]) => [encode(key), encode(item)]);
    return Buffer.concat([Buffer.from('}('), ...items, Buffer.from('u')]);
  }
  if (Array.isArray(value)) return Buffer.concat([Buffer.from('('), ...value.map(encode), Buffer.from('t')]);
  const { list } = value as { list: unknown[] };
  return Buffer.concat([Buffer.from(']('), ...list.map(encode), Buffer.from('e')]);
}

export const pickle = (value: unknown): Buffer =>
  Buffer.concat([Buffer.from([0x80, 2]), encode(value), Buffer.from('.')]);

export interface Storage {
  /** e.g. FloatStorage */
  type: string;
  key: string;
  count: number;
}

export const storageId = ({ type, key, count }: Storage, view?: unknown): Persistent =>
  new Persistent(['storage', new Name('torch', type), key, 'cpu', count, ...(view === undefined ? [] : [view])]);

export const tensorOf = (storage: Persistent, shape: number[], strides: number[], offset = 0): Call =>
  new Call(new Name('torch._utils', '_rebuild_tensor_v2'), [
    storage,
    offset,
    shape,
    strides,
    false,
    new Call(new Name('collections', 'OrderedDict'), []),
  ]);

/** A zip checkpoint; `extra` adds or replaces entries of its folder. */
export function zipCheckpoint(
  root: unknown,
  storages: Record<string, Uint8Array>,
  extra: Zippable = {},
  level: 0 | 6 = 0,
) {
  const files: Zippable = { 'archive/data.pkl': pickle(root), 'archive/version': strToU8('3\n') };
  for (const [key, bytes] of Object.entries(storages)) files[`archive/data/${key}`] = bytes;
  for (const [name, bytes] of Object.entries(extra)) files[`archive/${name}`] = bytes;
  return zipSync(files, { level, mtime: new Date(1980, 0, 1) });
}

const MAGIC = new Raw('\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19');

/** A legacy checkpoint; `storages` in file order, each with its element count. */
export function legacyCheckpoint(
  root: unknown,
  storages: { key: string; count: number; bytes: Uint8Array }[],
  { littleEndian = true, version = 1001 } = {},
): Buffer {
  return Buffer.concat([
    pickle(MAGIC),
    pickle(version),
    pickle(
      new Map<unknown, unknown>([
        ['protocol_version', 1001],
        ['little_endian', littleEndian],
        ['type_sizes', new Map()],
      ]),
    ),
    pickle(root),
    pickle({ list: storages.map(({ key }) => key) }),
    ...storages.flatMap(({ count, bytes }) => [le(8, count), bytes]),
  ]);
}
