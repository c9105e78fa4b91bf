// One training step of a completion GAN: the discriminators learn from the generator's present answers, then the generator
// learns from the discriminators (specification section 6, section 8 "order"). Contract: everything that a step changes is in
// `state()`, so that a step taken up from a saved state gives the same bits.
import type { Discriminator } from '../../models/discriminator.js';
import { follow } from '../../nn/average.js';
import {
  type CompletionLossOptions,
  type CompletionTerms,
  discriminatorLosses,
  finalLoss,
  type IdentityNetwork,
} from '../../nn/losses.js';
import { Adam } from '../../nn/optim.js';
import { tensor } from '../../tensor/create.js';
import { gradient } from '../../tensor/gradient.js';
import { cast, concat, reshape } from '../../tensor/ops/layout.js';
import { type Captured, capture } from '../../tensor/plan.js';
import { randomState } from '../../tensor/random.js';
import { tidy } from '../../tensor/scope.js';
import { ShapeError } from '../../tensor/shape.js';
import type { Tensor, Variable } from '../../tensor/tensor.js';
import { coloursOf, footprintTensor, generatorInputs } from '../generator-input.js';
import { createGenerator, type GeneratorNetwork, kindOf } from '../generators.js';
import { loadInto } from './state.js';

/** Pairs side by side, as bytes. */
export interface PairBatch {
  /** [n, size, size, 3] */
  incomplete: Uint8Array;
  /** [n, size, size, 3] */
  complete: Uint8Array;
  /** [n, size, size] */
  mask: Uint8Array;
}

export interface GanNetworks {
  generator: GeneratorNetwork;
  /** Judges the central windows; absent where its weight is 0. */
  local?: Discriminator;
  /** Judges whole maps; absent where its weight is 0. */
  global?: Discriminator;
  /** Frozen. */
  identity?: IdentityNetwork;
}

export interface GanStepOptions extends CompletionLossOptions {
  /** Side of the maps in pixels. */
  size: number;
  /** [size, size] */
  footprint: Uint8Array;
  lr?: number;
  betas?: readonly [number, number];
  /** Keep an exponential moving average of the generator's weights with this decay (our choice); 0 keeps none. */
  ema?: number;
  /**
   * What the step's maps are stored as: of bf16 they are half as large and rounded to 8 bits each. Weights, moments, statistics and losses are f32.
   */
  precision?: 'f32' | 'bf16';
}

/** Losses of a step by name, without their weights: `generator/total`, `final/reconstruction`, `discriminator/local`, ... */
export type StepLosses = Record<string, number>;

export class GanStep {
  /** The network to use and to save: the average of the generator's weights where one is kept, else the generator. */
  readonly best: GeneratorNetwork;
  private readonly optimisers: { generator: Adam; discriminators?: Adam };
  private readonly average: GeneratorNetwork | undefined;
  private readonly footprint: Tensor;
  private readonly step: Captured<[Tensor, Tensor, Tensor], Tensor>;
  private readonly answer: Captured<[Tensor, Tensor], { final: Tensor; attention: Tensor[] }>;
  private names: string[] = [];
  private lr: number;

  constructor(
    private readonly networks: GanNetworks,
    private readonly options: GanStepOptions,
  ) {
    const { size, footprint, lr = 1e-4, betas = [0.5, 0.999], ema = 0 } = options;
    if (!(ema >= 0 && ema < 1)) throw new RangeError(`GanStep: ema must be in [0, 1), got ${ema}`);
    this.lr = lr;
    const { generator } = networks;
    const judges = this.judgeParameters();
    this.optimisers = {
      generator: new Adam(generator.parameters(), { lr, betas }),
      discriminators: Object.keys(judges).length > 0 ? new Adam(judges, { lr, betas }) : undefined,
    };
    if (ema > 0) {
      this.average = createGenerator({ ...generator.options, kind: kindOf(generator), initialize: false });
      this.average.loadStateDict(generator.stateDict());
    }
    this.best = this.average ?? generator;
    this.footprint = footprintTensor(footprint, size, size);
    this.step = capture((incomplete, complete, mask) => this.record(incomplete, complete, mask));
    this.answer = capture((incomplete, mask) => {
      const { final, attention } = this.best.eval().forward(this.inputs(incomplete, mask));
      generator.train();
      return { final, attention };
    });
    generator.train();
  }

  /** Bytes of memory that a step's intermediate results take. */
  get arenaBytes(): number {
    return this.step.arenaBytes;
  }

  /** The recorded step: who holds that memory, then its instructions. */
  describe(): string {
    return this.step.describe();
  }

  /** One step of the discriminators and one of the generator, not waited for; the result reads its losses, once. Throws ShapeError. */
  begin(batch: PairBatch): () => Promise<StepLosses> {
    const losses = tidy(() => this.step(...this.upload(batch)));
    return async () => {
      const values = await losses.data();
      losses.dispose();
      return Object.fromEntries(this.names.map((name, i) => [name, values[i]]));
    };
  }

  /** The same, waited for. */
  async run(batch: PairBatch): Promise<StepLosses> {
    return this.begin(batch)();
  }

  /** What the network to use answers: maps [n, size, size, 3] in [-1, 1] and its attention maps, deep to shallow. */
  complete({ incomplete, mask }: Omit<PairBatch, 'complete'>): { final: Tensor; attention: Tensor[] } {
    return tidy(() => {
      const [x, , m] = this.upload({ incomplete, complete: incomplete, mask });
      return this.answer(x, m);
    });
  }

  setLearningRate(lr: number): void {
    if (lr === this.lr) return;
    this.optimisers.generator.setLearningRate(lr);
    this.optimisers.discriminators?.setLearningRate(lr);
    this.lr = lr;
  }

  /** All that a step reads and changes, by name: networks, their optimisers, the random numbers' counter. */
  state(): Record<string, Tensor> {
    const parts: Record<string, { stateDict(): Record<string, Tensor> } | undefined> = {
      generator: this.networks.generator,
      average: this.average,
      local: this.networks.local,
      global: this.networks.global,
      'optimiser.generator': this.optimisers.generator,
      'optimiser.discriminators': this.optimisers.discriminators,
    };
    const state: Record<string, Tensor> = { random: randomState(this.footprint.device) };
    for (const [part, owner] of Object.entries(parts)) {
      for (const [name, x] of Object.entries(owner?.stateDict() ?? {})) state[`${part}.${name}`] = x;
    }
    return state;
  }

  /** Copies such a state in. Throws ShapeError listing every missing, extra or misshapen name, before anything changes. */
  loadState(state: Readonly<Record<string, Tensor>>): void {
    loadInto('GanStep', this.state(), state);
    this.lr = Number.NaN; // the optimisers' rate is the state's now
  }

  dispose(): void {
    this.step.dispose();
    this.answer.dispose();
    this.footprint.dispose();
    this.optimisers.generator.dispose();
    this.optimisers.discriminators?.dispose();
    this.average?.dispose();
  }

  /** The step as it is captured. Returns the losses in the order of `names`. */
  private record(incomplete: Tensor, complete: Tensor, mask: Tensor): Tensor {
    const { networks, options, optimisers } = this;
    const { generator, local, global, identity } = networks;
    const critics = {
      local: local && ((maps: Tensor) => local.forward(maps)),
      global: global && ((maps: Tensor) => global.forward(maps)),
      identity,
    };
    const { precision = 'f32' } = options;
    const x = cast(this.inputs(incomplete, mask), precision); // [n, size, size, channels]
    const target = cast(coloursOf(complete, this.footprint), precision); // [n, size, size, 3]
    const outputs = generator.forward(x);

    const judged = discriminatorLosses(x, outputs, target, critics, options);
    const { discriminators } = optimisers;
    if (discriminators) {
      const slopes = { local: local?.parameters(), global: global?.parameters() };
      discriminators.step({
        ...prefixed('local.', judged.local && slopes.local && gradient(judged.local, slopes.local)),
        ...prefixed('global.', judged.global && slopes.global && gradient(judged.global, slopes.global)),
      });
    }

    const losses = finalLoss(x, outputs, target, critics, options);
    optimisers.generator.step(gradient(losses.total, generator.parameters()));
    generator.constrain();
    if (this.average) follow(this.average, generator, options.ema ?? 0);

    const named = {
      'generator/total': losses.total,
      ...termsOf('final', losses.final),
      ...termsOf('auxiliary', losses.aux),
      ...prefixed('discriminator/', judged),
    };
    this.names = Object.keys(named);
    return concat(
      Object.values(named).map((loss) => reshape(loss, [1])),
      { axis: 0 },
    );
  }

  private inputs(incomplete: Tensor, mask: Tensor): Tensor {
    return generatorInputs(incomplete, mask, this.footprint, { mode: this.networks.generator.options.input });
  }

  private judgeParameters(): Record<string, Variable> {
    const { local, global } = this.networks;
    return { ...prefixed('local.', local?.parameters()), ...prefixed('global.', global?.parameters()) };
  }

  private upload({ incomplete, complete, mask }: PairBatch): [Tensor, Tensor, Tensor] {
    const { size } = this.options;
    const n = mask.length / (size * size);
    if (!Number.isInteger(n) || n < 1 || incomplete.length !== 3 * mask.length || complete.length !== 3 * mask.length) {
      throw new ShapeError(
        `GanStep: wants maps of ${size}x${size}, got ${incomplete.length} and ${complete.length} bytes and masks of ${mask.length}`,
      );
    }
    const { device } = this.footprint;
    const bytes = (data: Uint8Array, shape: number[]) => tensor(data, { shape, dtype: 'u8', device });
    const maps = [n, size, size, 3];
    return [bytes(incomplete, maps), bytes(complete, maps), bytes(mask, [n, size, size])];
  }
}

const prefixed = <T>(prefix: string, record: Readonly<Record<string, T | undefined>> | undefined): Record<string, T> =>
  Object.fromEntries(
    Object.entries(record ?? {}).flatMap(([name, x]) => (x === undefined ? [] : [[`${prefix}${name}`, x]])),
  );

const termsOf = (name: string, terms: CompletionTerms | undefined): Record<string, Tensor> => {
  if (!terms) return {};
  const { total: _, ...parts } = terms;
  return prefixed(`${name}/`, parts);
};
