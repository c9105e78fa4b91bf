// The mesh that OBJ and GLB files are written from, checked before anything is written.
// Contract: v of `uv` points up (v = 1 is the texture's top row) and triangles are counter-clockwise seen from outside;
// writers turn to what their format wants.
import { Tensor } from '../tensor/tensor.js';
import { FormatError } from './error.js';
import { readBytes } from './files.js';

/** Rows of numbers: a tensor [n, columns], or a row-major typed array. */
export type Rows = Tensor | Float32Array | Float64Array | Int32Array | Uint32Array;

export interface Mesh {
  /** [n, 3] */
  vertices: Rows;
  /** [m, 3] vertex numbers from 0. */
  triangles: Rows;
  /** [n, 2] in [0, 1], v up; or [k, 2] with `uvTriangles`. */
  uv?: Rows;
  /** [m, 3] rows of `uv` per triangle corner, where a vertex has several; by default `triangles`. */
  uvTriangles?: Rows;
  /** [n, 3] unit normals. */
  normals?: Rows;
  /** A PNG or JPEG image: its bytes, or the path of a file. Needs `uv`. */
  texture?: Uint8Array | string;
  /** Name of the object and its material; the file's name by default. */
  name?: string;
}

export interface CheckedMesh {
  vertices: Float32Array;
  triangles: Uint32Array;
  uv?: Float32Array;
  uvTriangles: Uint32Array;
  normals?: Float32Array;
  texture?: { bytes: Uint8Array; type: 'png' | 'jpeg' };
}

/** The mesh's arrays. Throws FormatError naming the array that does not fit. */
export function checkMesh(file: string, mesh: Mesh): CheckedMesh {
  const vertices = floats(file, 'vertices', mesh.vertices, 3);
  if (vertices.length === 0) throw new FormatError(file, 'vertices', 'a mesh needs at least one');
  const triangles = indices(file, 'triangles', mesh.triangles, vertices.length / 3);
  const uv = mesh.uv && floats(file, 'uv', mesh.uv, 2);
  const normals = mesh.normals && floats(file, 'normals', mesh.normals, 3);
  if (normals && normals.length !== vertices.length) {
    throw new FormatError(file, 'normals', `${normals.length / 3} rows for ${vertices.length / 3} vertices`);
  }
  let uvTriangles = triangles;
  if (uv && mesh.uvTriangles) {
    uvTriangles = indices(file, 'uvTriangles', mesh.uvTriangles, uv.length / 2);
    if (uvTriangles.length !== triangles.length) {
      throw new FormatError(
        file,
        'uvTriangles',
        `${uvTriangles.length / 3} rows for ${triangles.length / 3} triangles`,
      );
    }
  } else if (uv && uv.length / 2 !== vertices.length / 3) {
    throw new FormatError(file, 'uv', `${uv.length / 2} rows for ${vertices.length / 3} vertices`);
  }
  if (mesh.texture && !uv) throw new FormatError(file, 'texture', 'a texture needs uv');
  return {
    vertices,
    triangles,
    uv,
    uvTriangles,
    normals,
    texture: mesh.texture ? readTexture(file, mesh.texture) : undefined,
  };
}

function elements(file: string, field: string, rows: Rows, columns: number): ArrayLike<number> {
  const fail = (got: string) => new FormatError(file, field, `[n, ${columns}] is wanted, got ${got}`);
  if (rows instanceof Tensor) {
    if (rows.shape.length !== 2 || rows.shape[1] !== columns || rows.dtype === 'bf16') {
      throw fail(`[${rows.shape}] ${rows.dtype}`);
    }
    return rows.dataSync();
  }
  if (!ArrayBuffer.isView(rows)) throw fail(typeof rows);
  if (rows.length % columns) throw fail(`${rows.length} numbers`);
  return rows;
}

function floats(file: string, field: string, rows: Rows, columns: number): Float32Array {
  const values = Float32Array.from(elements(file, field, rows, columns));
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new FormatError(file, field, `row ${Math.floor(bad / columns)} has the number ${values[bad]}`);
  return values;
}

function indices(file: string, field: string, rows: Rows, count: number): Uint32Array {
  const values = elements(file, field, rows, 3);
  for (let i = 0; i < values.length; i++) {
    if (Number.isInteger(values[i]) && values[i] >= 0 && values[i] < count) continue;
    throw new FormatError(file, field, `row ${Math.floor(i / 3)} names ${values[i]}, there are ${count}`);
  }
  return Uint32Array.from(values);
}

function readTexture(file: string, texture: Uint8Array | string): { bytes: Uint8Array; type: 'png' | 'jpeg' } {
  const bytes = typeof texture === 'string' ? readBytes(texture) : texture;
  const begins = (...magic: number[]) => magic.every((byte, i) => bytes[i] === byte);
  if (begins(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return { bytes, type: 'png' };
  if (begins(0xff, 0xd8, 0xff)) return { bytes, type: 'jpeg' };
  throw new FormatError(typeof texture === 'string' ? texture : file, 'texture', 'is neither PNG nor JPEG');
}
