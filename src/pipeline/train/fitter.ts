// Training a cascade as a job: photos of drawn people or annotated ones, one stage after the other, scored by landmark error on other people. Contract: the
// data of step k, the stage it trains and where its faces start depend on the configuration and the stages before alone.
import path from 'node:path';
import type { HostArray } from '../../formats/host-array.js';
import { Random } from '../../head/random.js';
import { StartRegenerator } from '../../models/cascade-start.js';
import { parameterStatistics } from '../../models/face-parameters.js';
import { manualSeed } from '../../tensor/random.js';
import type { Tensor } from '../../tensor/tensor.js';
import { keptFaces } from '../dataset/face-store.js';
import { BLOCKS_AT_HAND, type FaceCrop, type FaceSource } from '../dataset/faces.js';
import { lpFaces } from '../dataset/lp-faces.js';
import { epochOrder } from '../dataset/order.js';
import { Recent, seedOf } from '../dataset/recent.js';
import { synthFaces } from '../dataset/synth-faces.js';
import { loadFaceModel } from '../face_model.js';
import { createFitter, type Fitter, saveFitter } from '../fitters.js';
import type { Pixels } from '../image.js';
import type { FitterConfig } from './fitter-config.js';
import { type FittedFacesOptions, fittedFaces, landmarkErrors, type ScoredFace } from './fitter-score.js';
import { type FitterBatch, type FitterCost, FitterStep } from './fitter-step.js';
import type { Losses, Scalars, TrainJob, TrainTask } from './job.js';

export const FITTER: TrainTask<FitterConfig> = {
  name: 'fitter',
  result: 'fitter.safetensors',
  score: { name: 'validation/nme', unit: ' %', better: 'lower' },
  title: ({ cascade, loss }) =>
    `${cascade.network}, ${cascade.stages} ${cascade.stages === 1 ? 'stage' : 'stages'}, width ${cascade.width}, ${loss.cost}`,
  open: async (config, from) => new FitterJob(config, from, await openFaces(config)),
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

/** Photos to learn from; others that starts are regenerated from, and others again that scores are of. */
interface Faces {
  training: FaceSource;
  regeneration: FaceSource;
  validation: FaceSource;
}

async function openFaces({ data, cascade }: FitterConfig): Promise<Faces> {
  const { people, firstPerson, held, views, seed, maxYaw, occluders, keep, lp } = data;
  const { side } = cascade;
  if (lp) {
    const model = loadFaceModel(lp.model);
    const of = (fold: 'train' | 'regeneration' | 'validation') =>
      lpFaces(lp.folder, { model, side, seed, profiles: lp.profiles, maxYaw, fold });
    return { training: await of('train'), regeneration: await of('regeneration'), validation: await of('validation') };
  }
  const drawn = (count: number, first: number) => {
    const faces = synthFaces({ people: count, firstPerson: first, views, side, seed, maxYaw, occluders });
    return keep ? keptFaces(faces, keep) : faces;
  };
  const others = firstPerson + people;
  return {
    training: drawn(people, firstPerson),
    regeneration: drawn(held, others),
    validation: drawn(held, others + held),
  };
}

class FitterJob implements TrainJob<FitterBatch> {
  readonly stepsPerEpoch: number;
  readonly problems: readonly string[] = [];
  readonly validates = true;
  private readonly fitter: Fitter;
  private readonly trained: FitterStep;
  private at: number;
  /** The validation photos, looked at again and again. */
  private readonly shown: Recent<FaceCrop | Promise<FaceCrop>>;
  private order: { epoch: number; indices: Int32Array } | undefined;
  private regenerator: { stage: number; starts: StartRegenerator } | undefined;

  constructor(
    private readonly config: FitterConfig,
    from: number,
    private readonly faces: Faces,
  ) {
    const { cascade, loss, optimiser, batch, seed } = config;
    const photos = faces.training;
    this.stepsPerEpoch = Math.max(1, Math.floor(photos.length / batch));
    this.at = from;
    this.shown = new Recent(config.validate.photos);
    manualSeed(seed);
    const { model } = photos;
    const count = Math.min(SAMPLED, photos.length);
    const truths = Array.from({ length: count }, (_, i) => [
      ...photos.truth(Math.floor((i * photos.length) / count)).truth,
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
      const { length, block } = this.faces.training;
      const mixing = { length, block, window: BLOCKS_AT_HAND };
      this.order = { epoch, indices: epochOrder(mixing, seed, epoch) };
    }
    const { indices } = this.order;
    const first = (step % this.stepsPerEpoch) * batch;
    const starts = await this.startsOf(stage);
    const random = new Random(seedOf(seed, step, 0x57a7));
    const { side } = this.faces.training;
    const d = this.fitter.start.length;
    const crops = new Uint8Array(batch * side * side * 3);
    const [start, truth] = [new Float64Array(batch * d), new Float64Array(batch * d)];
    for (let i = 0; i < batch; i++) {
      const face = await this.faces.training.face(indices[(first + i) % indices.length]);
      crops.set(face.crop, i * side * side * 3);
      truth.set(face.truth, i * d);
      start.set(starts ? starts.start(face.truth, random) : this.fitter.start, i * d);
    }
    return { stage, cost, crops, start, truth };
  }

  step(batch: FitterBatch, rate: number): Losses {
    return this.trained.begin(batch, rate);
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
    const { validation, training } = this.faces;
    const { photos: count } = this.config.validate;
    const photo = (index: number) => this.shown.get(`${index}`, () => validation.face(index));
    const faces = await this.fitted(validation, { count, stages: stage + 1, photo });
    const { bins, mean } = landmarkErrors(faces, training.model, training.counts);
    const named = Object.entries(bins).map(([name, value]) => [`validation/nme-${name}`, value]);
    return { 'validation/nme': mean, ...Object.fromEntries(named) };
  }

  pictures(): [name: string, picture: Pixels][] {
    return [];
  }

  saveNetwork(file: string, step: number): void {
    const { stage } = planOf(this.config, Math.max(0, step - 1));
    const { keep: _, lp, ...drawn } = this.config.data;
    const trainedOn = lp ? { lp: { photos: this.faces.training.length, profiles: lp.profiles } } : drawn;
    const about = { trainedOn: JSON.stringify(trainedOn), loss: this.config.loss.cost, step: String(step) };
    saveFitter(path.resolve(file), this.fitter, this.faces.training.model, { stages: stage + 1, about });
  }

  record({ crops, start, truth }: FitterBatch): Record<string, HostArray> {
    const { side } = this.faces.training;
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
      const { regeneration: count } = this.config.cascade;
      const faces = await this.fitted(this.faces.regeneration, { count, stages: stage });
      const { model, counts } = this.faces.training;
      this.regenerator = { stage, starts: new StartRegenerator(model, counts, faces) };
    }
    return this.regenerator.starts;
  }

  private fitted(photos: FaceSource, options: Omit<FittedFacesOptions, 'batch'>): Promise<ScoredFace[]> {
    return fittedFaces(this.fitter, photos, { ...options, batch: this.config.batch });
  }
}
