// Training a recogniser as a job (paper-spec 11): labelled crops, a backbone under a margin head, scored on pairs of other people.
import type { HostArray } from '../../formats/host-array.js';
import { saveSafetensors } from '../../formats/safetensors.js';
import { Random } from '../../head/random.js';
import { mirrored } from '../../models/mirror.js';
import { add } from '../../tensor/ops/elementwise.js';
import { concat } from '../../tensor/ops/layout.js';
import { normalize } from '../../tensor/ops/losses.js';
import { tidy } from '../../tensor/scope.js';
import type { Tensor } from '../../tensor/tensor.js';
import { readState } from '../detect.js';
import type { Pixels } from '../image.js';
import { contactSheet } from '../overlay.js';
import { ARCFACE_CROP } from '../recognise/align.js';
import { embedCrops, type Recogniser } from '../recognise/embed.js';
import { readPack } from '../recognise/pack.js';
import { contiguousFolds, embeddingDistance, verify } from '../recognise/verification.js';
import type { Losses, Scalars, TrainJob, TrainTask } from './job.js';
import { type FacePairSpec, type RecogniserConfig, recogniserRate } from './recogniser-config.js';
import { type FaceBatch, FaceBatches, type Faces, openFaces } from './recogniser-data.js';
import { RecogniserStep } from './recogniser-step.js';

export const RECOGNISER: TrainTask<RecogniserConfig> = {
  name: 'recogniser',
  result: 'recogniser.safetensors',
  score: { name: 'validation/accuracy', unit: ' %', better: 'higher' },
  title: ({ model, head }) => `${model.backbone}${model.width === 64 ? '' : `, width ${model.width}`}, ${head.kind}`,
  open: openRecogniser,
};

async function openRecogniser(config: RecogniserConfig, from: number): Promise<TrainJob> {
  const { model, head, data, batch, seed, optimiser } = config;
  const faces = openFaces(data.train);
  let step: RecogniserStep | undefined;
  try {
    const batches = new FaceBatches(faces, { batch, seed, flip: data.flip, from });
    step = new RecogniserStep({
      backbone: model.backbone,
      width: model.width,
      seed,
      head: { ...head, classes: faces.identities, shards: Math.min(head.shards, faces.identities) },
      optimiser,
    });
    if (model.weights) startFrom(step, model.weights);
    const pairs = data.validation && (await openPairs(data.validation, seed));
    return new RecogniserJob(config, { faces, batches, step, pairs });
  } catch (error) {
    step?.dispose();
    faces.close();
    throw error;
  }
}

function startFrom(step: RecogniserStep, file: string): void {
  const state = readState(file);
  step.network.loadStateDict(state, { from: 'torch' });
  for (const t of Object.values(state)) t.dispose();
}

/** Crops and pairs of their numbers. */
interface ScoredPairs {
  crops: Pixels[];
  pairs: readonly { first: number; second: number; same: boolean; fold: number }[];
}

async function openPairs(spec: FacePairSpec, seed: number): Promise<ScoredPairs> {
  if (spec.pack !== undefined) {
    const pack = readPack(spec.pack);
    const crops: Pixels[] = [];
    for (let i = 0; i < pack.images.length; i++) crops.push(await pack.read(i));
    return { crops, pairs: pack.pairs };
  }
  const faces = openFaces(spec);
  const drawn = drawPairs(faces.labels, spec.pairs, seed);
  const used = [...new Set(drawn.flatMap(({ first, second }) => [first, second]))];
  const place = new Map(used.map((image, i) => [image, i]));
  const at = (image: number) => place.get(image) ?? 0;
  const crops: Pixels[] = [];
  for (const image of used) crops.push(await faces.read(image));
  faces.close();
  const folds = contiguousFolds(drawn.length);
  const pairs = drawn.map(({ first, second, same }, i) => ({
    first: at(first),
    second: at(second),
    same,
    fold: folds[i],
  }));
  return { crops, pairs };
}

/** `count` pairs, every second of one person, each drawn from people with at least two faces or from any two people. */
export function drawPairs(
  labels: Int32Array,
  count: number,
  seed: number,
): { first: number; second: number; same: boolean }[] {
  const random = new Random(seed);
  const own = new Map<number, number[]>();
  for (const [i, label] of labels.entries()) own.set(label, [...(own.get(label) ?? []), i]);
  const several = [...own.values()].filter((images) => images.length > 1);
  if (several.length === 0) throw new RangeError('drawPairs: nobody has two faces');
  return Array.from({ length: count }, (_, k) => {
    if (k % 2 === 0) {
      const images = several[random.below(several.length)];
      const i = random.below(images.length);
      return {
        first: images[i],
        second: images[(i + 1 + random.below(images.length - 1)) % images.length],
        same: true,
      };
    }
    for (;;) {
      const [first, second] = [random.below(labels.length), random.below(labels.length)];
      if (labels[first] !== labels[second]) return { first, second, same: false };
    }
  });
}

interface Parts {
  faces: Faces;
  batches: FaceBatches;
  step: RecogniserStep;
  pairs: ScoredPairs | undefined;
}

class RecogniserJob implements TrainJob<FaceBatch> {
  readonly problems: readonly string[] = [];
  readonly stepsPerEpoch: number;
  readonly validates: boolean;
  private shown: FaceBatch | undefined;

  constructor(
    private readonly config: RecogniserConfig,
    private readonly parts: Parts,
  ) {
    this.stepsPerEpoch = parts.batches.stepsPerEpoch;
    this.validates = parts.pairs !== undefined;
  }

  get arenaBytes(): number {
    return this.parts.step.arenaBytes;
  }

  next(): Promise<FaceBatch> {
    return this.parts.batches.next();
  }

  step(batch: FaceBatch, rate: number): Losses {
    this.parts.step.setLearningRate(rate);
    this.shown = batch;
    const { kind } = this.config.head;
    const loss = this.parts.step.begin(batch.crops, batch.labels);
    return async () => ({ [`loss/${kind}`]: await loss() });
  }

  learningRate(step: number, total: number): number {
    return recogniserRate(this.config.optimiser, step, { total, stepsPerEpoch: this.stepsPerEpoch });
  }

  state(): Record<string, Tensor> {
    return this.parts.step.state();
  }

  loadState(state: Readonly<Record<string, Tensor>>): void {
    this.parts.step.loadState(state);
  }

  /** Accuracy in % as paper-spec 11.4 has it. */
  async validate(): Promise<Scalars> {
    const { step, pairs } = this.parts;
    if (!pairs) return {};
    const embeddings = await embedCrops(recogniserOf(step), pairs.crops);
    const { accuracy, auc } = verify({
      distances: Float64Array.from(pairs.pairs, ({ first, second }) =>
        embeddingDistance(embeddings[first], embeddings[second]),
      ),
      same: Uint8Array.from(pairs.pairs, ({ same }) => Number(same)),
      folds: Int32Array.from(pairs.pairs, ({ fold }) => fold),
    });
    return { 'validation/accuracy': 100 * accuracy, 'validation/auc': auc };
  }

  /** The newest batch. */
  pictures(): [name: string, picture: Pixels][] {
    if (!this.shown) return [];
    const { crops, labels } = this.shown;
    const size = crops.length / labels.length;
    const cells = Array.from({ length: Math.min(16, labels.length) }, (_, i): Pixels => {
      return { data: crops.subarray(i * size, (i + 1) * size), height: 112, width: 112 };
    });
    return [['batch', contactSheet(cells, { columns: 8 })]];
  }

  saveNetwork(file: string, step: number): void {
    const { model, head } = this.config;
    const about = {
      kind: 'recogniser',
      layout: 'torch',
      backbone: model.backbone,
      head: head.kind,
      step: String(step),
    };
    tidy(() => saveSafetensors(file, this.parts.step.network.stateDict({ to: 'torch' }), about));
  }

  record({ crops, labels }: FaceBatch): Record<string, HostArray> {
    return {
      crops: { dtype: 'u8', shape: [labels.length, 112, 112, 3], data: crops },
      labels: { dtype: 'i32', shape: [labels.length], data: labels },
    };
  }

  async close(): Promise<void> {
    this.parts.step.dispose();
    this.parts.faces.close();
  }
}

/** The network under training, as the verification protocols take one: what its file gives when it is loaded. */
function recogniserOf(step: RecogniserStep): Recogniser {
  const beside = step.dimension === 128; // MobileFaceNet: mirror images side by side
  return {
    name: 'network under training',
    crop: ARCFACE_CROP,
    dimension: beside ? 256 : step.dimension,
    embed: (crops) =>
      tidy(() => {
        const [own, other] = [step.embed(crops), step.embed(mirrored(crops))];
        return normalize(beside ? concat([own, other], { axis: -1 }) : add(own, other));
      }),
    dispose() {},
  };
}
