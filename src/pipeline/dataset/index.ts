// Training pairs: where they come from and where they are kept.

export { type KeepOptions, keepFaces, keptFaces } from './face-store.js';
export type { FaceCrop, FaceSource } from './faces.js';
export type { ItemSource, Portion, Recipe } from './items.js';
export {
  type Batch,
  type BatchLoader,
  type BatchOptions,
  type DataSpec,
  type LoaderOptions,
  openLoader,
  PairError,
} from './loader.js';
export { type LpFacesOptions, lpFaces } from './lp-faces.js';
export type { ObserveOptions, Pair, PairMeta, PairSource } from './pairs.js';
export { MULTIPIE_CAMERAS } from './photo-groups.js';
export type { FittingFiles, FolderOptions, MultiPieOptions, PhotosOptions } from './photo-items.js';
export { type PrepareOptions, prepareShards } from './prepare.js';
export { type PlacedFace, turnedPhoto } from './profile.js';
export * from './shards.js';
export { type SynthFaces, type SynthFacesOptions, synthFaces } from './synth-faces.js';
export { EXPRESSIONS, FLASHES, ILLUMINATIONS, type SynthPieOptions, synthPie, VIEWPOINTS } from './synth-pie.js';
export { type TextureSet, type TextureSetOptions, textureSet } from './texture-set.js';
