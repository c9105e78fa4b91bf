// Cascaded regression (paper Eq. 5): p^{k+1} = p^k + Net^k(PAF(p^k, I), PNCC(p^k, I)), one network per stage. Contract: networks give
// z-scored steps; crops are RGB in 0..255, parameters lie in the crop's own frame (face-parameters.ts).
import { Module } from '../nn/module.js';
import { tensor } from '../tensor/create.js';
import { add, mul, sub } from '../tensor/ops/elementwise.js';
import { cast, concat, detach } from '../tensor/ops/layout.js';
import { persist, tidy } from '../tensor/scope.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { FaceFeatures } from './face-features.js';
import { type ParameterCounts, type ParameterStatistics, parameterCount } from './face-parameters.js';
import { MobileNetV1, type MobileNetV1Options } from './mobilenet.js';
import type { FaceView } from './two-stream.js';

/** A network of a cascade. */
export interface StageNetwork extends Module {
  /** -> z-scored steps [n, d] */
  forward(view: FaceView): Tensor;
}

export interface MobileNetStageOptions extends Omit<MobileNetV1Options, 'channels'> {
  /** Show it the face model as it lies now; false for a single stage that starts from nothing. */
  pncc?: boolean;
}

/** MobileNet-V1 as a stage: the light alternative (paper-spec 9.3). */
export class MobileNetStage extends Module {
  readonly network: MobileNetV1;
  private readonly seesModel: boolean;

  constructor({ pncc = true, ...options }: MobileNetStageOptions = {}) {
    super();
    this.seesModel = pncc;
    this.network = new MobileNetV1({ ...options, channels: pncc ? 6 : 3 });
  }

  /** -> z-scored steps [n, outputs]. */
  forward({ image, pncc }: FaceView): Tensor {
    return this.network.forward(this.seesModel ? concat([image, pncc()], { axis: 3 }) : image);
  }
}

/** Holds the features' and the stages' tensors; `dispose` frees them. */
export class Cascade extends Module {
  readonly stages: readonly StageNetwork[];
  readonly #features: FaceFeatures;
  readonly #std: Tensor;

  /** Throws ShapeError for no stages, or statistics of another length than the features' vectors. */
  constructor(stages: readonly StageNetwork[], features: FaceFeatures, statistics: ParameterStatistics) {
    super();
    const d = parameterCount(features.counts);
    if (stages.length === 0) throw new ShapeError('Cascade: wants at least one stage');
    if (statistics.std.length !== d) {
      throw new ShapeError(`Cascade: statistics of ${statistics.std.length} numbers for vectors of ${d}`);
    }
    this.stages = stages;
    this.#features = features;
    this.#std = persist(() => tensor(statistics.std, { shape: [1, d] }));
  }

  /** Side of the crops in pixels. */
  get side(): number {
    return this.#features.side;
  }

  /** How many coefficients a vector has. */
  get counts(): ParameterCounts {
    return this.#features.counts;
  }

  /**
   * What stage k answers: crops [n, side, side, 3] RGB in 0..255, u8 or f32, and p [n, d] -> z-scored step [n, d]. Differentiable in
   * the stage's weights alone. Throws ShapeError.
   */
  step(k: number, crops: Tensor, p: Tensor): Tensor {
    const features = this.#features;
    const { side } = features;
    const [n] = p.shape;
    if (!(k in this.stages)) throw new ShapeError(`Cascade: stages are 0 to ${this.stages.length - 1}, got ${k}`);
    if (crops.shape.join() !== [n, side, side, 3].join()) {
      throw new ShapeError(`Cascade: wants crops [${n}, ${side}, ${side}, 3], got ${showShape(crops.shape)}`);
    }
    const image = mul(sub(crops.dtype === 'f32' ? crops : cast(crops, 'f32'), 127.5), 1 / 128);
    let drawn: { image: Tensor; depth: Tensor } | undefined;
    const draw = () => {
      drawn ??= features.pncc(p);
      return drawn;
    };
    return this.stages[k].forward({
      image,
      pncc: () => draw().image,
      paf: () => features.paf(image, p, draw().depth),
    });
  }

  /** p^{k+1} for p^k [n, d], without a gradient. */
  advance(k: number, crops: Tensor, p: Tensor): Tensor {
    return tidy(() => add(p, mul(detach(this.step(k, crops, p)), this.#std)));
  }

  /** p^K from p^0 [n, d], or p^`stages`. Stages should be in evaluation mode. Throws ShapeError. */
  forward(crops: Tensor, p0: Tensor, { stages = this.stages.length }: { stages?: number } = {}): Tensor {
    return tidy(() => {
      let p = p0;
      for (let k = 0; k < stages; k++) p = this.advance(k, crops, p);
      return p;
    });
  }

  override dispose(): void {
    super.dispose();
    this.#std.dispose();
    this.#features.dispose();
  }
}
