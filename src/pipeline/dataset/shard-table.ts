// What folders of shards hold, checked once before a run; shard-rows.ts reads from it.
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { checkShard } from './shard-file.js';
import type { ShardTable } from './shard-rows.js';
import { readManifest } from './shards.js';

/**
 * What the folders hold, one after the other. With `verify` all numbers are read once and compared with the digest of their shard; without,
 * only the headers are. Throws FormatError for a folder that is none of pairs, one without a whole shard, or folders of different layouts.
 */
export function shardTable(folders: readonly string[], verify: boolean): ShardTable {
  const table: ShardTable = { size: 0, length: 0, footprint: new Uint8Array(), shards: [], problems: [] };
  if (folders.length === 0) throw new FormatError('shards', 'folders', 'wanted at least one folder of pairs');
  for (const folder of folders) {
    const { size, shards } = readManifest(folder);
    const before = table.shards.length;
    for (const { file, count } of shards) {
      const name = path.join(folder, file);
      try {
        const { places, footprint, target } = checkShard(name, size, count, verify);
        if (table.shards.length === 0) Object.assign(table, { size, footprint });
        if (size !== table.size || Buffer.compare(footprint, table.footprint) !== 0) {
          throw new LayoutError(folder, 'layout', `maps of ${size} pixels do not fit those of ${folders[0]}`);
        }
        const { incomplete, complete, mask } = places;
        table.shards.push({ file: name, first: table.length, count, incomplete, complete, mask, target });
        table.length += count;
      } catch (error) {
        if (!(error instanceof FormatError) || error instanceof LayoutError) throw error;
        table.problems.push(error.message);
      }
    }
    if (table.shards.length === before) {
      const first = table.problems.at(-1) ?? 'it is empty';
      throw new FormatError(folder, 'shards', `none of ${shards.length} is whole (${first})`);
    }
  }
  return table;
}

class LayoutError extends FormatError {}
