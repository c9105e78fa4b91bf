import type { InputMode } from '../../models/input-mode.js';
import type { DataSpec } from '../dataset/loader.js';
import type { GeneratorKind } from '../generators.js';
export interface TrainConfig {
  run: string;
  seed: number;
  device?: string;
  model: { kind: GeneratorKind; baseWidth: number; input: InputMode; weights?: string; levels?: number };
  discriminator: { baseWidth: number; conditional: boolean };
  loss: { local: number; global: number; identity: number; auxiliary: number; idNorm: boolean };
  identity?: { network: 'facenet' | 'mobilefacenet'; weights: string };
  data: { train: DataSpec; validation?: DataSpec; flip: boolean; workers: number };
  batch: number;
  epochs?: number;
  steps?: number;
  optimiser: {
    lr: number;
    betas: [number, number];
    schedule: 'constant' | 'linear' | 'cosine';
    decayFrom: number;
    warmup: number;
    ema: number;
  };
  checkpoint: { every: number; keep: number };
  log: { every: number; images: number };
  validate: { every: number; pairs: number };
}
export function learningRate(config: TrainConfig, step: number, total: number): number {
  const { lr, schedule, decayFrom, warmup } = config.optimiser;
  if (step < warmup) return (lr * (step + 1)) / warmup;
  if (schedule === 'constant') return lr;
  if (schedule === 'cosine') return 0.5 * lr * (1 + Math.cos((Math.PI * step) / total));
  const from = decayFrom * total;
  return step < from ? lr : (lr * (total - step)) / Math.max(1, total - from);
}
