import { ones } from '../../src/tensor/create.js';
import { conv2dUpsampled } from '../../src/tensor/ops/conv2d_upsampled.js';
import { record } from '../../src/tensor/record.js';
import type { Case, Sample } from './case.js';

const sample = (name: string, [n, h, w, ic]: number[], sc: number, oc: number, { bias = false } = {}): Sample => ({
  name,
  inputs: {
    x: [n, h, w, ic],
    w: [oc, 3, 3, ic + sc],
    ...(sc > 0 ? { skip: [n, 2 * h, 2 * w, sc] } : {}),
    ...(bias ? { bias: [oc] } : {}),
  },
  run: ({ x, w, skip, bias }) => conv2dUpsampled(x, w, { skip, bias }),
  tolerance: 1e-5,
  differences: n * h * w * ic < 1000,
  flops: 8 * 9 * n * h * w * (ic + sc) * oc,
});

/** The kernel with what a frozen step puts behind it. */
const ended = (name: string, sc: number, activation: number, { prelu = false } = {}): Sample => {
  const [n, ih, iw, ic, oc] = [1, 7, 6, 19, 35];
  const [oh, ow] = [2 * ih, 2 * iw];
  const tile = 4;
  const params = { n, ih, iw, ic, sc, oh, ow, oc, tile, kept: 1, activation, slope: 0.2, packed: 0, bf16: 0 };
  return {
    name,
    inputs: {
      x: [n, ih, iw, ic],
      w: [oc, 3, 3, ic + sc],
      residual: [n, oh, ow, oc],
      ...(sc > 0 ? { skip: [n, oh, ow, sc] } : {}),
      ...(prelu ? { slopes: [oc] } : {}),
    },
    differentiable: [],
    tolerance: 1e-5,
    run: ({ x, w, skip, residual, slopes }) =>
      record('winograd_up', {
        inputs: [x, skip, w, undefined, residual, slopes],
        outputs: [{ shape: [n, oh, ow, oc], dtype: x.dtype }, { shape: [45 * 64 * 66] }],
        params,
      })[0],
  };
};

const cases: Case = {
  kernels: {
    winograd_up({ x, skip, w, bias, residual, slopes, y }, { n, ih, iw, ic, sc, oh, ow, oc, activation, slope }) {
      const channels = ic + sc;
      for (let i = 0; i < n; i++)
        for (let v = 0; v < oh; v++)
          for (let u = 0; u < ow; u++)
            for (let o = 0; o < oc; o++) {
              const at = ((i * oh + v) * ow + u) * oc + o;
              let sum = (bias ? bias[o] : 0) + (residual ? residual[at] : 0);
              for (let t = 0; t < 9; t++) {
                const [b, a] = [v + Math.floor(t / 3) - 1, u + (t % 3) - 1];
                if (b < 0 || b >= oh || a < 0 || a >= ow) continue;
                const small = ((i * ih + (b >> 1)) * iw + (a >> 1)) * ic;
                const large = ((i * oh + b) * ow + a) * sc;
                const from = (o * 9 + t) * channels;
                for (let c = 0; c < ic; c++) sum += x[small + c] * w[from + c];
                for (let c = 0; c < sc; c++) sum += skip[large + c] * w[from + ic + c];
              }
              const below = slopes ? slopes[o] : slope;
              y[at] = sum < 0 && activation > 0 ? (activation === 1 ? 0 : below * sum) : sum;
            }
    },
    winograd_up_weight({ x, skip, y, w }, { n, ih, iw, ic, sc, oh, ow, oc }) {
      const channels = ic + sc;
      w.fill(0);
      for (let i = 0; i < n; i++)
        for (let v = 0; v < oh; v++)
          for (let u = 0; u < ow; u++)
            for (let t = 0; t < 9; t++) {
              const [b, a] = [v + Math.floor(t / 3) - 1, u + (t % 3) - 1];
              if (b < 0 || b >= oh || a < 0 || a >= ow) continue;
              const small = ((i * ih + (b >> 1)) * iw + (a >> 1)) * ic;
              const large = ((i * oh + b) * ow + a) * sc;
              for (let o = 0; o < oc; o++) {
                const dy = y[((i * oh + v) * ow + u) * oc + o];
                const to = (o * 9 + t) * channels;
                for (let c = 0; c < ic; c++) w[to + c] += x[small + c] * dy;
                for (let c = 0; c < sc; c++) w[to + ic + c] += skip[large + c] * dy;
              }
            }
    },
  },
  maps: ['x', 'skip', 'residual'],
  samples: [
    sample('x alone, tiles of 2x2', [1, 5, 5, 18], 0, 17),
    sample('x alone, ragged', [1, 3, 5, 17], 0, 19, { bias: true }),
    sample('with a skip, few tiles', [1, 3, 4, 16], 21, 16, { bias: true }),
    sample('with a skip, batch', [2, 9, 8, 40], 33, 67),
    sample('many channels', [1, 8, 9, 320], 64, 36),
    sample('few channels, as a composition', [1, 3, 2, 5], 3, 4, { bias: true }),
    ended('x alone, residual and ReLU', 0, 1),
    ended('with a skip, residual and leaky ReLU', 22, 2),
    ended('with a skip, residual and PReLU', 22, 2, { prelu: true }),
  ],
  benchmarks: [
    sample('2048 up and 1024 -> 256 @16', [1, 8, 8, 2048], 1024, 256),
    sample('256 up and 512 -> 128 @32', [1, 16, 16, 256], 512, 128),
    sample('64 up and 64 -> 32 @128', [1, 64, 64, 64], 64, 32),
    sample('32 up -> 16 @256', [1, 128, 128, 32], 0, 16),
  ],
  errors: [
    {
      name: 'sizes of x and skip',
      run: () => conv2dUpsampled(ones([1, 2, 2, 3]), ones([4, 3, 3, 5]), { skip: ones([1, 2, 2, 2]) }),
      message:
        'conv2dUpsampled: x and skip [n,2h,2w,sc] must have the 5 channels of w, got x [1,2,2,3], skip [1,2,2,2], w [4,3,3,5]',
    },
    {
      name: 'another kernel',
      run: () => conv2dUpsampled(ones([1, 2, 2, 3]), ones([4, 1, 1, 3])),
      message: 'conv2dUpsampled: wants x [n,h,w,ic] and w [oc,3,3,ic + sc], got x [1,2,2,3], skip none, w [4,1,1,3]',
    },
  ],
};

export default cases;
