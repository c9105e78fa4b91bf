// What a case file declares about an op file: naive kernels, samples, error texts. One declaration serves the gradient check,
// the comparison of devices, and the benchmark.
import type { DType } from '../../src/tensor/dtype.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import type { ReferenceKernel } from '../reference.js';

/** A shape stands for standard normal values. */
export type Input =
  | readonly number[]
  | { shape: readonly number[]; dtype?: DType; value: (random: () => number) => number };

export interface Sample {
  name: string;
  inputs: Record<string, Input>;
  run: (inputs: Record<string, Tensor>) => Tensor;
  /** Inputs whose gradient is checked; all f32 inputs unless given. */
  differentiable?: readonly string[];
  /** Of the largest magnitude of the tensor compared; 1e-5 unless given. */
  tolerance?: number;
  /** The same of a run over bf16 maps; four roundings, 2^-6, unless given. */
  bf16Tolerance?: number;
  /** False where the work is too large for differences: gradients are then only compared with the reference's. */
  differences?: boolean;
  /** Gradients of gradients are checked too, unless false. */
  second?: boolean;
  /** Floating-point operations of one run, for the benchmark; where absent it counts the bytes of inputs and output. */
  flops?: number;
}

export interface ErrorSample {
  name: string;
  run: () => unknown;
  /** The message in full, or a pattern for it. */
  message: string | RegExp;
}

export interface Case {
  kernels: Record<string, ReferenceKernel>;
  /** Inputs that are maps, which may be bf16; none where the ops take f32 alone. */
  maps?: readonly string[];
  samples: Sample[];
  /** Sizes of real work (the generator's layers at width 64), timed by `npm run bench` and run by nothing else. */
  benchmarks?: Sample[];
  errors: ErrorSample[];
}

/** Values at least 0.1 away from 0, where many functions have a kink. */
export const awayFromZero = (shape: readonly number[]): Input => ({
  shape,
  value: (random) => (random() < 0.5 ? -1 : 1) * (0.1 + 2 * random()),
});

/** Values in [low, high). */
export const between = (low: number, high: number, shape: readonly number[]): Input => ({
  shape,
  value: (random) => low + (high - low) * random(),
});

/** Whole numbers in [0, count), i32. */
export const indicesBelow = (count: number, shape: readonly number[]): Input => ({
  shape,
  dtype: 'i32',
  value: (random) => Math.floor(random() * count),
});
