import { ones } from '../../src/tensor/create.js';
import { areaMeans, areaSums, type Window } from '../../src/tensor/ops/area.js';
import { between, type Case, type Sample } from './case.js';

const sample = (
  name: string,
  [h, w, c]: number[],
  windows: readonly Window[],
  size: readonly [number, number],
  { scale = 1, shift = 0 } = {},
): Sample => ({
  name,
  inputs: { x: between(0, 255, [h, w, c]) },
  differentiable: [],
  run: (t) => areaMeans(areaSums(t.x), windows, { size, scale, shift }),
});

const whole = (height: number, width: number): Window => ({ left: 0, top: 0, width, height });
const image = () => areaSums(ones([5, 7, 3]));

const cases: Case = {
  kernels: {
    area_sums({ x, sums }, { h, w, c }) {
      for (let y = 0; y <= h; y++)
        for (let column = 0; column <= w; column++)
          for (let k = 0; k < c; k++) {
            let sum = 0;
            for (let i = 0; i < y; i++)
              for (let j = 0; j < column; j++) {
                const sixteenths = 16 * x[(i * w + j) * c + k];
                const low = Math.floor(sixteenths);
                const rest = sixteenths - low; // halves to even
                sum += rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
              }
            sums[(y * (w + 1) + column) * c + k] = sum | 0;
          }
    },
    area_means({ sums, y }, { w, c, oh, ow, scale, shift }, { windows }) {
      for (let i = 0; i < y.length; i++) {
        const [k, column, row] = [i % c, Math.floor(i / c) % ow, Math.floor(i / c / ow) % oh];
        const window = 4 * Math.floor(i / c / ow / oh);
        const [left, top, width, height] = windows.slice(window, window + 4);
        const [x0, x1] = [Math.floor((column * width) / ow), Math.ceil(((column + 1) * width) / ow)];
        const [y0, y1] = [Math.floor((row * height) / oh), Math.ceil(((row + 1) * height) / oh)];
        const at = (v: number, u: number) => sums[((top + v) * (w + 1) + left + u) * c + k];
        const sum = (at(y1, x1) - at(y1, x0) - at(y0, x1) + at(y0, x0)) >>> 0;
        y[i] = (scale * sum) / (16 * (y1 - y0) * (x1 - x0)) + shift;
      }
    },
  },
  samples: [
    sample('smaller', [23, 31, 3], [whole(23, 31)], [5, 7]),
    sample('larger', [6, 5, 3], [whole(6, 5)], [13, 9]),
    sample('one channel, one pixel', [9, 4, 1], [whole(9, 4)], [1, 1], { scale: 2, shift: -3 }),
    sample(
      'windows',
      [20, 300, 2],
      Array.from({ length: 130 }, (_, i) => ({
        left: i,
        top: i % 9,
        width: 1 + ((i * 7) % 170),
        height: 1 + (i % 11),
      })),
      [4, 3],
      { scale: 1 / 128, shift: -127.5 / 128 },
    ),
    sample('more columns than are taken at once', [3, 40, 1], [whole(3, 40)], [2, 530]),
    sample('no windows', [4, 4, 3], [], [2, 2]),
  ],
  errors: [
    {
      name: 'rank',
      run: () => areaSums(ones([4, 4])),
      message: 'areaSums: x must be [h,w,c], got [4,4]',
    },
    {
      name: 'type of sums',
      run: () => areaMeans(ones([4, 4, 3]), [], { size: [1, 1] }),
      message: 'areaMeans: sums [4,4,3] is f32, wants i32; use cast',
    },
    {
      name: 'size',
      run: () => areaMeans(image(), [whole(5, 7)], { size: [0, 2] }),
      message: 'areaMeans: size must be whole numbers >= 1, got [0,2]',
    },
    {
      name: 'a window beyond the edge',
      run: () => areaMeans(image(), [{ left: 3, top: 0, width: 5, height: 2 }], { size: [1, 1] }),
      message: 'areaMeans: windows must lie inside the image of 7x5, got left 3, top 0, 5x2',
    },
  ],
};

export default cases;
