// PLY meshes: vertices and polygons, as text or binary in either byte order.
// Contract: whatever other properties and elements a file has are passed over by their declared sizes.
import { FormatError } from './error.js';
import { readBytes } from './files.js';
import type { HostArray } from './host-array.js';
import type { ObjMesh } from './obj.js';

type Scalar = 'i8' | 'u8' | 'i16' | 'u16' | 'i32' | 'u32' | 'f32' | 'f64';

const SCALARS: Readonly<Record<string, Scalar>> = {
  char: 'i8',
  int8: 'i8',
  uchar: 'u8',
  uint8: 'u8',
  short: 'i16',
  int16: 'i16',
  ushort: 'u16',
  uint16: 'u16',
  int: 'i32',
  int32: 'i32',
  uint: 'u32',
  uint32: 'u32',
  float: 'f32',
  float32: 'f32',
  double: 'f64',
  float64: 'f64',
};

const WIDTH: Readonly<Record<Scalar, number>> = { i8: 1, u8: 1, i16: 2, u16: 2, i32: 4, u32: 4, f32: 4, f64: 8 };

interface Property {
  name: string;
  type: Scalar;
  /** Type of a list's length. */
  list?: Scalar;
}

interface PlyElement {
  name: string;
  count: number;
  properties: Property[];
}

/** Gives one number after the other. */
interface Source {
  next(type: Scalar): number;
  /** Elements that can still follow, at most. */
  left(): number;
}

/** Texture coordinates of a vertex, by the names that writers use. */
const UV_NAMES = [
  ['s', 't'],
  ['u', 'v'],
  ['texture_u', 'texture_v'],
];

/**
 * Vertices, polygons (split into fans; none for a point set) and, where vertices have them, texture coordinates, in host memory.
 * Throws FormatError naming the element: malformed headers and numbers, indices outside the file, a file that ends early.
 */
export function readPly(file: string): ObjMesh<HostArray> {
  const bytes = readBytes(file);
  const { format, elements, end } = parseHeader(file, bytes);
  const source: Source =
    format === 'ascii'
      ? new Text(file, bytes.subarray(end))
      : new Binary(file, bytes, end, format.endsWith('little_endian'));
  let vertices: Float32Array | undefined;
  let uv: Float32Array | undefined;
  const triangles: number[] = [];
  for (const { name, count, properties } of elements) {
    const fail = (problem: string) => new FormatError(file, `element ${name}`, problem);
    if (count * Math.max(1, properties.length) > source.left())
      throw fail(`${count} are announced, the file ends before`);
    if (name === 'vertex') {
      const column = (wanted: string) => properties.findIndex((p) => p.name === wanted && !p.list);
      const places = ['x', 'y', 'z'].map(column);
      if (places.includes(-1)) throw fail('has no x, y and z');
      const pair = UV_NAMES.map((names) => names.map(column)).find((columns) => !columns.includes(-1));
      vertices = new Float32Array(3 * count);
      if (pair) uv = new Float32Array(2 * count);
      const row = new Float64Array(properties.length);
      for (let i = 0; i < count; i++) {
        properties.forEach((property, p) => {
          row[p] = readProperty(source, property, () => {});
        });
        for (let c = 0; c < 3; c++) {
          if (!Number.isFinite(row[places[c]])) throw fail(`number ${i} has a coordinate ${row[places[c]]}`);
          vertices[3 * i + c] = row[places[c]];
        }
        if (pair && uv) for (let c = 0; c < 2; c++) uv[2 * i + c] = row[pair[c]];
      }
    } else {
      const corners =
        name === 'face' ? properties.find((p) => p.list && /^vertex_ind(ex|ices)$/.test(p.name)) : undefined;
      if (name === 'face' && count > 0 && !corners) throw fail('has no vertex_indices');
      for (let i = 0; i < count; i++) {
        for (const property of properties) {
          const polygon: number[] = [];
          readProperty(source, property, (index) => polygon.push(index));
          if (property !== corners) continue;
          if (polygon.length < 3) throw fail(`number ${i} is a polygon of ${polygon.length} corners`);
          for (let k = 2; k < polygon.length; k++) triangles.push(polygon[0], polygon[k - 1], polygon[k]);
        }
      }
    }
  }
  if (!vertices?.length) throw new FormatError(file, 'element vertex', 'there is none');
  const n = vertices.length / 3;
  const bad = triangles.find((index) => !(Number.isInteger(index) && index >= 0 && index < n));
  if (bad !== undefined) throw new FormatError(file, 'element face', `names vertex ${bad}, there are ${n}`);
  const mesh: ObjMesh<HostArray> = {
    vertices: { dtype: 'f32', shape: [n, 3], data: vertices },
    triangles: { dtype: 'i32', shape: [triangles.length / 3, 3], data: Int32Array.from(triangles) },
  };
  if (uv?.every(Number.isFinite)) {
    mesh.uv = { dtype: 'f32', shape: [n, 2], data: uv };
    mesh.uvTriangles = { ...mesh.triangles, shape: mesh.triangles.shape.slice() };
  }
  return mesh;
}

/** A number; of a list, its length, after `each` got its numbers. */
function readProperty(source: Source, { type, list }: Property, each: (value: number) => void): number {
  if (!list) return source.next(type);
  const length = source.next(list);
  for (let i = 0; i < length; i++) each(source.next(type));
  return length;
}

/** A header ends long before this. */
const MAX_HEADER = 1 << 16;

function parseHeader(file: string, bytes: Uint8Array): { format: string; elements: PlyElement[]; end: number } {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, MAX_HEADER)).toString('latin1');
  if (!/^ply\r?\n/.test(text)) throw new FormatError(file, 'header', 'is no PLY file');
  const close = /\nend_header\r?\n/.exec(text);
  if (!close) throw new FormatError(file, 'header', 'has no end_header');
  const elements: PlyElement[] = [];
  let format = '';
  for (const line of text.slice(0, close.index).split(/\r?\n/).slice(1)) {
    const fail = () => new FormatError(file, 'header', `'${line.slice(0, 60)}' is not understood`);
    const [keyword, ...words] = line.trim().split(/\s+/);
    if (keyword === 'format') format = words[0];
    else if (keyword === 'element') {
      if (!/^\d{1,10}$/.test(words[1] ?? '')) throw fail();
      elements.push({ name: words[0], count: Number(words[1]), properties: [] });
    } else if (keyword === 'property') {
      const list = words[0] === 'list';
      const types = (list ? words.slice(1, 3) : words.slice(0, 1)).map((word) => SCALARS[word]);
      const name = words[list ? 3 : 1];
      if (types.some((type) => !type) || !name || elements.length === 0) throw fail();
      elements[elements.length - 1].properties.push(
        list ? { name, type: types[1], list: types[0] } : { name, type: types[0] },
      );
    } else if (!['', 'comment', 'obj_info'].includes(keyword)) throw fail();
  }
  if (!['ascii', 'binary_little_endian', 'binary_big_endian'].includes(format)) {
    throw new FormatError(
      file,
      'header',
      `the format '${format}' is none of ascii, binary_little_endian, binary_big_endian`,
    );
  }
  return { format, elements, end: close.index + close[0].length };
}

class Binary implements Source {
  private readonly view: DataView;

  constructor(
    private readonly file: string,
    bytes: Uint8Array,
    private at: number,
    private readonly little: boolean,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  left(): number {
    return this.view.byteLength - this.at;
  }

  next(type: Scalar): number {
    const at = this.at;
    this.at += WIDTH[type];
    if (this.at > this.view.byteLength) throw new FormatError(this.file, 'data', 'the file ends too early');
    switch (type) {
      case 'i8':
        return this.view.getInt8(at);
      case 'u8':
        return this.view.getUint8(at);
      case 'i16':
        return this.view.getInt16(at, this.little);
      case 'u16':
        return this.view.getUint16(at, this.little);
      case 'i32':
        return this.view.getInt32(at, this.little);
      case 'u32':
        return this.view.getUint32(at, this.little);
      case 'f32':
        return this.view.getFloat32(at, this.little);
      case 'f64':
        return this.view.getFloat64(at, this.little);
    }
  }
}

class Text implements Source {
  private readonly words: string[];
  private at = 0;

  constructor(
    private readonly file: string,
    bytes: Uint8Array,
  ) {
    this.words = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1').trim().split(/\s+/);
  }

  left(): number {
    return this.words.length - this.at;
  }

  next(): number {
    const word = this.words[this.at++];
    if (word === undefined) throw new FormatError(this.file, 'data', 'the file ends too early');
    const value = Number(word);
    if (word === '' || Number.isNaN(value))
      throw new FormatError(this.file, 'data', `'${word.slice(0, 40)}' is no number`);
    return value;
  }
}
