// One training step of one stage of a cascade (paper Eq. 5 and 6). Contract: everything that a step changes is in `state()`: all stages,
// and an optimiser for each.
import type { Cascade } from '../../models/cascade.js';
import { costVertices, FaceDecoder } from '../../models/face-decoder.js';
import type { ParameterStatistics } from '../../models/face-parameters.js';
import type { MorphableModel } from '../../models/morphable.js';
import { Adam } from '../../nn/optim.js';
import {
  type FaceProjection,
  optimisedWeightedParameterDistanceCost,
  parameterDistanceCost,
  vertexDistanceCost,
  type WeightScale,
  weightedParameterDistanceCost,
} from '../../nn/parameter-cost.js';
import { SGD } from '../../nn/sgd.js';
import { tensor } from '../../tensor/create.js';
import { gradient } from '../../tensor/gradient.js';
import { add, div, mul, sub } from '../../tensor/ops/elementwise.js';
import { concat, reshape } from '../../tensor/ops/layout.js';
import { type Captured, capture } from '../../tensor/plan.js';
import { persist, tidy } from '../../tensor/scope.js';
import { ShapeError } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { Losses, Scalars } from './job.js';
import { loadInto } from './state.js';

export type FitterCost = 'pdc' | 'vdc' | 'wpdc' | 'owpdc';

export interface FitterBatch {
  stage: number;
  cost: FitterCost;
  /** [n, side, side, 3] */
  crops: Uint8Array;
  /** p^k and p^g, [n, d] */
  start: Float64Array;
  truth: Float64Array;
}

export interface FitterStepOptions {
  optimiser: 'sgd' | 'adam';
  momentum: number;
  weightDecay: number;
  /** Vertices besides the landmarks that costs are measured at. */
  vertices: number;
  /** Of the weights of WPDC. */
  scale: WeightScale;
  /** Of OWPDC. */
  regularisation: number;
}

export class FitterStep {
  private readonly decoder: FaceDecoder;
  private readonly face: FaceProjection & { dispose(): void };
  private readonly optimisers: readonly (SGD | Adam)[];
  private readonly mean: Tensor;
  private readonly std: Tensor;
  private captured: { key: string; step: Captured<[Tensor, Tensor, Tensor], Tensor> } | undefined;

  constructor(
    private readonly cascade: Cascade,
    model: MorphableModel,
    statistics: ParameterStatistics,
    private readonly options: FitterStepOptions,
  ) {
    const { optimiser, momentum, weightDecay, vertices } = options;
    this.decoder = new FaceDecoder(model, { vertices: costVertices(model, { random: vertices }) });
    this.face = this.decoder.standardised(statistics);
    this.optimisers = cascade.stages.map((stage) =>
      optimiser === 'sgd'
        ? new SGD(stage.parameters(), { momentum, weightDecay })
        : new Adam(stage.parameters(), { weightDecay }),
    );
    const shape = [1, statistics.mean.length];
    [this.mean, this.std] = persist(() => [tensor(statistics.mean, { shape }), tensor(statistics.std, { shape })]);
  }

  get arenaBytes(): number {
    return this.captured?.step.arenaBytes ?? 0;
  }

  /** Trains stage `batch.stage`, the others being left as they are. Does not wait for it. */
  begin(batch: FitterBatch, rate: number): Losses {
    const { stage, cost } = batch;
    this.optimisers[stage].setLearningRate(rate);
    this.cascade.eval();
    this.cascade.stages[stage].train();
    const losses = tidy(() => this.stepOf(stage, cost)(...this.upload(batch)));
    return async () => {
      const [loss, pdc] = await losses.data();
      losses.dispose();
      return { 'loss/cost': loss, 'loss/pdc': pdc };
    };
  }

  /** The same, waited for. */
  async run(batch: FitterBatch, rate: number): Promise<Scalars> {
    return this.begin(batch, rate)();
  }

  /** All stages and optimisers, by name. */
  state(): Record<string, Tensor> {
    const state: Record<string, Tensor> = {};
    const put = (prefix: string, own: Record<string, Tensor>) => {
      for (const [name, x] of Object.entries(own)) state[`${prefix}.${name}`] = x;
    };
    put('cascade', this.cascade.stateDict());
    for (const [k, optimiser] of this.optimisers.entries()) put(`optimiser.${k}`, optimiser.stateDict());
    return state;
  }

  /** Copies such a state in. Throws ShapeError listing every missing, extra or misshapen name, before anything changes. */
  loadState(state: Readonly<Record<string, Tensor>>): void {
    loadInto('FitterStep', this.state(), state);
  }

  dispose(): void {
    this.captured?.step.dispose();
    for (const optimiser of this.optimisers) optimiser.dispose();
    this.face.dispose();
    this.decoder.dispose();
    this.mean.dispose();
    this.std.dispose();
  }

  private stepOf(stage: number, cost: FitterCost): Captured<[Tensor, Tensor, Tensor], Tensor> {
    const key = `${stage} ${cost}`;
    if (this.captured?.key !== key) {
      this.captured?.step.dispose();
      const step = capture((crops: Tensor, start: Tensor, truth: Tensor) =>
        this.record(stage, cost, crops, start, truth),
      );
      this.captured = { key, step };
    }
    return this.captured.step;
  }

  /** The step as it is captured: [cost, PDC per parameter]. */
  private record(stage: number, cost: FitterCost, crops: Tensor, start: Tensor, truth: Tensor): Tensor {
    const { cascade, mean, std } = this;
    const network = cascade.stages[stage];
    const z = (p: Tensor) => div(sub(p, mean), std); // [n, d]
    const current = add(z(start), cascade.step(stage, crops, start));
    const loss = this.costOf(cost, current, z(truth));
    const pdc = mul(parameterDistanceCost(current, z(truth)), 1 / this.decoder.size);
    this.optimisers[stage].step(gradient(loss, network.parameters()));
    const terms = [loss, pdc];
    return concat(
      terms.map((term) => reshape(term, [1])),
      { axis: 0 },
    );
  }

  private costOf(cost: FitterCost, current: Tensor, truth: Tensor): Tensor {
    const { face, options, decoder } = this;
    const { scale, regularisation } = options;
    // Per parameter and per vertex, as the public code has them: its rates are meant for that.
    const perParameter = (sum: Tensor) => mul(sum, 1 / decoder.size);
    switch (cost) {
      case 'pdc':
        return perParameter(parameterDistanceCost(current, truth));
      case 'wpdc':
        return perParameter(weightedParameterDistanceCost(current, truth, face, { scale }));
      case 'owpdc':
        return perParameter(optimisedWeightedParameterDistanceCost(current, truth, face, { regularisation }));
      case 'vdc':
        return mul(vertexDistanceCost(current, truth, face), 1 / decoder.vertexCount);
    }
  }

  private upload({ crops, start, truth }: FitterBatch): [Tensor, Tensor, Tensor] {
    const { side } = this.cascade;
    const { device } = this.mean;
    const d = this.decoder.size;
    const n = start.length / d;
    if (crops.length !== n * side * side * 3 || truth.length !== start.length) {
      throw new ShapeError(
        `FitterStep: wants crops [n, ${side}, ${side}, 3] and vectors [n, ${d}], got ${crops.length} bytes, ${start.length} and ${truth.length} numbers`,
      );
    }
    return [
      tensor(crops, { shape: [n, side, side, 3], dtype: 'u8', device }),
      tensor(start, { shape: [n, d], device }),
      tensor(truth, { shape: [n, d], device }),
    ];
  }
}
