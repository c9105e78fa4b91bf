// What training anything takes: the contract between the loop (trainer.ts), which keeps steps, checkpoints, logs and the best
// network, and a job, which knows the data, the networks and their step. Contract: what step k of a job does depends on its configuration and
// on its state after step k - 1 alone, and its data of step k on k alone; then a run that was taken up ends with the same bits.
import type { HostArray } from '../../formats/host-array.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { Pixels } from '../image.js';

/** Keys that every training configuration has. */
export interface RunConfig {
  /** What is trained: a name in TASKS; without it the completion network. */
  task?: string;
  /** Folder of checkpoints, logs and networks. */
  run: string;
  seed: number;
  device?: string;
  /** Samples per step. */
  batch: number;
  /** Exactly one of the two. */
  epochs?: number;
  steps?: number;
  /** In steps; `keep` files beside the best. */
  checkpoint: { every: number; keep: number };
  /** In steps; images 0 draws none. */
  log: { every: number; images: number };
  /** In steps, 0 only at the end. */
  validate: { every: number };
}

/** Losses or scores by name. */
export type Scalars = Record<string, number>;

/** Losses of a step that may be under way still, by name: they lie with the device until this is called, once. */
export type Losses = () => Promise<Scalars>;

/** The number by which the best network is chosen, among those that `validate` gives. */
export interface Score {
  /** `validation/...` */
  name: string;
  /** As it stands behind a number: ` dB`, ` %`. */
  unit: string;
  better: 'higher' | 'lower';
}

/** Something that is being trained. `B` is a batch of its data. */
export interface TrainJob<B = unknown> {
  readonly stepsPerEpoch: number;
  /** One line for each part of the data that was left out when it was opened. */
  readonly problems: readonly string[];
  /** Memory of a captured step's intermediate results, once there has been one. */
  readonly arenaBytes: number;
  /** Whether there is anything to validate with. */
  readonly validates: boolean;
  /**
   * The data of the next step, from the one it was opened at. Rejects with BatchError where it cannot be read: the step then passes without
   * learning, and the call after gives the data of the step after.
   */
  next(): Promise<B>;
  /** One step of learning. Does not wait for it. */
  step(batch: B, learningRate: number): Losses;
  /** Rate of 0-based step `step` of `total`. */
  learningRate(step: number, total: number): number;
  /** All that a step reads and changes, by name; the variables themselves. */
  state(): Record<string, Tensor>;
  /** Copies such a state in. Throws ShapeError. */
  loadState(state: Readonly<Record<string, Tensor>>): void;
  /** Scores by name, the task's among them. */
  validate(): Scalars | Promise<Scalars>;
  /** For TensorBoard. */
  pictures(): [name: string, picture: Pixels][];
  /** Writes the network to use, atomically. */
  saveNetwork(file: string, step: number): void;
  /** A batch as it is kept where its loss is no number. */
  record(batch: B): Record<string, HostArray>;
  close(): Promise<void>;
}

/** A kind of training: how its configuration is opened, and what its results are called. */
export interface TrainTask<C extends RunConfig> {
  readonly name: string;
  /** The newest network's file in the run's folder. */
  readonly result: string;
  readonly score: Score;
  /** What is trained, in a few words. */
  title(config: C): string;
  /** Opens data and networks, the data at step `from`. Throws FormatError. */
  open(config: C, from: number): Promise<TrainJob>;
}

/** Names in a run's folder. */
export const RUN_FILES = {
  /** The configuration, with all defaults. */
  config: 'config.json',
  /** A completion network's newest state (the average of its weights where one is kept), for `complete`, `synth` and `eval`. */
  generator: 'generator.safetensors',
  /** The network that scored best on the validation data. */
  best: 'best.safetensors',
} as const;
