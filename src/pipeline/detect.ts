// Networks from their files: face detectors and the 62-parameter regressor, whatever their weights are stored in.
// Contract: what is returned is in evaluation mode; a file that does not fit leaves nothing behind.
import path from 'node:path';
import { FormatError } from '../formats/error.js';
import { loadSafetensors } from '../formats/safetensors.js';
import { loadTorch } from '../formats/torch.js';
import type { FaceDetector } from '../models/detection.js';
import { FaceBoxes } from '../models/faceboxes.js';
import { MobileNetV1, predictCrops } from '../models/mobilenet.js';
import { Mtcnn } from '../models/mtcnn.js';
import { optimizeForInference } from '../nn/inference.js';
import type { LoadStateOptions, Module } from '../nn/module.js';
import { concat, slice } from '../tensor/ops/layout.js';
import { ShapeError } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Regressor } from './regression62.js';

export type { FaceBox, FaceDetector } from '../models/detection.js';

export interface DetectorSource {
  kind: 'faceboxes' | 'mtcnn';
  /** One file for FaceBoxes; those of P-Net, R-Net and O-Net, in this order, for MTCNN. */
  weights: string | readonly string[];
}

/**
 * A face detector with its weights (.safetensors, or a torch checkpoint). Throws FormatError for files that are missing, damaged, or of another
 * network.
 */
export function loadDetector({ kind, weights }: DetectorSource): FaceDetector {
  const files = typeof weights === 'string' ? [weights] : weights;
  const wanted = kind === 'mtcnn' ? 3 : 1;
  if (files.length !== wanted) {
    throw new FormatError(files.join(', '), 'weights', `${kind} has ${wanted} file(s), got ${files.length}`);
  }
  if (kind === 'faceboxes') return loadWeights(new FaceBoxes(), files[0]);
  if (kind !== 'mtcnn') throw new FormatError(files[0], 'kind', `a detector is faceboxes or mtcnn, got '${kind}'`);
  const detector = new Mtcnn();
  const parts: Module[] = [detector.pnet, detector.rnet, detector.onet];
  parts.forEach((part, i) => {
    loadWeights(part, files[i]);
  });
  return detector;
}

/**
 * The regressor of 3DDFA_V2 at the width that its file has (mb05 or mb1), frozen for use: crops go through it one by one, so that one
 * plan serves photos of any number of faces. Throws FormatError.
 */
export function loadRegressor(file: string): Regressor {
  const state = readState(file);
  const channels = state['conv1.weight']?.shape[0] ?? state['module.conv1.weight']?.shape[0] ?? 16;
  const network = new MobileNetV1({ widthMultiplier: channels / 32, initialize: false });
  intoModule(network, file, state, { ignore: MobileNetV1.trainingHeads });
  const one = optimizeForInference(network);
  const forward = (x: Tensor): Tensor =>
    concat(
      Array.from({ length: x.shape[0] }, (_, i) =>
        one(slice(x, { start: [i, 0, 0, 0], size: [1, ...x.shape.slice(1)] })),
      ),
      { axis: 0 },
    );
  return { predict: (crops) => predictCrops(forward, crops) };
}

const loadWeights = <T extends Module>(module: T, file: string): T => intoModule(module, file, readState(file));

/** The tensors of a .safetensors file or torch checkpoint, in PyTorch's layout. */
export const readState = (file: string): Record<string, Tensor> =>
  path.extname(file).toLowerCase() === '.safetensors' ? loadSafetensors(file) : loadTorch(file);

/** Loads a state in PyTorch's layout and disposes of it; the module too where it does not fit. Throws FormatError. */
export function intoModule<T extends Module>(
  module: T,
  file: string,
  state: Record<string, Tensor>,
  options: LoadStateOptions = {},
): T {
  try {
    module.loadStateDict(state, { from: 'torch', ...options });
    return module;
  } catch (error) {
    module.dispose();
    if (!(error instanceof ShapeError)) throw error;
    const reason = error.message.replace(/^loadStateDict: /, '');
    const short = reason.length > 300 ? `${reason.slice(0, 300)} ...` : reason;
    throw new FormatError(file, 'weights', short);
  } finally {
    for (const t of Object.values(state)) t.dispose();
  }
}
