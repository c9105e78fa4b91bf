// Adversarial losses of section 6 of the specification, from a discriminator's logits.
import { add, mul } from '../tensor/ops/elementwise.js';
import { bceWithLogits } from '../tensor/ops/losses.js';
import type { Tensor } from '../tensor/tensor.js';

/** 1/2 [BCE(real, 1) + BCE(fake, 0)]: what a discriminator minimises, from its logits on complete and generated maps. */
export const discriminatorLoss = (real: Tensor, fake: Tensor): Tensor =>
  mul(add(bceWithLogits(real, 1), bceWithLogits(fake, 0)), 0.5);

/** BCE(fake, 1): what a generator minimises (the non-saturating form of paper Eq. 9). */
export const adversarialLoss = (fake: Tensor): Tensor => bceWithLogits(fake, 1);
