// Where a training face starts at a stage of a cascade (paper-spec 9.3, "initialisation regeneration"). What a stage was trained on it
// fits better than it will fit anything else, so the starts of the next stage are made from the errors on faces it has not seen.
import type { Random } from '../head/random.js';
import { type ParameterCounts, splitParameters } from './face-parameters.js';
import type { MorphableModel } from './morphable.js';
import { quaternionScale, scaledRotation } from './pose.js';

/** A validation face: the truth, and where the stages so far brought it. */
export interface FittedFace {
  truth: ArrayLike<number>;
  fitted: ArrayLike<number>;
}

/** FP = Pr R (S at the 68 landmarks), without scale and translation -> [136], all x, then all y. */
export function facePosture(model: MorphableModel, counts: ParameterCounts, p: ArrayLike<number>): Float64Array {
  const { pose, alpha, beta } = splitParameters(p, counts);
  const s = model.verticesAt(model.landmarks, alpha, beta);
  const f = quaternionScale(pose.q);
  const r = scaledRotation(pose.q).map((x) => x / f);
  const count = model.landmarks.length;
  const out = new Float64Array(2 * count);
  for (let i = 0; i < count; i++) {
    for (let row = 0; row < 2; row++) {
      out[row * count + i] = [0, 1, 2].reduce((sum, c) => sum + r[3 * row + c] * s[3 * i + c], 0);
    }
  }
  return out;
}

export class StartRegenerator {
  private readonly postures: readonly Float64Array[];

  /** `similar`: how many of the validation faces nearest in posture one is drawn from; 10 is our choice. */
  constructor(
    private readonly model: MorphableModel,
    private readonly counts: ParameterCounts,
    private readonly validation: readonly FittedFace[],
    private readonly similar = 10,
  ) {
    if (validation.length === 0) throw new RangeError('StartRegenerator: wants at least one validation face');
    this.postures = validation.map(({ truth }) => facePosture(model, counts, truth));
  }

  /** p^k = p^g - (p^g_v - p^k_v), v drawn from the validation faces of similar posture. */
  start(truth: ArrayLike<number>, random: Random): Float64Array {
    const near = this.nearest(facePosture(this.model, this.counts, truth));
    const v = near[random.below(near.length)];
    const { truth: theirs, fitted } = this.validation[v];
    return Float64Array.from(truth, (x, i) => x - (theirs[i] - fitted[i]));
  }

  /** The `similar` validation faces nearest in posture, nearest first. A plain loop: a batch asks for 10^7 differences. */
  private nearest(own: Float64Array): number[] {
    const near: number[] = [];
    const distances: number[] = [];
    for (let v = 0; v < this.postures.length; v++) {
      const other = this.postures[v];
      let distance = 0;
      for (let i = 0; i < own.length; i++) distance += (other[i] - own[i]) ** 2;
      if (near.length === this.similar && distance >= distances[this.similar - 1]) continue;
      let at = Math.min(near.length, this.similar - 1);
      for (; at > 0 && distances[at - 1] > distance; at--) {
        distances[at] = distances[at - 1];
        near[at] = near[at - 1];
      }
      distances[at] = distance;
      near[at] = v;
    }
    return near;
  }
}
