// The baseline generator, UV-GAN as a plain pix2pix U-Net (specification section 5.1). Blocks nest as pix2pix nests them, so
// that names are those of its `unet_256` checkpoints: `model.model.1.model.1.weight` is the second level's convolution.
import { Dropout } from '../nn/dropout.js';
import { type Initializer, initializers, uninitialized } from '../nn/init.js';
import { BatchNorm2d, Conv2d, ConvTranspose2d } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { leakyRelu, relu, tanh } from '../tensor/ops/elementwise.js';
import { concat } from '../tensor/ops/layout.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkInputMode, type InputMode } from './input-mode.js';
import type { GeneratorOutput } from './rescunet.js';

export interface UvGanOptions {
  /** Channels of the input: 3 for the incomplete map, 6 with its mirror image (`withMirror`). */
  channels?: number;
  /** How the input is made: by default raw for 3 channels, mirror for 6. */
  input?: InputMode;
  /** Side of the maps it was trained on: maps of other sizes are resampled for it (pipeline/generator-input.ts). Unknown by default. */
  size?: number;
  /** Channels after the first convolution. */
  baseWidth?: number;
  /** Halvings: 8 for maps of 256x256, which end at one pixel. */
  levels?: number;
  /** The initial weights then depend on it alone; otherwise on `manualSeed` and the draws since. */
  seed?: number;
  /** False leaves all weights 0, for a state that is about to be loaded. */
  initialize?: boolean;
}

interface BlockOptions {
  ic: number;
  width: number;
  oc: number;
  level: number;
  levels: number;
  inner: SkipBlock | undefined;
  init: Initializer;
}

/** Levels above this one have the full width, and those between it and the innermost drop out. */
const WIDEST = 3;

/** One level: convolution down, the levels inside it, convolution up. */
class SkipBlock extends Module {
  /** What pix2pix's sequence of the level holds, by position: names only, undefined where there is nothing to name. */
  readonly model: readonly (Module | undefined)[];
  readonly #down: Conv2d;
  readonly #downNorm: BatchNorm2d | undefined;
  readonly #inner: SkipBlock | undefined;
  readonly #up: ConvTranspose2d;
  readonly #upNorm: BatchNorm2d | undefined;
  readonly #dropout: Dropout | undefined;

  constructor({ ic, width, oc, level, levels, inner, init }: BlockOptions) {
    super();
    const outermost = level === 0;
    this.#down = new Conv2d(ic, width, 4, { stride: 2, padding: 1, bias: false, init });
    this.#downNorm = outermost || !inner ? undefined : new BatchNorm2d(width);
    this.#inner = inner;
    const up = { stride: 2, padding: 1, bias: outermost, init };
    this.#up = new ConvTranspose2d(inner ? 2 * width : width, oc, 4, up);
    this.#upNorm = outermost ? undefined : new BatchNorm2d(oc);
    this.#dropout = level > WIDEST && level < levels - 1 ? new Dropout(0.5) : undefined;
    const coming = outermost ? [this.#down] : [undefined, this.#down, ...(this.#downNorm ? [this.#downNorm] : [])];
    const going = [undefined, this.#up, this.#upNorm, this.#dropout]; // after the activation
    this.model = [...coming, ...(inner ? [inner] : []), ...going];
  }

  /** x [n, h, w, ic] (activated) -> [n, h, w, oc], before the next activation. */
  forward(x: Tensor): Tensor {
    const down = this.#down.forward(x); // [n, h/2, w/2, width]
    const norm = this.#downNorm?.forward(down) ?? down;
    const joined = this.#inner ? concat([norm, this.#inner.forward(leakyRelu(norm, 0.2))], { axis: -1 }) : norm;
    const up = this.#up.forward(relu(joined)); // [n, h, w, oc]
    const y = this.#upNorm?.forward(up) ?? up;
    return this.#dropout?.forward(y) ?? y;
  }
}

/**
 * pix2pix's U-Net-256: 54,413,955 parameters with 3 channels, 54,417,027 with 6. Weights start from N(0, 0.02). In training
 * the levels at 4, 8 and 16 pixels drop half of their output (pix2pix's noise), from the numbers `manualSeed` starts.
 */
export class UvGan extends Module {
  readonly model: SkipBlock;
  /** What it was built as. */
  readonly options: Readonly<
    Required<Omit<UvGanOptions, 'seed' | 'initialize' | 'size'>> & { size: number | undefined }
  >;

  constructor(options: UvGanOptions = {}) {
    super();
    const { channels = 3, baseWidth = 64, levels = 8, size, seed, initialize = true } = options;
    if (channels !== 3 && channels !== 6) throw new ShapeError(`UvGan: channels must be 3 or 6, got ${channels}`);
    const input = options.input ?? (channels === 3 ? 'raw' : 'mirror');
    checkInputMode('UvGan', input, channels);
    if (!Number.isInteger(baseWidth) || baseWidth < 1) {
      throw new ShapeError(`UvGan: baseWidth must be a whole number >= 1, got ${baseWidth}`);
    }
    if (!Number.isInteger(levels) || levels < 2) {
      throw new ShapeError(`UvGan: levels must be a whole number >= 2, got ${levels}`);
    }
    this.options = { channels, input, baseWidth, levels, size };
    const { narrowNormal: init } = initialize ? initializers(seed) : uninitialized;
    const widthOf = (level: number): number => baseWidth * 2 ** Math.min(level, WIDEST);
    const block = (level: number): SkipBlock => {
      const inner = level + 1 < levels ? block(level + 1) : undefined;
      const [ic, oc] = level === 0 ? [channels, 3] : [widthOf(level - 1), widthOf(level - 1)];
      return new SkipBlock({ ic, width: widthOf(level), oc, level, levels, inner, init });
    };
    this.model = block(0);
  }

  /**
   * x [n, h, w, channels] in [-1, 1], h and w multiples of 2^levels -> the completed map [n, h, w, 3] in [-1, 1], as `final`
   * and as `aux` (there is no second output, as with an uncoupled Generator). Throws ShapeError.
   */
  forward(x: Tensor): GeneratorOutput {
    const [n, h, w, c] = x.shape;
    const { channels, levels } = this.options;
    const unit = 2 ** levels;
    if (x.shape.length !== 4 || n < 1 || c !== channels || h < 1 || w < 1 || h % unit !== 0 || w % unit !== 0) {
      throw new ShapeError(
        `UvGan: x must be [n,h,w,${channels}] with h and w multiples of ${unit}, got ${showShape(x.shape)}`,
      );
    }
    const final = tanh(this.model.forward(x));
    return { final, aux: final, attention: [] };
  }
}
