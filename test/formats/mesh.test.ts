// OBJ and GLB: what is written is read back, by our reader and by the letter of the glTF specification.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { type GlbOptions, saveGlb } from '../../src/formats/glb.js';
import type { Mesh } from '../../src/formats/mesh.js';
import { loadObj, readObj, saveObj } from '../../src/formats/obj.js';
import { tensor } from '../../src/tensor/create.js';
import { formatError, random, temporaryFolder } from './samples.js';

const temporary = temporaryFolder();

/** A square of two triangles in the plane z = 0.5, seen from +z. */
const square: Mesh = {
  vertices: Float32Array.of(0, 0, 0.5, 1, 0, 0.5, 1, 1, 0.5, 0, 1, 0.5),
  triangles: Int32Array.of(0, 1, 2, 0, 2, 3),
  uv: Float32Array.of(0, 0, 1, 0, 1, 0.75, 0, 0.75),
};
let png: Uint8Array;
let jpeg: Uint8Array;

beforeAll(async () => {
  const image = sharp({ create: { width: 5, height: 3, channels: 3, background: { r: 200, g: 100, b: 50 } } });
  png = await image.clone().png().toBuffer();
  jpeg = await image.clone().jpeg().toBuffer();
});

function text(content: string): string {
  writeFileSync(temporary('text.obj'), content);
  return temporary('text.obj');
}

describe('OBJ', () => {
  it('writes mesh, material and image side by side, v up', () => {
    saveObj(temporary('face.obj'), { ...square, texture: png, name: 'a face' });
    const lines = readFileSync(temporary('face.obj'), 'utf8').split('\n');
    expect(lines.filter((line) => /^(mtllib|o|usemtl) /.test(line))).toEqual([
      'mtllib face.mtl',
      'o a_face',
      'usemtl a_face',
    ]);
    expect(lines.filter((line) => line.startsWith('vt '))).toEqual(['vt 0 0', 'vt 1 0', 'vt 1 0.75', 'vt 0 0.75']);
    expect(lines.filter((line) => line.startsWith('f '))).toEqual(['f 1/1 2/2 3/3', 'f 1/1 3/3 4/4']);
    const material = readFileSync(temporary('face.mtl'), 'utf8');
    expect(material).toContain('newmtl a_face\n');
    expect(material).toContain('map_Kd face.png\n');
    expect(readFileSync(temporary('face.png')).equals(png)).toBe(true);
  });

  it('takes tensors, a texture by its path, seams and normals', async () => {
    writeFileSync(temporary('skin.jpg'), jpeg);
    saveObj(temporary('seams.obj'), {
      vertices: tensor(square.vertices as Float32Array, { shape: [4, 3] }),
      triangles: tensor(square.triangles as Int32Array, { shape: [2, 3], dtype: 'i32' }),
      uv: tensor([
        [0, 0],
        [1, 0],
        [1, 1],
        [0.25, 0.5],
        [0.5, 0.5],
      ]),
      uvTriangles: Int32Array.of(0, 1, 2, 3, 4, 2),
      normals: Float32Array.of(0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1),
      texture: temporary('skin.jpg'),
    });
    expect(readFileSync(temporary('seams.jpg')).equals(jpeg)).toBe(true);
    expect(readFileSync(temporary('seams.obj'), 'utf8')).toContain('f 1/4/1 3/5/3 4/3/4\n');
    const { vertices, triangles, uv, uvTriangles } = loadObj(temporary('seams.obj'));
    expect(await triangles.toArray()).toEqual([
      [0, 1, 2],
      [0, 2, 3],
    ]);
    expect(await uvTriangles?.toArray()).toEqual([
      [0, 1, 2],
      [3, 4, 2],
    ]);
    expect([vertices.shape, uv?.shape]).toEqual([
      [4, 3],
      [5, 2],
    ]);
  });

  it('keeps every bit of the coordinates', () => {
    const next = random(11);
    const vertices = Float32Array.from({ length: 3000 }, () => (next() - 0.5) * 10 ** Math.floor(next() * 16 - 8));
    saveObj(temporary('exact.obj'), { vertices, triangles: Int32Array.of(0, 1, 2) });
    expect(
      Buffer.compare(Buffer.from(readObj(temporary('exact.obj')).vertices.data.buffer), Buffer.from(vertices.buffer)),
    ).toBe(0);
    expect(existsSync(temporary('exact.mtl'))).toBe(false);
  });

  it('reads polygons, negative indices, colours, continued lines and what it passes over', () => {
    const mesh = readObj(
      text(
        '# c\nmtllib x y.mtl\nv 0 0 0\nv 1 0 0 1\nv 1 1 0 .5 .5 .5\r\nv 0 \\\n1 0\nvn 0 0 1\ng a\ns off\nf 1 2 3 4\nf -4//1 -3//1 -1//1\nl 1 2\n',
      ),
    );
    expect([...mesh.vertices.data]).toEqual([0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0]);
    expect([...mesh.triangles.data]).toEqual([0, 1, 2, 0, 2, 3, 0, 1, 3]);
    expect([mesh.uv, mesh.uvTriangles]).toEqual([undefined, undefined]);
  });

  it.each([
    ['no vertices', 'hello world\n', 'file'],
    ['bytes', 'v 0 0 0\0', 'file'],
    ['a missing number', 'v 1 2\n', 'line 1'],
    ['words for numbers', 'v 1 2 x\n', 'line 1'],
    ['infinite numbers', 'v 1 2 1e999\n', 'line 1'],
    ['index 0', 'v 0 0 0\nf 0 1 1\n', 'line 2'],
    ['an index beyond the start', 'v 0 0 0\nf -2 1 1\n', 'line 2'],
    ['an index beyond the end', 'v 0 0 0\nf 1 1 2\n', 'faces'],
    ['a texture index beyond the end', 'v 0 0 0\nvt 0 0\nf 1/1 1/1 1/2\n', 'faces'],
    ['two corners', 'v 0 0 0\nf 1 1\n', 'line 2'],
    ['some texture coordinates', 'v 0 0 0\nvt 0 0\nf 1/1 1/1 1\n', 'line 3'],
    ['corners that are none', 'v 0 0 0\nf 1 1 1.5\n', 'line 2'],
    ['other statements', 'v 0 0 0\n{"a": 1}\n', 'line 2'],
  ])('refuses %s', (_, content, field) => {
    expect(formatError(() => readObj(text(content))).field).toBe(field);
  });

  it('throws nothing but FormatError on damaged text', () => {
    saveObj(temporary('whole.obj'), square);
    const whole = readFileSync(temporary('whole.obj'));
    const next = random(12);
    let refused = 0;
    for (let i = 0; i < 400; i++) {
      const bytes = Buffer.from(whole.subarray(0, i % 2 ? whole.length : Math.floor(next() * whole.length)));
      for (let k = 0; k < 2; k++) if (bytes.length) bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256);
      writeFileSync(temporary('damaged.obj'), bytes);
      try {
        const { vertices, triangles } = readObj(temporary('damaged.obj'));
        expect(triangles.data.every((index) => index < vertices.shape[0])).toBe(true);
      } catch (error) {
        refused++;
        expect((error as Error).name).toBe('FormatError');
      }
    }
    expect(refused).toBeGreaterThan(50);
  });
});

describe('both writers', () => {
  it.each<[string, Partial<Mesh>, string]>([
    ['no vertices', { vertices: new Float32Array(0), triangles: new Int32Array(0), uv: undefined }, 'vertices'],
    ['NaN', { vertices: Float32Array.of(0, 0, 0, 1, 0, 0, 1, Number.NaN, 0, 0, 1, 0) }, 'vertices'],
    ['rows of two', { vertices: tensor([[1, 2]]) }, 'vertices'],
    ['a triangle outside', { triangles: Int32Array.of(0, 1, 4) }, 'triangles'],
    ['a negative index', { triangles: Int32Array.of(0, 1, -1) }, 'triangles'],
    ['half a triangle', { triangles: Int32Array.of(0, 1) }, 'triangles'],
    ['too few uv', { uv: Float32Array.of(0, 0) }, 'uv'],
    ['too few normals', { normals: Float32Array.of(0, 0, 1) }, 'normals'],
    ['too few uv triangles', { uvTriangles: Int32Array.of(0, 1, 2) }, 'uvTriangles'],
    ['a texture without uv', { uv: undefined, texture: Uint8Array.of(1) }, 'texture'],
    ['a texture that is no image', { texture: Buffer.from('GIF89a') }, 'texture'],
  ])('refuse %s and write nothing', (_, change, field) => {
    for (const [name, save] of [
      ['bad.obj', saveObj],
      ['bad.glb', saveGlb],
    ] as const) {
      expect(formatError(() => save(temporary(name), { ...square, ...change })).field).toBe(field);
      expect(existsSync(temporary(name))).toBe(false);
    }
    expect(existsSync(temporary('bad.png'))).toBe(false);
  });
});

interface Accessor {
  bufferView: number;
  componentType: number;
  count: number;
  type: 'SCALAR' | 'VEC2' | 'VEC3';
  min?: number[];
  max?: number[];
}

/** Reads a GLB by the letter of the specification. */
function parseGlb(mesh: Mesh, options?: GlbOptions) {
  saveGlb(temporary('face.glb'), mesh, options);
  const bytes = readFileSync(temporary('face.glb'));
  const word = (at: number) => bytes.readUInt32LE(at);
  expect([bytes.toString('latin1', 0, 4), word(4), word(8)]).toEqual(['glTF', 2, bytes.length]);
  const length = word(12);
  expect([length % 4, bytes.toString('latin1', 16, 20)]).toEqual([0, 'JSON']);
  const json = JSON.parse(bytes.toString('utf8', 20, 20 + length));
  const binary = 20 + length;
  expect([bytes.length - binary - 8, bytes.toString('latin1', binary + 4, binary + 8)]).toEqual([
    word(binary),
    'BIN\0',
  ]);
  expect([word(binary) % 4, json.buffers[0].byteLength]).toEqual([0, word(binary)]);
  const view = (index: number) => {
    const { byteOffset, byteLength } = json.bufferViews[index];
    expect([byteOffset % 4, byteOffset + byteLength <= word(binary)]).toEqual([0, true]);
    return bytes.subarray(binary + 8 + byteOffset, binary + 8 + byteOffset + byteLength);
  };
  const values = (index: number) => {
    const { bufferView, componentType, count, type }: Accessor = json.accessors[index];
    const data = view(bufferView);
    const numbers = count * { SCALAR: 1, VEC2: 2, VEC3: 3 }[type];
    expect(data.length).toBe(4 * numbers);
    const read = (i: number) => (componentType === 5126 ? data.readFloatLE(4 * i) : data.readUInt32LE(4 * i));
    return Array.from({ length: numbers }, (_, i) => read(i));
  };
  const { attributes, indices } = json.meshes[0].primitives[0];
  return { json, view, values, attributes, indices };
}

describe('GLB', () => {
  it('holds the mesh with v down, its bounds and the image', () => {
    const { json, view, values, attributes, indices } = parseGlb({ ...square, texture: png });
    expect(values(attributes.POSITION)).toEqual([...(square.vertices as Float32Array)]);
    expect(values(attributes.TEXCOORD_0)).toEqual([0, 1, 1, 1, 1, 0.25, 0, 0.25]);
    expect(values(indices)).toEqual([0, 1, 2, 0, 2, 3]);
    expect([json.accessors[0].min, json.accessors[0].max]).toEqual([
      [0, 0, 0.5],
      [1, 1, 0.5],
    ]);
    expect(json.images[0].mimeType).toBe('image/png');
    expect(view(json.images[0].bufferView).equals(png)).toBe(true);
    expect(json.extensionsUsed).toEqual(['KHR_materials_unlit']);
  });

  it('splits vertices at seams and carries their normals', () => {
    const { values, attributes, indices } = parseGlb({
      ...square,
      uv: Float32Array.of(0, 0, 1, 0, 1, 1, 0.25, 0.5, 0.5, 0.5),
      uvTriangles: Int32Array.of(0, 1, 2, 3, 2, 4),
      normals: Float32Array.of(0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, -1),
    });
    const corners = values(indices);
    const positions = values(attributes.POSITION);
    const uv = values(attributes.TEXCOORD_0);
    const normals = values(attributes.NORMAL);
    expect(positions).toHaveLength(5 * 3); // only corner 0 is split
    const at = (from: number[], columns: number) => corners.map((c) => from.slice(c * columns, (c + 1) * columns));
    expect(at(uv, 2)).toEqual([
      [0, 1],
      [1, 1],
      [1, 0],
      [0.25, 0.5],
      [1, 0],
      [0.5, 0.5],
    ]);
    expect(at(positions, 3)[3]).toEqual([0, 0, 0.5]);
    expect(at(normals, 3)[5]).toEqual([0, 0, -1]);
  });

  it('scales, shades, embeds JPEG, and does without texture', () => {
    const { json, values, attributes } = parseGlb({ ...square, texture: jpeg }, { scale: 0.5, unlit: false });
    expect([json.accessors[0].max, values(attributes.POSITION)[2]]).toEqual([[0.5, 0.5, 0.25], 0.25]);
    expect([json.images[0].mimeType, json.extensionsUsed]).toEqual(['image/jpeg', undefined]);
    expect((square.vertices as Float32Array)[2]).toBe(0.5);
    const plain = parseGlb({ vertices: square.vertices, triangles: square.triangles });
    expect([plain.json.images, plain.attributes.TEXCOORD_0]).toEqual([undefined, undefined]);
  });
});
