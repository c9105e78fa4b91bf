// Readers of FLAME and of ICT-FaceKit's folder. Contract: FLAME comes in its neutral pose, without joints and pose correctives (its jaw
// opens through the expression modes only); blendshape weights run from 0 to 1.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../formats/error.js';
import { readObj } from '../formats/obj.js';
import { BLENDSHAPE_STD } from './face_model.js';
import { checked } from './model-basel.js';
import type { Fields } from './model-fields.js';
import type { RawModel } from './model-import.js';
import { splitAtSeams } from './model-parts.js';

/** `shapedirs` [N, 3, k]: of 400, 300 are identity and 100 expression; of 150, 100 and 50; modes carry their deviations. */
export function fromFlame(fields: Fields): RawModel {
  const mean = Float32Array.from(fields.floats('v_template'));
  const k = fields.array('shapedirs').shape.at(-1) ?? 0;
  const people = k === 150 ? 100 : Math.min(300, k);
  const identity = fields.columns('shapedirs', mean.length, 0, people);
  const expression = fields.has('expressedirs')
    ? fields.columns('expressedirs', mean.length)
    : fields.columns('shapedirs', mean.length, people);
  const faces = fields.has('f') ? 'f' : 'faces';
  const texture = fields.has('vt', 'ft')
    ? { data: Float32Array.from(fields.floats('vt')), corners: fields.triangles('ft') }
    : undefined;
  const triangles = checked(fields, faces, fields.triangles(faces), mean.length / 3);
  if (texture && texture.corners.length !== triangles.length)
    throw fields.fail('ft', `wanted ${triangles.length / 3} rows`);
  return {
    layout: 'FLAME',
    mean,
    identity: identity.modes,
    identityStd: new Float32Array(identity.count).fill(1),
    expression: expression.modes,
    expressionStd: new Float32Array(expression.count).fill(1),
    triangles,
    uv: texture,
    licence: 'FLAME: see the licence of its release',
    notes: ['joints and pose correctives of FLAME are not taken over'],
  };
}

/**
 * ICT-FaceKit's folder FaceXModel: generic_neutral_mesh.obj, identityNNN.obj, one mesh per expression, vertex_indices.json. The part of the
 * head whose texture coordinates lie in the first tile is kept: the face to behind the ears.
 */
export function readFaceKitFolder(folder: string, names: readonly string[]): RawModel {
  const neutral = path.join(folder, 'generic_neutral_mesh.obj');
  const mesh = readObj(neutral);
  const vertices = mesh.vertices.data as Float32Array;
  const index = path.join(folder, 'vertex_indices.json');
  const { marks, expressions } = readIndex(index);
  const read = (file: string): Float32Array => {
    const found = readObj(file).vertices;
    if (found.shape[0] !== vertices.length / 3) {
      throw new FormatError(file, 'vertices', `${found.shape[0]}, but ${neutral} has ${vertices.length / 3}`);
    }
    return (found.data as Float32Array).map((x, i) => x - vertices[i]);
  };
  const people = names.filter((name) => /^identity\d+\.obj$/.test(name)).sort();
  const moved =
    expressions ??
    names
      .filter((n) => n.endsWith('.obj') && !people.includes(n) && n !== path.basename(neutral))
      .map((n) => n.slice(0, -4));
  const lacking = moved.find((name) => !names.includes(`${name}.obj`));
  if (lacking)
    throw new FormatError(
      path.join(folder, `${lacking}.obj`),
      'file',
      'does not exist, though vertex_indices.json lists it',
    );
  if (people.length === 0) throw new FormatError(folder, 'identity000.obj', 'there is none');
  if (!mesh.uv || !mesh.uvTriangles) throw new FormatError(neutral, 'texture coordinates', 'there are none');

  const uvs = mesh.uv.data as Float32Array;
  const kept: number[] = [];
  const keptUv: number[] = [];
  for (let t = 0; t < mesh.triangles.data.length; t += 3) {
    const places = mesh.uvTriangles.data.subarray(t, t + 3);
    // Eyes, teeth and the like are closed bodies of their own after the landmarks' part of the head; they lie in other tiles.
    if (places.some((k) => uvs[2 * k] > 1 || uvs[2 * k + 1] > 1 || uvs[2 * k] < 0 || uvs[2 * k + 1] < 0)) continue;
    for (let c = 0; c < 3; c++) {
      kept.push(mesh.triangles.data[t + c]);
      keptUv.push(places[c]);
    }
  }
  const { source, triangles, uv } = splitAtSeams(kept, keptUv, uvs);
  const pick = (rows: Float32Array[]): Float32Array => {
    const out = new Float32Array(rows.length * source.length * 3);
    rows.forEach((row, k) => {
      source.forEach((v, i) => {
        out.set(row.subarray(3 * v, 3 * v + 3), 3 * (k * source.length + i));
      });
    });
    return out;
  };
  const first = new Map<number, number>();
  source.forEach((v, i) => {
    if (!first.has(v)) first.set(v, i);
  });
  return {
    layout: 'ICT-FaceKit',
    mean: pick([vertices]),
    identity: pick(people.map((name) => read(path.join(folder, name)))),
    identityStd: new Float32Array(people.length).fill(1),
    expression: pick(moved.map((name) => read(path.join(folder, `${name}.obj`)))),
    expressionStd: new Float32Array(moved.length).fill(BLENDSHAPE_STD),
    triangles,
    landmarks: marks?.map((v) => first.get(v) ?? -1),
    uv: { data: uv },
    source: { vertices: source, count: vertices.length / 3 },
    licence: 'MIT (USC Institute for Creative Technologies)',
  };
}

function readIndex(file: string): { marks?: Int32Array; expressions?: string[] } {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return {};
  }
  let value: { idx_to_landmark_verts?: unknown; expressions?: unknown };
  try {
    value = JSON.parse(text);
  } catch {
    throw new FormatError(file, 'file', 'is not valid JSON');
  }
  const marks = value.idx_to_landmark_verts;
  const names = value.expressions;
  return {
    marks: Array.isArray(marks) && marks.length === 68 ? Int32Array.from(marks, Number) : undefined,
    expressions: Array.isArray(names) && names.every((n) => typeof n === 'string') ? names : undefined,
  };
}
