// Face models in the files that their makers publish, as one MorphableModel. Contract: a file is told by what it holds, not by its name
// alone; what it lacks (landmarks, texture coordinates) is found or made, and `notes` says so. Nothing of a file is ever executed.
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../formats/error.js';
import { readMat } from '../formats/mat.js';
import { readNpz } from '../formats/npy.js';
import { readPickle } from '../formats/numpy-pickle.js';
import { readObj } from '../formats/obj.js';
import { FaceModelError, MorphableModel, type SourceMesh } from '../models/morphable.js';
import { type ConvertOptions, convertFaceModel, loadFaceModel, readFaceModel, withLayout } from './face_model.js';
import { findLandmarks, readLandmarkVertices } from './landmark-vertices.js';
import { fromBasel2009, fromBasel2017, fromDeep3d, fromFace3d, fromZhu, read3ddfaFolder } from './model-basel.js';
import { fromFlame, readFaceKitFolder } from './model-blendshapes.js';
import { Fields } from './model-fields.js';
import { outwards, placeLandmarks, splitAtSeams, unitOf, uprightRotation } from './model-parts.js';

export interface ImportOptions extends ConvertOptions {
  /** File of landmark vertices, instead of the model's own or found ones (`readLandmarkVertices`). */
  landmarks?: string;
  /** An OBJ of the same vertices whose texture coordinates to take. */
  texture?: string;
}

export interface Imported {
  model: MorphableModel;
  /** What kind of file it was. */
  layout: string;
  /** What the file lacked and where it came from, in sentences. */
  notes: string[];
}

/** A model as a reader gives it; the rest is common to all. */
export interface RawModel {
  layout: string;
  /** [N, 3] */
  mean: Float32Array;
  /** [k, N, 3] */
  identity: Float32Array;
  identityStd: Float32Array;
  /** [k, N, 3] */
  expression: Float32Array;
  expressionStd: Float32Array;
  /** [T, 3] from 0, of either winding. */
  triangles: Int32Array;
  /** [68], -1 where open; absent where the file names none. */
  landmarks?: Int32Array;
  /** Texture coordinates per vertex, or per corner of the triangles; v up. */
  uv?: { data: Float32Array; corners?: Int32Array };
  parameterMean?: Float32Array;
  parameterStd?: Float32Array;
  /** Where vertices of the published mesh were left out or doubled. */
  source?: SourceMesh;
  licence: string;
  notes?: string[];
}

const KNOWN =
  'wanted a face model: .safetensors of this package; Basel 2009 (01_MorphableModel.mat), 2017 or 2019 (.h5); 3DDFA (Model_Shape.mat, ' +
  'the folder train.configs) or 3DDFA_V2 (the folder configs, bfm_noneck_v3.pkl); face3d (BFM.mat); Deep3DFaceReconstruction ' +
  '(BFM_model_front.mat); FLAME (.pkl, .npz); ICT-FaceKit (the folder FaceXModel); Surrey, 3DDFA and ICT-FaceKit as .safetensors of their ' +
  'arrays (docs/face-models.md)';

/**
 * Reads a face model of any known kind. Throws FormatError naming what of the file is missing, or, for an unknown one, what it holds and
 * what is known.
 */
export async function importFaceModel(file: string, options: ImportOptions = {}): Promise<Imported> {
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found) throw new FormatError(file, 'file', `does not exist; ${KNOWN}`);
  if (found.isFile() && /\.safetensors$/i.test(file) && !options.landmarks && !options.texture) {
    return { ...readFaceModel(file, options), layout: 'safetensors' };
  }
  try {
    const raw = found.isDirectory() ? readFolder(file) : await readFile(file);
    return finish(raw, options);
  } catch (error) {
    if (error instanceof FaceModelError) {
      throw new FormatError(file, error.field, error.message.replace(/^face model: [^:]*: /, ''));
    }
    throw error;
  }
}

const unknown = (file: string, names: readonly string[]): FormatError => {
  const list = names.length > 12 ? [...names.slice(0, 12), `${names.length - 12} more`] : names;
  return new FormatError(
    file,
    'contents',
    `no face model that is known: found ${list.join(', ') || 'nothing'}; ${KNOWN}`,
  );
};

function readFolder(folder: string): RawModel {
  const names = readdirSync(folder).sort();
  if (names.includes('generic_neutral_mesh.obj')) return readFaceKitFolder(folder, names);
  if (names.includes('w_shp_sim.npy') || names.some((name) => /^bfm.*\.pkl$/.test(name)))
    return read3ddfaFolder(folder, names);
  if (names.includes('Model_Shape.mat')) return fromZhu(path.join(folder, 'Model_Shape.mat'));
  throw unknown(folder, names);
}

async function readFile(file: string): Promise<RawModel> {
  const ending = path.extname(file).toLowerCase();
  if (ending === '.h5' || ending === '.hdf5') return fromBasel2017(file);
  if (ending === '.mat') {
    const fields = new Fields(file, 'variable', readMat(file, { only: MAT_NAMES }));
    if (fields.has('shapeMU', 'shapePC', 'tl')) return fromBasel2009(fields);
    if (fields.has('mu_shape', 'w')) return fromZhu(file);
    if (fields.has('meanshape', 'idBase')) return fromDeep3d(fields);
    if (fields.has('model')) return fromFace3d(fields.record('model'));
    throw unknown(file, Object.keys(readMat(file)));
  }
  if (ending === '.npz' || ending === '.pkl') {
    const root = ending === '.npz' ? readNpz(file) : readPickle(file);
    const entries = root instanceof Map ? Object.fromEntries(root) : root;
    if (entries === null || typeof entries !== 'object' || Array.isArray(entries)) throw unknown(file, ['no dict']);
    const fields = new Fields(file, 'entry', entries as Record<string, unknown>);
    if (fields.has('v_template', 'shapedirs')) return fromFlame(fields);
    if (fields.has('w_shp', 'w_exp'))
      return read3ddfaFolder(path.dirname(file), readdirSync(path.dirname(file)), path.basename(file));
    throw unknown(file, Object.keys(entries));
  }
  if (ending === '.safetensors') {
    const model = convertFaceModel(file);
    const uv = { data: model.uv };
    return { ...model, layout: 'safetensors', uv };
  }
  throw new FormatError(file, 'file', `the ending ${ending || '(none)'} is that of no face model; ${KNOWN}`);
}

/** Texture models, by far the larger part of some files, stay unread. */
const MAT_NAMES = ['shapeMU', 'shapePC', 'shapeEV', 'tl', 'mu_shape', 'w', 'sigma', 'tri', 'keypoints', 'model'].concat(
  ['meanshape', 'idBase', 'exBase'],
);

function finish(raw: RawModel, { landmarks, texture, uv = 'own' }: ImportOptions): Imported {
  const notes = [...(raw.notes ?? [])];
  const head = loadFaceModel();
  const { mean, triangles } = raw;
  const n = mean.length / 3;
  outwards(mean, triangles);
  const named = landmarks ? readLandmarkVertices(landmarks, triangles) : raw.landmarks;
  const wrong = named?.find((v) => v >= n);
  if (wrong !== undefined) throw new FaceModelError('landmarks', `vertex ${wrong} is not one of the ${n} vertices`);
  const open = named ? named.reduce((count, v) => count + (v < 0 ? 1 : 0), 0) : 68;
  let marks: Int32Array;
  if (!named || open > 60) {
    marks = findLandmarks(mean, head);
    notes.push(
      'the file names no landmarks; those written were found by laying a head upon the mean face and may be a centimetre off, along the jaw several',
    );
  } else {
    marks = placeLandmarks(mean, named, head);
    if (open > 0)
      notes.push(
        `${open} of the 68 landmarks are not named; they were placed by those that are and may be some millimetres off`,
      );
  }
  const places = new Float32Array(3 * 68).map((_, i) => mean[3 * marks[Math.floor(i / 3)] + (i % 3)]);
  if (uprightRotation(places, head)) notes.push('the face does not look along +z, y up; fitting expects that');
  const whole = new MorphableModel({
    mean,
    identity: raw.identity,
    identityStd: raw.identityStd,
    expression: raw.expression,
    expressionStd: raw.expressionStd,
    triangles,
    landmarks: marks,
    uv: raw.uv && !raw.uv.corners ? raw.uv.data : new Float32Array(2 * n),
    parameterMean: raw.parameterMean,
    parameterStd: raw.parameterStd,
    source: raw.source,
    name: raw.layout,
    licence: raw.licence,
    units: unitOf(places),
  });
  let coordinates = raw.uv;
  let corners = triangles;
  if (texture) {
    const mesh = readObj(texture);
    if (!mesh.uv || !mesh.uvTriangles) throw new FormatError(texture, 'texture coordinates', 'there are none');
    const most = (mesh.triangles.data as Int32Array).reduce((a, b) => Math.max(a, b), 0);
    if (most >= n) throw new FormatError(texture, 'faces', `name vertex ${most + 1}, the model has ${n}`);
    coordinates = { data: mesh.uv.data as Float32Array, corners: mesh.uvTriangles.data as Int32Array };
    corners = mesh.triangles.data as Int32Array;
  }
  let model = whole;
  if (coordinates?.corners && uv === 'own') {
    const split = splitAtSeams(corners, coordinates.corners, coordinates.data);
    model = whole.remap(
      split.source,
      split.triangles,
      split.uv.map((x) => Math.min(1, Math.max(0, x))),
    );
    outwards(model.mean, model.triangles);
  }
  if (!coordinates && uv === 'own')
    notes.push('the file has no texture coordinates; those written are the cylindrical unwrap of the mean face');
  return { model: withLayout(model, !coordinates && uv === 'own' ? 'cylindrical' : uv), layout: raw.layout, notes };
}
