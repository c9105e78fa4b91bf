import { ones } from '../../src/tensor/create.js';
import * as ops from '../../src/tensor/ops/pool2d.js';
import type { Case, Sample } from './case.js';

type Visit = (output: number, input: number, position: number) => void;

/** Calls visit for every (output, input) element pair of every window, inputs inside the image only. */
function windows(p: Record<string, number>, visit: Visit): void {
  for (let n = 0; n < p.n; n++)
    for (let oy = 0; oy < p.oh; oy++)
      for (let ox = 0; ox < p.ow; ox++)
        for (let ky = 0; ky < p.kh; ky++)
          for (let kx = 0; kx < p.kw; kx++) {
            const [iy, ix] = [oy * p.sh - p.ph + ky, ox * p.sw - p.pw + kx];
            if (iy < 0 || iy >= p.ih || ix < 0 || ix >= p.iw) continue;
            for (let c = 0; c < p.c; c++) {
              visit(((n * p.oh + oy) * p.ow + ox) * p.c + c, ((n * p.ih + iy) * p.iw + ix) * p.c + c, iy * p.iw + ix);
            }
          }
}

const inputs = (p: Record<string, number>) => p.n * p.ih * p.iw * p.c;
const outputs = (p: Record<string, number>) => p.n * p.oh * p.ow * p.c;

const shapes: [number[], ops.PoolOptions][] = [
  [[2, 8, 8, 3], { kernelSize: 2 }],
  [[1, 9, 7, 5], { kernelSize: 3, stride: 2, padding: 1 }],
  [[1, 7, 10, 19], { kernelSize: [3, 2], stride: [1, 3], padding: [1, 0] }],
  [[1, 3, 3, 1], { kernelSize: 3 }],
  [[1, 10, 6, 4], { kernelSize: 3, stride: 2 }],
];
const each = (name: string, f: (typeof ops)['avgPool2d']): Sample[] =>
  shapes.map(([x, options]) => ({
    name: `${name} [${x}] ${JSON.stringify(options)}`,
    inputs: { x },
    run: (t) => f(t.x, options),
  }));

const cases: Case = {
  kernels: {
    max_pool2d({ x, y, index }, p) {
      y.fill(Number.NEGATIVE_INFINITY, 0, outputs(p));
      windows(p, (o, i, position) => {
        if (x[i] > y[o]) {
          y[o] = x[i];
          index[o] = position;
        }
      });
    },
    max_pool2d_put({ y, index, x }, p) {
      x.fill(0, 0, inputs(p));
      windows(p, (o, i, position) => {
        if (index[o] === position) x[i] += y[o];
      });
    },
    max_pool2d_take({ x, index, y }, p) {
      windows(p, (o, i, position) => {
        if (index[o] === position) y[o] = x[i];
      });
    },
    avg_pool2d({ x, y }, p) {
      y.fill(0, 0, outputs(p));
      windows(p, (o, i) => {
        y[o] += x[i] / (p.kh * p.kw);
      });
    },
    avg_pool2d_input({ y, x }, p) {
      x.fill(0, 0, inputs(p));
      windows(p, (o, i) => {
        x[i] += y[o] / (p.kh * p.kw);
      });
    },
  },
  maps: ['x'],
  samples: [
    ...each('maxPool2d', ops.maxPool2d),
    ...each('maxPool2d in ceilMode', (x, options) => ops.maxPool2d(x, { ...options, ceilMode: true })),
    {
      name: 'maxPool2d, ceilMode, a window that would start beyond the edge left out',
      inputs: { x: [1, 5, 7, 2] },
      run: (t) => ops.maxPool2d(t.x, { kernelSize: 2, stride: 2, padding: 1, ceilMode: true }),
    },
    ...each('avgPool2d', ops.avgPool2d),
    { name: 'globalAvgPool2d', inputs: { x: [2, 5, 3, 7] }, run: (t) => ops.globalAvgPool2d(t.x) },
  ],
  benchmarks: [
    {
      name: 'maxPool2d 3 s2 64 @128',
      inputs: { x: [1, 128, 128, 64] },
      run: (t) => ops.maxPool2d(t.x, { kernelSize: 3, stride: 2, padding: 1 }),
    },
  ],
  errors: [
    {
      name: 'rank',
      run: () => ops.maxPool2d(ones([3, 3]), { kernelSize: 2 }),
      message: 'maxPool2d: x must be [n,h,w,c], got [3,3]',
    },
    {
      name: 'kernel',
      run: () => ops.avgPool2d(ones([1, 2, 2, 1]), { kernelSize: 3 }),
      message: 'avgPool2d: kernel [3,3] is larger than x [1,2,2,1] with padding [0,0]',
    },
    {
      name: 'padding',
      run: () => ops.maxPool2d(ones([1, 5, 5, 1]), { kernelSize: 3, padding: 2 }),
      message: 'maxPool2d: padding [2,2] exceeds half the kernel [3,3]',
    },
    {
      name: 'stride',
      run: () => ops.maxPool2d(ones([1, 5, 5, 1]), { kernelSize: 3, stride: 0 }),
      message: 'maxPool2d: stride must be a whole number >= 1, or [h, w] of such, got 0',
    },
  ],
};

export default cases;
