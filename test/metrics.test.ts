// PSNR and SSIM against scikit-image's numbers, and what they do at the edges of their domain.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadSafetensors } from '../src/formats/safetensors.js';
import { psnr, ssim } from '../src/pipeline/metrics.js';
import { full, ones, rand, tensor, zeros } from '../src/tensor/index.js';
import { sharedPath } from './shared.js';

const list = sharedPath('golden/metrics.json');
const images = sharedPath('golden/metrics.safetensors');

describe.runIf(list && images)('golden pairs', () => {
  const golden = list ? (JSON.parse(readFileSync(list, 'utf8')) as { name: string; psnr: number; ssim: number }[]) : [];
  const tensors = images ? loadSafetensors(images) : {};
  it.each(golden)('$name', ({ name, psnr: wantedPsnr, ssim: wantedSsim }) => {
    const [a, b] = [tensors[`${name}/a`], tensors[`${name}/b`]];
    expect(Math.abs(psnr(a, b) - wantedPsnr)).toBeLessThanOrEqual(1e-6);
    expect(Math.abs(ssim(a, b) - wantedSsim)).toBeLessThanOrEqual(1e-6);
    expect(Math.abs(ssim(a.cast('f32'), b.cast('f32')) - wantedSsim)).toBeLessThanOrEqual(1e-6);
    expect(Math.abs(psnr(a.cast('f32').div(255), b.cast('f32').div(255), { range: 1 }) - wantedPsnr)).toBeLessThan(
      1e-4,
    );
  });
});

describe('psnr', () => {
  it('is infinite for equal images and known for a constant difference', () => {
    const a = full([4, 5, 3], 100, { dtype: 'u8' });
    expect(psnr(a, a)).toBe(Number.POSITIVE_INFINITY);
    expect(psnr(a, full([4, 5, 3], 110, { dtype: 'u8' }))).toBeCloseTo(10 * Math.log10(255 ** 2 / 100), 10);
  });
  it('counts masked pixels only', () => {
    const a = zeros([2, 2, 3]);
    const b = tensor([
      [
        [0, 0, 0],
        [9, 9, 9],
      ],
      [
        [0, 0, 0],
        [1, 2, 2],
      ],
    ]);
    const mask = tensor(
      [
        [1, 0],
        [0, 1],
      ],
      { dtype: 'u8' },
    );
    expect(psnr(a, b, { mask })).toBeCloseTo(10 * Math.log10((255 ** 2 * 6) / 9), 10);
    expect(() => psnr(a, b, { mask: zeros([2, 2], { dtype: 'u8' }) })).toThrow('psnr: the mask [2,2] leaves no pixel');
  });
  it('refuses images that differ in shape', () => {
    expect(() => psnr(ones([4, 5, 3]), ones([5, 4, 3]))).toThrow(
      'psnr: wants two images [h, w, c], got a [4,5,3], b [5,4,3]',
    );
  });
});

describe('ssim', () => {
  it('is 1 for equal images', () => {
    const a = rand([16, 20, 3], { seed: 5 }).mul(255);
    expect(ssim(a, a)).toBe(1);
  });
  it('of a mask is the mean over its windows', () => {
    const a = rand([24, 30, 3], { seed: 1 }).mul(255);
    const b = rand([24, 30, 3], { seed: 2 }).mul(255);
    const left = Uint8Array.from({ length: 24 * 30 }, (_, i) => (i % 30 < 15 ? 1 : 0));
    const halves = [left, left.map((v) => 1 - v)].map((m) =>
      ssim(a, b, { mask: tensor(m, { shape: [24, 30], dtype: 'u8' }) }),
    );
    expect((halves[0] + halves[1]) / 2).toBeCloseTo(ssim(a, b), 10); // the crop leaves 10 columns on either side
  });
  it('refuses images smaller than its window', () => {
    expect(() => ssim(ones([10, 30, 3]), ones([10, 30, 3]))).toThrow(
      'ssim: images must be at least 11x11, got [10,30,3]',
    );
  });
});
