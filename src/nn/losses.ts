// The losses of completion: paper Eq. 7-12 with the switches of section 6 of the specification. Contract: critics give logits,
// the identity network raw embeddings; whether those are normalised is decided here.
import { add, mul, sub } from '../tensor/ops/elementwise.js';
import { cast, concat, detach, slice } from '../tensor/ops/layout.js';
import { bceWithLogits, l1Loss, normalize } from '../tensor/ops/losses.js';
import { mean } from '../tensor/ops/mean.js';
import { sum } from '../tensor/ops/reduce.js';
import { resize } from '../tensor/ops/resize.js';
import { ShapeError, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** Mean over batch, pixels and channels of |output - target|, the constant background included (Eq. 7). One shape. */
export const reconstructionLoss = (output: Tensor, target: Tensor): Tensor => l1Loss(output, target);

/**
 * 1/2 [BCE(real, 1) + BCE(fake, 0)]: what a discriminator minimises, from its logits on complete and generated maps. With
 * `auxiliary`, its logits on the auxiliary maps, the second term is [BCE(fake, 0) + eta BCE(auxiliary, 0)] / (1 + eta): our
 * choice, because a discriminator should have seen what it scores.
 */
export function discriminatorLoss(
  real: Tensor,
  fake: Tensor,
  { auxiliary, eta = 0.3 }: { auxiliary?: Tensor; eta?: number } = {},
): Tensor {
  checkWeights({ eta });
  const generated = auxiliary
    ? mul(add(bceWithLogits(fake, 0), mul(bceWithLogits(auxiliary, 0), eta)), 1 / (1 + eta))
    : bceWithLogits(fake, 0);
  return mul(add(bceWithLogits(real, 1), generated), 0.5);
}

/** BCE(fake, 1): what a generator minimises (the non-saturating form of paper Eq. 9). */
export const adversarialLoss = (fake: Tensor): Tensor => bceWithLogits(fake, 1);

/** The central face of a 256x256 map in the cylindrical layout (specification section 2.6), in pixels. */
const WINDOW = { map: 256, top: 43, left: 64, side: 128 } as const;

/**
 * The central window of maps [n, h, w, c]: rows 43..170 and columns 64..191 of a map of 256x256, the same part of others,
 * rounded to whole pixels -> [n, h/2, w/2, c]. Throws ShapeError.
 */
export function centralFace(map: Tensor): Tensor {
  const [n, h, w, c] = map.shape;
  if (map.shape.length !== 4 || h < 2 || w < 2) {
    throw new ShapeError(`centralFace: map must be [n,h,w,c] of at least 2x2, got ${showShape(map.shape)}`);
  }
  const part = (pixels: number, extent: number): number => Math.round((pixels * extent) / WINDOW.map);
  const size = [n, part(WINDOW.side, h), part(WINDOW.side, w), c];
  return slice(map, { start: [0, part(WINDOW.top, h), part(WINDOW.left, w), 0], size });
}

/**
 * c() of Eq. 10: maps [n, h, w, 3] in [-1, 1] -> what FaceNet takes, [n, 160, 160, 3] as (value - 127.5) / 128: the central
 * window, bilinearly. Throws ShapeError.
 */
export const identityCrop = (map: Tensor): Tensor =>
  mul(resize(centralFace(map), { size: [160, 160], mode: 'bilinear' }), 127.5 / 128);

/** Faces as `identityCrop` makes them -> raw embeddings [n, d]. */
export type IdentityNetwork = (faces: Tensor) => Tensor;

/**
 * Batch mean of ||F(c(target)) - F(c(output))||^2 (Eq. 10). Embeddings are scaled to length 1, so that it is at most 4;
 * `idNorm: false` takes them raw, which makes the term far larger (our choice, because the paper's weight of 0.01 would then
 * outweigh the reconstruction). Maps [n, h, w, 3] in [-1, 1]. Throws ShapeError.
 */
export function identityLoss(
  output: Tensor,
  target: Tensor,
  network: IdentityNetwork,
  { idNorm = true }: { idNorm?: boolean } = {},
): Tensor {
  if (!sameShape(output.shape, target.shape)) {
    throw new ShapeError(
      `identityLoss: output ${showShape(output.shape)} and target ${showShape(target.shape)} differ`,
    );
  }
  const features = (map: Tensor): Tensor => {
    const raw = cast(network(identityCrop(map)), 'f32'); // [n, d]
    return idNorm ? normalize(raw) : raw;
  };
  const difference = sub(features(target), features(output));
  return mean(sum(mul(difference, difference), { axes: [1] }));
}

/** Maps [n, h, w, 6] (incomplete and complete; 3 channels unconditionally) -> logits of any shape. */
export type Critic = (maps: Tensor) => Tensor;

/** The networks that judge a completion; the term of one that is absent is left out. */
export interface Critics {
  /** Judges the central windows. */
  local?: Critic;
  /** Judges whole maps. */
  global?: Critic;
  identity?: IdentityNetwork;
}

export interface CompletionLossOptions {
  /** Weight of the local adversarial term (lambda 1): 0.5 in the paper. */
  localWeight?: number;
  /** Weight of the global adversarial term (lambda 2): 0.5 in the paper. */
  globalWeight?: number;
  /** Weight of the identity term (lambda 3): 0.01 in the paper. */
  identityWeight?: number;
  /** Weight of the auxiliary output (Eq. 12): 0.3 in the paper; 0 leaves it out, for the discriminators too. */
  eta?: number;
  /** Identity on embeddings of length 1. */
  idNorm?: boolean;
  /** Critics see the incomplete map beside the complete one (Eq. 9: D(x, y)). */
  conditional?: boolean;
}

/** Terms of Eq. 11, each a scalar without its weight, and their weighted sum. */
export interface CompletionTerms {
  reconstruction: Tensor;
  local?: Tensor;
  global?: Tensor;
  identity?: Tensor;
  total: Tensor;
}

const judged = (x: Tensor, map: Tensor, conditional: boolean): Tensor =>
  conditional ? concat([x.shape[3] === 3 ? x : incomplete(x), map], { axis: -1 }) : map;

/** The incomplete map alone, where the generator's input holds its mirror image too. */
const incomplete = (x: Tensor): Tensor => slice(x, { start: [0, 0, 0, 0], size: [...x.shape.slice(0, 3), 3] });

function checkWeights(weights: Record<string, number>): void {
  for (const [name, value] of Object.entries(weights)) {
    if (!(value >= 0 && value < Infinity)) throw new RangeError(`losses: ${name} must be a number >= 0, got ${value}`);
  }
}

function checkMaps(op: string, x: Tensor, maps: Readonly<Record<string, Tensor>>): void {
  const [n, h, w] = x.shape;
  for (const [name, map] of Object.entries(maps)) {
    if (x.shape.length !== 4 || x.shape[3] < 3 || !sameShape(map.shape, [n, h, w, 3])) {
      throw new ShapeError(
        `${op}: wants x [n,h,w,3 or more] and ${name} [n,h,w,3], got ${showShape(x.shape)} and ${showShape(map.shape)}`,
      );
    }
  }
}

/**
 * L_tot of one output (Eq. 11): L_rec + l1 L_adv(local) + l2 L_adv(global) + l3 L_id. x: the generator's input
 * [n, h, w, 3 or 6], of which critics see the first three channels; output and target [n, h, w, 3]; all in [-1, 1].
 * Throws ShapeError; RangeError for a weight that is no number >= 0.
 */
export function totalLoss(
  x: Tensor,
  output: Tensor,
  target: Tensor,
  critics: Critics,
  options: CompletionLossOptions = {},
): CompletionTerms {
  const { localWeight = 0.5, globalWeight = 0.5, identityWeight = 0.01, idNorm, conditional = true } = options;
  checkWeights({ localWeight, globalWeight, identityWeight });
  checkMaps('totalLoss', x, { output, target });
  const reconstruction = reconstructionLoss(output, target);
  const pair = judged(x, output, conditional);
  const local = critics.local && adversarialLoss(critics.local(centralFace(pair)));
  const global = critics.global && adversarialLoss(critics.global(pair));
  const identity = critics.identity && identityLoss(output, target, critics.identity, { idNorm });
  let total = reconstruction;
  if (local) total = add(total, mul(local, localWeight));
  if (global) total = add(total, mul(global, globalWeight));
  if (identity) total = add(total, mul(identity, identityWeight));
  return { reconstruction, local, global, identity, total };
}

/** A generator's outputs [n, h, w, 3] in [-1, 1]; `aux` is `final` itself where there is no auxiliary output. */
export interface Completions {
  final: Tensor;
  aux: Tensor;
}

const hasAuxiliary = ({ final, aux }: Completions, eta: number): boolean => eta > 0 && aux !== final;

/**
 * What the generator minimises: L_final = L_tot(final) + eta L_tot(aux) (Eq. 12), all terms of the auxiliary output with the
 * same critics. Arguments and errors as for `totalLoss`.
 */
export function finalLoss(
  x: Tensor,
  outputs: Completions,
  target: Tensor,
  critics: Critics,
  options: CompletionLossOptions = {},
): { final: CompletionTerms; aux?: CompletionTerms; total: Tensor } {
  const { eta = 0.3 } = options;
  checkWeights({ eta });
  const final = totalLoss(x, outputs.final, target, critics, options);
  if (!hasAuxiliary(outputs, eta)) return { final, total: final.total };
  const aux = totalLoss(x, outputs.aux, target, critics, options);
  return { final, aux, total: add(final.total, mul(aux.total, eta)) };
}

/**
 * L_D of each discriminator given, with separate passes for complete, generated and auxiliary maps (pix2pix's batch norms);
 * no gradient passes to the generator. Arguments and errors as for `totalLoss`.
 */
export function discriminatorLosses(
  x: Tensor,
  outputs: Completions,
  target: Tensor,
  { local, global }: Critics,
  { eta = 0.3, conditional = true }: CompletionLossOptions = {},
): { local?: Tensor; global?: Tensor } {
  checkWeights({ eta });
  checkMaps('discriminatorLosses', x, { final: outputs.final, aux: outputs.aux, target });
  const real = judged(x, target, conditional);
  const fake = judged(x, detach(outputs.final), conditional);
  const aux = hasAuxiliary(outputs, eta) ? judged(x, detach(outputs.aux), conditional) : undefined;
  const lossOf = (critic: Critic, view: (maps: Tensor) => Tensor): Tensor =>
    discriminatorLoss(critic(view(real)), critic(view(fake)), { auxiliary: aux && critic(view(aux)), eta });
  return {
    local: local && lossOf(local, centralFace),
    global: global && lossOf(global, (maps) => maps),
  };
}
