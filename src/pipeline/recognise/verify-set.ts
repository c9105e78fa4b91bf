// From a set of pairs and a recogniser to its numbers: every image embedded once. Contract: images in which no face is found are
// taken at their middle, where data sets of this kind put the face, and counted.

import type { MorphableModel } from '../../models/morphable.js';
import { ShapeError } from '../../tensor/shape.js';
import type { FaceDetector } from '../detect.js';

import { fitPhoto } from '../fit.js';
import type { Fit } from '../fit-face.js';
import { crop, type Pixels } from '../image.js';
import type { Box } from '../regression.js';
import type { Regressor } from '../regression62.js';
import { ARCFACE_CROP, alignFace, fivePoints } from './align.js';
import { embedCrops, type Recogniser } from './embed.js';
import type { PairSet } from './pair-set.js';
import { embeddingDistance, type VerificationResult, verify } from './verification.js';

/** What finds the five points of a photo. */
export interface PhotoFitting {
  model: MorphableModel;
  detector?: FaceDetector;
  regressor?: Regressor;
}

export interface EmbedSetOptions {
  recogniser: Recogniser;
  /** Needed unless the set's images are aligned. */
  fitting?: PhotoFitting;
  /** Told after each image. */
  onImage?: (done: number, total: number) => void;
}

export interface EmbeddedSet {
  /** One per image, of length 1. */
  embeddings: Float32Array[];
  /** Images in which no face was found. */
  unfound: string[];
}

/** Share of an image's shorter side that the face box has where the middle is taken: that of LFW. */
const MIDDLE = 0.45;

function middleBox({ width, height }: Pixels): Box {
  const half = (MIDDLE * Math.min(width, height)) / 2;
  const [x, y] = [width / 2, height / 2];
  return [x - half, y - half, x + half, y + half];
}

/** A crop on ArcFace's template as the recogniser wants it: the same or its middle columns. Throws ShapeError. */
function fromAligned(image: Pixels, recogniser: Recogniser): Pixels {
  const { height, width } = recogniser.crop;
  if (image.height !== ARCFACE_CROP.height || image.width !== ARCFACE_CROP.width) {
    throw new ShapeError(`embedSet: aligned images are 112x112, got ${image.height}x${image.width}`);
  }
  return crop(image, (ARCFACE_CROP.width - width) / 2, (ARCFACE_CROP.height - height) / 2, width, height);
}

/**
 * Embeddings of all images of a set; of several faces in a photo the largest. Throws FormatError for an image that cannot be read,
 * ShapeError when photos come without fitting.
 */
export async function embedSet(set: PairSet, options: EmbedSetOptions): Promise<EmbeddedSet> {
  const { recogniser, fitting, onImage } = options;
  if (!set.aligned && !fitting) throw new ShapeError(`embedSet: ${set.name} holds photos; wants what fits them`);
  const used = new Set(set.pairs.flatMap(({ first, second }) => [first, second]));
  const embeddings: Float32Array[] = new Array(set.images.length);
  const unfound: string[] = [];
  let done = 0;
  for (const image of used) {
    const pixels = await set.read(image);
    let aligned: Pixels;
    if (set.aligned || !fitting) aligned = fromAligned(pixels, recogniser);
    else {
      const found: Fit[] = await fitPhoto(pixels, { ...fitting, faces: 'largest' });
      if (found.length === 0) unfound.push(set.images[image]);
      const [fit] = found.length > 0 ? found : await fitPhoto(pixels, { ...fitting, box: middleBox(pixels) });
      aligned = alignFace(pixels, fivePoints(fit.landmarks), recogniser.crop);
    }
    [embeddings[image]] = await embedCrops(recogniser, [aligned]);
    onImage?.(++done, used.size);
  }
  return { embeddings, unfound };
}

/** Numbers of a set from one embedding per image. Throws ShapeError. */
export function verifyEmbeddings(set: PairSet, embeddings: readonly ArrayLike<number>[]): VerificationResult {
  return verify({
    distances: Float64Array.from(set.pairs, ({ first, second }) =>
      embeddingDistance(embeddings[first], embeddings[second]),
    ),
    same: Uint8Array.from(set.pairs, ({ same }) => (same ? 1 : 0)),
    folds: Int32Array.from(set.pairs, ({ fold }) => fold),
  });
}
