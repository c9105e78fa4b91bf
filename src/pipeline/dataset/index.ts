// Training pairs: where they come from and where they are kept.
export type { ObserveOptions, Pair, PairMeta, PairSource } from './pairs.js';
export * from './shards.js';
export { EXPRESSIONS, FLASHES, ILLUMINATIONS, type SynthPieOptions, synthPie, VIEWPOINTS } from './synth-pie.js';
export { type TextureSet, type TextureSetOptions, textureSet } from './texture-set.js';
