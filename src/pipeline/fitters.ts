// Trained cascades on disk, and what they make of a crop. Contract: a file says how to build its networks and holds the statistics that
// its numbers are meant in; it belongs to one face model, whose name and mode counts it states.
import { fileURLToPath } from 'node:url';
import { FormatError } from '../formats/error.js';
import { loadSafetensors, type Metadata, readSafetensorsMetadata, saveSafetensors } from '../formats/safetensors.js';
import { Cascade, MobileNetStage, type StageNetwork } from '../models/cascade.js';
import { FaceFeatures } from '../models/face-features.js';
import { initialVector, type ParameterStatistics, parameterCount } from '../models/face-parameters.js';
import type { MorphableModel } from '../models/morphable.js';
import { TwoStreamNetwork } from '../models/two-stream.js';
import { tensor } from '../tensor/create.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { loadFaceModel } from './face_model.js';

export const FITTER_NETWORKS = ['mobilenet', 'two-stream'] as const;
export type FitterNetwork = (typeof FITTER_NETWORKS)[number];

/** Side of the crops unless told: that of the networks' papers. */
export const FITTER_SIDE: Readonly<Record<FitterNetwork, number>> = { mobilenet: 120, 'two-stream': 100 };

/** Share of a crop's side that the extent of the landmarks fills, in training and in use (our choice). */
export const FACE_SHARE = [0.52, 0.72] as const;
/** How far from the crop's middle the face is at most in training, in parts of the crop, as with a detector's box (our choice). */
export const FACE_OFF = 0.05;

export interface FitterSettings {
  network: FitterNetwork;
  stages: number;
  /** Of mobilenet the width multiplier, of two-stream the share of its 32 to 256 channels. */
  width: number;
  /** Side of the crops in pixels. */
  side: number;
}

/** A cascade with what it takes to use it. */
export interface Fitter {
  settings: FitterSettings;
  cascade: Cascade;
  statistics: ParameterStatistics;
  /** p^0 */
  start: Float64Array;
}

/**
 * A cascade for a face model, weights drawn from `manualSeed`'s stream. MobileNet's first stage sees the photo alone: p^0 is the same for
 * every crop. `initialize: false` leaves all weights 0, for a state that is about to be loaded. Throws ShapeError.
 */
export function createFitter(
  settings: FitterSettings,
  model: MorphableModel,
  statistics: ParameterStatistics,
  { initialize = true } = {},
): Fitter {
  const { network, stages, width, side } = settings;
  const counts = { identity: model.identityCount, expression: model.expressionCount };
  const outputs = parameterCount(counts);
  const networks = Array.from({ length: stages }, (_, k): StageNetwork => {
    if (network === 'mobilenet')
      return new MobileNetStage({ widthMultiplier: width, outputs, pncc: k > 0, initialize });
    return new TwoStreamNetwork({ outputs, baseWidth: Math.max(1, Math.round(32 * width)), side, initialize });
  });
  const cascade = new Cascade(networks, new FaceFeatures(model, { side }), statistics);
  return { settings, cascade, statistics, start: initialVector(model, counts, { side }) };
}

/** Crops [n, side, side, 3] RGB, u8 or f32 in 0..255 -> vectors [n, d]. The cascade should be in evaluation mode. */
export async function fitCrops({ cascade, start }: Fitter, crops: Tensor, stages?: number): Promise<Float32Array> {
  const n = crops.shape[0];
  const p = tidy(() => {
    const starts = Float32Array.from({ length: n * start.length }, (_, i) => start[i % start.length]);
    return cascade.forward(crops, tensor(starts, { shape: [n, start.length] }), { stages });
  });
  const values = await p.data();
  p.dispose();
  return values;
}

/** Writes the first `stages` stages. Throws FormatError. */
export function saveFitter(
  path: string,
  { settings, cascade, statistics }: Fitter,
  model: MorphableModel,
  { stages = settings.stages, about = {} }: { stages?: number; about?: Metadata } = {},
): void {
  const { network, width, side } = settings;
  const numbers = { stages, width, side, identity: model.identityCount, expression: model.expressionCount };
  const metadata = {
    ...about,
    kind: 'fitter',
    layout: 'torch',
    network,
    model: model.name,
    ...Object.fromEntries(Object.entries(numbers).map(([key, value]) => [key, String(value)])),
  };
  tidy(() => {
    const state = Object.entries(cascade.stateDict({ to: 'torch' }));
    const kept = state.filter(([name]) => Number(name.split('.')[1]) < stages);
    const d = statistics.mean.length;
    const own = { mean: tensor(statistics.mean, { shape: [d] }), std: tensor(statistics.std, { shape: [d] }) };
    saveSafetensors(path, { ...Object.fromEntries(kept), ...own }, metadata);
  });
}

/** The file of the cascade that ships with the package, for the package's own face model. */
export const SHIPPED_FITTER = fileURLToPath(new URL('../../assets/fitter.safetensors', import.meta.url));

/** Whether a file holds a cascade that `saveFitter` wrote. */
export const isFitter = (path: string): boolean =>
  path.endsWith('.safetensors') && readSafetensorsMetadata(path).kind === 'fitter';

/** The cascade of a file, in evaluation mode, for the face model it was trained for; by default those that ship. Throws FormatError. */
export function loadFitter(path: string = SHIPPED_FITTER, model: MorphableModel = loadFaceModel()): Fitter {
  const metadata = readSafetensorsMetadata(path);
  if (metadata.kind !== 'fitter') throw new FormatError(path, 'metadata kind', `wanted fitter, got '${metadata.kind}'`);
  const network = FITTER_NETWORKS.find((name) => name === metadata.network);
  if (!network) {
    const wanted = FITTER_NETWORKS.join(', ');
    throw new FormatError(path, 'metadata network', `wanted one of ${wanted}, got '${metadata.network}'`);
  }
  const number = (key: string) => {
    const value = Number(metadata[key]);
    if (value > 0) return value;
    throw new FormatError(path, `metadata ${key}`, `wanted a number above 0, got '${metadata[key]}'`);
  };
  const [identity, expression] = [number('identity'), number('expression')];
  if (metadata.model !== model.name || identity !== model.identityCount || expression !== model.expressionCount) {
    throw new FormatError(
      path,
      'metadata model',
      `is for ${metadata.model} with ${identity} and ${expression} modes, not for ${model.name} with ${model.identityCount} and ${model.expressionCount}`,
    );
  }
  const settings = { network, stages: number('stages'), width: number('width'), side: number('side') };
  const { mean, std, ...state } = loadSafetensors(path);
  try {
    if (!mean || !std) throw new FormatError(path, 'mean, std', 'are missing');
    const values = (x: Tensor) => Float64Array.from(x.dataSync());
    const fitter = createFitter(settings, model, { mean: values(mean), std: values(std) }, { initialize: false });
    fitter.cascade.loadStateDict(state, { from: 'torch' });
    fitter.cascade.eval();
    return fitter;
  } catch (error) {
    if (error instanceof ShapeError) throw new FormatError(path, 'weights', error.message.slice(0, 400));
    throw error;
  } finally {
    for (const x of [mean, std, ...Object.values(state)]) x?.dispose();
  }
}
