// Pairs to disk by several processes. Contract: a shard depends on the recipe and its own items alone, so any number of processes writes the
// same bytes; a process is given one shard at a time.
import os from 'node:os';
import path from 'node:path';
import { type ItemSource, openItems, type Recipe } from './items.js';
import type { Pair } from './pairs.js';
import { shareOut } from './processes.js';
import { type Dropped, type ShardState, writeShard } from './shard-file.js';
import { isAboutItem, ShardFolder, type WriteOptions, type WriteReport } from './shards.js';

export interface PrepareOptions extends WriteOptions {
  /** Processes; the number of cores unless told otherwise. 1 works in this process. */
  workers?: number;
  /** Called once it is known how many shards there are. */
  onStart?: (shards: number) => void | Promise<void>;
}

/** Where a shard goes and what it holds. */
export interface ShardTask {
  k: number;
  file: string;
  first: number;
  count: number;
}

/**
 * Makes the pairs of a recipe and writes them into a folder (made where missing). As `writeShards`: a run that was killed is taken up, what cannot be
 * used is left out and listed. Throws FormatError for a recipe or folder that is no use, Error where a process fails; shards done by then stay.
 */
export async function prepareShards(
  recipe: Recipe,
  folder: string,
  { shardSize = 285, workers = os.availableParallelism(), onStart, onShard }: PrepareOptions = {},
): Promise<WriteReport> {
  if (!Number.isInteger(workers) || workers < 1) {
    throw new RangeError(`prepareShards: workers must be a whole number of at least 1, got ${workers}`);
  }
  const source = await openItems(recipe);
  const run = new ShardFolder(folder, source, shardSize);
  const tasks: ShardTask[] = [];
  await onStart?.(run.places.length);
  const say = (k: number, kept: boolean) => {
    const { file, count } = run.places[k];
    onShard?.({ file: path.basename(file), count, pairs: run.pairsOf(k), kept });
  };
  for (const [k, place] of run.places.entries()) {
    if (run.keep(k)) say(k, true);
    else tasks.push({ k, ...place });
  }
  const done = ({ k }: ShardTask, state: ShardState) => {
    run.done(k, state);
    say(k, false);
  };
  if (workers === 1 || tasks.length < 2) for (const task of tasks) done(task, await makeShard(source, task));
  else await shareOut({ worker: new URL('./prepare-worker.js', import.meta.url), about: recipe, tasks, workers, done });
  return { manifest: run.save(true), written: tasks.length, kept: run.places.length - tasks.length };
}

/** Makes the items of a shard and writes it. */
export async function makeShard(source: ItemSource, { file, first, count }: ShardTask): Promise<ShardState> {
  const pairs: Pair[] = [];
  const dropped: Dropped[] = [];
  for (let item = first; item < first + count; item++) {
    try {
      const portion = await source.item(item);
      pairs.push(...portion.pairs);
      dropped.push(...portion.dropped);
    } catch (error) {
      if (!isAboutItem(error)) throw error;
      dropped.push({ item, reason: error.message });
    }
  }
  return writeShard(file, source, pairs, dropped);
}
