// How well a cascade fits photos whose parameters are known: NME of the 68 landmarks, by yaw.
import { type ParameterCounts, splitParameters } from '../../models/face-parameters.js';
import type { MorphableModel } from '../../models/morphable.js';
import { applyPose } from '../../models/pose.js';
import { tensor } from '../../tensor/create.js';
import type { FaceCrop, FaceSource } from '../dataset/faces.js';
import { byYaw, normalizedMeanError } from '../fit-error.js';
import { type Fitter, fitCrops } from '../fitters.js';

export interface ScoredFace {
  truth: Float64Array;
  fitted: Float64Array;
  yaw: number;
}

export interface FittedFacesOptions {
  /** How many photos, spread over the people: all unless told. */
  count?: number;
  /** How many stages look at them: all unless told. */
  stages?: number;
  batch?: number;
  /** Where photo `index` comes from: the source unless told. */
  photo?: (index: number) => FaceCrop | Promise<FaceCrop>;
}

/** Photos as the cascade fits them, which is brought to evaluation mode. */
export async function fittedFaces(
  fitter: Fitter,
  photos: FaceSource,
  { count = photos.length, stages, batch = 32, photo = (index) => photos.face(index) }: FittedFacesOptions = {},
): Promise<ScoredFace[]> {
  const { side } = photos;
  const total = Math.min(count, photos.length);
  const d = fitter.start.length;
  fitter.cascade.eval();
  const out: ScoredFace[] = [];
  for (let from = 0; from < total; from += batch) {
    const length = Math.min(batch, total - from);
    const faces = await Promise.all(
      Array.from({ length }, (_, i) => photo(Math.floor(((from + i) * photos.length) / total))),
    );
    const crops = new Uint8Array(length * side * side * 3);
    for (const [i, { crop }] of faces.entries()) crops.set(crop, i * side * side * 3);
    const input = tensor(crops, { shape: [length, side, side, 3], dtype: 'u8' });
    const found = await fitCrops(fitter, input, stages);
    input.dispose();
    for (const [i, { truth, yaw }] of faces.entries()) {
      out.push({
        truth: Float64Array.from(truth),
        yaw,
        fitted: Float64Array.from(found.subarray(i * d, (i + 1) * d)),
      });
    }
  }
  return out;
}

/** Their NME in per cent: means by bin of yaw, and the bins' mean. */
export function landmarkErrors(
  faces: readonly ScoredFace[],
  model: MorphableModel,
  counts: ParameterCounts,
): { bins: Record<string, number>; mean: number } {
  const landmarks = (p: ArrayLike<number>) => {
    const { pose, alpha, beta } = splitParameters(p, counts);
    return applyPose(model.verticesAt(model.landmarks, alpha, beta), pose);
  };
  return byYaw(
    faces.map(({ truth, fitted, yaw }) => ({
      yaw,
      nme: normalizedMeanError(landmarks(fitted), landmarks(truth), 3),
    })),
  );
}
