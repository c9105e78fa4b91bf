// The model and the networks that a command over photos needs, loaded once, and the refusal of combinations that cannot work.
import { statSync } from 'node:fs';
import { FormatError } from '../formats/error.js';
import type { MorphableModel } from '../models/morphable.js';
import type { CompleteOptions } from '../pipeline/complete.js';
import { type FaceDetector, loadDetector, loadRegressor } from '../pipeline/detect.js';
import { type ConvertOptions, loadFaceModel } from '../pipeline/face_model.js';
import type { Passes } from '../pipeline/fit.js';
import { type Fitter, isFitter, loadFitter, SHIPPED_FITTER } from '../pipeline/fitters.js';
import type { Regressor } from '../pipeline/regression62.js';
import { UsageError } from './errors.js';
import type { PhotoOptions } from './photo-options.js';
import { findDetector, findRegressor, noDetector, noRegressor, otherModel, type WeightOptions } from './weights.js';

export interface Fitting {
  model: MorphableModel;
  detector?: FaceDetector;
  regressor?: Regressor;
  fitter?: Fitter;
  /** How often the regressor looks. */
  passes?: Passes;
  refine?: boolean;
  /** Where the weights came from. */
  files: Record<string, unknown>;
}

/** What fitting these photos takes. Throws UsageError or FormatError, naming what is missing or of no use. */
export function loadFitting(options: PhotoOptions, photos: number, uv: ConvertOptions['uv'] = 'own'): Fitting {
  const { model: file, landmarks, box, refine } = options;
  if (file !== undefined && !statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new UsageError(
      `--model ${file}: there is no such file; give a face model or leave it out for the package's own`,
    );
  }
  if (landmarks !== undefined) {
    const source = statSync(landmarks, { throwIfNoEntry: false });
    if (!source)
      throw new UsageError(`--landmarks ${landmarks}: does not exist; give a file of 68 points or a folder of them`);
    if (photos > 1 && !source.isDirectory()) {
      throw new UsageError(`--landmarks ${landmarks}: is for one photo; for many give a folder with a file for each`);
    }
    return {
      model: named('--model', 'give a face model or leave it out', () => loadFaceModel(file, { uv })),
      refine,
      files: {},
    };
  }
  const places = box ? undefined : findDetector(options);
  const regression = loadRegression(options, uv);
  if (!box && !places) throw noDetector(options, '--box left,top,right,bottom');
  const { weights, ...networks } = regression;
  const detector = places && detectorOf(options, places);
  // One look is what the original program of the regressor does.
  const passes = options.passes ?? (networks.fitter ? 2 : 1);
  return { ...networks, detector, passes, refine, files: { weights, detectorWeights: places } };
}

/**
 * What fits, and the model it speaks of: the network of --weights, else for the package's own face model the cascade that ships, for others the
 * regressor in a folder of weights. Throws UsageError or FormatError.
 */
export function loadRegression(
  options: WeightOptions & { model?: string },
  uv: ConvertOptions['uv'] = 'own',
): Pick<Fitting, 'regressor' | 'fitter'> & { model: MorphableModel; weights: string } {
  const model = named('--model', 'give a face model', () => loadFaceModel(options.model, { uv }));
  const weights = options.model || options.weights ? findRegressor(options) : SHIPPED_FITTER;
  if (!weights) throw model.parameterMean ? noRegressor() : otherModel(options.model);
  if (isFitter(weights)) {
    const fitter = named('--weights', 'give its own face model', () => loadFitter(weights, model));
    return { model, fitter, weights };
  }
  const regressor = named('--weights', 'give mb05_120x120.pth or .safetensors', () => loadRegressor(weights));
  if (!model.parameterMean) throw otherModel(options.model);
  return { model, regressor, weights };
}

/** The detector that the options name or a folder of weights holds; undefined where neither does. */
export function loadNamedDetector(options: WeightOptions): FaceDetector | undefined {
  const files = findDetector(options);
  return files && detectorOf(options, files);
}

const detectorOf = ({ detector: kind }: WeightOptions, weights: string[]): FaceDetector =>
  named('--detector-weights', `give those of ${kind} or another --detector`, () => loadDetector({ kind, weights }));

const LONGEST = 240;

/** A file that an option named and that is no use: the error says which option, and what would be. */
export function named<T>(option: string, advice: string, load: () => T): T {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const { message } = error;
    const short = message.length > LONGEST ? `${message.slice(0, LONGEST)} ...` : message;
    throw new UsageError(`${option} ${short}; ${advice}`);
  }
}

const SIDE = 32;

export interface Completion {
  complete: CompleteOptions;
  /** The generator is the one that ships with the package, which knows one layout. */
  shipped: boolean;
}

/** How hidden parts are to be filled: as the options say, else by the generator that ships. Throws UsageError or FormatError. */
export async function loadCompletion({
  completion,
  generator,
  composite = true,
  size = 256,
}: PhotoOptions): Promise<Completion> {
  const method = completion ?? 'generator';
  if (method === 'mirror') {
    if (generator) throw new UsageError('--generator is not used by --completion mirror; leave one of them out');
    return { complete: { method }, shipped: false };
  }
  if (generator && !statSync(generator, { throwIfNoEntry: false })?.isFile()) {
    throw new UsageError(`--generator ${generator}: there is no such file; give the .safetensors of a generator`);
  }
  const { loadGenerator } = await import('../pipeline/generators.js');
  const network = named('--generator', 'give the .safetensors of a generator', () => loadGenerator(generator));
  if (network.options.size === undefined && size % SIDE !== 0) {
    throw new UsageError(`--size ${size}: this generator works on sides that are multiples of ${SIDE}`);
  }
  return { complete: { method, generator: network, composite }, shipped: !generator };
}
