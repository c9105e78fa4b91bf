import { ones } from '../../src/tensor/create.js';
import { gridSample } from '../../src/tensor/ops/grid_sample.js';
import type { Case, Input, Sample } from './case.js';

/** Positions inside and around the image whose fractions stay away from pixel centres, where the derivative jumps. */
const positions = (shape: number[], low: number, high: number): Input => ({
  shape,
  value: (random) => Math.floor(low + (high - low) * random()) + 0.1 + 0.8 * random(),
});

/** The two pixels around v on an axis with their weights and the derivatives of the weights. */
function taps(v: number, size: number, border: number): { i: number; weight: number; slope: number }[] {
  const inside = !border || (v > 0 && v < size - 1);
  const at = border ? Math.min(Math.max(v, 0), size - 1) : v;
  const low = Math.floor(at);
  return [
    { i: low, weight: 1 - (at - low), slope: inside ? -1 : 0 },
    { i: low + 1, weight: at - low, slope: inside ? 1 : 0 },
  ].filter(({ i }) => i >= 0 && i < size);
}

const sample = (name: string, grid: Input, border: 'clamp' | 'zeros', differentiable: string[]): Sample => ({
  name,
  inputs: { x: [7, 9, 3], grid },
  differentiable,
  run: (t) => gridSample(t.x, t.grid, { border }),
  second: !differentiable.includes('grid'),
});

const cases: Case = {
  kernels: {
    grid_sample({ x, grid, y }, { h, w, c, pixels, border }) {
      y.fill(0);
      for (let p = 0; p < pixels; p++)
        for (const row of taps(grid[2 * p + 1], h, border))
          for (const column of taps(grid[2 * p], w, border))
            for (let j = 0; j < c; j++) y[p * c + j] += row.weight * column.weight * x[(row.i * w + column.i) * c + j];
    },
    grid_sample_input({ y, grid, x }, { h, w, c, pixels, border }) {
      x.fill(0);
      for (let p = 0; p < pixels; p++)
        for (const row of taps(grid[2 * p + 1], h, border))
          for (const column of taps(grid[2 * p], w, border))
            for (let j = 0; j < c; j++) x[(row.i * w + column.i) * c + j] += row.weight * column.weight * y[p * c + j];
    },
    grid_sample_grid({ x, grid, dy, dgrid }, { h, w, c, pixels, border }) {
      dgrid.fill(0);
      for (let p = 0; p < pixels; p++)
        for (const row of taps(grid[2 * p + 1], h, border))
          for (const column of taps(grid[2 * p], w, border))
            for (let j = 0; j < c; j++) {
              const term = x[(row.i * w + column.i) * c + j] * dy[p * c + j];
              dgrid[2 * p] += row.weight * column.slope * term;
              dgrid[2 * p + 1] += row.slope * column.weight * term;
            }
    },
  },
  samples: [
    sample('clamped', positions([5, 11, 2], -3, 11), 'clamp', ['x', 'grid']),
    sample('zeros outside', positions([5, 11, 2], -3, 11), 'zeros', ['x', 'grid']),
    sample('image only', positions([37, 2], -2, 10), 'clamp', ['x']),
    sample('image only, zeros outside', positions([37, 2], -2, 10), 'zeros', ['x']),
    {
      ...sample('pixel centres', { shape: [40, 2], value: (random) => Math.floor(12 * random()) - 2 }, 'clamp', ['x']),
      inputs: { x: [7, 9, 4], grid: { shape: [40, 2], value: (random) => Math.floor(12 * random()) - 2 } },
    },
  ],
  errors: [
    {
      name: 'image',
      run: () => gridSample(ones([4, 5]), ones([3, 2])),
      message: 'gridSample: x must be an image [h, w, c], got [4,5]',
    },
    {
      name: 'grid',
      run: () => gridSample(ones([4, 5, 1]), ones([3, 3])),
      message: 'gridSample: grid must be [..., 2], got [3,3]',
    },
    {
      name: 'dtype',
      run: () => gridSample(ones([4, 5, 1], { dtype: 'u8' }), ones([3, 2])),
      message: 'gridSample: x [4,5,1] is u8, wants f32; use cast',
    },
  ],
};

export default cases;
