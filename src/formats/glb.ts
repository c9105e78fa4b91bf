// glTF 2.0 binary (.glb): one mesh, one material, the texture embedded. glTF counts texture rows from the top, so v is
// turned here.

import path from 'node:path';
import { writeAtomicallySync } from './files.js';
import { bytesOf } from './host-array.js';
import type { Mesh } from './mesh.js';
import { type CheckedMesh, checkMesh } from './mesh.js';

const FLOAT = 5126;
const UNSIGNED_INT = 5125;
const ARRAY_BUFFER = 34962;
const ELEMENT_ARRAY_BUFFER = 34963;
const LINEAR = 9729;
const LINEAR_MIPMAP_LINEAR = 9987;
const CLAMP_TO_EDGE = 33071;
const JSON_CHUNK = 0x4e4f534a;
const BINARY_CHUNK = 0x004e4942;

export interface GlbOptions {
  /**
   * Shows the texture as it is (KHR_materials_unlit; viewers without it take a rough material). Default true: it
   * carries the photo's light.
   */
  unlit?: boolean;
  /** Multiplies the vertices, e.g. 1e-3 for millimetres: the unit of glTF is the metre. */
  scale?: number;
}

/**
 * Writes a mesh to a .glb file, atomically. +y up, triangles counter-clockwise from outside, as glTF wants; a vertex
 * with several texture coordinates is written once for each. Throws FormatError, before anything is written, where the
 * arrays do not fit together.
 */
export function saveGlb(file: string, mesh: Mesh, { unlit = true, scale = 1 }: GlbOptions = {}): void {
  const { positions, normals, uv, triangles, texture } = splitSeams(checkMesh(file, mesh));
  const name = mesh.name ?? path.parse(file).name;
  const views: { buffer: number; byteOffset: number; byteLength: number; target?: number }[] = [];
  const pieces: Uint8Array[] = [];
  let length = 0;
  const addView = (bytes: Uint8Array, target?: number): number => {
    views.push({ buffer: 0, byteOffset: length, byteLength: bytes.length, ...(target && { target }) });
    pieces.push(bytes, new Uint8Array(-bytes.length & 3));
    length += (bytes.length + 3) & ~3;
    return views.length - 1;
  };
  const accessors: object[] = [];
  const addAccessor = (data: Float32Array | Uint32Array, type: 'VEC2' | 'VEC3' | 'SCALAR', bounds?: object): number => {
    const columns = { SCALAR: 1, VEC2: 2, VEC3: 3 }[type];
    const isIndex = data instanceof Uint32Array;
    accessors.push({
      bufferView: addView(bytesOf(data), isIndex ? ELEMENT_ARRAY_BUFFER : ARRAY_BUFFER),
      componentType: isIndex ? UNSIGNED_INT : FLOAT,
      count: data.length / columns,
      type,
      ...bounds,
    });
    return accessors.length - 1;
  };
  if (scale !== 1) for (let i = 0; i < positions.length; i++) positions[i] *= scale;
  const attributes: Record<string, number> = { POSITION: addAccessor(positions, 'VEC3', boundsOf(positions)) };
  if (normals) attributes.NORMAL = addAccessor(normals, 'VEC3');
  if (uv) attributes.TEXCOORD_0 = addAccessor(uv, 'VEC2');
  // Without triangles it is a cloud of points.
  const primitive = triangles.length
    ? { attributes, indices: addAccessor(triangles, 'SCALAR'), material: 0, mode: 4 }
    : { attributes, material: 0, mode: 0 };
  const image = texture && { bufferView: addView(texture.bytes), mimeType: `image/${texture.type}`, name };
  const json = {
    asset: { version: '2.0', generator: '@rescunet/core' },
    ...(unlit && { extensionsUsed: ['KHR_materials_unlit'] }),
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0, name }],
    meshes: [{ name, primitives: [primitive] }],
    materials: [
      {
        name,
        pbrMetallicRoughness: {
          ...(image && { baseColorTexture: { index: 0 } }),
          metallicFactor: 0,
          roughnessFactor: 1,
        },
        doubleSided: true, // a face mesh is open: its inside can be seen
        ...(unlit && { extensions: { KHR_materials_unlit: {} } }),
      },
    ],
    ...(image && {
      textures: [{ source: 0, sampler: 0 }],
      images: [image],
      samplers: [{ magFilter: LINEAR, minFilter: LINEAR_MIPMAP_LINEAR, wrapS: CLAMP_TO_EDGE, wrapT: CLAMP_TO_EDGE }],
    }),
    accessors,
    bufferViews: views,
    buffers: [{ byteLength: length }],
  };
  const text = Buffer.from(JSON.stringify(json));
  const padded = Buffer.alloc((text.length + 3) & ~3, 0x20);
  text.copy(padded);
  const total = 12 + 8 + padded.length + 8 + length;
  writeAtomicallySync(file, [
    words(0x46546c67, 2, total),
    words(padded.length, JSON_CHUNK),
    padded,
    words(length, BINARY_CHUNK),
    ...pieces,
  ]);
}

const words = (...values: number[]): Uint8Array => bytesOf(Uint32Array.from(values));

function boundsOf(positions: Float32Array): { min: number[]; max: number[] } {
  const min = [Infinity, Infinity, Infinity];
  const max = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < positions.length; i++) {
    min[i % 3] = Math.min(min[i % 3], positions[i]);
    max[i % 3] = Math.max(max[i % 3], positions[i]);
  }
  return { min, max };
}

/** One row per (vertex, texture coordinate) that occurs; v turned to point down. */
function splitSeams(mesh: CheckedMesh) {
  const { vertices, triangles, uv, uvTriangles, normals, texture } = mesh;
  const flipped = uv?.map((value, i) => (i % 2 ? 1 - value : value));
  if (uvTriangles === triangles) return { positions: vertices.slice(), normals, uv: flipped, triangles, texture };
  const rows = new Map<number, number>();
  const corners = new Uint32Array(triangles.length);
  const vertexOf: number[] = [];
  const uvOf: number[] = [];
  const stride = 1 + uvTriangles.reduce((max, i) => Math.max(max, i), 0);
  for (let i = 0; i < triangles.length; i++) {
    const key = triangles[i] * stride + uvTriangles[i];
    let row = rows.get(key);
    if (row === undefined) {
      row = vertexOf.push(triangles[i]) - 1;
      uvOf.push(uvTriangles[i]);
      rows.set(key, row);
    }
    corners[i] = row;
  }
  const pick = (from: Float32Array, rowOf: number[], columns: number) => {
    return Float32Array.from({ length: rowOf.length * columns }, (_, i) => {
      return from[rowOf[Math.floor(i / columns)] * columns + (i % columns)];
    });
  };
  return {
    positions: pick(vertices, vertexOf, 3),
    normals: normals && pick(normals, vertexOf, 3),
    uv: flipped && pick(flipped, uvOf, 2),
    triangles: corners,
    texture,
  };
}
