// Batch k of a run: which pairs it has, read and augmented. Contract: batch k is a function of the data, the options and k.
import { cutTo, isFlipped, lightOf, mirrorInto, mirrorTable, ovalOf, relight } from './augment.js';
import { epochOrder } from './order.js';
import type { PairReader, Prepared } from './reader.js';
import { Recent } from './recent.js';

export interface Batch {
  step: number;
  epoch: number;
  /** [n, size, size, 3]: the photo at every point of the surface, hidden or not. */
  incomplete: Uint8Array;
  /** [n, size, size, 3]: the whole face in the same light. */
  complete: Uint8Array;
  /** [n, size, size]: 1 where the photo saw the surface. */
  mask: Uint8Array;
  /** [n]: number of each pair in the data, and 1 where it is mirrored. */
  pairs: Int32Array;
  flipped: Uint8Array;
}

export interface BatchOptions {
  /** Pairs per batch. */
  batch: number;
  seed: number;
  /** Mirror half of the pairs, chosen by (seed, step, place in the batch). */
  flip: boolean;
  /** Share of the pairs that are cut to an oval about the face, as meshes without hair and neck show no more; chosen as flips are. */
  cut?: number;
  /** Standard deviation of the logarithm of a random exposure, with white balance, contrast and fall-off in proportion; 0 changes none. */
  relight?: number;
}

/** A batch that cannot be made: a run passes it over. */
export class BatchError extends Error {}

/** A pair that could not be made or read. */
export class PairError extends BatchError {
  override readonly name = 'PairError';

  constructor(
    readonly step: number,
    readonly pair: number,
    reason: string,
  ) {
    super(`pair ${pair} of batch ${step}: ${reason}`);
  }
}

/** The part of an epoch that does not fill a batch is dropped. */
export const stepsPerEpoch = (length: number, batch: number): number => Math.floor(length / batch);

/** Makes any batch of a run. */
export class BatchMaker {
  private readonly orders = new Recent<Int32Array>(2);
  private readonly mirror: Int32Array;
  private readonly scratch: Uint8Array;

  constructor(
    private readonly prepared: Prepared,
    private readonly options: BatchOptions,
    private readonly reader: PairReader,
  ) {
    const { size, footprint } = prepared;
    this.mirror = mirrorTable(footprint, size);
    this.scratch = new Uint8Array(3 * size * size);
  }

  /** Throws PairError. */
  make(step: number): Batch {
    const { size, mixing } = this.prepared;
    const { batch, seed, flip, cut = 0, relight: strength = 0 } = this.options;
    const steps = stepsPerEpoch(mixing.length, batch);
    const epoch = Math.floor(step / steps);
    const order = this.orders.get(`${epoch}`, () => epochOrder(mixing, seed, epoch));
    const first = (step - epoch * steps) * batch;
    const pairs = order.slice(first, first + batch);
    const plane = size * size;
    const incomplete = new Uint8Array(batch * plane * 3);
    const complete = new Uint8Array(batch * plane * 3);
    const mask = new Uint8Array(batch * plane);
    const flipped = new Uint8Array(batch);
    for (const [i, pair] of pairs.entries()) {
      const maps = {
        incomplete: incomplete.subarray(i * plane * 3, (i + 1) * plane * 3),
        complete: complete.subarray(i * plane * 3, (i + 1) * plane * 3),
        mask: mask.subarray(i * plane, (i + 1) * plane),
      };
      try {
        this.reader.read(pair, maps);
      } catch (error) {
        throw new PairError(step, pair, error instanceof Error ? error.message : String(error));
      }
      if (flip && isFlipped(seed, step, i)) {
        flipped[i] = 1;
        mirrorInto(maps.incomplete, 3, this.mirror, this.scratch);
        mirrorInto(maps.complete, 3, this.mirror, this.scratch);
        mirrorInto(maps.mask, 1, this.mirror, this.scratch);
      }
      const oval = ovalOf(seed, step, i, cut);
      if (oval) for (const map of Object.values(maps)) cutTo(oval, map, size);
      const light = lightOf(seed, step, i, strength);
      if (light) for (const map of [maps.incomplete, maps.complete]) relight(light, map, size);
    }
    return { step, epoch, incomplete, complete, mask, pairs, flipped };
  }

  close(): void {
    this.reader.close();
  }
}
