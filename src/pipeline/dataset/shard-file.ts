// One shard: a safetensors file of pairs. Contract: its metadata carries a digest of its numbers, so damage is found; what was left out is named there;
// targets that neighbouring pairs share are stored once.
import { createHash } from 'node:crypto';
import { FormatError } from '../../formats/error.js';
import { InputFile } from '../../formats/files.js';
import type { HostArray } from '../../formats/host-array.js';
import {
  readSafetensors,
  readSafetensorsMetadata,
  readSafetensorsPlaces,
  writeSafetensors,
} from '../../formats/safetensors.js';
import type { Pair } from './pairs.js';

/** A pair or photo that could not be used. */
export interface Dropped {
  /** Number of the pair or group that it belonged to. */
  item: number;
  /** The photo, where there is one. */
  name?: string;
  reason: string;
}

export interface ShardState {
  /** Pairs that the shard holds. */
  count: number;
  dropped: Dropped[];
}

export function writeShard(
  file: string,
  { size, footprint }: { size: number; footprint: Uint8Array },
  pairs: readonly Pair[],
  dropped: readonly Dropped[],
): ShardState {
  const plane = size * size;
  const count = pairs.length;
  const incomplete = new Uint8Array(count * plane * 3);
  const mask = new Uint8Array(count * plane);
  const target = new Int32Array(count);
  const view = new Float32Array(count * 2);
  const numbers = new Int32Array(count * 4);
  const targets: Uint8Array[] = [];
  for (const [i, { meta, ...pair }] of pairs.entries()) {
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
    footprint: { dtype: 'u8', shape: [size, size], data: footprint },
    target: { dtype: 'i32', shape: [count], data: target },
    view: { dtype: 'f32', shape: [count, 2], data: view },
    numbers: { dtype: 'i32', shape: [count, 4], data: numbers },
  };
  const lost: Record<string, string> = dropped.length > 0 ? { dropped: JSON.stringify(dropped) } : {};
  writeSafetensors(file, arrays, { format: 'rescunet-pairs', sha256: digest(arrays), ...lost });
  return { count, dropped: [...dropped] };
}

/** What a whole shard holds. Throws FormatError. */
export function shardState(file: string, size: number): ShardState {
  const { incomplete } = readShard(file, size);
  const text = readSafetensorsMetadata(file).dropped;
  return { count: incomplete.shape[0], dropped: text ? (JSON.parse(text) as Dropped[]) : [] };
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

/** The tensors of a shard. Throws FormatError where it is missing, damaged, or not of pairs of `size` (`count` of them). */
export function readShard(file: string, size: number, count?: number): Record<string, HostArray> {
  const arrays = readSafetensors(file);
  const missing = NAMES.find((name) => !(name in arrays));
  if (missing) throw new FormatError(file, `tensor '${missing}'`, 'is not there');
  const wanted = `${count ?? arrays.incomplete.shape[0]},${size},${size},3`;
  if (arrays.incomplete.shape.join() !== wanted) {
    throw new FormatError(file, `tensor 'incomplete'`, `wanted [${wanted}]`);
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
