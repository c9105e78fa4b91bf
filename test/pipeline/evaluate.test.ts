// Evaluation of UV completion: regions, bins, means, tables and pictures on maps whose numbers are known.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Pair, PairSource } from '../../src/pipeline/dataset/pairs.js';
import { nominalYaw, sampleByYaw, YAW_BINS } from '../../src/pipeline/evaluate/bins.js';
import { captioned, textLine } from '../../src/pipeline/evaluate/caption.js';
import {
  type Completer,
  composited,
  inputCompleter,
  mirrorCompleter,
  NetworkCompleter,
} from '../../src/pipeline/evaluate/completer.js';
import { attentionSheet, rowsOf, writeFigures } from '../../src/pipeline/evaluate/figures.js';
import { leftOut, markdownReport, textTables } from '../../src/pipeline/evaluate/report.js';
import { scoreMap, statistic, tabulate } from '../../src/pipeline/evaluate/scores.js';
import { joinSources } from '../../src/pipeline/evaluate/sources.js';
import { evaluateUv } from '../../src/pipeline/evaluate/uv.js';
import { createGenerator } from '../../src/pipeline/generators.js';
import { readPixels } from '../../src/pipeline/image.js';
import { psnr, ssim } from '../../src/pipeline/metrics.js';
import { rand, tensor } from '../../src/tensor/index.js';
import { settledBytes } from './surface.js';

const SIZE = 32;
const PLANE = SIZE * SIZE;
const column = (p: number) => p % SIZE;
/** Surface but for two columns on either side; the photo saw its left half. */
const footprint = Uint8Array.from({ length: PLANE }, (_, p) => (column(p) >= 2 && column(p) < 30 ? 1 : 0));
const mask = footprint.map((inside, p) => (inside && column(p) < 16 ? 1 : 0));
const flat = (at: (p: number) => number) => Uint8Array.from({ length: 3 * PLANE }, (_, i) => at(Math.floor(i / 3)));
const truth = flat((p) => 100 * footprint[p]);

const decibels = (mse: number) => 10 * Math.log10(255 ** 2 / mse);

describe('scoreMap', () => {
  it('has the error of each region and no other', () => {
    const map = flat((p) => (footprint[p] ? (mask[p] ? 110 : 130) : 0));
    const { frame, footprint: face, invisible } = scoreMap({ truth, map, mask, footprint, size: SIZE });
    expect(invisible.psnr).toBeCloseTo(decibels(900), 10);
    expect(face.psnr).toBeCloseTo(decibels(500), 10);
    expect(frame.psnr).toBeCloseTo(decibels((500 * 28) / 32), 10);
  });

  it('has the similarity of two constants', () => {
    const everywhere = new Uint8Array(PLANE).fill(1);
    const scores = scoreMap({ truth: flat(() => 100), map: flat(() => 120), mask, footprint: everywhere, size: SIZE });
    const c1 = 2.55 ** 2;
    for (const { ssim: value } of Object.values(scores)) {
      expect(value).toBeCloseTo((2 * 100 * 120 + c1) / (100 ** 2 + 120 ** 2 + c1), 10);
    }
  });

  it('agrees with psnr and ssim', () => {
    const [a, b] = [1, 2].map((seed) => rand([SIZE, SIZE, 3], { seed }).mul(255).cast('u8'));
    const host = { truth: a.dataSync() as Uint8Array, map: b.dataSync() as Uint8Array };
    const scores = scoreMap({ ...host, mask, footprint, size: SIZE });
    const hidden = footprint.map((inside, p) => (inside && !mask[p] ? 1 : 0));
    for (const [region, values] of [
      ['frame', undefined],
      ['footprint', footprint],
      ['invisible', hidden],
    ] as const) {
      const where = values && { mask: tensor(values, { shape: [SIZE, SIZE], dtype: 'u8' }) };
      expect(scores[region].psnr).toBeCloseTo(psnr(a, b, where), 10);
      expect(scores[region].ssim).toBeCloseTo(ssim(a, b, where), 10);
    }
  });

  it('refuses maps that do not fit', () => {
    expect(() => scoreMap({ truth, map: truth.slice(3), mask, footprint, size: SIZE })).toThrow('got 3072, 3069, 1024');
  });
});

describe('means', () => {
  it('leave out what is infinite or empty, and count it', () => {
    const { mean, std, ...counts } = statistic([20, Number.POSITIVE_INFINITY, 30, Number.NaN, Number.NaN]);
    expect([mean, std]).toEqual([25, 5]);
    expect(counts).toEqual({ count: 2, infinite: 1, empty: 2 });
    expect(statistic([])).toEqual({ mean: null, std: null, count: 0, infinite: 0, empty: 0 });
  });

  it('are taken over the images of a bin', () => {
    const scores = (value: number) => {
      const score = { psnr: value, ssim: value / 100 };
      return { m: { frame: score, footprint: score, invisible: score } };
    };
    const meta = { subject: 0, pitch: 0, illumination: 0, expression: 0, seed: 0 };
    const pairs = [-46, 44, 2].map((yaw, i) => ({ index: i, meta: { ...meta, yaw }, scores: scores(10 * (i + 1)) }));
    const cells = tabulate(['m'], pairs);
    const mean = (bin: string) => cells.find((cell) => cell.region === 'invisible' && cell.bin === bin)?.psnr.mean;
    expect(['all', '0', '15', '45', '40-50', '>=45'].map(mean)).toEqual([20, 30, null, 15, 15, 10]);
  });
});

describe('bins', () => {
  it('take either side, to the nearest viewpoint or as it is', () => {
    expect([0, -7, 8, 37, -38, 83, 98].map(nominalYaw)).toEqual([0, 0, 15, 30, 45, 90, 90]);
    const of = (yaw: number) => YAW_BINS.filter(({ holds }) => holds(yaw)).map(({ name }) => name);
    expect(of(-30)).toEqual(['all', '30', '20-30']);
    expect(of(45)).toEqual(['all', '45', '40-50', '>=45']);
    expect(of(72)).toEqual(['all', '75', '70-80', '>=45']);
  });

  it('share a sample, and its numbers depend on the seed alone', () => {
    const yaws = Array.from({ length: 400 }, (_, i) => (i < 370 ? (i % 12) * 15 - 90 : 0));
    yaws.push(14);
    const chosen = sampleByYaw(yaws, 70, 5);
    expect(new Set(chosen).size).toBe(70);
    expect(chosen).toEqual([...chosen].sort((a, b) => a - b));
    expect(sampleByYaw(yaws, 70, 5)).toEqual(chosen);
    expect(sampleByYaw(yaws, 70, 6)).not.toEqual(chosen);
    const counts = YAW_BINS.slice(1, 8).map(({ holds }) => chosen.filter((i) => holds(yaws[i])).length);
    expect(counts).toEqual(Array(7).fill(10));
    const poor = [...Array(3).fill(0), ...Array(50).fill(60)];
    expect(sampleByYaw(poor, 20, 1).filter((i) => i < 3)).toHaveLength(3);
    expect(sampleByYaw(poor, 20, 1)).toHaveLength(20);
  });
});

/** Six pairs of two people; in the hidden half the input is `wrong` off. */
function sourceOf(wrong = 40): PairSource {
  const pair = (index: number): Pair => ({
    incomplete: flat((p) => (footprint[p] ? (mask[p] ? 100 : 100 + wrong) : 77)),
    complete: truth,
    mask,
    meta: { subject: index < 3 ? 4 : 9, yaw: 45 * (index % 3) - 45, pitch: 0, illumination: 0, expression: 0, seed: 0 },
  });
  return { length: 6, size: SIZE, footprint, config: { kind: 'made by hand' }, pair };
}

const network = (name: string, options = {}) =>
  new NetworkCompleter(name, createGenerator({ kind: 'attention-rescunet', baseWidth: 8, seed: 3, ...options }).eval());

describe('evaluateUv', () => {
  it('measures every method on the same pairs', async () => {
    const done: number[] = [];
    const methods = [inputCompleter(), mirrorCompleter()];
    const evaluation = await evaluateUv(methods, sourceOf(), { batch: 4, onPair: (k) => done.push(k) });
    expect(done).toEqual([1, 2, 3, 4, 5, 6]);
    expect(evaluation).toMatchObject({ measured: 6, available: 6, size: SIZE });
    const cell = (method: string, region: string, bin = 'all') =>
      evaluation.cells.find((c) => c.method === method && c.region === region && c.bin === bin)?.psnr;
    expect(cell('input', 'invisible')?.mean).toBeCloseTo(decibels(1600), 10);
    expect(cell('input', 'frame', '>=45')).toMatchObject({ count: 4, infinite: 0 });
    // Both halves are 100 all over, so the mirror image is the truth.
    expect(cell('mirror', 'frame')).toEqual({ mean: null, std: null, count: 0, infinite: 6, empty: 0 });
    expect(leftOut(evaluation.cells)).toContain(
      'Left out of the means of mirror, full frame: 6 equal to the truth (PSNR infinite).',
    );
    const text = textTables(evaluation);
    expect(text[0]).toBe('Full frame, PSNR, dB');
    expect(text.at(-1)).toMatch(/^ {2}pairs {4} +6 +2 +4 +4 +4$/);
    const markdown = markdownReport(evaluation, ['six pairs']);
    expect(markdown).toContain('| yaw | all | 0 | 45 | 40-50 | >=45 |');
    expect(markdown).toContain(`| input | ${decibels(1600).toFixed(2)} ± 0.00 |`);
  });

  it('draws a sample', async () => {
    const { pairs, measured } = await evaluateUv([inputCompleter()], sourceOf(), { samples: 3, seed: 2 });
    expect(measured).toBe(3);
    expect(new Set(pairs.map(({ index }) => index)).size).toBe(3);
    await expect(evaluateUv([inputCompleter()], sourceOf(), { samples: 0 })).rejects.toThrow('at least 1, got 0');
  });

  it('refuses no methods and two of one name', async () => {
    await expect(evaluateUv([], sourceOf())).rejects.toThrow('got none');
    await expect(evaluateUv([inputCompleter('a'), mirrorCompleter('a')], sourceOf())).rejects.toThrow('got a, a');
  });

  it('measures the variants of a network', async () => {
    const method = network('net');
    const evaluation = await evaluateUv([method], sourceOf(), { samples: 2, composite: true, intermediate: true });
    expect(evaluation.methods.map(({ name }) => name)).toEqual(['net', 'net, first', 'net + photo']);
    const [{ about }] = evaluation.methods;
    expect(about).toMatchObject({ kind: 'attention-rescunet', baseWidth: 8, input: 'raw' });
    method.dispose();
  });
});

describe('networks', () => {
  const pairs = [10, 80].map((wrong) => sourceOf(wrong).pair(0));

  it('give the same in any batch, and leave nothing on the device', async () => {
    const before = settledBytes();
    const method = network('net');
    const together = await method.complete(pairs, { size: SIZE, footprint });
    for (const [i, pair] of pairs.entries()) {
      const [alone] = await method.complete([pair], { size: SIZE, footprint });
      const off = alone.map.map((v, k) => Math.abs(v - together[i].map[k]));
      expect(Math.max(...off)).toBeLessThanOrEqual(1); // rounding
      expect(alone.map.some((v) => v > 0)).toBe(true);
      expect(alone.map.every((v, k) => v === 0 || footprint[Math.floor(k / 3)] === 1)).toBe(true);
      expect(alone.intermediate).toHaveLength(3 * PLANE);
    }
    const attention = await method.attention(pairs[0], { size: SIZE, footprint });
    expect(attention.map(({ height, width }) => [height, width])).toEqual([
      [2, 2],
      [4, 4],
      [8, 8],
      [16, 16],
    ]);
    expect(attention.every(({ values }) => values.every((v) => v >= 0 && v <= 1))).toBe(true);
    method.dispose();
    expect(settledBytes()).toBe(before);
  });

  it('of the baseline have one map and no attention', async () => {
    const method = network('uvgan', { kind: 'uvgan', levels: 5, input: 'mirror' });
    const [completion] = await method.complete([pairs[0]], { size: SIZE, footprint });
    expect(completion.intermediate).toBeUndefined();
    expect(await method.attention(pairs[0], { size: SIZE, footprint })).toEqual([]);
    method.dispose();
  });

  it('keep the photo where they are told to', () => {
    const drawn = flat((p) => 60 * footprint[p]);
    const kept = composited(pairs[0], drawn, { size: SIZE, footprint });
    const seen = 3 * (16 * SIZE + 6);
    expect(kept[seen]).toBe(100);
    // Away from the photo only the drawn gradients remain, and there are none.
    expect(Math.abs(kept[3 * (16 * SIZE + 26)] - 100)).toBeLessThanOrEqual(1);
  });
});

describe('joinSources', () => {
  it('puts folders one after the other', () => {
    const joined = joinSources([
      { name: 'a', source: sourceOf(10) },
      { name: 'b', source: sourceOf(20) },
    ]);
    expect(joined.length).toBe(12);
    const hidden = 3 * (16 * SIZE + 20);
    expect([5, 6].map((i) => joined.pair(i).incomplete[hidden])).toEqual([110, 120]);
    expect(joined.meta?.(9).subject).toBe(9);
    expect(() => joined.pair(12)).toThrow('pair 12 of 12');
  });

  it('names what does not fit', () => {
    const first = { name: 'a', source: sourceOf() };
    const larger = { ...sourceOf(), size: 64 };
    expect(() => joinSources([first, { name: 'b', source: larger }])).toThrow('b: size: its maps are 64x64');
    const other = { ...sourceOf(), footprint: mask };
    expect(() => joinSources([first, { name: 'c', source: other }])).toThrow('c: footprint: its UV layout is another');
  });
});

describe('pictures', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rescunet-figures-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('have captions that need no fonts', () => {
    const { data, height, width } = textLine('-1', 14);
    const rows = Array.from({ length: height }, (_, y) =>
      Array.from({ length: width }, (__, x) => (data[3 * (y * width + x)] > 100 ? '#' : '.')).join(''),
    );
    expect(rows.slice(2, 9)).toEqual([
      '.........#....',
      '........##....',
      '.........#....',
      '.#####...#....',
      '.........#....',
      '.........#....',
      '........###...',
    ]);
    const image = { data: new Uint8Array(3 * 20 * 10), width: 20, height: 10 };
    expect(captioned(image, 'much too long for it')).toMatchObject({ width: 20, height: 21 });
  });

  it('take each viewpoint of a person in one light', () => {
    const metas = [0, 1].flatMap((illumination) =>
      [-90, 3, 44, -47].map((yaw) => ({ subject: 5, yaw, pitch: 0, illumination, expression: 0, seed: 0 })),
    );
    expect(rowsOf(metas, 4)).toEqual([{ subject: 5, indices: [1, 2, 0] }]);
  });

  it('show maps side by side and attention', async () => {
    const method = network('a net');
    const methods: Completer[] = [inputCompleter(), mirrorCompleter(), method];
    const files = await writeFigures(folder, methods, sourceOf(), { people: 2 });
    expect(files).toEqual([
      'person-4.png',
      'attention-a-net-person-4.png',
      'person-9.png',
      'attention-a-net-person-9.png',
    ]);
    // Three viewpoints would be three rows; here yaw -45 and 45 are one. Cells are 128 wide and 11 higher.
    const sheet = await readPixels(join(folder, files[0]));
    expect([sheet.width, sheet.height]).toEqual([5 * 136 + 8, 2 * 147 + 8]);
    const attention = await readPixels(join(folder, files[1]));
    expect([attention.width, attention.height]).toEqual([5 * 136 + 8, 4 * 147 + 8]);
    method.dispose();
  });

  it('colour the coefficients from the least to the greatest', () => {
    const values = Float32Array.from({ length: 16 }, (_, i) => (i % 4 < 2 ? 0.25 : 0.5));
    const map = new Uint8Array(3 * PLANE);
    const pair = sourceOf().pair(0);
    const { data, width } = attentionSheet([{ pair, map, attention: [{ values, height: 4, width: 4 }] }], SIZE);
    const at = (x: number, y: number) => [...data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)];
    const [left, top] = [8 + 136, 8 + 147 + 11]; // the second row's second cell
    expect(at(left + 10, top + 64)).toEqual([0, 0, 96]);
    expect(at(left + 118, top + 64)).toEqual([200, 0, 0]);
  });
});
