// Dropout from the engine's random numbers: the counter lives on the device, so a captured step draws anew at every replay.
import { greater, mul, scaled } from '../tensor/ops/elementwise.js';
import { rand } from '../tensor/random.js';
import { ShapeError } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { Module } from './module.js';

/** In training each element is 0 with probability p, else x / (1 - p); in evaluation x itself. Seeded by `manualSeed`. */
export class Dropout extends Module {
  constructor(readonly p = 0.5) {
    super();
    if (!(p >= 0 && p < 1)) throw new ShapeError(`Dropout: p must be in [0, 1), got ${p}`);
  }

  /** x of any shape -> that shape. */
  forward(x: Tensor): Tensor {
    if (!this.training || this.p === 0) return x;
    const kept = greater(rand(x.shape, { device: x.device }), this.p);
    return scaled(x, mul(kept, 1 / (1 - this.p)));
  }
}
