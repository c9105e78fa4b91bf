// Wavefront OBJ: writing a textured mesh (OBJ, MTL, image side by side), reading vertices, texture coordinates and
// polygons. OBJ counts from 1 and its v points up, as our `uv` does.
import path from 'node:path';
import type { Tensor } from '../tensor/tensor.js';
import { FormatError } from './error.js';
import { readBytes, writeAtomicallySync } from './files.js';
import { type HostArray, toTensors } from './host-array.js';
import { checkMesh, type Mesh } from './mesh.js';
import { TextWriter } from './text-writer.js';

const SPACE = 32;
const SLASH = 47;
const NEWLINE = 10;
const LETTER_F = 102;

/** One line per row. */
function writeRows(out: TextWriter, keyword: string, values: Float32Array, columns: number): void {
  const codes = Buffer.from(keyword);
  for (let i = 0; i < values.length; i += columns) {
    for (const code of codes) out.character(code);
    for (let c = 0; c < columns; c++) {
      out.character(SPACE);
      out.float(values[i + c]);
    }
    out.character(NEWLINE);
  }
}

/**
 * Writes FILE.obj, and with a texture FILE.mtl and FILE.png (or .jpg) beside it, each atomically, the OBJ last.
 * Throws FormatError, before anything is written, where the arrays do not fit together.
 */
export function saveObj(file: string, mesh: Mesh): void {
  const { vertices, triangles, uv, uvTriangles, normals, texture } = checkMesh(file, mesh);
  const { dir, name: base } = path.parse(file);
  // Spaces and control characters would end the name for most readers.
  const name = (mesh.name ?? base).replace(/[\s\p{Cc}]+/gu, '_') || 'mesh';
  const out = new TextWriter().text(`# ${vertices.length / 3} vertices, ${triangles.length / 3} triangles\n`);
  if (texture) out.text(`mtllib ${base}.mtl\n`);
  out.text(`o ${name}\n`);
  writeRows(out, 'v', vertices, 3);
  if (uv) writeRows(out, 'vt', uv, 2);
  if (normals) writeRows(out, 'vn', normals, 3);
  if (texture) out.text(`usemtl ${name}\n`);
  for (let i = 0; i < triangles.length; i++) {
    // v, v/vt, v//vn or v/vt/vn
    if (i % 3 === 0) out.character(LETTER_F);
    out.character(SPACE);
    out.whole(triangles[i] + 1);
    if (uv || normals) out.character(SLASH);
    if (uv) out.whole(uvTriangles[i] + 1);
    if (normals) {
      out.character(SLASH);
      out.whole(triangles[i] + 1);
    }
    if (i % 3 === 2) out.character(NEWLINE);
  }
  if (texture) {
    const image = `${base}.${texture.type === 'png' ? 'png' : 'jpg'}`;
    // Unshaded colour: the texture already carries the photo's light.
    const material = [`newmtl ${name}`, 'Ka 1 1 1', 'Kd 1 1 1', 'Ks 0 0 0', 'illum 1', `map_Kd ${image}`, ''];
    writeAtomicallySync(path.join(dir, image), texture.bytes);
    writeAtomicallySync(path.join(dir, `${base}.mtl`), Buffer.from(material.join('\n')));
  }
  writeAtomicallySync(file, out.finish());
}

/** What `loadObj` finds. */
export interface ObjMesh<T = Tensor> {
  /** [n, 3] f32 */
  vertices: T;
  /** [m, 3] i32 vertex numbers from 0; polygons are split into fans. */
  triangles: T;
  /** [k, 2] f32, v up. */
  uv?: T;
  /** [m, 3] i32 rows of `uv`, where every polygon has texture coordinates. */
  uvTriangles?: T;
}

/**
 * The vertices, texture coordinates and polygons of an OBJ file; normals, groups and materials are passed over.
 * Throws FormatError naming the line: malformed numbers, indices outside the file, polygons of fewer than 3 corners.
 */
export function loadObj(file: string): ObjMesh {
  const { vertices, triangles, ...uv } = readObj(file);
  return toTensors({ vertices, triangles, ...uv }) as unknown as ObjMesh;
}

interface Corner {
  v: number;
  vt: number;
}

/** The same in host memory. */
export function readObj(file: string): ObjMesh<HostArray> {
  const bytes = readBytes(file);
  if (bytes.length > 2 ** 28) throw new FormatError(file, 'file', `${bytes.length} bytes, at most ${2 ** 28} are read`);
  if (bytes.includes(0)) throw new FormatError(file, 'file', 'is no text');
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString('latin1')
    .replace(/\\\r?\n/g, ' ');
  const vertices: number[] = [];
  const uv: number[] = [];
  const triangles: number[] = [];
  const uvTriangles: number[] = [];
  let textured: boolean | undefined;
  let number = 0;
  for (const line of text.split('\n')) {
    const field = `line ${++number}`;
    const fail = (problem: string) => new FormatError(file, field, problem);
    const [keyword, ...words] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (keyword === 'v') vertices.push(...numbers(words, [3, 4, 6, 7], 3, fail));
    else if (keyword === 'vt') uv.push(...numbers(words, [1, 2, 3], 2, fail));
    else if (keyword === 'f') {
      if (words.length < 3) throw fail(`a polygon of ${words.length} corners`);
      const corners = words.map((word) => parseCorner(word, vertices.length / 3, uv.length / 2, fail));
      const hasUv = corners.every(({ vt }) => vt >= 0);
      if (!hasUv && corners.some(({ vt }) => vt >= 0)) throw fail('only some corners have a texture coordinate');
      textured = (textured ?? true) && hasUv;
      for (let i = 2; i < corners.length; i++) {
        for (const { v, vt } of [corners[0], corners[i - 1], corners[i]]) {
          triangles.push(v);
          uvTriangles.push(vt);
        }
      }
    } else if (!/^[a-z_]*$/i.test(keyword)) throw fail(`'${keyword.slice(0, 20)}' is no statement of an OBJ file`);
  }
  if (vertices.length === 0) throw new FormatError(file, 'file', 'has no vertices');
  // Polygons may come before the vertices they name.
  checkIndices(file, 'vertex', triangles, vertices.length / 3);
  const mesh: ObjMesh<HostArray> = {
    vertices: { dtype: 'f32', shape: [vertices.length / 3, 3], data: Float32Array.from(vertices) },
    triangles: { dtype: 'i32', shape: [triangles.length / 3, 3], data: Int32Array.from(triangles) },
  };
  if (uv.length > 0) mesh.uv = { dtype: 'f32', shape: [uv.length / 2, 2], data: Float32Array.from(uv) };
  if (textured) {
    checkIndices(file, 'texture coordinate', uvTriangles, uv.length / 2);
    mesh.uvTriangles = { dtype: 'i32', shape: mesh.triangles.shape.slice(), data: Int32Array.from(uvTriangles) };
  }
  return mesh;
}

function checkIndices(file: string, what: string, indices: number[], count: number): void {
  const bad = indices.find((i) => i >= count);
  if (bad !== undefined) throw new FormatError(file, 'faces', `name ${what} ${bad + 1}, there are ${count}`);
}

/** The first `keep` of the line's numbers (0 where an optional one is left out). */
function numbers(words: string[], counts: number[], keep: number, fail: (problem: string) => FormatError): number[] {
  if (!counts.includes(words.length)) throw fail(`${words.length} numbers, ${counts.join(' or ')} are wanted`);
  const values = words.map((word) => (/^[+-]?(\d|\.\d)/.test(word) ? Number(word) : Number.NaN));
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw fail(`'${words[bad].slice(0, 40)}' is no number`);
  return Array.from({ length: keep }, (_, i) => values[i] ?? 0);
}

/** `v`, `v/vt`, `v//vn` or `v/vt/vn`, from 1, or from -1 backwards. */
function parseCorner(word: string, vertices: number, uvs: number, fail: (problem: string) => FormatError): Corner {
  const match = /^(-?\d{1,9})(?:\/(-?\d{1,9})?(?:\/(-?\d{1,9})?)?)?$/.exec(word);
  if (!match) throw fail(`'${word.slice(0, 40)}' is no corner of a polygon`);
  const resolve = (text: string, count: number) => {
    const index = Number(text);
    if (index === 0 || index < -count) throw fail(`index ${index} of ${count}`);
    return index > 0 ? index - 1 : count + index;
  };
  return { v: resolve(match[1], vertices), vt: match[2] === undefined ? -1 : resolve(match[2], uvs) };
}
