// What a training run reads its pairs from, named by plain JSON, and the readers behind it. Contract: `prepareReader` does all checking once; its
// result is plain data from which every worker opens the same reader. What draws pairs (and with it the engine) is loaded only where
// pairs are drawn.
import { FormatError } from '../../formats/error.js';
import type { Mixing } from './order.js';
import type { PairSource } from './pairs.js';
import { ShardRows, type ShardTable } from './shard-rows.js';
import type { SynthPieOptions } from './synth-pie.js';
import type { TextureSet, TextureSetOptions } from './texture-set.js';

/** Pairs on disk, or made while training. */
export type DataSpec =
  | {
      /** Folders that `rescunet data` wrote, of one layout and size. */
      shards: string[];
      /** Read everything once at the start and leave out shards that are damaged; true unless told otherwise. */
      verify?: boolean;
    }
  | { synthPie: SynthPieOptions }
  | {
      /** A texture set and the face model whose layout it has. */
      textures: TextureSetOptions & { folder: string; model: string };
    };

export interface PairMaps {
  incomplete: Uint8Array;
  complete: Uint8Array;
  mask: Uint8Array;
}

/** A source that was found and checked; plain data. */
export interface Prepared {
  spec: DataSpec;
  table?: ShardTable;
  size: number;
  footprint: Uint8Array;
  mixing: Mixing;
  problems: readonly string[];
}

export interface PairReader {
  /** Fills the maps of one pair. */
  read(index: number, into: PairMaps): void;
  close(): void;
}

/** People whose paint is kept in memory, and so mixed, when pairs are made while training. */
const PEOPLE_MIXED = 8;

/** Throws FormatError or RangeError where the data is not there, or the spec names none or several. */
export async function prepareReader(spec: DataSpec): Promise<Prepared> {
  const kinds = ['shards', 'synthPie', 'textures'].filter((kind) => kind in spec);
  if (kinds.length !== 1) {
    const found = Object.keys(spec).join(', ') || 'nothing';
    throw new FormatError('data', 'spec', `wanted one of shards, synthPie, textures, got ${found}`);
  }
  if ('shards' in spec) {
    const { shardTable } = await import('./shard-table.js');
    const table = shardTable(spec.shards, spec.verify ?? true);
    const { size, footprint, length, problems } = table;
    return { spec, table, size, footprint, mixing: { length, block: 1, window: length }, problems };
  }
  const source = await sourceOf(spec);
  const { size, footprint, length } = source;
  if ('textures' in spec) {
    const { skipped: problems } = source as TextureSet;
    return { spec, size, footprint, mixing: { length, block: 1, window: length }, problems };
  }
  const block = length / spec.synthPie.identities; // a person
  return { spec, size, footprint, mixing: { length, block, window: PEOPLE_MIXED }, problems: [] };
}

const sourceOf = async (spec: Exclude<DataSpec, { shards: string[] }>): Promise<PairSource> => {
  if ('synthPie' in spec) return (await import('./synth-pie.js')).synthPie(spec.synthPie);
  const { folder, model, ...options } = spec.textures;
  const [{ textureSet }, { loadFaceModel }] = await Promise.all([
    import('./texture-set.js'),
    import('../face_model.js'),
  ]);
  return textureSet(folder, loadFaceModel(model), options);
};

export async function openReader({ spec, table }: Prepared): Promise<PairReader> {
  if (table) return new ShardRows(table);
  const source = await sourceOf(spec as Exclude<DataSpec, { shards: string[] }>);
  return {
    read(index, into) {
      const pair = source.pair(index);
      into.incomplete.set(pair.incomplete);
      into.complete.set(pair.complete);
      into.mask.set(pair.mask);
    },
    close() {},
  };
}
