// FaceBoxes (Zhang et al. 2017) as 3DDFA_V2 uses it: the network, its priors, and decoding to boxes in pixels of the image.
import { initializers } from '../nn/init.js';
import { Conv2d, ConvNorm } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { tensor } from '../tensor/create.js';
import { add, neg, relu, sub } from '../tensor/ops/elementwise.js';
import { cast, concat, reshape } from '../tensor/ops/layout.js';
import { avgPool2d, maxPool2d } from '../tensor/ops/pool2d.js';
import { resize } from '../tensor/ops/resize.js';
import { softmax } from '../tensor/ops/softmax.js';
import { tidy } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import { toBgr } from './bgr.js';
import { checkImage, type FaceBox, type FaceDetector, largestFirst, type ScoredBox, suppress } from './detection.js';

const MAX_HEIGHT = 720;
const MAX_WIDTH = 1080;
const BGR_MEAN = [104, 117, 123];
const CANDIDATE_SCORE = 0.05;
const REPORTED_SCORE = 0.5;
const OVERLAP = 0.3;
const MOST_CANDIDATES = 5000;
const MOST_BOXES = 750;
/** Scales of the decoded centre and size. */
const VARIANCES = [0.1, 0.2];

/** Priors of one cell: sizes in pixels, each at positions inside the cell (fractions of the step, for x and y alike). */
const LEVELS = [
  {
    step: 32,
    priors: [
      { size: 32, at: [0, 0.25, 0.5, 0.75] },
      { size: 64, at: [0, 0.5] },
      { size: 128, at: [0.5] },
    ],
  },
  { step: 64, priors: [{ size: 256, at: [0.5] }] },
  { step: 128, priors: [{ size: 512, at: [0.5] }] },
];

const priorsPerCell = (level: number): number =>
  LEVELS[level].priors.reduce((count, { at }) => count + at.length ** 2, 0);

const join = (...parts: Tensor[]): Tensor => concat(parts, { axis: -1 });
const pool = (x: Tensor): Tensor => maxPool2d(x, { kernelSize: 3, stride: 2, padding: 1 });
/** Concatenated ReLU: both signs of x. */
const crelu = (x: Tensor): Tensor => relu(join(x, neg(x)));

class Inception extends Module {
  readonly branch1x1 = new ConvNorm(128, 32, 1);
  readonly branch1x1_2 = new ConvNorm(128, 32, 1);
  readonly branch3x3_reduce = new ConvNorm(128, 24, 1);
  readonly branch3x3 = new ConvNorm(24, 32, 3, { padding: 1 });
  readonly branch3x3_reduce_2 = new ConvNorm(128, 24, 1);
  readonly branch3x3_2 = new ConvNorm(24, 32, 3, { padding: 1 });
  readonly branch3x3_3 = new ConvNorm(32, 32, 3, { padding: 1 });

  /** x [n, h, w, 128] -> [n, h, w, 128]. */
  forward(x: Tensor): Tensor {
    const pooled = avgPool2d(x, { kernelSize: 3, stride: 1, padding: 1 });
    const once = relu(this.branch3x3_reduce.forward(x));
    let twice = relu(this.branch3x3_reduce_2.forward(x));
    twice = relu(this.branch3x3_2.forward(twice));
    return join(
      relu(this.branch1x1.forward(x)),
      relu(this.branch1x1_2.forward(pooled)),
      relu(this.branch3x3.forward(once)),
      relu(this.branch3x3_3.forward(twice)),
    );
  }
}

const head = (ic: number, oc: number): Conv2d =>
  new Conv2d(ic, oc, 3, { padding: 1, init: initializers().xavierUniform });

/** Starts in evaluation mode. Weights: `FaceBoxesProd` of 3DDFA_V2, loaded with `from: 'torch'`. */
export class FaceBoxes extends Module implements FaceDetector {
  readonly conv1 = new ConvNorm(3, 24, 7, { stride: 4, padding: 3 });
  readonly conv2 = new ConvNorm(48, 64, 5, { stride: 2, padding: 2 });
  readonly inception1 = new Inception();
  readonly inception2 = new Inception();
  readonly inception3 = new Inception();
  readonly conv3_1 = new ConvNorm(128, 128, 1);
  readonly conv3_2 = new ConvNorm(128, 256, 3, { stride: 2, padding: 1 });
  readonly conv4_1 = new ConvNorm(256, 128, 1);
  readonly conv4_2 = new ConvNorm(128, 256, 3, { stride: 2, padding: 1 });
  readonly loc = [128, 256, 256].map((ic, level) => head(ic, 4 * priorsPerCell(level)));
  readonly conf = [128, 256, 256].map((ic, level) => head(ic, 2 * priorsPerCell(level)));

  constructor() {
    super();
    this.eval();
  }

  /**
   * x [n, h, w, 3], BGR minus (104, 117, 123) -> loc [n, p, 4], offsets from the priors, and conf [n, p, 2], probabilities of
   * background and face, p the number of `facePriors(h, w)`.
   */
  forward(x: Tensor): { loc: Tensor; conf: Tensor } {
    let y = pool(crelu(this.conv1.forward(x))); // [n, h/8, w/8, 48]
    y = pool(crelu(this.conv2.forward(y))); // [n, h/32, w/32, 128]
    const first = this.inception3.forward(this.inception2.forward(this.inception1.forward(y)));
    y = relu(this.conv3_1.forward(first)); // [n, h/32, w/32, 128]
    const second = relu(this.conv3_2.forward(y)); // [n, h/64, w/64, 256]
    y = relu(this.conv4_1.forward(second)); // [n, h/64, w/64, 128]
    const third = relu(this.conv4_2.forward(y)); // [n, h/128, w/128, 256]
    const levels = [first, second, third];
    const rows = (heads: readonly Conv2d[], width: number): Tensor =>
      concat(
        heads.map((conv, i) => {
          const out = conv.forward(levels[i]);
          return reshape(out, [x.shape[0], out.size / (x.shape[0] * width), width]);
        }),
        { axis: 1 },
      );
    return { loc: rows(this.loc, 4), conf: softmax(rows(this.conf, 2)) };
  }

  /** The raw output for an image [h, w, 3] (RGB, 0..255), with the size the network saw. */
  private run(image: Tensor): { loc: Tensor; conf: Tensor; h: number; w: number } {
    return tidy(() => {
      const { h, w } = fittedSize(image.shape[0], image.shape[1]);
      let x = reshape(checkImage('FaceBoxes.detect', image), [1, ...image.shape]);
      if (h !== image.shape[0] || w !== image.shape[1]) x = rounded(resize(x, { size: [h, w], mode: 'bilinear' }));
      return { ...this.forward(sub(toBgr(x), tensor(BGR_MEAN, { device: x.device }))), h, w };
    });
  }

  async detect(image: Tensor): Promise<FaceBox[]> {
    checkImage('FaceBoxes.detect', image);
    const { loc, conf, h, w } = this.run(image);
    const [offsets, scores] = await Promise.all([loc.data(), conf.data()]);
    loc.dispose();
    conf.dispose();
    const scale = fittedScale(image.shape[0], image.shape[1]);
    const candidates = decode(offsets, scores, facePriors(h, w)).map(({ left, top, right, bottom, score }) => ({
      left: (left * w) / scale,
      top: (top * h) / scale,
      right: (right * w) / scale,
      bottom: (bottom * h) / scale,
      score,
    }));
    const best = candidates.sort((a, b) => b.score - a.score).slice(0, MOST_CANDIDATES);
    const kept = suppress(best, { threshold: OVERLAP, border: 1 }).slice(0, MOST_BOXES);
    return largestFirst(kept.filter(({ score }) => score > REPORTED_SCORE));
  }
}

/** How much an image shrinks to fit 1080x720; 1 where it fits. */
function fittedScale(height: number, width: number): number {
  let scale = height > MAX_HEIGHT ? MAX_HEIGHT / height : 1;
  if (width * scale > MAX_WIDTH) scale *= MAX_WIDTH / (width * scale);
  return scale;
}

function fittedSize(height: number, width: number): { h: number; w: number } {
  const scale = fittedScale(height, width);
  return { h: Math.max(1, Math.floor(scale * height)), w: Math.max(1, Math.floor(scale * width)) };
}

/** To whole grey levels, as an 8-bit image would hold them. */
const rounded = (x: Tensor): Tensor => cast(cast(add(x, 0.5), 'u8'), 'f32');

/** Priors of an h x w input: rows (centre x, centre y, width, height) as fractions, cells row by row. */
export function facePriors(h: number, w: number): Float32Array {
  const rows: number[] = [];
  for (const { step, priors } of LEVELS) {
    const [cellsDown, cellsAcross] = [Math.ceil(h / step), Math.ceil(w / step)];
    for (let i = 0; i < cellsDown; i++)
      for (let j = 0; j < cellsAcross; j++)
        for (const { size, at } of priors)
          for (const y of at)
            for (const x of at) rows.push(((j + x) * step) / w, ((i + y) * step) / h, size / w, size / h);
  }
  return Float32Array.from(rows);
}

/** Boxes as fractions of the image for the priors whose face score is worth a look. */
function decode(offsets: ArrayLike<number>, scores: ArrayLike<number>, priors: Float32Array): ScoredBox[] {
  const boxes: ScoredBox[] = [];
  for (let p = 0; p < priors.length / 4; p++) {
    const score = scores[2 * p + 1];
    if (!(score > CANDIDATE_SCORE)) continue;
    const [cx, cy, pw, ph] = priors.subarray(4 * p, 4 * p + 4);
    const w = pw * Math.exp(offsets[4 * p + 2] * VARIANCES[1]);
    const h = ph * Math.exp(offsets[4 * p + 3] * VARIANCES[1]);
    const left = cx + offsets[4 * p] * VARIANCES[0] * pw - w / 2;
    const top = cy + offsets[4 * p + 1] * VARIANCES[0] * ph - h / 2;
    boxes.push({ left, top, right: left + w, bottom: top + h, score });
  }
  return boxes;
}
