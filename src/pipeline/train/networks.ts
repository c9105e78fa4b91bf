// What a configuration trains: its networks, each from its own seed, in one step.
import { FormatError } from '../../formats/error.js';
import { loadSafetensors } from '../../formats/safetensors.js';
import { loadTorch } from '../../formats/torch.js';
import { Discriminator } from '../../models/discriminator.js';
import { FaceNet } from '../../models/facenet.js';
import { MobileFaceNet } from '../../models/mobilefacenet.js';
import type { IdentityNetwork } from '../../nn/losses.js';
import { resize } from '../../tensor/ops/resize.js';
import { manualSeed } from '../../tensor/random.js';
import { ShapeError } from '../../tensor/shape.js';
import type { BatchLoader } from '../dataset/loader.js';
import { seedOf } from '../dataset/pairs.js';
import { createGenerator, type GeneratorNetwork, loadGenerator } from '../generators.js';
import type { TrainConfig } from './config.js';
import { GanStep } from './step.js';

/** The step of a configuration, on data of this size and footprint. Throws FormatError for weights that do not fit. */
export function createStep(config: TrainConfig, { size, footprint }: Pick<BatchLoader, 'size' | 'footprint'>): GanStep {
  const { loss, optimiser, seed } = config;
  manualSeed(seed); // for noise and dropout
  const { baseWidth, conditional } = config.discriminator;
  const judge = (weight: number, part: number): Discriminator | undefined =>
    weight > 0 ? new Discriminator({ baseWidth, channels: conditional ? 6 : 3, seed: seedOf(seed, part) }) : undefined;
  const networks = {
    generator: startingGenerator(config, size),
    local: judge(loss.local, 2),
    global: judge(loss.global, 3),
    identity: identityNetwork(config),
  };
  return new GanStep(networks, {
    size,
    footprint,
    lr: optimiser.lr,
    betas: optimiser.betas,
    ema: optimiser.ema,
    localWeight: loss.local,
    globalWeight: loss.global,
    identityWeight: loss.identity,
    eta: loss.auxiliary,
    idNorm: loss.idNorm,
    conditional,
    precision: config.precision,
  });
}

/** A new generator, or that of `model.weights`. */
function startingGenerator({ model, seed }: TrainConfig, size: number): GeneratorNetwork {
  const { kind, baseWidth, input, levels, inputSkip, zeroInitResidual, weights } = model;
  const generator = createGenerator({
    kind,
    baseWidth,
    input,
    levels,
    inputSkip,
    zeroInitResidual,
    size,
    seed: seedOf(seed, 1),
    initialize: !weights,
  });
  if (!weights) return generator;
  const start = loadGenerator(weights);
  try {
    generator.loadStateDict(start.stateDict());
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    throw new FormatError(
      weights,
      'weights',
      `are not those of ${kind} with base width ${baseWidth} and ${input} input`,
    );
  } finally {
    start.dispose();
  }
  return generator;
}

/** What the loss takes crops to: the side FaceNet wants. MobileFaceNet's crops have 112 rows and 96 columns. */
function identityNetwork({ identity, loss }: TrainConfig): IdentityNetwork | undefined {
  if (!identity || loss.identity === 0) return undefined;
  const { network, weights } = identity;
  const state = weights.endsWith('.safetensors') ? loadSafetensors(weights, { dtype: 'f32' }) : loadTorch(weights);
  try {
    if (network === 'facenet') {
      const facenet = new FaceNet();
      facenet.loadStateDict(state, { from: 'torch', ignore: FaceNet.trainingHeads });
      return (faces) => facenet.forward(faces, { normalized: false });
    }
    const mobile = new MobileFaceNet();
    mobile.loadStateDict(state, { from: 'torch' });
    return (faces) => mobile.forward(resize(faces, { size: [112, 96], mode: 'bilinear' }));
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    throw new FormatError(weights, 'weights', `are not those of ${network}: ${error.message.slice(0, 300)}`);
  } finally {
    for (const x of Object.values(state)) x.dispose();
  }
}
