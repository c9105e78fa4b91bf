// Training a cascade as a job: photos of drawn people, one stage after the other, scored by landmark error on other people. Contract: the
// data of step k, the stage it trains and where its faces start depend on the configuration and the stages before alone.
import path from 'node:path';
import type { HostArray } from '../../formats/host-array.js';
import { Random } from '../../head/random.js';
import { type FittedFace, StartRegenerator } from '../../models/cascade-start.js';
import { parameterStatistics, splitParameters } from '../../models/face-parameters.js';
import { applyPose } from '../../models/pose.js';
import { tensor } from '../../tensor/create.js';
import { manualSeed } from '../../tensor/random.js';
import type { Tensor } from '../../tensor/tensor.js';
import { keptFaces } from '../dataset/face-store.js';
import { epochOrder } from '../dataset/order.js';
import { Recent, seedOf } from '../dataset/recent.js';
import { PEOPLE_AT_HAND, type SynthFace, type SynthFaces, synthFaces } from '../dataset/synth-faces.js';
import { byYaw, normalizedMeanError } from '../fit-error.js';
import { createFitter, type Fitter, fitCrops, saveFitter } from '../fitters.js';
import type { Pixels } from '../image.js';
import type { FitterConfig } from './fitter-config.js';
import { type FitterBatch, type FitterCost, FitterStep } from './fitter-step.js';
import type { Scalars, TrainJob, TrainTask } from './job.js';

export const FITTER: TrainTask<FitterConfig> = {
  name: 'fitter',
  result: 'fitter.safetensors',
  score: { name: 'validation/nme', unit: ' %', better: 'lower' },
  title: ({ cascade, loss }) =>
    `${cascade.network}, ${cascade.stages} ${cascade.stages === 1 ? 'stage' : 'stages'}, width ${cascade.width}, ${loss.cost}`,
  open: async (config, from) => new FitterJob(config, from),
};

/** Photos whose parameters the statistics are made from. */
const SAMPLED = 2000;
/** Part of a stage's steps that is spent on VDC at its end, where the cost says so. */
const TUNED = 0.2;

export type CostPlan = FitterCost | 'wpdc+vdc' | 'owpdc+vdc';

/** What step `step` of a run trains: its stage, how far into it, and with which cost. */
export function planOf(
  { cascade: { stages, stepsPerStage }, loss }: Pick<FitterConfig, 'cascade' | 'loss'>,
  step: number,
): { stage: number; share: number; cost: FitterCost } {
  const stage = Math.min(stages - 1, Math.floor(step / stepsPerStage));
  const share = Math.min(1, (step - stage * stepsPerStage) / stepsPerStage);
  const [first, last] = loss.cost.split('+') as [FitterCost, FitterCost | undefined];
  return { stage, share, cost: last && share >= 1 - TUNED ? last : first };
}

/**
 * Rate of step `step`: within each stage a tenth of it at 1/5, then lr, 1/5 of that after 3/5 and 1/25 after 4/5 (the published schedule,
 * paper-spec 9.5, as shares of a stage); a VDC step after another cost takes `vdcRate` of it.
 */
export function fitterRate(config: Pick<FitterConfig, 'cascade' | 'loss' | 'optimiser'>, step: number): number {
  const { share, cost } = planOf(config, step);
  const { lr } = config.optimiser;
  if (cost === 'vdc' && config.loss.cost !== 'vdc') return lr * config.loss.vdcRate;
  if (share < 0.1 || share >= 0.6) return lr * (share >= 0.8 ? 0.04 : 0.2);
  return lr;
}

class FitterJob implements TrainJob<FitterBatch> {
  readonly stepsPerEpoch: number;
  readonly problems: readonly string[] = [];
  readonly validates = true;
  private readonly photos: SynthFaces;
  /** Faces that starts are regenerated from, and others that scores are of. */
  private readonly folds: { regeneration: SynthFaces; validation: SynthFaces };
  private readonly fitter: Fitter;
  private readonly trained: FitterStep;
  private at: number;
  /** The validation photos, looked at again and again. */
  private readonly shown: Recent<SynthFace>;
  private order: { epoch: number; indices: Int32Array } | undefined;
  private regenerator: { stage: number; starts: StartRegenerator } | undefined;

  constructor(
    private readonly config: FitterConfig,
    from: number,
  ) {
    const { data, cascade, loss, optimiser, batch, seed } = config;
    const { people, firstPerson, held, views, maxYaw, occluders } = data;
    const { side } = cascade;
    const drawn = (count: number, first: number) => {
      const faces = synthFaces({ people: count, firstPerson: first, views, side, seed: data.seed, maxYaw, occluders });
      return data.keep ? keptFaces(faces, data.keep) : faces;
    };
    this.photos = drawn(people, firstPerson);
    this.folds = {
      regeneration: drawn(held, firstPerson + people),
      validation: drawn(held, firstPerson + people + held),
    };
    this.stepsPerEpoch = Math.max(1, Math.floor(this.photos.length / batch));
    this.at = from;
    this.shown = new Recent(config.validate.photos);
    manualSeed(seed);
    const { model } = this.photos;
    const count = Math.min(SAMPLED, this.photos.length);
    const truths = Array.from({ length: count }, (_, i) => [
      ...this.photos.truth(Math.floor((i * this.photos.length) / count)).truth,
    ]);
    const statistics = parameterStatistics(truths.flat(), truths[0].length);
    this.fitter = createFitter(cascade, model, statistics);
    this.trained = new FitterStep(this.fitter.cascade, model, statistics, {
      optimiser: optimiser.kind,
      momentum: optimiser.momentum,
      weightDecay: optimiser.weightDecay,
      vertices: loss.vertices,
      scale: loss.scale,
      regularisation: loss.regularisation,
    });
  }

  get arenaBytes(): number {
    return this.trained.arenaBytes;
  }

  async next(): Promise<FitterBatch> {
    const step = this.at++;
    const { batch, seed } = this.config;
    const { stage, cost } = planOf(this.config, step);
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (this.order?.epoch !== epoch) {
      const mixing = { length: this.photos.length, block: this.config.data.views, window: PEOPLE_AT_HAND };
      this.order = { epoch, indices: epochOrder(mixing, seed, epoch) };
    }
    const { indices } = this.order;
    const first = (step % this.stepsPerEpoch) * batch;
    const starts = await this.startsOf(stage);
    const random = new Random(seedOf(seed, step, 0x57a7));
    const { side } = this.photos;
    const d = this.fitter.start.length;
    const crops = new Uint8Array(batch * side * side * 3);
    const [start, truth] = [new Float64Array(batch * d), new Float64Array(batch * d)];
    for (let i = 0; i < batch; i++) {
      const face = this.photos.face(indices[(first + i) % indices.length]);
      crops.set(face.crop, i * side * side * 3);
      truth.set(face.truth, i * d);
      start.set(starts ? starts.start(face.truth, random) : this.fitter.start, i * d);
    }
    return { stage, cost, crops, start, truth };
  }

  step(batch: FitterBatch, rate: number): Promise<Scalars> {
    return this.trained.run(batch, rate);
  }

  learningRate(step: number): number {
    return fitterRate(this.config, step);
  }

  state(): Record<string, Tensor> {
    return this.trained.state();
  }

  loadState(state: Readonly<Record<string, Tensor>>): void {
    this.trained.loadState(state);
  }

  /** NME in per cent of the stages trained so far, by yaw. */
  async validate(): Promise<Scalars> {
    const { stage } = planOf(this.config, Math.max(0, this.at - 1));
    const faces = await this.fitted(this.folds.validation, this.config.validate.photos, stage + 1);
    const { model, counts } = this.photos;
    const landmarks = (p: ArrayLike<number>) => {
      const { pose, alpha, beta } = splitParameters(p, counts);
      return applyPose(model.verticesAt(model.landmarks, alpha, beta), pose);
    };
    const errors = faces.map(({ truth, fitted, yaw }) => ({
      yaw,
      nme: normalizedMeanError(landmarks(fitted), landmarks(truth), 3),
    }));
    const { bins, mean } = byYaw(errors);
    const named = Object.entries(bins).map(([name, value]) => [`validation/nme-${name}`, value]);
    return { 'validation/nme': mean, ...Object.fromEntries(named) };
  }

  pictures(): [name: string, picture: Pixels][] {
    return [];
  }

  saveNetwork(file: string, step: number): void {
    const { stage } = planOf(this.config, Math.max(0, step - 1));
    const { keep: _, ...trainedOn } = this.config.data;
    const about = { trainedOn: JSON.stringify(trainedOn), loss: this.config.loss.cost, step: String(step) };
    saveFitter(path.resolve(file), this.fitter, this.photos.model, { stages: stage + 1, about });
  }

  record({ crops, start, truth }: FitterBatch): Record<string, HostArray> {
    const { side } = this.photos;
    const d = this.fitter.start.length;
    const n = start.length / d;
    const vectors = (data: Float64Array): HostArray => ({
      dtype: 'f32',
      shape: [n, d],
      data: Float32Array.from(data),
    });
    return {
      crops: { dtype: 'u8', shape: [n, side, side, 3], data: crops },
      start: vectors(start),
      truth: vectors(truth),
    };
  }

  async close(): Promise<void> {
    this.trained.dispose();
    this.fitter.cascade.dispose();
  }

  /** Undefined at the first stage, which starts from p^0. The stages before are final, so it is made once per stage. */
  private async startsOf(stage: number): Promise<StartRegenerator | undefined> {
    if (stage === 0) return undefined;
    if (this.regenerator?.stage !== stage) {
      const faces = await this.fitted(this.folds.regeneration, this.config.cascade.regeneration, stage);
      const { model, counts } = this.photos;
      this.regenerator = { stage, starts: new StartRegenerator(model, counts, faces) };
    }
    return this.regenerator.starts;
  }

  /** `count` photos, spread over the people, as the first `stages` stages fit them. */
  private async fitted(photos: SynthFaces, count: number, stages: number): Promise<(FittedFace & { yaw: number })[]> {
    const { side } = photos;
    const total = Math.min(count, photos.length);
    const d = this.fitter.start.length;
    this.fitter.cascade.eval();
    const out: (FittedFace & { yaw: number })[] = [];
    const kept = photos === this.folds.validation ? this.shown : undefined;
    for (let from = 0; from < total; from += this.config.batch) {
      const faces = Array.from({ length: Math.min(this.config.batch, total - from) }, (_, i) => {
        const index = Math.floor(((from + i) * photos.length) / total);
        return kept ? kept.get(`${index}`, () => photos.face(index)) : photos.face(index);
      });
      const crops = new Uint8Array(faces.length * side * side * 3);
      for (const [i, { crop }] of faces.entries()) crops.set(crop, i * side * side * 3);
      const input = tensor(crops, { shape: [faces.length, side, side, 3], dtype: 'u8' });
      const found = await fitCrops(this.fitter, input, stages);
      input.dispose();
      for (const [i, { truth, yaw }] of faces.entries()) {
        out.push({ truth, yaw, fitted: Float64Array.from(found.subarray(i * d, (i + 1) * d)) });
      }
    }
    return out;
  }
}
