// Face models on disk: the one that ships with the package, files of the plain layout, and the published files that `convert`
// turns into it. Contract: whatever the source, the result has modes as MorphableModel wants them, triangles counter-clockwise
// from outside, one UV per vertex with v up, and 68 landmarks.
import { fileURLToPath } from 'node:url';
import { FormatError } from '../formats/error.js';
import { readSafetensors, readSafetensorsMetadata, writeSafetensors } from '../formats/safetensors.js';
import { unwrapWithSeam } from '../models/cylindrical.js';
import { inLayoutOf } from '../models/layout.js';
import { FaceModelError, type HostTensor, MorphableModel } from '../models/morphable.js';
import { outwards, placeLandmarks, splitAtSeams } from './model-parts.js';

type Tensors = Readonly<Record<string, HostTensor>>;
type Text = Readonly<Record<string, string>>;

export interface ConvertOptions {
  /**
   * `own`: the layout of the file; `cylindrical`: the unwrap of paper-spec 2.1 of the mean face; `package`: that, brought to the layout of the
   * package's own face model by the landmarks, which is what the generator that ships knows.
   */
  uv?: 'own' | 'cylindrical' | 'package';
}

const EMBEDDED = fileURLToPath(new URL('../../assets/face.safetensors', import.meta.url));

let embedded: MorphableModel | undefined;

/**
 * The face model of a file (any that `convertFaceModel` knows), or the one that ships with the package, which is read once per process.
 * Throws FormatError naming the file and the tensor.
 */
export function loadFaceModel(path?: string, options: ConvertOptions = {}): MorphableModel {
  if (path !== undefined) return convertFaceModel(path, options);
  embedded ??= convertFaceModel(EMBEDDED);
  return embedded;
}

/**
 * Writes the plain layout: `mean` [N, 3], `identity` [k, N, 3], `identity_std` [k], `expression` [k, N, 3], `expression_std` [k],
 * `triangles` [T, 3], `landmarks` [68], `uv` [N, 2], where the source had them `parameter_mean`, `parameter_std` [62], where vertices are
 * copies `source` [N] and `source_count` [1]; name, licence and units as metadata. All f32 and i32, since modes in tiny units do not survive f16.
 */
export function saveFaceModel(path: string, model: MorphableModel): void {
  const { tensors, metadata } = model.toTensors();
  writeSafetensors(path, tensors, metadata);
}

interface Layout {
  name: string;
  /** Tensors that a file of this kind has, all of them. */
  tensors: readonly string[];
  read(tensors: Tensors, metadata: Text): MorphableModel;
  /** What its reader had to make up. */
  notes?: readonly string[];
}

/** What `convertFaceModel` recognises. */
const LAYOUTS: readonly Layout[] = [
  {
    name: 'plain',
    tensors: ['mean', 'identity', 'identity_std', 'expression', 'expression_std', 'triangles', 'landmarks', 'uv'],
    read: (tensors, metadata) => MorphableModel.fromTensors(tensors, metadata),
  },
  {
    name: '3DDFA (Basel Face Model)',
    tensors: ['u', 'w_shp', 'w_exp', 'tri', 'keypoints', 'uv', 'param_mean', 'param_std'],
    read: fromBasel,
  },
  {
    name: 'ICT-FaceKit',
    tensors: ['mean', 'identity', 'expression', 'quads', 'uvs', 'quads_uv', 'landmarks68'],
    read: fromFaceKit,
  },
  {
    name: 'Surrey Face Model',
    tensors: ['mean', 'basis', 'eigenvalues', 'tri', 'uv', 'expression', 'ibug_to_vertex'],
    read: fromSurrey,
    notes: [
      '18 of the 68 landmarks are not published; they were placed by the 50 that are and may be some millimetres off',
    ],
  },
];

/**
 * Reads a .safetensors face model, recognised by the names of its tensors: the plain layout, 3DDFA's Basel model, ICT-FaceKit, Surrey.
 * Units of length stay what they were (`units` of the model). Throws FormatError that lists what was found and what is recognised.
 */
export function convertFaceModel(path: string, options: ConvertOptions = {}): MorphableModel {
  return readFaceModel(path, options).model;
}

/** The same, with a line for everything that is not the file's own. */
export function readFaceModel(
  path: string,
  { uv = 'own' }: ConvertOptions = {},
): { model: MorphableModel; notes: string[] } {
  if (!(uv in REMAPPED)) {
    throw new FormatError(path, 'uv', `wanted ${Object.keys(REMAPPED).join(', ')}, got '${uv}'`);
  }
  const tensors = readSafetensors(path, { dtype: 'f32' });
  const layout = LAYOUTS.find((known) => known.tensors.every((name) => name in tensors));
  if (!layout) {
    const found = Object.keys(tensors).sort();
    const list = found.length > 12 ? [...found.slice(0, 12), `${found.length - 12} more`] : found;
    const known = LAYOUTS.map((l) => `${l.name} (${l.tensors.join(', ')})`);
    throw new FormatError(
      path,
      'tensors',
      `no face model that is recognised: found ${list.join(', ') || 'none'}; wanted one of ${known.join('; ')}`,
    );
  }
  try {
    const model = withLayout(layout.read(tensors, readSafetensorsMetadata(path)), uv);
    return { model, notes: [...(layout.notes ?? [])] };
  } catch (error) {
    if (error instanceof FaceModelError) {
      throw new FormatError(path, error.field, error.message.replace(/^face model: [^:]*: /, ''));
    }
    throw error;
  }
}

/** The model with the texture coordinates wanted. */
export const withLayout = (model: MorphableModel, uv: NonNullable<ConvertOptions['uv']>): MorphableModel =>
  REMAPPED[uv](model);

const REMAPPED = {
  own: (model: MorphableModel) => model,
  cylindrical: withCylindricalUv,
  package: (model: MorphableModel) => inLayoutOf(withCylindricalUv(model), loadFaceModel()),
};

/** The same faces with the texture coordinates of paper-spec 2.1; vertices at the cut behind the head double. */
function withCylindricalUv(model: MorphableModel): MorphableModel {
  const { source, triangles, uv } = unwrapWithSeam(model.mean, model.triangles);
  return model.remap(source, triangles, uv);
}

/** Standard deviation of a blendshape's weight, which runs from 0 to 1 and mostly is near 0: our choice. */
export const BLENDSHAPE_STD = 0.25;

function fromBasel(t: Tensors, metadata: Text): MorphableModel {
  const n = rows(t, 'u', 3);
  const identity = modesLast(t, 'w_shp', n);
  const expression = modesLast(t, 'w_exp', n);
  const mean = floats(t.u);
  const parameterMean = floats(t.param_mean);
  const parameterStd = floats(t.param_std);
  return new MorphableModel({
    mean,
    identity: identity.modes,
    identityStd: parameterStd.slice(12, 12 + identity.count),
    expression: expression.modes,
    expressionStd: parameterStd.slice(12 + identity.count, 12 + identity.count + expression.count),
    triangles: outwards(mean, integers(t, 'tri', 3)),
    landmarks: integers(t, 'keypoints'),
    uv: floats(t.uv),
    parameterMean,
    parameterStd,
    name: 'Basel Face Model 2009 (3DDFA)',
    licence: metadata.licence,
    units: 'um',
  });
}

/**
 * The part of the head whose texture coordinates lie in the first tile (u <= 1: the whole face to behind the ears); the back of the head
 * has a tile of its own and is left out. Vertices on a UV seam double.
 */
function fromFaceKit(t: Tensors, metadata: Text): MorphableModel {
  const n = rows(t, 'mean', 3);
  const identity = modesFirst(t, 'identity', n);
  const expression = modesFirst(t, 'expression', n);
  const corners = integers(t, 'quads', 4);
  const cornersUv = integers(t, 'quads_uv', 4);
  const uvs = floats(t.uvs);
  if (cornersUv.length !== corners.length) {
    throw new FaceModelError('quads_uv', `wanted [${corners.length / 4}, 4], got [${t.quads_uv.shape.join(', ')}]`);
  }
  const badUv = cornersUv.findIndex((k) => !(k >= 0 && 2 * k + 1 < uvs.length));
  if (badUv >= 0)
    throw new FaceModelError('quads_uv', `row ${badUv >> 2} names ${cornersUv[badUv]} of ${uvs.length / 2}`);
  const kept: number[] = [];
  const keptUv: number[] = [];
  for (let q = 0; q < corners.length; q += 4) {
    const places = cornersUv.subarray(q, q + 4);
    if (places.some((k) => uvs[2 * k] > 1 || uvs[2 * k + 1] > 1)) continue;
    for (const c of [0, 1, 2, 0, 2, 3]) {
      kept.push(corners[q + c]);
      keptUv.push(places[c]);
    }
  }
  const split = splitAtSeams(kept, keptUv, uvs);
  const mean = floats(t.mean);
  const whole = new MorphableModel({
    mean,
    identity: identity.modes,
    identityStd: new Float32Array(identity.count).fill(1),
    expression: expression.modes,
    expressionStd: new Float32Array(expression.count).fill(BLENDSHAPE_STD),
    triangles: Int32Array.of(corners[0], corners[1], corners[2]),
    landmarks: integers(t, 'landmarks68'),
    uv: new Float32Array(2 * n),
    name: 'ICT-FaceKit',
    licence: metadata.licence,
    units: 'cm',
  });
  const part = whole.remap(split.source, split.triangles, split.uv);
  outwards(part.mean, part.triangles);
  return part;
}

/** 50 of its landmarks are published; the others are placed by `placeLandmarks`. */
function fromSurrey(t: Tensors, metadata: Text): MorphableModel {
  const n = rows(t, 'mean', 3);
  const basis = modesLast(t, 'basis', n);
  const expression = modesFirst(t, 'expression', n);
  const mean = floats(t.mean);
  const eigenvalues = floats(t.eigenvalues);
  const pairs = integers(t, 'ibug_to_vertex', 2);
  const known = new Int32Array(68).fill(-1);
  for (let i = 0; i < pairs.length; i += 2) {
    if (pairs[i] < 1 || pairs[i] > 68) throw new FaceModelError('ibug_to_vertex', `there is no landmark ${pairs[i]}`);
    known[pairs[i] - 1] = pairs[i + 1];
  }
  return new MorphableModel({
    mean,
    identity: basis.modes,
    identityStd: eigenvalues.map(Math.sqrt),
    expression: expression.modes,
    expressionStd: new Float32Array(expression.count).fill(BLENDSHAPE_STD),
    triangles: outwards(mean, integers(t, 'tri', 3)),
    landmarks: placeLandmarks(mean, known, loadFaceModel()),
    uv: floats(t.uv).map((v, i) => (i % 2 === 0 ? v : 1 - v)),
    name: 'Surrey Face Model',
    licence: metadata.licence,
    units: 'mm',
  });
}

function rows(t: Tensors, field: string, columns: number): number {
  const { shape } = t[field];
  if (shape.length !== 2 || shape[1] !== columns) {
    throw new FaceModelError(field, `wanted shape [*, ${columns}], got [${shape.join(', ')}]`);
  }
  return shape[0];
}

const floats = (tensor: HostTensor): Float32Array =>
  tensor.data instanceof Float32Array ? tensor.data : Float32Array.from(tensor.data);

function integers(t: Tensors, field: string, columns?: number): Int32Array {
  if (columns !== undefined) rows(t, field, columns);
  if (t[field].dtype !== 'i32') throw new FaceModelError(field, `wanted integers, got ${t[field].dtype}`);
  return Int32Array.from(t[field].data);
}

/** Modes stored [k, N, 3]. */
function modesFirst(t: Tensors, field: string, n: number): { count: number; modes: Float32Array } {
  const { shape } = t[field];
  if (shape.length !== 3 || shape[1] !== n || shape[2] !== 3) {
    throw new FaceModelError(field, `wanted shape [*, ${n}, 3], got [${shape.join(', ')}]`);
  }
  return { count: shape[0], modes: floats(t[field]) };
}

/** Modes stored [N, 3, k], turned to [k, N, 3]. */
function modesLast(t: Tensors, field: string, n: number): { count: number; modes: Float32Array } {
  const { shape, data } = t[field];
  if (shape.length !== 3 || shape[0] !== n || shape[1] !== 3) {
    throw new FaceModelError(field, `wanted shape [${n}, 3, *], got [${shape.join(', ')}]`);
  }
  const count = shape[2];
  const modes = new Float32Array(data.length);
  const block = 64; // rows that stay in cache while mode by mode is read down them
  for (let begin = 0; begin < 3 * n; begin += block) {
    const end = Math.min(begin + block, 3 * n);
    for (let k = 0; k < count; k++) for (let i = begin; i < end; i++) modes[k * 3 * n + i] = data[i * count + k];
  }
  return { count, modes };
}
