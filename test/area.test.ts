// Area resampling against its definition: the mean of the pixels that a new pixel touches.
import { describe, expect, it } from 'vitest';
import { AreaImage } from '../src/models/area.js';

const [H, W] = [23, 31];
const bytes = Uint8Array.from({ length: 3 * H * W }, (_, i) => (i * 7919) % 256);
const floats = Float32Array.from(bytes, (v) => v / 3);
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

describe('AreaImage', () => {
  for (const [name, data] of Object.entries({ bytes, floats })) {
    for (const size of [
      [5, 7],
      [17, 24],
      [40, 30],
    ] as const) {
      it(`a window of 17x24 ${name} at ${size.join('x')}`, () => {
        const [h, w] = size;
        const whole = { left: 0, top: 0, width: W, height: H };
        const image = new AreaImage().fill(new Uint8Array(300), 10, 10); // what was there before leaves nothing behind
        const out = image.fill(data, H, W).resample([whole, window], h, w);
        expect(out.length).toBe(2 * 3 * h * w);
        const wanted = Array.from({ length: 3 * h * w }, (_, i) => {
          const pixel = Math.floor(i / 3);
          return (mean(data, Math.floor(pixel / w), pixel % w, i % 3, size) - 127.5) / 128;
        });
        for (const [i, v] of wanted.entries()) expect(out[3 * h * w + i]).toBeCloseTo(v, 6);
      });
    }
  }
});
