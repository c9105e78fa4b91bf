// Pairs on disk: a folder of safetensors files and a manifest. Contract: shard k holds pairs k * shardSize onwards of its
// source and is complete or absent; its metadata carries a digest of its numbers, so damage is found and costs that shard
// only; targets that neighbouring pairs share are stored once.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { InputFile, readBytes, writeAtomicallySync } from '../../formats/files.js';
import type { HostArray } from '../../formats/host-array.js';
import {
  readSafetensors,
  readSafetensorsMetadata,
  readSafetensorsPlaces,
  writeSafetensors,
} from '../../formats/safetensors.js';
import type { Pair, PairMeta, PairSource } from './pairs.js';
import { Recent } from './pairs.js';

export const MANIFEST = 'manifest.json';

export interface Manifest {
  format: 'rescunet-pairs';
  version: 1;
  /** What the pairs were made from: `PairSource.config`. */
  config: PairSource['config'];
  size: number;
  pairs: number;
  shardSize: number;
  shards: { file: string; first: number; count: number }[];
  /** False while shards are being written. */
  complete: boolean;
}

export interface WriteOptions {
  /** Pairs per file. */
  shardSize?: number;
  /** Called after each shard; `kept` where it was there already. */
  onShard?: (done: { file: string; count: number; kept: boolean }) => void;
}

export interface WriteReport {
  manifest: Manifest;
  /** Shards written now, and those found whole from an earlier run. */
  written: number;
  kept: number;
}

/**
 * Writes all pairs of a source into a folder (made where missing). A run that was killed is taken up where it stopped: whole shards of the same
 * config are kept, damaged ones made again. Throws FormatError where the folder holds pairs of another config, or cannot be written.
 */
export function writeShards(
  source: PairSource,
  folder: string,
  { shardSize = 285, onShard }: WriteOptions = {},
): WriteReport {
  if (!Number.isInteger(shardSize) || shardSize < 1) {
    throw new RangeError(`writeShards: shardSize must be a whole number of at least 1, got ${shardSize}`);
  }
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, MANIFEST);
  const shards = Array.from({ length: Math.ceil(source.length / shardSize) }, (_, k) => ({
    file: `shard-${String(k).padStart(5, '0')}.safetensors`,
    first: k * shardSize,
    count: Math.min(shardSize, source.length - k * shardSize),
  }));
  const { config, size, length: pairs } = source;
  const manifest: Manifest = {
    format: 'rescunet-pairs',
    version: 1,
    config,
    size,
    pairs,
    shardSize,
    shards,
    complete: false,
  };
  if (existsSync(file)) {
    const { complete: _, ...found } = readManifest(folder);
    const { complete: __, ...wanted } = manifest;
    if (JSON.stringify(found) !== JSON.stringify(wanted)) {
      throw new FormatError(file, 'config', 'the folder holds other pairs; give an empty one, or the same settings');
    }
  }
  const save = () => writeAtomicallySync(file, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
  save();
  let written = 0;
  for (const { file: name, first, count } of shards) {
    const target = path.join(folder, name);
    const kept = existsSync(target) && problemOf(() => readShard(target, size, count)) === undefined;
    if (!kept) {
      writeShard(target, source, first, count);
      written++;
    }
    onShard?.({ file: name, count, kept });
  }
  manifest.complete = true;
  save();
  return { manifest, written, kept: shards.length - written };
}

function writeShard(file: string, source: PairSource, first: number, count: number): void {
  const { size } = source;
  const plane = size * size;
  const incomplete = new Uint8Array(count * plane * 3);
  const mask = new Uint8Array(count * plane);
  const target = new Int32Array(count);
  const view = new Float32Array(count * 2);
  const numbers = new Int32Array(count * 4);
  const targets: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const { meta, ...pair } = source.pair(first + i);
    incomplete.set(pair.incomplete, i * plane * 3);
    mask.set(pair.mask, i * plane);
    const last = targets.at(-1);
    if (!last || (last !== pair.complete && Buffer.compare(last, pair.complete) !== 0)) targets.push(pair.complete);
    target[i] = targets.length - 1;
    view.set([meta.yaw, meta.pitch], 2 * i);
    numbers.set([meta.subject, meta.illumination, meta.expression, meta.seed | 0], 4 * i);
  }
  const complete = new Uint8Array(targets.length * plane * 3);
  for (const [k, map] of targets.entries()) complete.set(map, k * plane * 3);
  const arrays: Record<string, HostArray> = {
    incomplete: { dtype: 'u8', shape: [count, size, size, 3], data: incomplete },
    complete: { dtype: 'u8', shape: [targets.length, size, size, 3], data: complete },
    mask: { dtype: 'u8', shape: [count, size, size], data: mask },
    footprint: { dtype: 'u8', shape: [size, size], data: source.footprint },
    target: { dtype: 'i32', shape: [count], data: target },
    view: { dtype: 'f32', shape: [count, 2], data: view },
    numbers: { dtype: 'i32', shape: [count, 4], data: numbers },
  };
  writeSafetensors(file, arrays, { format: 'rescunet-pairs', sha256: digest(arrays) });
}

const NAMES = ['incomplete', 'complete', 'mask', 'footprint', 'target', 'view', 'numbers'] as const;

function digest(arrays: Record<string, HostArray>): string {
  const hash = createHash('sha256');
  for (const name of NAMES) {
    const { shape, data } = arrays[name];
    hash.update(`${name} ${shape.join()} `).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}

/** The tensors of a shard. Throws FormatError where it is missing, damaged, or not of `count` pairs of `size`. */
function readShard(file: string, size: number, count: number): Record<string, HostArray> {
  const arrays = readSafetensors(file);
  const missing = NAMES.find((name) => !(name in arrays));
  if (missing) throw new FormatError(file, `tensor '${missing}'`, 'is not there');
  if (arrays.incomplete.shape.join() !== `${count},${size},${size},3`) {
    throw new FormatError(file, `tensor 'incomplete'`, `wanted [${count},${size},${size},3]`);
  }
  checkDigest(file, digest(arrays));
  return arrays;
}

/** Bytes hashed at a time. */
const PIECE = 8 << 20;

/**
 * Looks at a shard without holding its maps: where they begin, its footprint, which target each pair has. With `verify` all its bytes are read
 * and compared with its digest. Throws FormatError.
 */
export function checkShard(
  file: string,
  size: number,
  count: number,
  verify: boolean,
): { places: Record<(typeof NAMES)[number], number>; footprint: Uint8Array; target: Int32Array } {
  const found = readSafetensorsPlaces(file);
  const shapes: Record<string, (number | undefined)[]> = {
    incomplete: [count, size, size, 3],
    complete: [undefined, size, size, 3],
    mask: [count, size, size],
    footprint: [size, size],
    target: [count],
    view: [count, 2],
    numbers: [count, 4],
  };
  for (const name of NAMES) {
    const shape = found[name]?.shape;
    const fits =
      shape?.length === shapes[name].length && shapes[name].every((n, i) => n === undefined || n === shape[i]);
    if (!fits) throw new FormatError(file, `tensor '${name}'`, shape ? `wanted [${shapes[name]}]` : 'is not there');
  }
  return InputFile.with(file, (input) => {
    const bytesOfTensor = (name: string) => input.read(found[name].begin, found[name].end - found[name].begin, name);
    if (verify) {
      const hash = createHash('sha256');
      for (const name of NAMES) {
        const { shape, begin, end } = found[name];
        hash.update(`${name} ${shape.join()} `);
        for (let at = begin; at < end; at += PIECE) hash.update(input.read(at, Math.min(PIECE, end - at), name));
      }
      checkDigest(file, hash.digest('hex'));
    }
    const target = new Int32Array(bytesOfTensor('target').buffer);
    const targets = found.complete.shape[0];
    if (target.some((k) => k < 0 || k >= targets)) throw new FormatError(file, `tensor 'target'`, `names no target`);
    const places = Object.fromEntries(NAMES.map((name) => [name, found[name].begin])) as Record<
      (typeof NAMES)[number],
      number
    >;
    return { places, footprint: bytesOfTensor('footprint'), target };
  });
}

function checkDigest(file: string, found: string): void {
  if (found === readSafetensorsMetadata(file).sha256) return;
  throw new FormatError(file, 'sha256', 'the numbers are not those that were written');
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
