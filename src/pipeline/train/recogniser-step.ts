// One step of a recogniser's training in one captured function: embeddings, the loss of the head, SGD. Contract: all that a step reads
// and changes is in `state()`.
import { IResNet } from '../../models/iresnet.js';
import { MobileFaceNet } from '../../models/mobilefacenet.js';
import { ResNetRecogniser } from '../../models/resnet-recogniser.js';
import { MarginHead, type MarginHeadOptions } from '../../nn/margin.js';
import type { Module } from '../../nn/module.js';
import { SGD, type SgdOptions } from '../../nn/sgd.js';
import { tensor } from '../../tensor/create.js';
import { gradient } from '../../tensor/gradient.js';
import { mul, sub } from '../../tensor/ops/elementwise.js';
import { cast, reshape, slice } from '../../tensor/ops/layout.js';
import { type Captured, capture } from '../../tensor/plan.js';
import { manualSeed } from '../../tensor/random.js';
import { tidy } from '../../tensor/scope.js';
import { ShapeError } from '../../tensor/shape.js';
import type { Tensor, Variable } from '../../tensor/tensor.js';
import { loadInto } from './state.js';

/** Crops u8 [n, 112, 112, 3] -> what the network takes, and its embeddings. */
interface BackboneKind {
  dimension: number;
  create(width: number, seed: number, initialize: boolean): Module & { forward(x: Tensor): Tensor };
  prepare(crops: Tensor): Tensor;
}

const SIDE = 112;

const whole = (crops: Tensor): Tensor => mul(sub(cast(crops, 'f32'), 127.5), 1 / 127.5);

/** The narrow crop is the middle of the wide one. */
const narrow = (crops: Tensor): Tensor => {
  const [n] = crops.shape;
  const middle = slice(crops, { start: [0, 0, 8, 0], size: [n, SIDE, SIDE - 16, 3] }); // [n, 112, 96, 3]
  return mul(sub(cast(middle, 'f32'), 127.5), 1 / 128);
};

const iresnet = (depth: 18 | 34 | 50 | 100): BackboneKind => ({
  dimension: 512,
  create: (width, seed, initialize) => new IResNet({ depth, width, seed, initialize }),
  prepare: whole,
});

const bottlenecks = (depth: 50 | 101): BackboneKind => ({
  dimension: 512,
  create: (_, seed, initialize) => new ResNetRecogniser({ depth, seed, initialize }),
  prepare: whole,
});

export type Backbone = 'mobilefacenet' | 'ir18' | 'ir34' | 'ir50' | 'ir100' | 'resnet50' | 'resnet101';

/** The networks that can be trained. */
export const BACKBONES: Readonly<Record<Backbone, BackboneKind>> = {
  mobilefacenet: {
    dimension: 128,
    create(_, seed) {
      manualSeed(seed);
      return new MobileFaceNet();
    },
    prepare: narrow,
  },
  ir18: iresnet(18),
  ir34: iresnet(34),
  ir50: iresnet(50),
  ir100: iresnet(100),
  resnet50: bottlenecks(50),
  resnet101: bottlenecks(101),
};

export interface RecogniserStepOptions {
  backbone: Backbone;
  /** Channels of the first level of an IResNet. */
  width?: number;
  seed?: number;
  head: Omit<MarginHeadOptions, 'dimension' | 'seed'>;
  optimiser?: SgdOptions;
}

export class RecogniserStep {
  readonly network: ReturnType<BackboneKind['create']>;
  private readonly kind: BackboneKind;
  private readonly head: MarginHead;
  private readonly parameters: Record<string, Variable>;
  private readonly sgd: SGD;
  private readonly step: Captured<[Tensor, Tensor], Tensor>;
  private readonly answer: Captured<[Tensor], Tensor>;

  /** Throws RangeError and ShapeError for options that it cannot be built with. */
  constructor({ backbone, width = 64, seed = 1, head, optimiser }: RecogniserStepOptions) {
    this.kind = BACKBONES[backbone];
    this.network = this.kind.create(width, seed, true);
    this.head = new MarginHead({ ...head, dimension: this.kind.dimension, seed: seed + 1 });
    this.parameters = {};
    for (const [part, module] of Object.entries({ network: this.network, head: this.head })) {
      for (const [name, p] of Object.entries(module.parameters())) this.parameters[`${part}.${name}`] = p;
    }
    this.sgd = new SGD(this.parameters, optimiser);
    this.step = capture((crops, labels) => {
      const embeddings = this.network.forward(this.kind.prepare(crops)); // [n, dimension]
      const loss = this.head.forward(embeddings, labels);
      this.sgd.step(gradient(loss, this.parameters));
      return reshape(loss, [1]);
    });
    this.answer = capture((crops) => {
      const embeddings = this.network.eval().forward(this.kind.prepare(crops)); // [n, dimension]
      this.network.train();
      return embeddings;
    });
    this.network.train();
  }

  /** Bytes of memory that a step's intermediate results take. */
  get arenaBytes(): number {
    return this.step.arenaBytes;
  }

  setLearningRate(lr: number): void {
    this.sgd.setLearningRate(lr);
  }

  /** One step on crops [n, 112, 112, 3] and their identities [n], not waited for; the result reads the mean loss, once. Throws ShapeError. */
  begin(crops: Uint8Array, labels: Int32Array): () => Promise<number> {
    const n = labels.length;
    if (crops.length !== n * SIDE * SIDE * 3) {
      throw new ShapeError(`RecogniserStep: wants crops of 112x112, got ${crops.length} bytes for ${n} labels`);
    }
    const loss = tidy(() =>
      this.step(
        tensor(crops, { shape: [n, SIDE, SIDE, 3], dtype: 'u8' }),
        tensor(labels, { shape: [n], dtype: 'i32' }),
      ),
    );
    return async () => {
      const [value] = await loss.data();
      loss.dispose();
      return value;
    };
  }

  /** The same, waited for. */
  async run(crops: Uint8Array, labels: Int32Array): Promise<number> {
    return this.begin(crops, labels)();
  }

  /** Embeddings [n, dimension] of crops u8 [n, 112, 112, 3] with the running statistics, not normalised. */
  embed(crops: Tensor): Tensor {
    return tidy(() => this.answer(crops));
  }

  get dimension(): number {
    return this.kind.dimension;
  }

  state(): Record<string, Tensor> {
    const state: Record<string, Tensor> = {};
    for (const [part, owner] of Object.entries({ network: this.network, head: this.head, optimiser: this.sgd })) {
      for (const [name, x] of Object.entries(owner.stateDict())) state[`${part}.${name}`] = x;
    }
    return state;
  }

  /** Copies such a state in. Throws ShapeError listing every missing, extra or misshapen name, before anything changes. */
  loadState(state: Readonly<Record<string, Tensor>>): void {
    loadInto('RecogniserStep', this.state(), state);
  }

  dispose(): void {
    this.step.dispose();
    this.answer.dispose();
    this.sgd.dispose();
    this.head.dispose();
    this.network.dispose();
  }
}
