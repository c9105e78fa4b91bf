// Single pairs out of shards: three short reads at known places, so that any order costs the same and nothing is held in memory (the system's
// page cache is the only cache). Contract: a table lists whole shards only and is plain data, so that workers see what was checked.
import fs from 'node:fs';
import { FormatError } from '../../formats/error.js';

/** One file of a `ShardTable`. */
export interface ShardPlaces {
  file: string;
  /** Number of its first pair, and how many it has. */
  first: number;
  count: number;
  /** Where its tensors begin in the file. */
  incomplete: number;
  complete: number;
  mask: number;
  /** Which of its targets each pair has. */
  target: Int32Array;
}

export interface ShardTable {
  size: number;
  length: number;
  footprint: Uint8Array;
  shards: ShardPlaces[];
  /** One line for each shard that is missing or damaged; its pairs are not counted. */
  problems: string[];
}

/** Shards are opened when they are needed; more than this many at once are not. */
const OPEN_FILES = 128;

/** Reads pairs by number. Synchronous: it is meant for workers. */
export class ShardRows {
  private readonly open = new Map<ShardPlaces, number>();

  constructor(readonly table: ShardTable) {}

  /** Fills maps [size, size, 3], [size, size, 3], [size, size]. Throws FormatError. */
  read(index: number, into: { incomplete: Uint8Array; complete: Uint8Array; mask: Uint8Array }): void {
    const shard = this.shardOf(index);
    const at = index - shard.first;
    const plane = this.table.size ** 2;
    this.fill(shard, into.incomplete, shard.incomplete + at * plane * 3);
    this.fill(shard, into.complete, shard.complete + shard.target[at] * plane * 3);
    this.fill(shard, into.mask, shard.mask + at * plane);
  }

  close(): void {
    for (const descriptor of this.open.values()) fs.closeSync(descriptor);
    this.open.clear();
  }

  private shardOf(index: number): ShardPlaces {
    const { shards } = this.table;
    let [low, high] = [0, shards.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (shards[middle].first <= index) low = middle;
      else high = middle - 1;
    }
    return shards[low];
  }

  private fill(shard: ShardPlaces, bytes: Uint8Array, offset: number): void {
    try {
      const descriptor = this.descriptor(shard);
      for (let done = 0; done < bytes.length; ) {
        const count = fs.readSync(descriptor, bytes, done, bytes.length - done, offset + done);
        if (count === 0) throw new FormatError(shard.file, 'file', 'became shorter since it was checked');
        done += count;
      }
    } catch (error) {
      if (error instanceof FormatError) throw error;
      throw new FormatError(shard.file, 'file', (error as Error).message);
    }
  }

  private descriptor(shard: ShardPlaces): number {
    const found = this.open.get(shard) ?? fs.openSync(shard.file, 'r');
    this.open.delete(shard);
    this.open.set(shard, found);
    if (this.open.size > OPEN_FILES) {
      const [[oldest, descriptor]] = this.open;
      this.open.delete(oldest);
      fs.closeSync(descriptor);
    }
    return found;
  }
}
