// What a model of the work predicts for an H200, to stand beside what is measured; nothing here was measured on our kernels.
//
// Source: the project's roofline of this network (256x256, width 64, one convolution per decoder level, everything stored in bf16), without the
// identity network, which bench/step leaves out. Peak 790 TFLOP/s in bf16 and 4.3 TB/s, both measured on such a card through PyTorch; practical: tiles
// of products counted whole, other bytes at 0.85 of that speed, 1.2 us per other kernel. Modes: what PyTorch runs eagerly or compiled into CUDA graphs,
// and ours with fused endings (a) and with norms applied on load too (b). f32 storage, as long as it is there, moves twice the bytes.
import type { WorkKind } from './step-work.js';

/** Milliseconds. `floor`: operations at the peak and nothing else. */
export interface Prediction {
  floor: number;
  eager: number;
  compiled: number;
  a: number;
  b: number;
}

export const GFLOP_PER_IMAGE: Record<WorkKind, number> = { inference: 38.1, generator: 114.1, gan: 177.0 };

export const PREDICTED: Record<WorkKind, Record<number, Prediction>> = {
  inference: {
    1: { floor: 0.05, eager: 1.11, compiled: 0.83, a: 0.62, b: 0.49 },
    16: { floor: 0.77, eager: 4.64, compiled: 3.49, a: 2.88, b: 2.35 },
    64: { floor: 3.09, eager: 16.04, compiled: 12.08, a: 10.21, b: 8.4 },
  },
  generator: {
    1: { floor: 0.14, eager: 4.08, compiled: 2.96, a: 2.27, b: 1.96 },
    16: { floor: 2.31, eager: 13.52, compiled: 10.72, a: 8.76, b: 7.8 },
    64: { floor: 9.24, eager: 43.86, compiled: 35.68, a: 29.67, b: 26.6 },
  },
  gan: {
    1: { floor: 0.22, eager: 4.57, compiled: 3.37, a: 2.6, b: 2.25 },
    16: { floor: 3.58, eager: 16.33, compiled: 13.28, a: 10.98, b: 9.84 },
    64: { floor: 14.34, eager: 53.93, compiled: 44.99, a: 37.75, b: 34.13 },
  },
};
