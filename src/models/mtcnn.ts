// MTCNN (Zhang et al. 2016) with facenet-pytorch's weights and conventions: a proposal network over an image pyramid, then two
// networks that sort out and refine the proposals. Boxes count pixels from 1, as the original Matlab program did.
import { optimizeForInference } from '../nn/inference.js';
import { Conv2d, Linear, PReLU } from '../nn/layers.js';
import { Module } from '../nn/module.js';
import { areaMeans, areaSums, type Window } from '../tensor/ops/area.js';
import { permute, reshape, to } from '../tensor/ops/layout.js';
import { maxPool2d } from '../tensor/ops/pool2d.js';
import { softmax } from '../tensor/ops/softmax.js';
import { tidy } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkImage, type FaceBox, type FaceDetector, largestFirst, type ScoredBox, suppress } from './detection.js';

/** Max pooling with stride 2 whose last window may reach over the edge. */
function poolCeil(x: Tensor, kernelSize: 2 | 3): Tensor {
  return maxPool2d(x, { kernelSize, stride: 2, ceilMode: true });
}

/** x [n, h, w, c] as rows in the order of the original: columns outermost, channels innermost. */
const flatten = (x: Tensor): Tensor => reshape(permute(x, [0, 2, 1, 3]), [x.shape[0], x.size / x.shape[0]]);

/** Proposals: fully convolutional, one per 2x2 pixels, each for a window of 12x12. */
class PNet extends Module {
  readonly conv1 = new Conv2d(3, 10, 3);
  readonly prelu1 = new PReLU(10);
  readonly conv2 = new Conv2d(10, 16, 3);
  readonly prelu2 = new PReLU(16);
  readonly conv3 = new Conv2d(16, 32, 3);
  readonly prelu3 = new PReLU(32);
  readonly conv4_1 = new Conv2d(32, 2, 1);
  readonly conv4_2 = new Conv2d(32, 4, 1);

  /** x [n, h, w, 3] -> score [n, h', w', 2], offsets [n, h', w', 4]. */
  forward(x: Tensor): { score: Tensor; offsets: Tensor } {
    let y = poolCeil(this.prelu1.forward(this.conv1.forward(x)), 2); // [n, (h-2)/2, (w-2)/2, 10]
    y = this.prelu2.forward(this.conv2.forward(y)); // [n, (h-2)/2 - 2, ..., 16]
    y = this.prelu3.forward(this.conv3.forward(y)); // [n, (h-2)/2 - 4, ..., 32]
    return { score: softmax(this.conv4_1.forward(y)), offsets: this.conv4_2.forward(y) };
  }
}

/** Refinement on 24x24 crops. */
class RNet extends Module {
  readonly conv1 = new Conv2d(3, 28, 3);
  readonly prelu1 = new PReLU(28);
  readonly conv2 = new Conv2d(28, 48, 3);
  readonly prelu2 = new PReLU(48);
  readonly conv3 = new Conv2d(48, 64, 2);
  readonly prelu3 = new PReLU(64);
  readonly dense4 = new Linear(576, 128);
  readonly prelu4 = new PReLU(128);
  readonly dense5_1 = new Linear(128, 2);
  readonly dense5_2 = new Linear(128, 4);

  /** x [n, 24, 24, 3] -> score [n, 2], offsets [n, 4]. */
  forward(x: Tensor): { score: Tensor; offsets: Tensor } {
    let y = poolCeil(this.prelu1.forward(this.conv1.forward(x)), 3); // [n, 11, 11, 28]
    y = poolCeil(this.prelu2.forward(this.conv2.forward(y)), 3); // [n, 4, 4, 48]
    y = this.prelu3.forward(this.conv3.forward(y)); // [n, 3, 3, 64]
    y = this.prelu4.forward(this.dense4.forward(flatten(y))); // [n, 128]
    return { score: softmax(this.dense5_1.forward(y)), offsets: this.dense5_2.forward(y) };
  }
}

/** The last refinement, on 48x48 crops, with five landmarks. */
class ONet extends Module {
  readonly conv1 = new Conv2d(3, 32, 3);
  readonly prelu1 = new PReLU(32);
  readonly conv2 = new Conv2d(32, 64, 3);
  readonly prelu2 = new PReLU(64);
  readonly conv3 = new Conv2d(64, 64, 3);
  readonly prelu3 = new PReLU(64);
  readonly conv4 = new Conv2d(64, 128, 2);
  readonly prelu4 = new PReLU(128);
  readonly dense5 = new Linear(1152, 256);
  readonly prelu5 = new PReLU(256);
  readonly dense6_1 = new Linear(256, 2);
  readonly dense6_2 = new Linear(256, 4);
  readonly dense6_3 = new Linear(256, 10);

  /** x [n, 48, 48, 3] -> score [n, 2], offsets [n, 4], landmarks [n, 10]: five x, then five y, as fractions of the box. */
  forward(x: Tensor): { score: Tensor; offsets: Tensor; landmarks: Tensor } {
    let y = poolCeil(this.prelu1.forward(this.conv1.forward(x)), 3); // [n, 23, 23, 32]
    y = poolCeil(this.prelu2.forward(this.conv2.forward(y)), 3); // [n, 10, 10, 64]
    y = poolCeil(this.prelu3.forward(this.conv3.forward(y)), 2); // [n, 4, 4, 64]
    y = this.prelu4.forward(this.conv4.forward(y)); // [n, 3, 3, 128]
    y = this.prelu5.forward(this.dense5.forward(flatten(y))); // [n, 256]
    return {
      score: softmax(this.dense6_1.forward(y)),
      offsets: this.dense6_2.forward(y),
      landmarks: this.dense6_3.forward(y),
    };
  }
}

export interface MtcnnOptions {
  /** Side in pixels of the smallest face looked for. */
  minSize?: number;
  /** Ratio of neighbouring levels of the pyramid. */
  factor?: number;
  /** Scores that a box must pass in each stage. */
  thresholds?: readonly [number, number, number];
}

interface Candidate extends ScoredBox {
  /** Corrections of left, top, right, bottom in units of the box. */
  offsets: number[];
  landmarks?: [number, number][];
}

const WINDOW = 12; // side of what PNet sees
const STRIDE = 2;
/** Crops per pass of R-Net and of O-Net, the last one's rest filled up: one plan serves any number of candidates. */
const REFINED = 16;
const FINISHED = 8;
/** Levels of some photo sizes. */
const PLANS = 32;
/** Pixels of a level up to which its plan is kept: a large photo's would hold gigabytes. */
const KEPT = 2 ** 20;

/** A photo whose pixels have been summed up, to be resampled. */
interface Picture {
  sums: Tensor;
  height: number;
  width: number;
}

/**
 * Starts in evaluation mode. Weights: `pnet`, `rnet` and `onet` each load their own state with `from: 'torch'`; they are those of the first `detect` from then on.
 */
export class Mtcnn extends Module implements FaceDetector {
  readonly pnet = new PNet();
  readonly rnet = new RNet();
  readonly onet = new ONet();
  private readonly settings: Required<MtcnnOptions>;
  private readonly frozen = {
    pnet: optimizeForInference(this.pnet, { plans: PLANS }),
    rnet: optimizeForInference(this.rnet),
    onet: optimizeForInference(this.onet),
  };

  constructor({ minSize = 20, factor = 0.709, thresholds = [0.6, 0.7, 0.7] }: MtcnnOptions = {}) {
    super();
    if (!(minSize >= WINDOW)) throw new RangeError(`Mtcnn: minSize must be at least ${WINDOW}, got ${minSize}`);
    if (!(factor > 0 && factor < 1)) throw new RangeError(`Mtcnn: factor must lie between 0 and 1, got ${factor}`);
    this.settings = { minSize, factor, thresholds };
    this.eval();
  }

  /** Where the weights lie. */
  private get device(): string {
    return this.pnet.conv1.weight.device;
  }

  async detect(image: Tensor): Promise<FaceBox[]> {
    const sums = tidy(() => areaSums(to(checkImage('Mtcnn.detect', image), this.device)));
    const [height, width] = image.shape;
    try {
      return await this.search({ sums, height, width });
    } finally {
      sums.dispose();
    }
  }

  override dispose(): void {
    for (const plans of Object.values(this.frozen)) plans.dispose();
    super.dispose();
  }

  private async search(picture: Picture): Promise<FaceBox[]> {
    const refined = await this.refine(picture, await this.propose(picture));
    const faces = await this.finish(picture, refined);
    return largestFirst(faces).map(({ left, top, right, bottom, score, landmarks: landmarks5 }) => ({
      left,
      top,
      right,
      bottom,
      score,
      landmarks5,
    }));
  }

  /** Stage one: windows of every level of the pyramid that look like a face. */
  private async propose(image: Picture): Promise<Candidate[]> {
    const { minSize, factor, thresholds } = this.settings;
    const shortest = Math.min(image.height, image.width);
    const levels: { scale: number; score: Tensor; offsets: Tensor }[] = [];
    // Answers are fetched when all levels are under way.
    for (let scale = WINDOW / minSize; shortest * scale >= WINDOW; scale *= factor) {
      const h = Math.floor(image.height * scale + 1);
      const w = Math.floor(image.width * scale + 1);
      const network = h * w > KEPT ? (x: Tensor) => this.pnet.forward(x) : this.frozen.pnet;
      const whole = { left: 0, top: 0, width: image.width, height: image.height };
      levels.push({ scale, ...seen(image, [whole], [h, w], network) });
    }
    const found: Candidate[] = [];
    for (const { scale, score, offsets } of levels) {
      const across = score.shape[2];
      const [scores, corrections] = await Promise.all([score.data(), offsets.data()]);
      score.dispose();
      offsets.dispose();
      const level: Candidate[] = [];
      for (let i = 0; i < scores.length / 2; i++) {
        if (scores[2 * i + 1] < thresholds[0]) continue;
        const [x, y] = [STRIDE * (i % across), STRIDE * Math.floor(i / across)];
        level.push({
          left: Math.floor((x + 1) / scale),
          top: Math.floor((y + 1) / scale),
          right: Math.floor((x + WINDOW) / scale),
          bottom: Math.floor((y + WINDOW) / scale),
          score: scores[2 * i + 1],
          offsets: Array.from(corrections.slice(4 * i, 4 * i + 4)),
        });
      }
      found.push(...suppress(level, { threshold: 0.5 }));
    }
    return suppress(found, { threshold: 0.7 }).map((box) => squared(corrected(box, 0)));
  }

  /** Stage two: the proposals that RNet confirms. */
  private async refine(image: Picture, proposals: Candidate[]): Promise<Candidate[]> {
    const boxes = proposals.filter((box) => visible(image, box));
    const outputs = await batches(image, boxes, { side: 24, count: REFINED }, this.frozen.rnet);
    const passed = boxes.flatMap((box, i) => {
      const score = outputs.score[2 * i + 1];
      return score > this.settings.thresholds[1]
        ? [{ ...box, score, offsets: outputs.offsets.slice(4 * i, 4 * i + 4) }]
        : [];
    });
    return suppress(passed, { threshold: 0.7 }).map((box) => squared(corrected(box, 1)));
  }

  /** Stage three: the faces, with landmarks. */
  private async finish(image: Picture, refined: Candidate[]): Promise<Candidate[]> {
    const boxes = refined.filter((box) => visible(image, box));
    const outputs = await batches(image, boxes, { side: 48, count: FINISHED }, this.frozen.onet);
    const passed = boxes.flatMap((box, i): Candidate[] => {
      const score = outputs.score[2 * i + 1];
      if (!(score > this.settings.thresholds[2])) return [];
      const [w, h] = [box.right - box.left + 1, box.bottom - box.top + 1];
      const points = outputs.landmarks.slice(10 * i, 10 * i + 10);
      const landmarks = Array.from({ length: 5 }, (_, k): [number, number] => [
        w * points[k] + box.left - 1,
        h * points[k + 5] + box.top - 1,
      ]);
      return [{ ...corrected({ ...box, offsets: outputs.offsets.slice(4 * i, 4 * i + 4) }, 1), score, landmarks }];
    });
    return suppress(passed, { threshold: 0.7, over: 'smaller', border: 1 });
  }
}

/** The box moved by its offsets; `border` is added to width and height first. */
function corrected<T extends Candidate>(box: T, border: 0 | 1): T {
  const { left, top, right, bottom, offsets } = box;
  const [w, h] = [right - left + border, bottom - top + border];
  return {
    ...box,
    left: left + offsets[0] * w,
    top: top + offsets[1] * h,
    right: right + offsets[2] * w,
    bottom: bottom + offsets[3] * h,
  };
}

/** The square of the longer side around the same centre. */
function squared<T extends Candidate>(box: T): T {
  const [w, h] = [box.right - box.left, box.bottom - box.top];
  const side = Math.max(w, h);
  const left = box.left + w / 2 - side / 2;
  const top = box.top + h / 2 - side / 2;
  return { ...box, left, top, right: left + side, bottom: top + side };
}

/** The part of a box (pixels counted from 1) inside the image, as a window counted from 0. */
function windowOf(image: Picture, box: ScoredBox): Window {
  const left = Math.max(Math.trunc(box.left), 1) - 1;
  const top = Math.max(Math.trunc(box.top), 1) - 1;
  const right = Math.min(Math.trunc(box.right), image.width);
  const bottom = Math.min(Math.trunc(box.bottom), image.height);
  return { left, top, width: right - left, height: bottom - top };
}

function visible(image: Picture, box: ScoredBox): boolean {
  const { width, height } = windowOf(image, box);
  return width > 0 && height > 0;
}

/** Sets the device to work on what a network makes of windows at a size, their values v as (v - 127.5) / 128. */
function seen<T>(
  { sums }: Picture,
  windows: readonly Window[],
  size: readonly [number, number],
  network: (x: Tensor) => T,
): T {
  return tidy(() => {
    const y = network(areaMeans(sums, windows, { size, scale: 1 / 128, shift: -127.5 / 128 }));
    sums.owner.flush();
    return y;
  });
}

/** Runs a network on the crops of all boxes; its outputs as flat lists, one row per box. */
async function batches<K extends string>(
  image: Picture,
  boxes: readonly Candidate[],
  { side, count }: { side: number; count: number },
  network: (x: Tensor) => Record<K, Tensor>,
): Promise<Record<K, number[]>> {
  const running: Record<K, Tensor>[] = [];
  for (let start = 0; start < boxes.length; start += count) {
    const windows = Array.from({ length: count }, (_, i) =>
      windowOf(image, boxes[Math.min(start + i, boxes.length - 1)]),
    );
    running.push(seen(image, windows, [side, side], network));
  }
  const rows = {} as Record<K, number[]>;
  for (const outputs of running) {
    for (const [name, y] of Object.entries(outputs) as [K, Tensor][]) {
      rows[name] = (rows[name] ?? []).concat(Array.from(await y.data()));
      y.dispose();
    }
  }
  return rows;
}
