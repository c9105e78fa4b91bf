// Pairs on disk: a folder of shards (shard-file.ts) and a manifest. Contract: shard k holds what items k * shardSize onwards of its source gave and is
// complete or absent; damage costs that shard only.
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { readBytes, writeAtomicallySync } from '../../formats/files.js';
import type { HostArray } from '../../formats/host-array.js';
import type { Pair, PairMeta, PairSource } from './pairs.js';
import { Recent } from './pairs.js';
import { type Dropped, readShard, type ShardState, shardState, writeShard } from './shard-file.js';

export type { Dropped } from './shard-file.js';

export const MANIFEST = 'manifest.json';

export interface Manifest {
  format: 'rescunet-pairs';
  version: 1;
  /** What the pairs were made from: `PairSource.config`. */
  config: PairSource['config'];
  size: number;
  /** Pairs that are stored. */
  pairs: number;
  /** What the source counts, pairs or groups of photos, and how many of them a file has. */
  items: number;
  shardSize: number;
  shards: { file: string; first: number; count: number }[];
  /** What could not be used, and why. */
  dropped: Dropped[];
  /** False while shards are being written. */
  complete: boolean;
}

export interface WriteOptions {
  /** Pairs per file. */
  shardSize?: number;
  /** Called after each shard, `count` items that gave `pairs`; `kept` where it was there already. */
  onShard?: (done: { file: string; count: number; pairs: number; kept: boolean }) => void;
}

export interface WriteReport {
  manifest: Manifest;
  /** Shards written now, and those found whole from an earlier run. */
  written: number;
  kept: number;
}

/** What is about to be written. */
export type ShardPlan = Pick<PairSource, 'size' | 'footprint' | 'config'> & { items: number };

/** A folder of shards while it is being filled. Its manifest is rewritten after each shard. */
export class ShardFolder {
  /** Names of the files, and the items of each. */
  readonly places: readonly { file: string; first: number; count: number }[];
  private readonly states = new Map<number, ShardState>();

  /** Throws FormatError where the folder holds pairs of another config, or cannot be written. */
  constructor(
    private readonly folder: string,
    private readonly plan: ShardPlan,
    private readonly shardSize: number,
  ) {
    if (!Number.isInteger(shardSize) || shardSize < 1) {
      throw new RangeError(`writeShards: shardSize must be a whole number of at least 1, got ${shardSize}`);
    }
    mkdirSync(folder, { recursive: true });
    this.places = Array.from({ length: Math.ceil(plan.items / shardSize) }, (_, k) => ({
      file: path.join(folder, `shard-${String(k).padStart(5, '0')}.safetensors`),
      first: k * shardSize,
      count: Math.min(shardSize, plan.items - k * shardSize),
    }));
    const file = path.join(folder, MANIFEST);
    if (existsSync(file)) {
      const { config, size, items, pairs, shardSize: before } = readManifest(folder);
      const [found, wanted] = [
        { config, size, items: items ?? pairs, shardSize: before },
        { config: plan.config, size: plan.size, items: plan.items, shardSize },
      ];
      if (JSON.stringify(found) !== JSON.stringify(wanted)) {
        throw new FormatError(file, 'config', 'the folder holds other pairs; give an empty one, or the same settings');
      }
    }
    this.save(false);
  }

  /** Whether shard k is there whole from an earlier run; it then counts as done. */
  keep(k: number): boolean {
    const { file } = this.places[k];
    if (!existsSync(file)) return false;
    return problemOf(() => this.states.set(k, shardState(file, this.plan.size))) === undefined;
  }

  done(k: number, state: ShardState): void {
    this.states.set(k, state);
    this.save(false);
  }

  /** Pairs that shard k, when done, holds. */
  pairsOf(k: number): number {
    return this.states.get(k)?.count ?? 0;
  }

  save(complete: boolean): Manifest {
    const { config, size, items } = this.plan;
    const shards: Manifest['shards'] = [];
    const dropped: Dropped[] = [];
    let pairs = 0;
    for (const [k, place] of this.places.entries()) {
      const state = this.states.get(k);
      if (!state) continue;
      shards.push({ file: path.basename(place.file), first: pairs, count: state.count });
      dropped.push(...state.dropped);
      pairs += state.count;
    }
    const { shardSize } = this;
    const about = { config, size, pairs, items, shardSize, shards, dropped, complete };
    const manifest: Manifest = { format: 'rescunet-pairs', version: 1, ...about };
    writeAtomicallySync(path.join(this.folder, MANIFEST), Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
    return manifest;
  }
}

/** Whether an error is about one pair or photo, so that it costs only itself. */
export const isAboutItem = (error: unknown): error is Error =>
  error instanceof Error && ['FormatError', 'FitError', 'NoFaceError'].includes(error.name);

/**
 * Writes all pairs of a source into a folder (made where missing), in this process; `prepareShards` does it in several. A run that was killed is
 * taken up where it stopped: whole shards of the same config are kept, damaged ones made again. A pair that cannot be made (FormatError, FitError,
 * NoFaceError) is left out and listed in the manifest. Throws FormatError where the folder holds pairs of another config, or cannot be written.
 */
export function writeShards(
  source: PairSource,
  folder: string,
  { shardSize = 285, onShard }: WriteOptions = {},
): WriteReport {
  const run = new ShardFolder(folder, { ...source, items: source.length }, shardSize);
  let written = 0;
  for (const [k, { file, first, count }] of run.places.entries()) {
    const kept = run.keep(k);
    if (!kept) {
      const pairs: Pair[] = [];
      const dropped: Dropped[] = [];
      for (let item = first; item < first + count; item++) {
        try {
          pairs.push(source.pair(item));
        } catch (error) {
          if (!isAboutItem(error)) throw error;
          dropped.push({ item, reason: error.message });
        }
      }
      run.done(k, writeShard(file, source, pairs, dropped));
      written++;
    }
    onShard?.({ file: path.basename(file), count, pairs: run.pairsOf(k), kept });
  }
  return { manifest: run.save(true), written, kept: run.places.length - written };
}

function problemOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof FormatError) return error.message;
    throw error;
  }
}

/** The manifest of a folder of pairs. Throws FormatError. */
export function readManifest(folder: string): Manifest {
  const file = path.join(folder, MANIFEST);
  const text = Buffer.from(readBytes(file)).toString('utf8');
  let manifest: Partial<Manifest> | null;
  try {
    manifest = JSON.parse(text);
  } catch {
    throw new FormatError(file, 'JSON', 'cannot be parsed');
  }
  if (manifest?.format !== 'rescunet-pairs' || manifest.version !== 1 || !Array.isArray(manifest.shards)) {
    throw new FormatError(file, 'format', `wanted 'rescunet-pairs', version 1, with its shards`);
  }
  return manifest as Manifest;
}

export interface ShardSource extends PairSource {
  /** One line for each shard that is missing or damaged; its pairs are not counted in `length`. */
  readonly problems: readonly string[];
}

/**
 * The pairs of a folder, read shard by shard as they are asked for, `keep` shards in memory. Every shard is checked here once. Throws
 * FormatError where there is no manifest or no shard is whole.
 */
export function readShards(folder: string, { keep = 4 }: { keep?: number } = {}): ShardSource {
  const { size, shards, config } = readManifest(folder);
  const problems: string[] = [];
  const places: { shard: (typeof shards)[number]; at: number; meta: PairMeta }[] = [];
  const loaded = new Recent<Record<string, HostArray>>(keep);
  const load = ({ file, count }: (typeof shards)[number]) =>
    loaded.get(file, () => readShard(path.join(folder, file), size, count));
  let footprint: Uint8Array | undefined;
  for (const shard of shards) {
    const problem = problemOf(() => {
      const arrays = load(shard);
      footprint ??= bytes(arrays.footprint);
      for (let at = 0; at < shard.count; at++) places.push({ shard, at, meta: metaAt(arrays, at) });
    });
    if (problem) problems.push(problem);
  }
  const placeOf = (index: number) => {
    if (places[index]) return places[index];
    throw new RangeError(`readShards: pair ${index} of ${places.length}`);
  };
  if (!footprint) throw new FormatError(folder, 'shards', `none of ${shards.length} is whole (${problems[0] ?? ''})`);
  return {
    length: places.length,
    size,
    footprint,
    config,
    problems,
    meta: (index) => placeOf(index).meta,
    pair(index): Pair {
      const { shard, at, meta } = placeOf(index);
      const arrays = load(shard);
      const plane = size * size;
      const map = (name: 'incomplete' | 'complete', k: number) =>
        bytes(arrays[name]).subarray(k * plane * 3, (k + 1) * plane * 3);
      return {
        incomplete: map('incomplete', at),
        complete: map('complete', arrays.target.data[at]),
        mask: bytes(arrays.mask).subarray(at * plane, (at + 1) * plane),
        meta,
      };
    },
  };
}

function metaAt({ view, numbers }: Record<string, HostArray>, at: number): PairMeta {
  const [yaw, pitch] = view.data.subarray(2 * at, 2 * at + 2);
  const [subject, illumination, expression, seed] = numbers.data.subarray(4 * at, 4 * at + 4);
  return { subject, yaw, pitch, illumination, expression, seed: seed >>> 0 };
}

const bytes = ({ data }: HostArray): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
