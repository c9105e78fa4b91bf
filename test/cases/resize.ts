import { ones } from '../../src/tensor/create.js';
import { type ResizeOptions, resize } from '../../src/tensor/ops/resize.js';
import type { Case, Sample } from './case.js';

/** [input, weight] pairs that output o of one axis reads. */
function sources(o: number, input: number, output: number, bilinear: number, align: number): [number, number][] {
  if (!bilinear) return [[Math.min(input - 1, Math.floor((o * input) / output)), 1]];
  const x = align
    ? output > 1
      ? (o * (input - 1)) / (output - 1)
      : 0
    : Math.max(0, ((o + 0.5) * input) / output - 0.5);
  const low = Math.min(input - 1, Math.floor(x));
  return [
    [low, 1 - (x - low)],
    [Math.min(input - 1, low + 1), x - low],
  ];
}

function each(p: Record<string, number>, visit: (output: number, input: number, weight: number) => void): void {
  for (let n = 0; n < p.n; n++)
    for (let oy = 0; oy < p.oh; oy++)
      for (let ox = 0; ox < p.ow; ox++)
        for (const [iy, wy] of sources(oy, p.ih, p.oh, p.bilinear, p.align_corners))
          for (const [ix, wx] of sources(ox, p.iw, p.ow, p.bilinear, p.align_corners))
            for (let c = 0; c < p.c; c++)
              visit(((n * p.oh + oy) * p.ow + ox) * p.c + c, ((n * p.ih + iy) * p.iw + ix) * p.c + c, wy * wx);
}

const sample = (x: number[], options: ResizeOptions): Sample => ({
  name: `[${x}] ${JSON.stringify(options)}`,
  inputs: { x },
  run: (t) => resize(t.x, options),
});

const cases: Case = {
  kernels: {
    resize({ x, y }, p) {
      y.fill(0, 0, p.n * p.oh * p.ow * p.c);
      each(p, (o, i, w) => {
        y[o] += w * x[i];
      });
    },
    resize_input({ y, x }, p) {
      x.fill(0, 0, p.n * p.ih * p.iw * p.c);
      each(p, (o, i, w) => {
        x[i] += w * y[o];
      });
    },
  },
  maps: ['x'],
  samples: [
    sample([2, 4, 5, 3], { size: [8, 10], mode: 'nearest' }),
    sample([1, 7, 5, 2], { size: [3, 11], mode: 'nearest' }),
    sample([2, 4, 5, 3], { size: [8, 10], mode: 'bilinear' }),
    sample([1, 7, 9, 2], { size: [3, 4], mode: 'bilinear' }),
    sample([1, 7, 9, 2], { size: [13, 5], mode: 'bilinear', alignCorners: true }),
    sample([1, 5, 4, 1], { size: [1, 1], mode: 'bilinear', alignCorners: true }),
    sample([1, 1, 1, 3], { size: [4, 6], mode: 'bilinear' }),
    sample([1, 2, 31, 5], { size: [37, 3], mode: 'bilinear' }),
  ],
  benchmarks: [
    { ...sample([1, 64, 64, 128], { size: [128, 128], mode: 'nearest' }), name: 'nearest x2 128 @64' },
    { ...sample([1, 128, 128, 64], { size: [256, 256], mode: 'bilinear' }), name: 'bilinear x2 64 @128' },
  ],
  errors: [
    {
      name: 'rank',
      run: () => resize(ones([3, 3]), { size: [2, 2] }),
      message: 'resize: x must be [n,h,w,c], got [3,3]',
    },
    {
      name: 'size',
      run: () => resize(ones([1, 3, 3, 1]), { size: [0, 2] }),
      message: 'resize: size must be a whole number >= 1, or [h, w] of such, got [0,2]',
    },
  ],
};

export default cases;
