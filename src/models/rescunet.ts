// The generator family of the paper (Fig. 2, specification section 3): two coupled ResNet-50 U-Nets that complete a UV map.
// Shapes in comments are those of base width 64 at 256x256; other base widths scale the channels.
import { AttentionGate } from '../nn/attention_gate.js';
import { FastNormalizedFusion } from '../nn/fusion.js';
import { type Initializers, initializers, uninitialized } from '../nn/init.js';
import { BatchNorm2d, Conv2d, ConvNorm } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { relu, tanh } from '../tensor/ops/elementwise.js';
import { concat } from '../tensor/ops/layout.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkInputMode, type InputMode, inputModeFor } from './input-mode.js';
import { ResNetEncoder, ResNetStages } from './resnet.js';

export interface GeneratorOptions {
  /** Channels of the first encoder level, a multiple of 4. */
  baseWidth?: number;
  /** Attention gates and fast normalised fusion; without them every skip connection concatenates (the paper's ablation). */
  attention?: boolean;
  /** Two coupled U-Nets; otherwise the first alone. */
  coupled?: boolean;
  /** Channels of the incomplete map. */
  channels?: number;
  /**
   * The heads see the input beside the decoder's map and have no norm. The paper has a norm after every convolution, which takes a
   * face's exposure for the batch's; with this it reaches the output (docs/results.md). Our option.
   */
  inputSkip?: boolean;
  /**
   * The encoders' residual branches start at 0 (torchvision's name; Goyal et al. 2017), so that the network starts shallow. Our option.
   */
  zeroInitResidual?: boolean;
  /** How the input is made: by default raw for 3 channels, mask4 for 4, mirror for 6, none for others. */
  input?: InputMode;
  /** Side of the maps it was trained on: maps of other sizes are resampled for it (pipeline/generator-input.ts). Unknown by default. */
  size?: number;
  /** The initial weights then depend on it alone; otherwise on `manualSeed` and the draws since. */
  seed?: number;
  /** False leaves all weights 0, for a state that is about to be loaded (drawing 74 million numbers takes seconds). */
  initialize?: boolean;
}

export interface GeneratorOutput {
  /** [n, h, w, 3] in [-1, 1]: the completed map. `aux` itself when not coupled. */
  final: Tensor;
  /** [n, h, w, 3] in [-1, 1]: the first U-Net's map, trained by the auxiliary loss. */
  aux: Tensor;
  /** Attention maps [n, h/16, w/16, 1] ... [n, h/2, w/2, 1] of the last U-Net, deep to shallow; none without attention. */
  attention: Tensor[];
}

const RELU = { activation: 'relu' } as const;

/** Widths of the encoder levels S1..S5 and the decoder levels S6..S9, in units of baseWidth. */
const ENCODER = [1, 4, 8, 16, 32] as const;
const DECODER = [4, 2, 1, 0.5] as const;

/** Width of what comes up to decoder step i: S5, then the step before. */
const below = (i: number): number => (i === 0 ? ENCODER[4] : DECODER[i - 1]);
/** Width of the encoder level that decoder step i meets: S4, S3, S2, S1. */
const beside = (i: number): number => ENCODER[3 - i];

const join = (...parts: Tensor[]): Tensor => concat(parts, { axis: -1 });
const steps = <T>(make: (i: number) => T): T[] => DECODER.map((_, i) => make(i));

const gates = (w: number, { heUniform: init }: Initializers): AttentionGate[] =>
  steps((i) => new AttentionGate(beside(i) * w, below(i) * w, DECODER[i] * w, { init }));

/** Up-sampling to the map's size and two 3x3 convolutions to colours, the first of them with a norm or with the network's input. */
class Head extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d | undefined;
  readonly conv2: Conv2d;

  constructor(w: number, skip: number, { xavierUniform: init }: Initializers) {
    super();
    this.conv1 = new Conv2d(w / 2 + skip, w / 4, 3, { padding: 1, bias: skip > 0, init });
    this.bn1 = skip > 0 ? undefined : new BatchNorm2d(w / 4);
    this.conv2 = new Conv2d(w / 4, 3, 3, { padding: 1, init });
  }

  forward(d: Tensor, x: Tensor): Tensor {
    const y = this.bn1
      ? this.bn1.forward(this.conv1.forwardUpsampled(d), RELU)
      : relu(this.conv1.forwardUpsampled(d, x)); // [n, 256, 256, 16]
    return tanh(this.conv2.forward(y)); // [n, 256, 256, 3]
  }
}

/** What both U-Nets are built from. */
type Built = Generator['options'];

interface FirstOutput {
  encoder: Tensor[];
  decoder: Tensor[];
  image: Tensor;
  attention: Tensor[];
}

/** U1: encoder S1..S5, decoder S6..S9 whose skip connections pass attention gates (the AC nodes), auxiliary output. */
class FirstUNet extends Module {
  readonly encoder: ResNetEncoder;
  readonly gate: readonly AttentionGate[];
  readonly decoder: readonly ConvNorm[];
  readonly head: Head;

  constructor({ channels, baseWidth: w, attention, inputSkip }: Built, init: Initializers) {
    super();
    this.encoder = new ResNetEncoder(channels, w, init);
    this.gate = attention ? gates(w, init) : [];
    this.decoder = steps(
      (i) => new ConvNorm((below(i) + beside(i)) * w, DECODER[i] * w, 3, { padding: 1, init: init.heUniform }),
    );
    this.head = new Head(w, inputSkip ? channels : 0, init);
  }

  forward(x: Tensor): FirstOutput {
    const encoder = this.encoder.forward(x);
    const decoder: Tensor[] = [];
    const attention: Tensor[] = [];
    let d = encoder[4]; // S5 [n, 8, 8, 2048]
    for (let i = 0; i < DECODER.length; i++) {
      const gate = this.gate[i]?.forward(encoder[3 - i], d);
      if (gate) attention.push(gate.attention);
      d = this.decoder[i].forwardUpsampled(d, gate?.gated ?? encoder[3 - i], RELU); // S6 [n, 16, 16, 256] -> ... -> S9 [n, 128, 128, 32]
      decoder.push(d);
    }
    return { encoder, decoder, image: this.head.forward(d, x), attention };
  }
}

/** U2's encoder: S1 enters, and every level is coupled with U1's by a 1x1 convolution. */
class CoupledEncoder extends ResNetStages {
  readonly couple: readonly ConvNorm[];

  constructor(w: number, init: Initializers) {
    super(w, init);
    this.couple = ENCODER.slice(1).map((c) => new ConvNorm(2 * c * w, c * w, 1, { init: init.heNormal }));
  }

  forward(first: readonly Tensor[]): Tensor[] {
    const levels = [first[0]]; // X1 = S1 [n, 128, 128, 64]
    for (let k = 2; k <= 5; k++) {
      const level = this.level(k, levels[k - 2]);
      levels.push(this.couple[k - 2].forward(level, { beside: first[k - 1], ...RELU })); // X2 [n, 64, 64, 256] -> ... -> X5 [n, 8, 8, 2048]
    }
    return levels;
  }
}

/** U2: coupled encoder, decoder whose skip connections are gated, projected and fused with U1's decoder (the AFC nodes). */
class SecondUNet extends Module {
  readonly encoder: CoupledEncoder;
  readonly gate: readonly AttentionGate[];
  readonly project: readonly ConvNorm[];
  readonly fuse: readonly FastNormalizedFusion[];
  readonly decoder: readonly ConvNorm[];
  readonly head: Head;

  constructor({ channels, baseWidth: w, attention, inputSkip }: Built, init: Initializers) {
    super();
    const { heUniform } = init;
    this.encoder = new CoupledEncoder(w, init);
    this.gate = attention ? gates(w, init) : [];
    this.project = attention ? steps((i) => new ConvNorm(beside(i) * w, DECODER[i] * w, 1, { init: heUniform })) : [];
    this.fuse = attention ? steps(() => new FastNormalizedFusion()) : [];
    const skip = (i: number) => (attention ? DECODER[i] : beside(i) + DECODER[i]);
    this.decoder = steps(
      (i) => new ConvNorm((below(i) + skip(i)) * w, DECODER[i] * w, 3, { padding: 1, init: heUniform }),
    );
    this.head = new Head(w, inputSkip ? channels : 0, init);
  }

  forward(first: FirstOutput, x: Tensor): { image: Tensor; attention: Tensor[] } {
    const encoder = this.encoder.forward(first.encoder);
    const attention: Tensor[] = [];
    let d = encoder[4]; // X5 [n, 8, 8, 2048]
    for (let i = 0; i < DECODER.length; i++) {
      const gate = this.gate[i]?.forward(encoder[3 - i], d);
      let skip: Tensor;
      if (gate) {
        attention.push(gate.attention);
        const projected = this.project[i].forward(gate.gated); // [n, 16, 16, 256] -> ... -> [n, 128, 128, 32]
        skip = this.fuse[i].forward(first.decoder[i], projected);
      } else {
        skip = join(encoder[3 - i], first.decoder[i]);
      }
      d = this.decoder[i].forwardUpsampled(d, skip, RELU); // [n, 16, 16, 256] -> ... -> [n, 128, 128, 32]
    }
    return { image: this.head.forward(d, x), attention };
  }
}

/**
 * Attention ResCUNet (`attention`, `coupled`: 74,457,734 parameters), ResCUNet (without attention: 75,392,102) or one U-Net
 * (not coupled: 32,651,519). Initial weights as in section 3.7: encoders He normal, decoders and gates He uniform, heads
 * Xavier uniform.
 */
export class Generator extends Module {
  readonly unet1: FirstUNet;
  readonly unet2: SecondUNet | undefined;
  /** What it was built as. */
  readonly options: Readonly<
    Required<Omit<GeneratorOptions, 'seed' | 'initialize' | 'zeroInitResidual' | 'input' | 'size'>> & {
      input: InputMode | undefined;
      size: number | undefined;
    }
  >;

  constructor(options: GeneratorOptions = {}) {
    super();
    const { baseWidth = 64, attention = true, coupled = true, channels = 3, inputSkip = false } = options;
    const { zeroInitResidual = false, size, seed, initialize = true } = options;
    if (!Number.isInteger(baseWidth) || baseWidth < 4 || baseWidth % 4 !== 0) {
      throw new ShapeError(`Generator: baseWidth must be a multiple of 4, got ${baseWidth}`);
    }
    if (!Number.isInteger(channels) || channels < 1) {
      throw new ShapeError(`Generator: channels must be a whole number >= 1, got ${channels}`);
    }
    const input = options.input ?? inputModeFor(channels);
    if (input) checkInputMode('Generator', input, channels);
    const init = initialize ? initializers(seed) : uninitialized;
    this.options = { baseWidth, attention, coupled, channels, inputSkip, input, size };
    this.unet1 = new FirstUNet(this.options, init);
    this.unet2 = coupled ? new SecondUNet(this.options, init) : undefined;
    if (zeroInitResidual)
      for (const { encoder } of [this.unet1, ...(this.unet2 ? [this.unet2] : [])]) encoder.zeroResiduals();
  }

  /** x [n, h, w, channels] in [-1, 1], h and w multiples of 32. Throws ShapeError otherwise. */
  forward(x: Tensor): GeneratorOutput {
    const [n, h, w, c] = x.shape;
    const { channels } = this.options;
    const fits = x.shape.length === 4 && c === channels && n > 0 && h > 0 && w > 0 && h % 32 === 0 && w % 32 === 0;
    if (!fits) {
      throw new ShapeError(
        `Generator: x must be [n,h,w,${channels}] with h and w multiples of 32, got ${showShape(x.shape)}`,
      );
    }
    const first = this.unet1.forward(x);
    if (!this.unet2) return { final: first.image, aux: first.image, attention: first.attention };
    const { image, attention } = this.unet2.forward(first, x);
    return { final: image, aux: first.image, attention };
  }
}
