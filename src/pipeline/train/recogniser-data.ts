// Aligned faces and who they are, for training a recogniser. Contract: batch k is a function of the data, the batch size, the seed, `flip` and k;
// identities are numbered in the order of their names or labels.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { openImageRecords } from '../../formats/recordio.js';
import { isFlipped } from '../dataset/augment.js';
import { BatchError } from '../dataset/batches.js';
import { epochOrder } from '../dataset/order.js';
import { decodePixels, type Pixels } from '../image.js';
import type { FaceSpec } from './recogniser-config.js';

const SIDE = 112;
const IMAGE = /\.(jpe?g|png|webp|tiff?)$/i;

/** Labelled crops by number. */
export interface Faces {
  readonly labels: Int32Array;
  readonly identities: number;
  /** Name of an image, for messages. */
  name(image: number): string;
  /** The crop, 112x112. Throws FormatError. */
  read(image: number): Promise<Pixels>;
  close(): void;
}

/** Opens faces. Throws FormatError where there are none, or of one identity only. */
export function openFaces(spec: FaceSpec): Faces {
  const faces = spec.record === undefined ? fromFolders(spec.folders) : fromRecord(spec.record);
  if (faces.identities >= 2) return faces;
  faces.close();
  throw new FormatError(
    spec.record ?? spec.folders.join(', '),
    'identities',
    `wanted at least 2, got ${faces.identities}`,
  );
}

function checked(pixels: Pixels, name: string): Pixels {
  if (pixels.height === SIDE && pixels.width === SIDE) return pixels;
  throw new FormatError(name, 'image', `wanted a crop of 112x112, got ${pixels.height}x${pixels.width}`);
}

function fromFolders(folders: readonly string[]): Faces {
  const byIdentity = new Map<string, string[]>();
  for (const folder of folders) {
    const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    for (const { name } of entries) {
      const images = readdirSync(path.join(folder, name)).filter((file) => IMAGE.test(file) && !file.startsWith('.'));
      const known = byIdentity.get(name) ?? [];
      byIdentity.set(name, known.concat(images.sort().map((file) => path.join(folder, name, file))));
    }
  }
  const names = [...byIdentity.keys()].filter((name) => byIdentity.get(name)?.length).sort();
  const files = names.flatMap((name) => byIdentity.get(name) ?? []);
  const labels = Int32Array.from(names.flatMap((name, label) => (byIdentity.get(name) ?? []).map(() => label)));
  return {
    labels,
    identities: names.length,
    name: (i) => files[i],
    read: async (i) => checked(await decodePixels(readFileSync(files[i]), files[i]), files[i]),
    close() {},
  };
}

function fromRecord(file: string): Faces {
  const records = openImageRecords(file);
  const known = [...new Set(records.labels)].sort((a, b) => a - b);
  const numbers = new Map(known.map((label, i) => [label, i]));
  const name = (i: number) => `${file} image ${i}`;
  return {
    labels: records.labels.map((label) => numbers.get(label) ?? 0),
    identities: known.length,
    name,
    read: async (i) => checked(await decodePixels(records.read(i), name(i)), name(i)),
    close: () => records.close(),
  };
}

export interface FaceBatch {
  /** [n, 112, 112, 3] */
  crops: Uint8Array;
  /** [n] */
  labels: Int32Array;
}

export interface FaceBatchOptions {
  batch: number;
  seed: number;
  flip: boolean;
  /** Number of the first batch. */
  from: number;
}

/** Batches in order, the next one being decoded while one is learnt from. Every epoch shows every crop once; what fills no batch is dropped. */
export class FaceBatches {
  readonly stepsPerEpoch: number;
  private at: number;
  private ahead: Promise<FaceBatch> | undefined;
  private order: { epoch: number; images: Int32Array } | undefined;

  /** Throws FormatError for faces that fill no batch. */
  constructor(
    private readonly faces: Faces,
    private readonly options: FaceBatchOptions,
  ) {
    const { length } = faces.labels;
    this.stepsPerEpoch = Math.floor(length / options.batch);
    this.at = options.from;
    if (this.stepsPerEpoch === 0) {
      throw new FormatError('data.train', 'images', `${length} do not fill a batch of ${options.batch}`);
    }
  }

  /** Rejects with BatchError for an image that cannot be read; the call after gives the batch after. */
  next(): Promise<FaceBatch> {
    const batch = this.ahead ?? this.make(this.at);
    this.at++;
    this.ahead = this.make(this.at);
    this.ahead.catch(() => {}); // it is told when it is asked for
    return batch;
  }

  private imagesOf(step: number): Int32Array {
    const { batch, seed } = this.options;
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (this.order?.epoch !== epoch) {
      const { length } = this.faces.labels;
      this.order = { epoch, images: epochOrder({ length, block: 1, window: length }, seed, epoch) };
    }
    const first = (step - epoch * this.stepsPerEpoch) * batch;
    return this.order.images.slice(first, first + batch);
  }

  private async make(step: number): Promise<FaceBatch> {
    const { seed, flip } = this.options;
    const images = this.imagesOf(step);
    const size = 3 * SIDE * SIDE;
    const crops = new Uint8Array(images.length * size);
    await Promise.all(
      Array.from(images, async (image, i) => {
        try {
          const { data } = await this.faces.read(image);
          crops.set(flip && isFlipped(seed, step, i) ? mirroredCrop(data) : data, i * size);
        } catch (error) {
          throw new BatchError(`batch ${step}: ${error instanceof Error ? error.message : error}`);
        }
      }),
    );
    return { crops, labels: images.map((image) => this.faces.labels[image]) };
  }
}

/** Left and right of a crop exchanged. */
function mirroredCrop(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(data.length);
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const from = 3 * (y * SIDE + SIDE - 1 - x);
      out.set(data.subarray(from, from + 3), 3 * (y * SIDE + x));
    }
  }
  return out;
}
