// Training a completion network as a job: pairs, the GAN's step, and scores on other pairs.
import path from 'node:path';
import type { HostArray } from '../../formats/host-array.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { Batch } from '../dataset/batches.js';
import { type BatchLoader, openLoader } from '../dataset/loader.js';
import { saveGenerator } from '../generators.js';
import type { Pixels } from '../image.js';
import { learningRate, type TrainConfig } from './config.js';
import { type Losses, RUN_FILES, type Scalars, type TrainJob, type TrainTask } from './job.js';
import { createStep } from './networks.js';
import { Preview } from './preview.js';
import type { GanStep } from './step.js';

export const COMPLETION: TrainTask<TrainConfig> = {
  name: 'completion',
  result: RUN_FILES.generator,
  score: { name: 'validation/psnr', unit: ' dB', better: 'higher' },
  title: ({ model }) => `${model.kind}, base width ${model.baseWidth}`,
  open: openCompletion,
};

async function openCompletion(config: TrainConfig, from: number): Promise<TrainJob> {
  const { data, batch, seed } = config;
  const { flip, cut, relight, workers } = data;
  const loader = await openLoader(data.train, { batch, seed, flip, cut, relight, workers, from });
  let step: GanStep | undefined;
  try {
    step = createStep(config, loader);
    const preview = data.validation && (await Preview.open(data.validation, config.validate.pairs, loader));
    return new CompletionJob(config, loader, step, preview);
  } catch (error) {
    step?.dispose();
    await loader.close();
    throw error;
  }
}

/** Data by its names: where they lie on this machine is nobody's business who is given the weights. */
const named = (_key: string, value: unknown): unknown => (typeof value === 'string' ? path.basename(value) : value);

class CompletionJob implements TrainJob<Batch> {
  readonly stepsPerEpoch: number;
  readonly problems: readonly string[];
  readonly validates: boolean;

  constructor(
    private readonly config: TrainConfig,
    private readonly loader: BatchLoader,
    private readonly gan: GanStep,
    private readonly preview: Preview | undefined,
  ) {
    this.stepsPerEpoch = loader.stepsPerEpoch;
    this.problems = loader.problems;
    this.validates = preview !== undefined;
  }

  get arenaBytes(): number {
    return this.gan.arenaBytes;
  }

  next(): Promise<Batch> {
    return this.loader.next();
  }

  step(batch: Batch, rate: number): Losses {
    this.gan.setLearningRate(rate);
    return this.gan.begin(batch);
  }

  learningRate(step: number, total: number): number {
    return learningRate(this.config, step, total);
  }

  state(): Record<string, Tensor> {
    return this.gan.state();
  }

  loadState(state: Readonly<Record<string, Tensor>>): void {
    this.gan.loadState(state);
  }

  validate(): Scalars {
    return this.preview?.score(this.gan, this.config.batch) ?? {};
  }

  pictures(): [name: string, picture: Pixels][] {
    return this.preview?.pictures(this.gan) ?? [];
  }

  saveNetwork(file: string, step: number): void {
    saveGenerator(path.resolve(file), this.gan.best, {
      about: { trainedOn: JSON.stringify(this.config.data.train, named), step: String(step) },
    });
  }

  record({ incomplete, complete, mask }: Batch): Record<string, HostArray> {
    const { size } = this.loader;
    const shape = [mask.length / (size * size), size, size];
    const maps = (data: Uint8Array): HostArray => ({ dtype: 'u8', shape: [...shape, 3], data });
    return { incomplete: maps(incomplete), complete: maps(complete), mask: { dtype: 'u8', shape, data: mask } };
  }

  async close(): Promise<void> {
    this.gan.dispose();
    await this.loader.close();
  }
}
