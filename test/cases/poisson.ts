import { ones } from '../../src/tensor/create.js';
import { poisson } from '../../src/tensor/ops/poisson.js';
import type { Case, Input, Sample } from './case.js';

/** Mask values drawn with the given odds of 0, 1, 2. */
const mask = (shape: number[], odds: [number, number, number]): Input => ({
  shape,
  dtype: 'u8',
  value: (random) => {
    const r = random() * (odds[0] + odds[1] + odds[2]);
    return r < odds[0] ? 0 : r < odds[0] + odds[1] ? 1 : 2;
  },
});

const sample = (name: string, h: number, w: number, c: number, odds: [number, number, number]): Sample => ({
  name,
  inputs: { x: [h, w, c], mask: mask([h, w], odds), gx: [h, w, c], gy: [h, w, c] },
  differentiable: [],
  run: (t) => poisson(t.x, t.mask, t.gx, t.gy),
});

const cases: Case = {
  kernels: {
    // Gauss-Seidel until nothing moves; regions without a fixed pixel are put back to their mean after every sweep.
    poisson({ x, mask: kind, gx, gy, y }, { h, w, c }) {
      y.set(x.subarray(0, h * w * c));
      const neighbours = (p: number): { q: number; sign: number; g: Float64Array; at: number }[] => {
        const j = p % w;
        return [
          { inside: j > 0, q: p - 1, sign: 1, g: gx, at: p - 1 },
          { inside: j < w - 1, q: p + 1, sign: -1, g: gx, at: p },
          { inside: p >= w, q: p - w, sign: 1, g: gy, at: p - w },
          { inside: p + w < h * w, q: p + w, sign: -1, g: gy, at: p },
        ].filter(({ inside, q }) => inside && kind[q] !== 0);
      };
      const seen = new Set<number>();
      for (let start = 0; start < h * w; start++) {
        if (kind[start] !== 1 || seen.has(start)) continue;
        const region = [start];
        let anchored = false;
        seen.add(start);
        for (const p of region)
          for (const { q } of neighbours(p)) {
            if (kind[q] === 2) anchored = true;
            else if (!seen.has(q)) {
              seen.add(q);
              region.push(q);
            }
          }
        for (let k = 0; k < c; k++)
          for (let moved = Infinity, sweep = 0; moved > 1e-13 && sweep < 100000; sweep++) {
            moved = 0;
            for (const p of region) {
              const around = neighbours(p);
              if (around.length === 0) continue;
              const value =
                around.reduce((total, { q, sign, g, at }) => total + y[q * c + k] + sign * g[at * c + k], 0) /
                around.length;
              moved = Math.max(moved, Math.abs(value - y[p * c + k]));
              y[p * c + k] = value;
            }
            if (anchored) continue;
            const drift = region.reduce((total, p) => total + y[p * c + k] - x[p * c + k], 0) / region.length;
            for (const p of region) y[p * c + k] -= drift;
          }
      }
    },
  },
  samples: [
    sample('a few fixed pixels', 19, 26, 3, [1, 8, 1]),
    sample('ragged regions', 23, 14, 5, [4, 6, 0.3]),
    sample('one row', 1, 33, 1, [0, 9, 1]),
    sample('one column', 29, 1, 2, [0, 9, 1]),
    sample('no fixed pixel', 12, 15, 3, [0, 1, 0]),
    sample('no fixed pixel, islands', 17, 13, 2, [3, 5, 0]),
    sample('all fixed', 4, 5, 1, [0, 0, 1]),
  ],
  errors: [
    {
      name: 'shapes',
      run: () => poisson(ones([4, 5, 3]), ones([4, 4], { dtype: 'u8' }), ones([4, 5, 3]), ones([4, 5, 3])),
      message: 'poisson: wants x, gx, gy [h, w, c] and mask [h, w], got x [4,5,3], mask [4,4], gx [4,5,3], gy [4,5,3]',
    },
    {
      name: 'mask',
      run: () => poisson(ones([4, 5, 3]), ones([4, 5]), ones([4, 5, 3]), ones([4, 5, 3])),
      message: 'poisson: mask [4,5] is f32, wants u8; use cast',
    },
  ],
};

export default cases;
