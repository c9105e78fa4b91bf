// Recognisers from their files, and from faces to embeddings of length 1. Contract: a recogniser takes crops that were aligned
// to its own layout; embeddings of different recognisers cannot be compared.
import { FormatError } from '../../formats/error.js';
import { IResNet } from '../../models/iresnet.js';
import { mirrored } from '../../models/mirror.js';
import { MobileFaceNet } from '../../models/mobilefacenet.js';
import { ResNetRecogniser } from '../../models/resnet-recogniser.js';
import { tensor } from '../../tensor/create.js';
import { add, mul, sub } from '../../tensor/ops/elementwise.js';
import { cast } from '../../tensor/ops/layout.js';
import { normalize } from '../../tensor/ops/losses.js';
import { tidy } from '../../tensor/scope.js';
import { ShapeError } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { intoModule, readState } from '../detect.js';
import { type FitPhotoOptions, fitPhoto } from '../fit.js';
import type { Fit } from '../fit-face.js';
import { type Pixels, readPixels } from '../image.js';
import { ARCFACE_CROP, alignFace, CASIA_CROP, type CropLayout, fivePoints } from './align.js';

/** What turns aligned crops into embeddings. */
export interface Recogniser {
  readonly name: string;
  readonly crop: CropLayout;
  /** Numbers in an embedding. */
  readonly dimension: number;
  /** Crops u8 [n, height, width, 3] -> embeddings f32 [n, dimension] of length 1, both mirror images taken in. */
  embed(crops: Tensor): Tensor;
  dispose(): void;
}

/** Embeddings of mirror images side by side, then length 1: 256 numbers. */
export function mobileFaceNetRecogniser(network: MobileFaceNet): Recogniser {
  return {
    name: 'MobileFaceNet',
    crop: CASIA_CROP,
    dimension: 256,
    embed: (crops) => tidy(() => normalize(network.embed(crops))),
    dispose: () => network.dispose(),
  };
}

/** normalise(f(image) + f(mirror image)), as in paper-spec 11.4: 512 numbers. */
export function iresnetRecogniser(network: IResNet): Recogniser {
  const forward = (x: Tensor) => network.forward(x);
  return flipSummed('IResNet', 512, forward, () => network.dispose());
}

/** The same of any network that takes f32 [n, 112, 112, 3] as value / 127.5 - 1. */
export function flipSummed(
  name: string,
  dimension: number,
  forward: (x: Tensor) => Tensor,
  dispose: () => void = () => {},
): Recogniser {
  return {
    name,
    crop: ARCFACE_CROP,
    dimension,
    embed: (crops) =>
      tidy(() => {
        const x = mul(sub(crops.dtype === 'f32' ? crops : cast(crops, 'f32'), 127.5), 1 / 127.5);
        return normalize(add(forward(x), forward(mirrored(x))));
      }),
    dispose,
  };
}

/** Blocks in the third level, which tell the public networks apart. */
const DEPTHS: Readonly<Record<number, 18 | 34 | 50 | 100>> = { 2: 18, 6: 34, 14: 50, 30: 100 };

/**
 * The recogniser of a checkpoint (.safetensors or torch): the CASIA MobileFaceNet, an IR-18/34/50/100 under the public names, or a
 * ResNetRecogniser.
 * Throws FormatError naming the file.
 */
export function loadRecogniser(file: string): Recogniser {
  const state = readState(file);
  const names = Object.keys(state);
  if (names.some((name) => name.startsWith('dw_conv1.'))) {
    return mobileFaceNetRecogniser(intoModule(new MobileFaceNet(), file, state));
  }
  const third = new Set(names.flatMap((name) => /^layer3\.(\d+)\./.exec(name)?.[1] ?? []));
  const depth = DEPTHS[third.size];
  if (depth && 'features.weight' in state && 'conv1.weight' in state) {
    const [width] = state['conv1.weight'].shape;
    return iresnetRecogniser(intoModule(new IResNet({ depth, width, initialize: false }), file, state));
  }
  if (names.some((name) => name.startsWith('trunk.'))) {
    const deep = names.some((name) => name.startsWith('trunk.layer3.22.'));
    const network = new ResNetRecogniser({ depth: deep ? 101 : 50, initialize: false });
    const loaded = intoModule(network, file, state);
    return flipSummed(
      'ResNetRecogniser',
      512,
      (x) => loaded.forward(x),
      () => loaded.dispose(),
    );
  }
  for (const t of Object.values(state)) t.dispose();
  const known = 'MobileFaceNet (CASIA) and IR-18, 34, 50, 100 are known';
  throw new FormatError(file, 'weights', `of no recogniser; ${known}; it begins with ${names.slice(0, 3).join(', ')}`);
}

const BATCH = 16;

/** Embeddings [dimension] of aligned crops, in their order. Throws ShapeError for a crop of another size. */
export async function embedCrops(recogniser: Recogniser, crops: readonly Pixels[]): Promise<Float32Array[]> {
  const { height, width } = recogniser.crop;
  const odd = crops.find((crop) => crop.height !== height || crop.width !== width);
  if (odd) {
    throw new ShapeError(
      `embedCrops: ${recogniser.name} takes crops ${height}x${width}, got ${odd.height}x${odd.width}`,
    );
  }
  const size = 3 * height * width;
  const found: Float32Array[] = [];
  for (let start = 0; start < crops.length; start += BATCH) {
    const part = crops.slice(start, start + BATCH);
    const data = new Uint8Array(part.length * size);
    part.forEach((crop, i) => {
      data.set(crop.data, i * size);
    });
    const input = tensor(data, { shape: [part.length, height, width, 3], dtype: 'u8' });
    const output = recogniser.embed(input);
    const values = (await output.data()) as Float32Array;
    for (const t of [input, output]) t.dispose();
    const { dimension } = recogniser;
    part.forEach((_, i) => {
      found.push(values.slice(i * dimension, (i + 1) * dimension));
    });
  }
  return found;
}

/** Where the face is: five points or a fit, or else what it takes to fit it. */
export type EmbedOptions = { recogniser: Recogniser } & (
  | { points: ArrayLike<number>; fit?: undefined }
  | { fit: Fit; points?: undefined }
  | ({ points?: undefined; fit?: undefined } & FitPhotoOptions)
);

export interface FaceEmbedding {
  /** [dimension], of length 1. */
  embedding: Float32Array;
  /** The aligned crop that was seen. */
  crop: Pixels;
  /** Ten numbers. */
  points: Float64Array;
  fit: Fit | undefined;
}

/**
 * Embeddings of the faces of a photo (a path or pixels), the largest first; none found gives an empty list. Throws FormatError,
 * FitError and ShapeError as its parts do.
 */
export async function embed(photo: string | Pixels, options: EmbedOptions): Promise<FaceEmbedding[]> {
  const pixels = typeof photo === 'string' ? await readPixels(photo) : photo;
  const { recogniser } = options;
  const faces = await placesOf(pixels, options);
  const crops = faces.map(({ points }) => alignFace(pixels, points, recogniser.crop));
  const embeddings = await embedCrops(recogniser, crops);
  return faces.map((face, i) => ({ ...face, embedding: embeddings[i], crop: crops[i] }));
}

async function placesOf(
  pixels: Pixels,
  options: EmbedOptions,
): Promise<{ points: Float64Array; fit: Fit | undefined }[]> {
  if (options.points) return [{ points: Float64Array.from(options.points), fit: undefined }];
  const fits = options.fit ? [options.fit] : await fitPhoto(pixels, options);
  return fits.map((fit) => ({ points: fivePoints(fit.landmarks), fit }));
}

/** Cosine of two embeddings; of length 1, as here, their scalar product. */
export function cosineSimilarity(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new ShapeError(`cosineSimilarity: ${a.length} numbers against ${b.length}`);
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return ab / Math.sqrt(aa * bb);
}
