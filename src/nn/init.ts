// Initial weights. Contract: a shape is [out, ...in] for linear and [out, kh, kw, in/groups] for convolution weights; with a
// seed, the k-th tensor drawn from one `initializers` object depends on the seed and k alone.
import { zeros } from '../tensor/create.js';
import { add, mul } from '../tensor/ops/elementwise.js';
import { rand, randn } from '../tensor/random.js';
import { tidy } from '../tensor/scope.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** Draws a weight tensor of the shape. */
export type Initializer = (shape: Shape) => Tensor;

export interface Initializers {
  /** N(0, 2 / fan_out): keeps the variance of gradients through ReLU layers (He et al. 2015). */
  heNormal: Initializer;
  /** U(-b, b), b = sqrt(6 / fan_in): keeps the variance of activations through ReLU layers (He et al. 2015). */
  heUniform: Initializer;
  /** U(-b, b), b = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010). */
  xavierUniform: Initializer;
  /** N(0, 0.02), as pix2pix initialises discriminators. */
  narrowNormal: Initializer;
}

const fanIn = (shape: Shape): number => sizeOf(shape.slice(1));
const fanOut = (shape: Shape): number => sizeOf(shape.slice(0, -1));

/** Initialisers that draw from `seed` (0 to 2^32 - 1), or from `manualSeed`'s stream when there is none. */
export function initializers(seed?: number): Initializers {
  if (seed !== undefined && !(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
    throw new RangeError(`seed: a whole number from 0 to 4294967295 is wanted, got ${seed}`);
  }
  let drawn = 0;
  // The generator's key has 53 bits: the seed fills the low word, the count of tensors the high one.
  const next = () => (seed === undefined ? {} : { seed: seed + drawn++ * 2 ** 32 });
  const normal = (shape: Shape, std: number) => tidy(() => mul(randn(shape, next()), std));
  const uniform = (shape: Shape, bound: number) => tidy(() => add(mul(rand(shape, next()), 2 * bound), -bound));
  return {
    heNormal: (shape) => normal(shape, Math.sqrt(2 / fanOut(shape))),
    heUniform: (shape) => uniform(shape, Math.sqrt(6 / fanIn(shape))),
    xavierUniform: (shape) => uniform(shape, Math.sqrt(6 / (fanIn(shape) + fanOut(shape)))),
    narrowNormal: (shape) => normal(shape, 0.02),
  };
}

const nothing: Initializer = (shape) => zeros(shape);

/** All weights 0: for a module whose state is about to be loaded, where drawing would only take time. */
export const uninitialized: Initializers = {
  heNormal: nothing,
  heUniform: nothing,
  xavierUniform: nothing,
  narrowNormal: nothing,
};
