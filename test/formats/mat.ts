// Writes level 5 MAT files for the tests, column by column as MATLAB does.
import { deflateSync } from 'node:zlib';

export type Written =
  | { kind: 'double' | 'single' | 'int32' | 'uint8'; shape: number[]; data: ArrayLike<number>; storedAs?: 'u8' }
  | { kind: 'text'; text: string }
  | { kind: 'struct'; fields: Record<string, Written> }
  | { kind: 'cell'; cells: Written[] };

export const double = (shape: number[], data: ArrayLike<number>): Written => ({ kind: 'double', shape, data });
export const single = (shape: number[], data: ArrayLike<number>): Written => ({ kind: 'single', shape, data });

const CLASS = { double: 6, single: 7, int32: 12, uint8: 9 } as const;

function element(type: number, bytes: Uint8Array, big: boolean): Buffer {
  const tag = Buffer.alloc(8);
  if (big) {
    tag.writeUInt32BE(type, 0);
    tag.writeUInt32BE(bytes.length, 4);
  } else {
    tag.writeUInt32LE(type, 0);
    tag.writeUInt32LE(bytes.length, 4);
  }
  return Buffer.concat([tag, bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);
}

/** A tag and up to 4 bytes in 8. */
function short(type: number, bytes: Uint8Array, big: boolean): Buffer {
  const out = Buffer.alloc(8);
  if (big) out.writeUInt32BE((bytes.length << 16) | type, 0);
  else out.writeUInt32LE((bytes.length << 16) | type, 0);
  out.set(bytes, 4);
  return out;
}

function numbers(values: ArrayLike<number>, type: 'f64' | 'f32' | 'i32' | 'u32' | 'u16' | 'u8', big: boolean): Buffer {
  const width = { f64: 8, f32: 4, i32: 4, u32: 4, u16: 2, u8: 1 }[type];
  const out = Buffer.alloc(values.length * width);
  const view = new DataView(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < values.length; i++) {
    if (type === 'f64') view.setFloat64(8 * i, values[i], !big);
    else if (type === 'f32') view.setFloat32(4 * i, values[i], !big);
    else if (type === 'i32') view.setInt32(4 * i, values[i], !big);
    else if (type === 'u32') view.setUint32(4 * i, values[i], !big);
    else if (type === 'u16') view.setUint16(2 * i, values[i], !big);
    else out[i] = values[i];
  }
  return out;
}

/** Row-major to column-major. */
function columns(shape: number[], data: ArrayLike<number>): number[] {
  const out = new Array<number>(data.length);
  const index = shape.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    let at = 0;
    for (let a = shape.length - 1; a >= 0; a--) at = at * shape[a] + index[a];
    out[at] = data[i];
    for (let a = shape.length - 1; a >= 0 && ++index[a] === shape[a]; a--) index[a] = 0;
  }
  return out;
}

function matrix(name: string, value: Written, big: boolean): Buffer {
  const head = (kind: number, shape: number[]) => [
    element(6, numbers([kind, 0], 'u32', big), big),
    element(5, numbers(shape, 'i32', big), big),
    name.length > 0 && name.length <= 4 ? short(1, Buffer.from(name), big) : element(1, Buffer.from(name), big),
  ];
  let parts: Buffer[];
  if (value.kind === 'text') {
    const codes = Array.from(value.text, (c) => c.charCodeAt(0));
    parts = [...head(4, [1, codes.length]), element(4, numbers(codes, 'u16', big), big)];
  } else if (value.kind === 'cell') {
    parts = [...head(1, [1, value.cells.length]), ...value.cells.map((cell) => matrix('', cell, big))];
  } else if (value.kind === 'struct') {
    const names = Object.keys(value.fields);
    const text = Buffer.alloc(32 * names.length);
    names.forEach((field, i) => {
      text.write(field, 32 * i, 'latin1');
    });
    parts = [
      ...head(2, [1, 1]),
      short(5, numbers([32], 'i32', big), big),
      element(1, text, big),
      ...Object.values(value.fields).map((field) => matrix('', field, big)),
    ];
  } else {
    const data = columns(value.shape, value.data);
    const stored = value.storedAs ?? ({ double: 'f64', single: 'f32', int32: 'i32', uint8: 'u8' } as const)[value.kind];
    const type = { f64: 9, f32: 7, i32: 5, u8: 2 }[stored];
    parts = [...head(CLASS[value.kind], value.shape), element(type, numbers(data, stored, big), big)];
  }
  return element(14, Buffer.concat(parts), big);
}

/** The bytes of a MAT file; `compress` as `save -v7` does, `big` as old workstations did. */
export function matFile(
  variables: Record<string, Written>,
  { compress = false, big = false }: { compress?: boolean; big?: boolean } = {},
): Buffer {
  const header = Buffer.alloc(128, ' ');
  header.write('MATLAB 5.0 MAT-file, written by a test', 0, 'latin1');
  header.fill(0, 116);
  if (big) header.writeUInt16BE(0x0100, 124);
  else header.writeUInt16LE(0x0100, 124);
  header.write(big ? 'MI' : 'IM', 126, 'latin1');
  const parts = Object.entries(variables).map(([name, value]) => {
    const plain = matrix(name, value, big);
    if (!compress) return plain;
    const packed = deflateSync(plain);
    return element(15, packed, big).subarray(0, 8 + packed.length);
  });
  return Buffer.concat([header, ...parts]);
}
