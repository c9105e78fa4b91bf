// What pairs are made from, named by plain JSON so that other processes can open it too. Contract: an item is the smallest thing made at once (a
// pair, or all photos that share a target) and depends on nothing but the recipe and its number.

import { loadFaceModel } from '../face_model.js';
import type { Pair, PairSource } from './pairs.js';
import {
  type FolderOptions,
  folderItems,
  type MultiPieOptions,
  multiPieItems,
  type PhotosOptions,
  photoItems,
} from './photo-items.js';
import type { Dropped } from './shard-file.js';
import type { ShardPlan } from './shards.js';
import { type SynthPieOptions, synthPie } from './synth-pie.js';
import { type TextureSetOptions, textureSet } from './texture-set.js';

export type Recipe =
  | { synthPie: SynthPieOptions }
  | { textures: TextureSetOptions & { folder: string; model: string } }
  | { folder: FolderOptions }
  | { multipie: MultiPieOptions }
  | { photos: PhotosOptions };

/** What came of an item. */
export interface Portion {
  pairs: Pair[];
  dropped: Dropped[];
}

export interface ItemSource extends ShardPlan {
  /** Throws FormatError, FitError or NoFaceError for an item that is no use as a whole. */
  item(index: number): Portion | Promise<Portion>;
}

/** Throws FormatError, RangeError or FaceModelError where what the recipe names is not there or no use. */
export async function openItems(recipe: Recipe): Promise<ItemSource> {
  if ('folder' in recipe) return folderItems(recipe.folder);
  if ('multipie' in recipe) return multiPieItems(recipe.multipie);
  if ('photos' in recipe) return photoItems(recipe.photos);
  if ('synthPie' in recipe) return pairByPair(synthPie(recipe.synthPie));
  const { folder, model, ...options } = recipe.textures;
  return pairByPair(await textureSet(folder, loadFaceModel(model), options));
}

const pairByPair = (source: PairSource): ItemSource => ({
  size: source.size,
  footprint: source.footprint,
  config: source.config,
  items: source.length,
  item: (index) => ({ pairs: [source.pair(index)], dropped: [] }),
});
