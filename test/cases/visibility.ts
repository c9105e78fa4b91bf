import { ones } from '../../src/tensor/create.js';
import { type VisibilityOptions, visibility } from '../../src/tensor/ops/visibility.js';
import type { Case, Sample } from './case.js';

const [rows, columns, h, w] = [19, 23, 30, 40];

const view: VisibilityOptions = {
  scale: 2,
  shift: [4, 5],
  bounds: [1, 0.5, 14.3, 9.2],
  minimumCosine: 0.1,
  tolerance: 0.3,
  toleranceSlope: 0.2,
  step: 1,
  radius: 3,
  gap: 1,
  gapSlope: 0.1,
};

/** Points spread evenly over the depth map and beyond, most of them near 5 and facing the viewer, over a map near 5 with holes. */
const look = (name: string, options: Partial<VisibilityOptions>, what: 'mask' | 'confidence'): Sample => {
  let [at, place] = [0, 0];
  return {
    name,
    inputs: {
      points: {
        shape: [rows, columns, 4],
        value: (random) => {
          const [k, j, i] = [at % 4, Math.floor(at / 4) % columns, Math.floor(at / 4 / columns) % rows];
          at++;
          if (k === 0) return 0.7 * j + 0.1 * random();
          if (k === 1) return 0.6 * i + 0.1 * random();
          if (k === 2) return 5 + 0.2 * random() - (random() < 0.05 ? 2 : 0);
          return random() < 0.02 ? 0.05 : 0.3 + 0.7 * random();
        },
      },
      depth: {
        shape: [h, w],
        value: (random) => {
          const x = place++ % w;
          return random() < 0.02 ? Number.NEGATIVE_INFINITY : x > 28 ? 3 : 5;
        },
      },
    },
    differentiable: [],
    run: (t) => visibility(t.points, t.depth, { ...view, ...options })[what].cast('f32'),
  };
};

const cases: Case = {
  kernels: {
    visibility({ points, depth, mask, confidence, seen }, numbers) {
      const { h, w, step, radius, diagonal, left, top, right, bottom, scale, shift_x, shift_y, gap } = numbers;
      const rim = Math.max(step, radius);
      for (let p = 0; p < numbers.rows * numbers.columns; p++) {
        const [x, y, z, cosine] = points.subarray(4 * p, 4 * p + 4);
        const column = Math.min(Math.max(Math.floor(scale * x + shift_x + 0.5), rim), w - 1 - rim);
        const row = Math.min(Math.max(Math.floor(scale * y + shift_y + 0.5), rim), h - 1 - rim);
        const shown = (dx: number, dy: number) => depth[(row + dy) * w + column + dx];
        const around = (r: number, d: number) => [
          shown(r, 0),
          shown(-r, 0),
          shown(0, r),
          shown(0, -r),
          ...(d ? [shown(d, d), shown(-d, -d), shown(d, -d), shown(-d, d)] : []),
        ];
        const slope = Math.sqrt(Math.max(0, 1 - cosine * cosine)) / cosine;
        const drawn = z >= shown(0, 0) - numbers.tolerance - numbers.tolerance_slope * slope;
        const inside = x >= left && x <= right && y >= top && y <= bottom && cosine > numbers.minimum_cosine;
        seen[p] = Number(inside && drawn && around(step, 0).every((v) => v > -Infinity));
        const behind = z - gap - numbers.gap_slope * slope;
        const off = around(radius, diagonal).filter((v) => v < behind).length;
        confidence[p] = seen[p] * cosine * Math.max(0, 1 - off / 4);
      }
      for (let i = 0; i < numbers.rows; i++)
        for (let j = 0; j < numbers.columns; j++) {
          const at = i * numbers.columns + j;
          mask[at] = 1;
          for (let y = Math.max(i - 1, 0); y <= i + 1 && y < numbers.rows; y++)
            for (let x = Math.max(j - 1, 0); x <= j + 1 && x < numbers.columns; x++)
              mask[at] = Math.min(mask[at], seen[y * numbers.columns + x]);
          confidence[at] *= mask[at];
        }
    },
  },
  samples: [
    look('mask', {}, 'mask'),
    look('confidence', {}, 'confidence'),
    look('confidence, wide circle', { radius: 7, step: 2 }, 'confidence'),
  ],
  errors: [
    {
      name: 'points',
      run: () => visibility(ones([4, 4, 3]), ones([9, 9]), view),
      message: 'visibility: wants points [rows, columns, 4] and depth [h, w], got [4,4,3], [9,9]',
    },
    {
      name: 'radius',
      run: () => visibility(ones([4, 4, 4]), ones([9, 6]), view),
      message: 'visibility: step 1 and radius 3 must be whole numbers that depth [9,6] has room for',
    },
    {
      name: 'numbers',
      run: () => visibility(ones([4, 4, 4]), ones([9, 9]), { ...view, gap: Number.NaN }),
      message: 'visibility: all numbers must be finite, and minimumCosine not below 0',
    },
  ],
};

export default cases;
