// Area resampling by summed areas against its definition: the mean of the pixels that a new pixel touches.
import { describe, expect, it } from 'vitest';
import { tensor, tidy } from '../src/tensor/index.js';
import { areaMeans, areaSums } from '../src/tensor/ops/area.js';

const [H, W] = [23, 31];
const bytes = Float32Array.from({ length: 3 * H * W }, (_, i) => (i * 7919) % 256);
const fractions = bytes.map((v) => v / 3);
const window = { left: 4, top: 3, width: 24, height: 17 };

function mean(data: ArrayLike<number>, y: number, x: number, c: number, [h, w]: readonly [number, number]): number {
  let [sum, count] = [0, 0];
  for (let row = Math.floor((y * window.height) / h); row < ((y + 1) * window.height) / h; row++) {
    for (let column = Math.floor((x * window.width) / w); column < ((x + 1) * window.width) / w; column++) {
      sum += data[3 * ((window.top + row) * W + window.left + column) + c];
      count++;
    }
  }
  return sum / count;
}

describe('areaMeans', () => {
  // Whole numbers are summed up exactly, others in sixteenths.
  for (const [name, data, within] of [
    ['bytes', bytes, 2e-5],
    ['fractions', fractions, 1 / 32],
  ] as const) {
    for (const size of [
      [5, 7],
      [17, 24],
      [40, 30],
    ] as const) {
      it(`a window of 17x24 ${name} at ${size.join('x')}`, () => {
        const [h, w] = size;
        const whole = { left: 0, top: 0, width: W, height: H };
        const out = tidy(() =>
          areaMeans(areaSums(tensor(data, { shape: [H, W, 3] })), [whole, window], { size }).dataSync(),
        );
        expect(out.length).toBe(2 * 3 * h * w);
        for (let i = 0; i < 3 * h * w; i++) {
          const pixel = Math.floor(i / 3);
          const wanted = mean(data, Math.floor(pixel / w), pixel % w, i % 3, size);
          expect(Math.abs(out[3 * h * w + i] - wanted)).toBeLessThanOrEqual(within);
        }
      });
    }
  }

  it('sums beyond 2^32 cancel', () => {
    const side = 1200; // 255 in sixteenths over all its pixels is 5.9e9
    const white = new Uint8Array(side * side).fill(255);
    const corner = { left: side - 40, top: side - 40, width: 40, height: 40 };
    const out = tidy(() => {
      const image = tensor(white, { shape: [side, side, 1], dtype: 'u8' }).cast('f32');
      return areaMeans(areaSums(image), [corner], { size: [2, 2] }).dataSync();
    });
    expect(Array.from(out)).toEqual([255, 255, 255, 255]);
  });
});
