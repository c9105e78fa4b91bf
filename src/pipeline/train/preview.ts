// What a run is watched by: scores and pictures of the same validation pairs every time.
import { FormatError } from '../../formats/error.js';
import type { DataSpec } from '../dataset/loader.js';
import { openReader, prepareReader } from '../dataset/reader.js';
import type { Pixels } from '../image.js';
import { contactSheet } from '../overlay.js';
import type { GanStep, PairBatch } from './step.js';

/** Pairs that are drawn. */
const PICTURES = 4;

export class Preview {
  private constructor(
    private readonly pairs: PairBatch,
    private readonly count: number,
    private readonly size: number,
    private readonly footprint: Uint8Array,
  ) {}

  /** Reads `count` pairs, evenly spaced over the data. Throws FormatError where it is of another layout than the training's. */
  static async open(
    spec: DataSpec,
    count: number,
    { size, footprint }: { size: number; footprint: Uint8Array },
  ): Promise<Preview> {
    const prepared = await prepareReader(spec);
    if (prepared.size !== size || Buffer.compare(prepared.footprint, footprint) !== 0) {
      throw new FormatError(
        'data.validation',
        'layout',
        `maps of ${prepared.size}x${prepared.size} do not fit the training data (${size}x${size}, or another footprint)`,
      );
    }
    const { length } = prepared.mixing;
    const n = Math.min(count, length);
    const plane = size * size;
    const pairs = {
      incomplete: new Uint8Array(3 * n * plane),
      complete: new Uint8Array(3 * n * plane),
      mask: new Uint8Array(n * plane),
    };
    const reader = await openReader(prepared);
    try {
      for (let i = 0; i < n; i++) reader.read(Math.floor(((i + 0.5) * length) / n), part(pairs, i, 1, plane));
    } finally {
      reader.close();
    }
    return new Preview(pairs, n, size, footprint);
  }

  /**
   * PSNR in dB over the footprint and over its unseen part: the mean of the maps, as `eval uv` counts it, for answers rounded to
   * bytes. Maps that the photo saw whole count in the first only.
   */
  score(step: GanStep, batch: number): Record<string, number> {
    const plane = this.size * this.size;
    const whole: number[] = [];
    const hidden: number[] = [];
    for (let from = 0; from < this.count; from += batch) {
      const pairs = part(this.pairs, from, Math.min(batch, this.count - from), plane);
      const answers = this.answers(step, pairs);
      for (let i = 0; i * plane < pairs.mask.length; i++) {
        const one = part(pairs, i, 1, plane);
        const answer = answers.subarray(3 * i * plane, 3 * (i + 1) * plane);
        whole.push(this.psnr(answer, one.complete, () => true));
        hidden.push(this.psnr(answer, one.complete, (p) => one.mask[p] === 0));
      }
    }
    return { 'validation/psnr': mean(whole), 'validation/psnrHidden': mean(hidden) };
  }

  /** Sheets of the first pairs: incomplete, completed, true, and the attention at the finest level where there is any. */
  pictures(step: GanStep): [name: string, picture: Pixels][] {
    const { size } = this;
    const plane = size * size;
    const n = Math.min(PICTURES, this.count);
    const pairs = part(this.pairs, 0, n, plane);
    const { final, attention } = step.complete(pairs);
    const answers = this.asBytes(final.dataSync());
    const gate = attention.at(-1)?.dataSync();
    for (const t of [final, ...attention]) t.dispose();
    const picture = (data: Uint8Array): Pixels => ({ data, height: size, width: size });
    return Array.from({ length: n }, (_, i) => {
      const one = part(pairs, i, 1, plane);
      const answer = answers.subarray(3 * i * plane, 3 * (i + 1) * plane);
      const heat = gate ? [enlarged(gate.subarray((i * plane) / 4, ((i + 1) * plane) / 4), size / 2)] : [];
      return [`maps/${i}`, contactSheet([one.incomplete, answer, one.complete, ...heat].map(picture), { gap: 2 })];
    });
  }

  private answers(step: GanStep, pairs: PairBatch): Uint8Array {
    const { final, attention } = step.complete(pairs);
    for (const t of attention) t.dispose();
    const bytes = this.asBytes(final.dataSync());
    final.dispose();
    return bytes;
  }

  /** Colours in [-1, 1] as bytes, black outside the footprint. */
  private asBytes(values: Float32Array): Uint8Array {
    const plane = this.footprint.length;
    const out = Uint8ClampedArray.from(values, (v) => 127.5 * (v + 1));
    for (let p = 0; p < out.length / 3; p++) if (!this.footprint[p % plane]) out.fill(0, 3 * p, 3 * p + 3);
    return new Uint8Array(out.buffer);
  }

  private psnr(a: Uint8Array, b: Uint8Array, counts: (pixel: number) => boolean): number {
    let sum = 0;
    let count = 0;
    for (let p = 0; p < this.footprint.length; p++) {
      if (!this.footprint[p] || !counts(p)) continue;
      for (let c = 3 * p; c < 3 * p + 3; c++) sum += (a[c] - b[c]) ** 2;
      count += 3;
    }
    return 10 * Math.log10((255 * 255 * count) / sum);
  }
}

/** The mean of what is finite. */
function mean(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite);
  return finite.reduce((sum, v) => sum + v, 0) / finite.length;
}

/** Pairs `from` to `from + count`, sharing memory. */
const part = ({ incomplete, complete, mask }: PairBatch, from: number, count: number, plane: number): PairBatch => ({
  incomplete: incomplete.subarray(3 * from * plane, 3 * (from + count) * plane),
  complete: complete.subarray(3 * from * plane, 3 * (from + count) * plane),
  mask: mask.subarray(from * plane, (from + count) * plane),
});

/** A map [side, side] in [0, 1] at twice its size, as grey. */
function enlarged(values: Float32Array, side: number): Uint8Array {
  const out = new Uint8Array(12 * side * side);
  for (let y = 0; y < 2 * side; y++) {
    for (let x = 0; x < 2 * side; x++) {
      const at = 3 * (2 * side * y + x);
      out.fill(Math.round(255 * values[(y >> 1) * side + (x >> 1)]), at, at + 3);
    }
  }
  return out;
}
