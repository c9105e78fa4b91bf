// The whole way of one photo: fit, unwrap, complete, and the face at new poses. Contract: tensors of the result live until `dispose`.
import { FitError } from '../models/fitter.js';
import type { MorphableModel } from '../models/morphable.js';
import { closeOpenings } from '../models/openings.js';
import type { EulerAngles } from '../models/pose.js';
import { tidy } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import { type CompleteOptions, complete } from './complete.js';
import { type FitPhotoOptions, fitPhoto } from './fit.js';
import type { Fit } from './fit-face.js';
import { type Pixels, readPixels } from './image.js';
import type { Colour } from './overlay.js';
import { frame, renderPoses, type TexturedMesh } from './render.js';
import { type Unwrapped, type UvTable, unwrap, uvTable } from './unwrap.js';

/** A photo without a face. */
export class NoFaceError extends Error {
  override readonly name = 'NoFaceError';
}

const closed = new WeakMap<MorphableModel, Int32Array>();

/** The triangles that photos are unwrapped on and views drawn with: the model's, mouth and eyes closed. */
export function surfaceOf(model: MorphableModel): Int32Array {
  const triangles = closed.get(model) ?? closeOpenings(model);
  closed.set(model, triangles);
  return triangles;
}

const tables = new WeakMap<MorphableModel, Map<number, UvTable>>();

/** The UV table of a model, made once per model and size; not to be called inside `tidy`. */
export function uvTableOf(model: MorphableModel, size = 256): UvTable {
  const ofModel = tables.get(model) ?? new Map<number, UvTable>();
  const table = ofModel.get(size) ?? uvTable(model.uv, surfaceOf(model), size);
  tables.set(model, ofModel.set(size, table));
  return table;
}

/** The fitted face without its pose: model space, its own shape and expression, its texture. */
export function faceMesh(
  model: MorphableModel,
  { alpha, beta, shape }: { alpha: ArrayLike<number>; beta: ArrayLike<number>; shape?: Float32Array },
  texture: Tensor,
  footprint?: Uint8Array,
): TexturedMesh {
  return {
    vertices: shape ?? model.vertices(alpha, beta),
    triangles: surfaceOf(model),
    uv: model.uv,
    texture,
    footprint,
  };
}

export interface CompletedFace {
  unwrapped: Unwrapped;
  /** f32 [size, size, 3], 0..255 */
  completed: Tensor;
  mesh: TexturedMesh;
}

/** Unwraps a fitted photo at `size` and completes it. */
export function completeFit(
  photo: Pixels | Tensor,
  fit: Fit,
  model: MorphableModel,
  { size = 256, ...completion }: CompleteOptions & { size?: number } = {},
): CompletedFace {
  const table = uvTableOf(model, size);
  const unwrapped = unwrap(photo, fit.vertices, table);
  const completed = complete(unwrapped, table.footprint, completion);
  return { unwrapped, completed, mesh: faceMesh(model, fit, completed, table.footprint) };
}

export interface ViewOptions {
  /** Degrees; every yaw with every pitch and roll. */
  yaw?: readonly number[];
  pitch?: readonly number[];
  roll?: readonly number[];
  /** Side of a view in pixels. */
  viewSize?: number;
  background?: Colour;
}

export interface FaceView extends EulerAngles {
  /** f32 [viewSize, viewSize, 3], 0..255 */
  image: Tensor;
}

/** The paper's nine views: yaw -80 to 80 in steps of 20. */
export const TURNTABLE: readonly number[] = [-80, -60, -40, -20, 0, 20, 40, 60, 80];

/** A face at every combination of the angles, all framed alike. */
export function faceViews(mesh: TexturedMesh, options: ViewOptions = {}): FaceView[] {
  const { yaw = TURNTABLE, pitch = [0], roll = [0], viewSize = 256, background } = options;
  const poses = pitch.flatMap((p) => roll.flatMap((r) => yaw.map((y) => ({ yaw: y, pitch: p, roll: r }))));
  const drawn = tidy(() =>
    renderPoses(mesh, poses, { size: viewSize, background, framing: frame(mesh.vertices) }).map(({ image }) => image),
  );
  return poses.map((pose, i) => ({ ...pose, image: drawn[i] }));
}

export interface SynthesiseOptions extends FitPhotoOptions, CompleteOptions, ViewOptions {
  /** Side of the UV map in pixels. */
  size?: number;
}

export interface Synthesis {
  fit: Fit;
  /** f32 [size, size, 3], 0..255: the photo's colours at every point of the surface, hidden or not. */
  incomplete: Tensor;
  /** u8 [size, size]: 1 where the photo saw the surface. */
  mask: Tensor;
  /** f32 [size, size, 3], 0..255 */
  completed: Tensor;
  /** Model-space mesh with the completed texture. */
  mesh: TexturedMesh;
  views: FaceView[];
  dispose(): void;
}

/**
 * Synthesises the largest face of a photo (a path, pixels, or a tensor [h, w, 3] in 0..255) at new poses. Throws NoFaceError when the
 * detector finds none; FormatError, FitError, FaceModelError and ShapeError as its parts do.
 */
export async function synthesise(photo: string | Pixels | Tensor, options: SynthesiseOptions): Promise<Synthesis> {
  const name = typeof photo === 'string' ? photo : 'photo';
  const pixels = typeof photo === 'string' ? await readPixels(photo) : photo;
  const [fit] = await fitPhoto(pixels, { ...options, faces: 'largest' });
  if (!fit) throw new NoFaceError(`${name}: no face found`);
  return synthesiseFit(pixels, fit, options);
}

/** The same from a fit. */
export function synthesiseFit(photo: Pixels | Tensor, fit: Fit, options: SynthesiseOptions): Synthesis {
  if (options.yaw?.length === 0) throw new FitError('synthesise: no yaw angles');
  const { unwrapped, completed, mesh } = completeFit(photo, fit, options.model, options);
  const views = faceViews(mesh, options);
  const { texture: incomplete, mask, confidence } = unwrapped;
  const dispose = () => {
    for (const t of [incomplete, mask, confidence, completed, ...views.map(({ image }) => image)]) t.dispose();
  };
  return { fit, incomplete, mask, completed, mesh, views, dispose };
}
