// Photos with the parameters of their faces: what a fitter learns from. Contract: photo k of a source is the same bytes whenever it is asked for;
// parameters lie in the crop's own frame (models/face-parameters.ts).
import type { ParameterCounts } from '../../models/face-parameters.js';
import type { MorphableModel } from '../../models/morphable.js';

export interface FaceCrop {
  /** [side, side, 3] RGB */
  crop: Uint8Array;
  truth: Float64Array;
  /** Degrees. */
  yaw: number;
}

export interface FaceSource {
  readonly length: number;
  /** Neighbouring photos that share much work (those of a person). */
  readonly block: number;
  readonly side: number;
  readonly counts: ParameterCounts;
  readonly model: MorphableModel;
  /** The parameters of photo `index` and its yaw, without making the photo. */
  truth(index: number): { truth: Float64Array; yaw: number };
  face(index: number): FaceCrop | Promise<FaceCrop>;
}

/** Blocks that a source keeps ready, so that their photos can be mixed without making anything twice. */
export const BLOCKS_AT_HAND = 64;
