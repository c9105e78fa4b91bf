// 300W-LP and what has its layout (AFLW2000-3D): photos with a .mat beside each, whose face is fitted with the Basel model. Contract: a photo's
// crop and its profiled copies depend on the folder, the seed and their number alone; all photos of one original are in one fold.
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { FormatError } from '../../formats/error.js';
import { isMatArray, readMat } from '../../formats/mat.js';
import { Random } from '../../head/random.js';
import { parameterVector } from '../../models/face-parameters.js';
import type { MorphableModel } from '../../models/morphable.js';
import type { Roi } from '../../models/parameters62.js';
import { applyAffine, poseFromAffine, rotationFromEuler } from '../../models/pose.js';
import { cascadeCrop, inCrop } from '../fit-cascade.js';
import { FACE_OFF, FACE_SHARE } from '../fitters.js';
import { readPixels } from '../image.js';
import { boxOf } from '../regression.js';
import { surfaceOf } from '../synthesise.js';
import type { FaceSource } from './faces.js';
import { turnedPhoto } from './profile.js';
import { seedOf } from './recent.js';

export interface LpFacesOptions {
  /** The Basel model with the modes that the annotations begin with: bfm_3ddfa. */
  model: MorphableModel;
  side: number;
  seed?: number;
  /** Copies of each photo that are turned further to the side that its face looks to, by face profiling. */
  profiles?: number;
  /** Degrees that profiled copies are turned up to. */
  maxYaw?: number;
  /** Originals: of every ten, eight are for training and one for each of the others. */
  fold?: 'all' | 'train' | 'regeneration' | 'validation';
}

/** A photo as its annotation has it. */
interface Annotated {
  file: string;
  /** Row-major 3x4 to the photo, y up. */
  camera: Float64Array;
  alpha: Float64Array;
  beta: Float64Array;
}

const FOLDS = { train: [0, 1, 2, 3, 4, 5, 6, 7], regeneration: [8], validation: [9] } as const;

/**
 * The photos below `folder` that have a .mat of the same name with `Pose_Para`, `Shape_Para` and `Exp_Para`; coefficients beyond the model's are left
 * out. Throws FormatError for a folder without any, and naming the file for an annotation that is no use; RangeError for options out of range.
 */
export async function lpFaces(folder: string, options: LpFacesOptions): Promise<FaceSource> {
  const { model, side, seed = 1, profiles = 0, maxYaw = 90, fold = 'all' } = options;
  if (!Number.isInteger(profiles) || profiles < 0)
    throw new RangeError(`lpFaces: profiles must be whole, got ${profiles}`);
  const counts = { identity: model.identityCount, expression: model.expressionCount };
  const stems = annotatedStems(folder);
  if (stems.length === 0) throw new FormatError(folder, 'photos', 'there is none with a .mat beside it');
  const originals = [...new Set(stems.map(originalOf))];
  const rank = new Map(originals.map((name, i) => [name, i % 10]));
  const wanted: readonly number[] | undefined = fold === 'all' ? undefined : FOLDS[fold];
  const kept = stems.filter((stem) => !wanted || wanted.includes(rank.get(originalOf(stem)) ?? 0));
  if (kept.length === 0)
    throw new FormatError(folder, 'photos', `${originals.length} originals are too few for a fold`);
  const photos = await Promise.all(kept.map((stem) => readAnnotation(stem, model)));
  const block = 1 + profiles;
  const length = photos.length * block;

  const placed = (index: number) => {
    if (!Number.isInteger(index) || index < 0 || index >= length) {
      throw new RangeError(`lpFaces: photos are 0 to ${length - 1}, got ${index}`);
    }
    const photo = photos[Math.floor(index / block)];
    const random = new Random(seedOf(seed, Math.floor(index / block), index % block));
    const { alpha, beta } = photo;
    const marks = model.verticesAt(model.landmarks, alpha, beta);
    const centre = mean(applyAffine(marks, photo.camera));
    const { yaw } = poseFromAffine(photo.camera).angles;
    // Further to its side: a frontal face shows all that a profile does, not the other way round.
    const turn = index % block === 0 ? 0 : Math.sign(yaw || 1) * random.uniform(0, Math.max(0, maxYaw - Math.abs(yaw)));
    const camera = turned(photo.camera, turn, centre);
    const seen = applyAffine(marks, camera).map((v, i) => (i % 3 === 1 ? -v : v));
    const roi = around(seen, random);
    const { pose, angles } = poseFromAffine(inCrop(camera, roi, side));
    return { photo, centre, turn, roi, yaw: angles.yaw, truth: parameterVector({ pose, alpha, beta }, counts) };
  };

  return {
    length,
    block,
    side,
    counts,
    model,
    truth(index) {
      const { truth, yaw } = placed(index);
      return { truth, yaw };
    },
    async face(index) {
      const { photo, centre, turn, roi, truth, yaw } = placed(index);
      let picture = await readPixels(photo.file);
      if (turn !== 0) {
        const upright = applyAffine(model.vertices(photo.alpha, photo.beta), photo.camera);
        const vertices = upright.map((v, i) => (i % 3 === 1 ? -v : v));
        const face = { vertices, triangles: surfaceOf(model) };
        picture = turnedPhoto(picture, face, { yaw: turn, centre: [centre[0], -centre[1], centre[2]] });
      }
      return { crop: cascadeCrop(picture, roi, side).data, truth, yaw };
    },
  };
}

/** Paths without ending of the photos with a .mat, sorted. */
function annotatedStems(folder: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new FormatError(folder, 'folder', 'is not there');
  const names = new Set(readdirSync(folder, { recursive: true, encoding: 'utf8' }));
  return [...names]
    .filter((name) => name.endsWith('.mat') && names.has(`${name.slice(0, -4)}.jpg`))
    .map((name) => path.join(folder, name.slice(0, -4)))
    .sort();
}

/** 300W-LP numbers the profiled copies of a photo at the end of the name. */
const originalOf = (stem: string): string => stem.replace(/_\d+$/, '');

async function readAnnotation(stem: string, model: MorphableModel): Promise<Annotated> {
  const mat = `${stem}.mat`;
  const variables = readMat(mat, { only: ['Pose_Para', 'Shape_Para', 'Exp_Para'] });
  const numbers = (name: string, least: number): Float64Array => {
    const value = variables[name];
    const fits = isMatArray(value) && value.data.length >= least && value.data.every(Number.isFinite);
    if (!fits) throw new FormatError(mat, name, `wanted at least ${least} finite numbers`);
    return Float64Array.from(value.data);
  };
  const file = `${stem}.jpg`;
  const { height } = await sharp(file)
    .metadata()
    .catch((error: Error) => {
      throw new FormatError(file, 'photo', error.message);
    });
  return {
    file,
    camera: cameraOf(numbers('Pose_Para', 7), height ?? 0),
    alpha: numbers('Shape_Para', model.identityCount).slice(0, model.identityCount),
    beta: numbers('Exp_Para', model.expressionCount).slice(0, model.expressionCount),
  };
}

/**
 * The camera of pitch, yaw, roll (radians), tx, ty, tz and f as the published code reads them: f Rx Ry Rz S + t, in pixels counted from 1 and from
 * the photo's lower edge.
 */
export function cameraOf(
  [pitch, yaw, roll, tx, ty, tz, f]: ArrayLike<number> & Iterable<number>,
  height: number,
): Float64Array {
  const [cx, sx, cy, sy, cz, sz] = [pitch, yaw, roll].flatMap((angle) => [Math.cos(angle), Math.sin(angle)]);
  const rotation = [
    ...[cy * cz, cy * sz, -sy],
    ...[sx * sy * cz - cx * sz, sx * sy * sz + cx * cz, sx * cy],
    ...[cx * sy * cz + sx * sz, cx * sy * sz - sx * cz, cx * cy],
  ];
  const t = [tx - 1, ty - height, tz];
  return Float64Array.from({ length: 12 }, (_, i) => (i % 4 === 3 ? t[i >> 2] : f * rotation[3 * (i >> 2) + (i % 4)]));
}

/** A camera whose face is turned about the upright axis through a point. */
function turned(camera: Float64Array, yaw: number, [x, , z]: readonly number[]): Float64Array {
  if (yaw === 0) return camera;
  const r = rotationFromEuler({ yaw, pitch: 0, roll: 0 });
  const out = Float64Array.from(camera);
  for (let c = 0; c < 4; c++) {
    const [dx, dz] = [camera[c] - (c === 3 ? x : 0), camera[8 + c] - (c === 3 ? z : 0)];
    out[c] = r[0] * dx + r[2] * dz + (c === 3 ? x : 0);
    out[8 + c] = r[6] * dx + r[8] * dz + (c === 3 ? z : 0);
  }
  return out;
}

function mean(points: Float32Array): number[] {
  const at = [0, 0, 0];
  for (let i = 0; i < points.length; i++) at[i % 3] += (3 * points[i]) / points.length;
  return at;
}

/** A square around landmarks as a detector might give it. */
function around(landmarks: Float32Array, random: Random): Roi {
  const [left, top, right, bottom] = boxOf(landmarks, 3);
  const size = Math.max(right - left, bottom - top) / random.uniform(...FACE_SHARE);
  const [x, y] = [left + right, top + bottom].map(
    (sum) => sum / 2 - size / 2 + random.uniform(-FACE_OFF, FACE_OFF) * size,
  );
  return [x, y, x + size, y + size];
}
