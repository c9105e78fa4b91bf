// Where weight files are: named by an option, or found by their known names in a folder of weights.
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from './errors.js';

export interface WeightOptions {
  weights?: string;
  weightsDir?: string;
  detector: 'faceboxes' | 'mtcnn';
  detectorWeights?: string;
}

const TORCH = ['.safetensors', '.pth', '.pt'];
const HINT = 'or name a folder that has it with --weights-dir or the environment variable RESCUNET_WEIGHTS';

/** The folder named by --weights-dir, else by the environment; undefined where neither does. Throws UsageError for a wrong one. */
function weightsFolder({ weightsDir }: WeightOptions): string | undefined {
  const folder = weightsDir ?? process.env.RESCUNET_WEIGHTS;
  if (!folder) return undefined;
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return folder;
  throw new UsageError(`${weightsDir ? '--weights-dir' : 'RESCUNET_WEIGHTS'} ${folder}: is not a folder`);
}

function named(option: string, file: string): string {
  if (existsSync(file)) return file;
  throw new UsageError(`${option} ${file}: does not exist`);
}

const inFolder = (folder: string, stem: string): string | undefined =>
  TORCH.map((ending) => path.join(folder, stem + ending)).find((file) => existsSync(file));

/** The 62-parameter regressor's file, or undefined where none is named or found. */
export function findRegressor(options: WeightOptions): string | undefined {
  if (options.weights) return named('--weights', options.weights);
  const folder = weightsFolder(options);
  return folder && inFolder(folder, 'mb05_120x120');
}

/** One file for FaceBoxes, three (P, R, O) for MTCNN; undefined where none is named or found. */
export function findDetector(options: WeightOptions): string[] | undefined {
  const stems = options.detector === 'mtcnn' ? ['mtcnn_pnet', 'mtcnn_rnet', 'mtcnn_onet'] : ['FaceBoxesProd'];
  const { detectorWeights } = options;
  if (detectorWeights && !statSync(detectorWeights, { throwIfNoEntry: false })?.isDirectory()) {
    const files = detectorWeights.split(',').map((file) => named('--detector-weights', file));
    if (files.length === stems.length) return files;
    throw new UsageError(
      options.detector === 'mtcnn'
        ? `--detector-weights ${detectorWeights}: MTCNN has three files; give a folder with ${stems.join('.pt, ')}.pt or the three files with commas between`
        : `--detector-weights ${detectorWeights}: FaceBoxes has one file`,
    );
  }
  const folder = detectorWeights ?? weightsFolder(options);
  if (!folder) return undefined;
  const found = stems.map((stem) => inFolder(folder, stem));
  const missing = stems.filter((_, i) => !found[i]);
  if (missing.length === 0) return found as string[];
  if (detectorWeights) throw new UsageError(`--detector-weights ${folder}: the folder has no ${missing.join(', ')}`);
  return undefined;
}

/** The recogniser's file, or undefined where none is named or found. */
export function findRecogniser(options: WeightOptions & { recogniser?: string }): string | undefined {
  if (options.recogniser) return named('--recogniser', options.recogniser);
  const folder = weightsFolder(options);
  return folder && inFolder(folder, 'mobilefacenet_casia_068');
}

/** What to do about a recogniser that was not found. */
export const noRecogniser = (): UsageError =>
  new UsageError(`embeddings need --recogniser mobilefacenet_casia_068.safetensors, or an IR-18 to 100 (${HINT})`);

/** What to do about a regressor that was not found. */
export const noRegressor = (): UsageError =>
  new UsageError(`fitting needs --weights mb05_120x120.safetensors (${HINT}), or --landmarks with 68 points`);

/** What to do about a face model that no regressor knows: `model` as it was named, the package's own without a name. */
export const otherModel = (model?: string): UsageError =>
  new UsageError(
    model
      ? `--model ${model}: regressors know the face model of 3DDFA alone; name --model bfm_3ddfa.safetensors, or give --landmarks with 68 points`
      : 'regressors know the face model of 3DDFA alone; name it with --model bfm_3ddfa.safetensors, or give --landmarks',
  );

/** What to do about a detector that was not found; `other` says what else would do. */
export const noDetector = ({ detector }: WeightOptions, other?: string): UsageError => {
  const what = detector === 'mtcnn' ? 'mtcnn_pnet.pt, mtcnn_rnet.pt, mtcnn_onet.pt' : 'FaceBoxesProd.safetensors';
  return new UsageError(`finding faces needs --detector-weights with ${what} (${HINT})${other ? `, or ${other}` : ''}`);
};
