// The whole way with a person who does not exist, so that the truth is known and nothing needs to be at hand.
import { drawPerson, type Person } from '../head/person.js';
import { rotationFromEuler } from '../models/pose.js';
import { tensor } from '../tensor/create.js';
import { tidy } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import type { CompleteOptions } from './complete.js';
import { loadFaceModel } from './face_model.js';
import { fitPhoto } from './fit.js';
import { normalizedMeanError } from './fit-error.js';
import type { Fit } from './fit-face.js';
import { loadFitter } from './fitters.js';
import { loadGenerator } from './generators.js';
import { type Pixels, toPixels } from './image.js';
import { psnr, ssim } from './metrics.js';
import { boxOf } from './regression.js';
import { drawMesh, posed } from './render.js';
import { writeFace } from './results.js';
import { type Synthesis, surfaceOf, synthesiseFit, uvTableOf } from './synthesise.js';

export interface DemoOptions {
  /** Which person. */
  seed?: number;
  /** Pose of the photo in degrees. */
  pose?: { yaw: number; pitch: number; roll: number };
  /** Poses of the turntable in degrees. */
  yaw?: readonly number[];
  /** Side of the photo and of the UV map in pixels. */
  photoSize?: number;
  size?: number;
  viewSize?: number;
  /** From pixels, by the cascade that ships with the package, which is told the box around the face; or to the 68 landmarks that the renderer knows. */
  fit?: 'pixels' | 'landmarks';
  /** How hidden parts are filled: by the generator that ships with the package, the photo's own pixels kept, unless given. */
  completion?: CompleteOptions;
}

/** Quality against the person's true texture: in dB, and structural similarity. */
export interface Quality {
  psnr: number;
  ssim: number;
}

export interface DemoResult extends Synthesis {
  person: Person;
  photo: Pixels;
  /** f32 [size, size, 3]: the texture that the completed one is compared with. */
  truth: Tensor;
  /** The completed map over the whole face, and over what the photo did not see. */
  face: Quality;
  hidden: Quality;
  /** The incomplete map over the whole face: what there was before completion. */
  before: Quality;
  /** Degrees between the fitted pose and the true one. */
  poseError: number;
  /** NME of the 68 landmarks in per cent. */
  landmarkError: number;
}

const BACKDROP = [196, 203, 212] as const;

/**
 * Draws person `seed` of the embedded face model, renders a photo of it, fits the model to the photo (no detector ships: the box around the face comes
 * from the renderer), unwraps, completes, renders the turntable and measures the completed texture against the true one.
 */
export async function runDemo(options: DemoOptions = {}): Promise<DemoResult> {
  const { seed = 1, pose = { yaw: 45, pitch: 0, roll: 0 }, photoSize = 512, size = 256 } = options;
  const model = loadFaceModel();
  const person = drawPerson(seed, model, { size });
  const table = uvTableOf(model, size);
  const truth = tensor(person.texture, { shape: [size, size, 3] });
  const shape = model.vertices(person.alpha, person.beta);
  const vertices = posed(shape, pose, photoSize);
  const mesh = { vertices, triangles: surfaceOf(model), uv: model.uv, texture: truth, footprint: table.footprint };
  const photo = tidy(() => toPixels(drawMesh(mesh, { size: photoSize, background: BACKDROP, supersampling: 2 }).image));
  const marks = model.landmarksOf(vertices);
  const landmarks = marks.filter((_, i) => i % 3 !== 2);
  const fit = await fitted(photo, landmarks, options.fit ?? 'pixels');
  const generator = options.completion ? undefined : loadGenerator();
  const completion = options.completion ?? { generator, composite: true };
  const synthesis = synthesiseFit(photo, fit, {
    ...completion,
    model,
    size,
    yaw: options.yaw,
    viewSize: options.viewSize,
    background: BACKDROP,
  });
  generator?.dispose();

  const { footprint } = table;
  const seen = synthesis.mask.dataSync();
  const whole = tensor(footprint, { shape: [size, size], dtype: 'u8' });
  const hidden = tensor(
    footprint.map((inside, p) => (inside && !seen[p] ? 1 : 0)),
    { shape: [size, size], dtype: 'u8' },
  );
  const quality = (map: Tensor, mask: Tensor): Quality => ({
    psnr: psnr(map, truth, { mask }),
    ssim: ssim(map, truth, { mask }),
  });
  const result = {
    face: quality(synthesis.completed, whole),
    hidden: quality(synthesis.completed, hidden),
    before: quality(synthesis.incomplete, whole),
  };
  whole.dispose();
  hidden.dispose();
  const dispose = () => {
    truth.dispose();
    synthesis.dispose();
  };
  const landmarkError = normalizedMeanError(fit.landmarks, marks, 3);
  return { ...synthesis, ...result, person, photo, truth, poseError: angleBetween(fit, pose), landmarkError, dispose };
}

async function fitted(photo: Pixels, landmarks: Float32Array, from: 'pixels' | 'landmarks'): Promise<Fit> {
  const model = loadFaceModel();
  if (from === 'landmarks') return (await fitPhoto(photo, { model, landmarks }))[0];
  const fitter = loadFitter(undefined, model);
  const [fit] = await fitPhoto(photo, { model, fitter, extent: boxOf(landmarks, 2), passes: 2 });
  fitter.cascade.dispose();
  return fit;
}

/** Degrees of the rotation between two poses. */
function angleBetween(a: { yaw: number; pitch: number; roll: number }, b: typeof a): number {
  const [p, q] = [rotationFromEuler(a), rotationFromEuler(b)];
  const trace = p.reduce((sum, v, i) => sum + v * q[i], 0);
  return (Math.acos(Math.max(-1, Math.min(1, (trace - 1) / 2))) * 180) / Math.PI;
}

/** Writes a demo's files into a folder (see `writeFace`); returns their names. */
export async function writeDemo(folder: string, demo: DemoResult): Promise<string[]> {
  const { person, face, hidden, before, poseError, landmarkError } = demo;
  const { seed } = person;
  const record = { demo: { seed, poseError, landmarkError, face, hidden, before } };
  return writeFace(folder, { ...demo, units: loadFaceModel().units, record });
}
