// Registered scans on disk and the face model made of them. Contract: SCANS holds a folder per subject with one neutral mesh
// and any number of expressive ones (OBJ or PLY), or meshes that are subjects of their own; all have the same vertices in the
// same order. Whatever does not fit is refused with its name before any work on shapes.
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../formats/error.js';
import type { HostArray } from '../formats/host-array.js';
import { type ObjMesh, readObj } from '../formats/obj.js';
import { readPly } from '../formats/ply.js';
import { Random } from '../head/random.js';
import { MorphableModel } from '../models/morphable.js';
import { modelFromScans, type ScanModel, type ScanModelOptions, type ScannedSubject } from '../models/scan-model.js';
import { loadFaceModel, withLayout } from './face_model.js';
import { readLandmarkVertices, VERTICES_WANTED } from './landmark-vertices.js';
import { outwards, type SplitMesh, splitAtSeams, unitOf, uprightRotation } from './model-parts.js';

export interface SubjectFiles {
  name: string;
  neutral: string;
  expressions: string[];
}

const isMesh = (name: string): boolean => /\.(obj|ply)$/i.test(name) && !name.startsWith('.');

/**
 * The subjects of a folder of scans, by name. Of a subject's meshes, the one whose name holds `neutral` is the neutral one. Throws
 * FormatError for a folder without meshes, and for a subject with none or several neutral ones.
 */
export function findScans(folder: string, neutral = 'neutral'): SubjectFiles[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new FormatError(folder, 'scans', 'there is no such folder');
  }
  const order = new Intl.Collator('en', { numeric: true }).compare;
  const subjects: SubjectFiles[] = [];
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => order(a.name, b.name))) {
    const place = path.join(folder, entry.name);
    if (entry.isFile() && isMesh(entry.name)) {
      subjects.push({ name: path.parse(entry.name).name, neutral: place, expressions: [] });
    }
    if (!entry.isDirectory() || entry.name.startsWith('.')) continue;
    const meshes = readdirSync(place).filter(isMesh).sort(order);
    if (meshes.length === 0) continue;
    const [first, second] = meshes.filter((name) => name.toLowerCase().includes(neutral.toLowerCase()));
    if (!first)
      throw new FormatError(place, 'neutral scan', `none of its ${meshes.length} meshes has '${neutral}' in its name`);
    if (second)
      throw new FormatError(place, 'neutral scan', `${first} and ${second} both have '${neutral}' in their names`);
    const expressions = meshes.filter((name) => name !== first).map((name) => path.join(place, name));
    subjects.push({ name: entry.name, neutral: path.join(place, first), expressions });
  }
  if (subjects.length === 0)
    throw new FormatError(folder, 'scans', 'holds no .obj or .ply mesh, nor folders with some');
  return subjects;
}

export interface BuildFaceModelOptions extends Omit<ScanModelOptions, 'onStage'> {
  /** Part of a neutral mesh's file name, in either case. */
  neutral?: string;
  /** File of 68 vertex numbers from 0, JSON or text; by default `landmarks.json` or `landmarks.txt` in the folder. */
  landmarks?: string;
  /**
   * A face model of the same vertices, or made from a mesh of the same vertices by leaving some out and doubling some at seams (as imports do); it then
   * gives landmarks, triangles and texture coordinates.
   */
  topology?: MorphableModel;
  /** Share of the subjects that the model is not made of but measured on. */
  heldOut?: number;
  /** `own` are those of the meshes, where they have some in [0, 1]; otherwise cylindrical. */
  uv?: 'own' | 'cylindrical' | 'package';
  name?: string;
  licence?: string;
  units?: string;
  onStart?: (scans: number) => void;
  /** After each scan that was read. */
  onScan?: (file: string) => void;
  onStage?: (stage: string) => void;
}

export interface BuiltFromScans {
  model: MorphableModel;
  report: ScanModel['report'] & {
    subjects: number;
    heldOut: string[];
    vertices: number;
    units: string;
    align: string;
    /** Whether the face was turned to look along +z. */
    turned: boolean;
  };
}

/**
 * A face model from a folder of registered scans (see `findScans` and `modelFromScans`). The result looks along +z, y up: where the scans'
 * mean does not, it is turned by its landmarks. Throws FormatError naming the scan that cannot be read or has other vertices.
 */
export function buildFaceModel(folder: string, options: BuildFaceModelOptions = {}): BuiltFromScans {
  const { heldOut = 0.1, seed = 1, align = 'similarity', uv = 'own', topology } = options;
  const found = findScans(folder, options.neutral);
  if (!(heldOut >= 0 && heldOut < 1))
    throw new FormatError(folder, 'heldOut', `wanted a share in [0, 1), got ${heldOut}`);
  const aside = drawAside(found.length, heldOut, seed);
  if (found.length - aside.size < 2) {
    throw new FormatError(
      folder,
      'scans',
      `${found.length} subjects, ${aside.size} of them held out; at least 2 to learn from are wanted`,
    );
  }
  options.onStart?.(found.reduce((sum, s) => sum + 1 + s.expressions.length, 0));

  const first = readMesh(found[0].neutral);
  const n = first.vertices.shape[0];
  const given = topology && meshOf(topology);
  if (given && given.count !== n) {
    const published = topology.source
      ? ` of the mesh that it was made from (${topology.vertexCount} vertices are left)`
      : '';
    throw new FormatError(
      found[0].neutral,
      'vertices',
      `${n}, the model whose topology was given has ${given.count}${published}`,
    );
  }
  const landmarks =
    topology && given
      ? topology.landmarks.map((v) => given.source[v])
      : landmarksOf(folder, options.landmarks, first.triangles.data);
  const outside = landmarks.find((v) => v >= n);
  if (outside !== undefined)
    throw new FormatError(folder, 'landmarks', `vertex ${outside} is not one of the ${n} vertices`);
  if (!topology && first.triangles.data.length === 0) {
    throw new FormatError(found[0].neutral, 'faces', 'there are none, and no model of the same topology was given');
  }
  // Wrong landmarks come to light before minutes of reading.
  uprightRotation(rowsOf(first.vertices.data, landmarks), loadFaceModel());
  const read = (file: string): Float32Array => {
    const mesh = file === found[0].neutral ? first : readMesh(file);
    const count = mesh.vertices.shape[0];
    if (count !== n) {
      throw new FormatError(
        file,
        'vertices',
        `${count}, but ${found[0].neutral} has ${n}; scans must be registered to one topology`,
      );
    }
    const faces = mesh.triangles.data;
    if (faces.length > 0 && first.triangles.data.length > 0 && !equal(faces, first.triangles.data)) {
      throw new FormatError(
        file,
        'faces',
        `are others than those of ${found[0].neutral}; scans must be registered to one topology`,
      );
    }
    options.onScan?.(file);
    return mesh.vertices.data as Float32Array;
  };
  const subjects = found.map(
    (s): ScannedSubject => ({ name: s.name, neutral: read(s.neutral), expressions: s.expressions.map(read) }),
  );
  const built = modelFromScans(
    subjects.filter((_, i) => !aside.has(i)),
    subjects.filter((_, i) => aside.has(i)),
    { ...options, align, seed },
  );
  if (built.identityStd.length === 0) throw new FormatError(folder, 'scans', 'all neutral scans are the same');

  const mesh = given ?? ownUv(first);
  const triangles = given ? given.triangles.map((v) => given.source[v]) : first.triangles.data;
  const marks = rowsOf(built.mean, landmarks);
  const rotation = uprightRotation(marks, loadFaceModel());
  if (rotation) for (const rows of [built.mean, built.identity, built.expression]) turn(rows, rotation);
  const whole = new MorphableModel({
    ...built,
    triangles: outwards(built.mean, Int32Array.from(triangles)),
    landmarks,
    uv: new Float32Array(2 * n),
    name: options.name ?? path.basename(path.resolve(folder)),
    licence: options.licence ?? 'that of the scans',
    units: options.units ?? unitOf(marks),
  });
  const split = mesh && (given || uv === 'own') ? whole.remap(mesh.source, mesh.triangles, mesh.uv) : whole;
  if (split !== whole) outwards(split.mean, split.triangles);
  const model = withLayout(split, uv === 'own' && !mesh ? 'cylindrical' : uv);
  return {
    model,
    report: {
      subjects: found.length,
      heldOut: found.filter((_, i) => aside.has(i)).map((s) => s.name),
      vertices: n,
      units: model.units,
      align,
      turned: rotation !== undefined,
      ...built.report,
    },
  };
}

/** Which subjects are held out: at least one where a share is wanted at all. */
function drawAside(count: number, share: number, seed: number): Set<number> {
  const wanted = share === 0 ? 0 : Math.max(1, Math.round(share * count));
  const random = new Random(seed);
  const aside = new Set<number>();
  while (aside.size < Math.min(wanted, count)) aside.add(random.below(count));
  return aside;
}

const readMesh = (file: string): ObjMesh<HostArray> => (/\.ply$/i.test(file) ? readPly(file) : readObj(file));

function equal(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The mesh of a face model, over the vertices of what it was made from. */
function meshOf({ source, vertexCount, triangles, uv }: MorphableModel): SplitMesh & { count: number } {
  const vertices = source?.vertices ?? Int32Array.from({ length: vertexCount }, (_, i) => i);
  return { source: vertices, count: source?.count ?? vertexCount, triangles: triangles.slice(), uv };
}

/** The mesh with its own texture coordinates; undefined where it has none or they leave the map. */
function ownUv({ triangles, uv, uvTriangles }: ObjMesh<HostArray>): SplitMesh | undefined {
  if (!uv || !uvTriangles) return undefined;
  const data = uv.data as Float32Array;
  if (data.some((x) => x < 0 || x > 1)) return undefined;
  return splitAtSeams(triangles.data, uvTriangles.data, data);
}

function rowsOf(points: ArrayLike<number>, vertices: Int32Array): Float32Array {
  const out = new Float32Array(3 * vertices.length);
  for (let i = 0; i < out.length; i++) out[i] = points[3 * vertices[Math.floor(i / 3)] + (i % 3)];
  return out;
}

function turn(rows: Float32Array, r: Float64Array): void {
  for (let i = 0; i < rows.length; i += 3) {
    const [x, y, z] = [rows[i], rows[i + 1], rows[i + 2]];
    for (let c = 0; c < 3; c++) rows[i + c] = r[3 * c] * x + r[3 * c + 1] * y + r[3 * c + 2] * z;
  }
}

function landmarksOf(folder: string, file: string | undefined, triangles: ArrayLike<number>): Int32Array {
  const places = file ? [file] : ['landmarks.json', 'landmarks.txt'].map((name) => path.join(folder, name));
  const place = places.find((p) => file !== undefined || statSync(p, { throwIfNoEntry: false })?.isFile());
  if (!place) {
    throw new FormatError(
      folder,
      'landmarks',
      `there is no landmarks.json; wanted ${VERTICES_WANTED}, or a face model of the same topology`,
    );
  }
  const found = readLandmarkVertices(place, triangles);
  if (found.some((v) => v < 0)) throw new FormatError(place, 'landmarks', 'leaves some of the 68 open; all are wanted');
  return found;
}
