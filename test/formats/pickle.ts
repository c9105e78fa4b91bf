// Writes pickles of protocol 2 for the tests, as numpy and Python 2 write arrays.

export interface Ndarray {
  ndarray: string;
  shape: number[];
  bytes: Buffer;
}

export function ndarray(type: 'f4' | 'f8' | 'i4' | 'u4', shape: number[], data: ArrayLike<number>): Ndarray {
  const kinds = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u4: Uint32Array };
  const typed = kinds[type].from(data);
  return { ndarray: type, shape, bytes: Buffer.from(typed.buffer, typed.byteOffset, typed.byteLength) };
}

/** An instance of a class: made by NEWOBJ, given its state by BUILD. */
export interface Instance {
  module: string;
  name: string;
  state: unknown;
}

export function pickle(value: unknown): Buffer {
  const parts: Buffer[] = [Buffer.from([0x80, 2])];
  const code = (text: string) => parts.push(Buffer.from(text, 'latin1'));
  const u32 = (op: string, x: number) => {
    const out = Buffer.alloc(5);
    out.write(op, 'latin1');
    out.writeUInt32LE(x, 1);
    parts.push(out);
  };
  const text = (x: string) => {
    u32('X', Buffer.byteLength(x));
    parts.push(Buffer.from(x));
  };
  const write = (x: unknown): void => {
    if (typeof x === 'string') text(x);
    else if (typeof x === 'number') u32('J', x);
    else if (x instanceof Map) {
      code('}(');
      for (const [key, item] of x) {
        write(key);
        write(item);
      }
      code('u');
    } else if (typeof x === 'object' && x !== null && 'ndarray' in x) {
      const { ndarray: type, shape, bytes } = x as Ndarray;
      code('cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01(');
      for (const d of shape) write(d);
      code(`tcnumpy\ndtype\nU\x02${type}K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89`);
      u32('T', bytes.length);
      parts.push(bytes);
      code('tb');
    } else {
      const { module, name, state } = x as Instance;
      code(`c${module}\n${name}\n)\x81`);
      write(state);
      code('b');
    }
  };
  write(value);
  code('.');
  return Buffer.concat(parts);
}
