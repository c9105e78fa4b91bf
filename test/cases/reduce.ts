import { ones } from '../../src/tensor/create.js';
import * as ops from '../../src/tensor/ops/reduce.js';
import { between, type Case } from './case.js';

const cases: Case = {
  kernels: {
    reduce_sum({ x, y }, { outer, axis, inner }) {
      for (let o = 0; o < outer; o++)
        for (let j = 0; j < inner; j++) {
          let sum = 0;
          for (let i = 0; i < axis; i++) sum += x[(o * axis + i) * inner + j];
          y[o * inner + j] = sum;
        }
    },
    reduce_max({ x, y, index }, { outer, axis, inner }) {
      for (let o = 0; o < outer; o++)
        for (let j = 0; j < inner; j++) {
          let best = 0;
          for (let i = 1; i < axis; i++) if (x[(o * axis + i) * inner + j] > x[(o * axis + best) * inner + j]) best = i;
          y[o * inner + j] = x[(o * axis + best) * inner + j];
          index[o * inner + j] = best;
        }
    },
  },
  maps: ['x'],
  samples: [
    { name: 'sum of all', inputs: { x: [3, 5, 7] }, run: (t) => ops.sum(t.x) },
    { name: 'sum of a number', inputs: { x: [] }, run: (t) => ops.sum(t.x) },
    { name: 'sum of many', inputs: { x: between(0, 1, [70001]) }, run: (t) => ops.sum(t.x), second: false },
    { name: 'sum of rows', inputs: { x: [5, 211] }, run: (t) => ops.sum(t.x, { axes: [1] }) },
    { name: 'sum of columns', inputs: { x: [211, 37] }, run: (t) => ops.sum(t.x, { axes: 0 }) },
    { name: 'sum of long columns', inputs: { x: [4201, 3] }, run: (t) => ops.sum(t.x, { axes: 0 }), second: false },
    { name: 'sum inside', inputs: { x: [3, 5, 7] }, run: (t) => ops.sum(t.x, { axes: [-2], keepDims: true }) },
    { name: 'sum of separate axes', inputs: { x: [2, 3, 4, 5] }, run: (t) => ops.sum(t.x, { axes: [0, 2] }) },
    { name: 'max of all', inputs: { x: [3, 5] }, run: (t) => ops.max(t.x) },
    { name: 'max of rows', inputs: { x: [3, 5, 7] }, run: (t) => ops.max(t.x, { axes: [2] }) },
    { name: 'max inside', inputs: { x: [3, 5, 7] }, run: (t) => ops.max(t.x, { axes: [1], keepDims: true }) },
    { name: 'max of the last two', inputs: { x: [3, 5, 7] }, run: (t) => ops.max(t.x, { axes: [1, 2] }) },
    { name: 'argmax', inputs: { x: [3, 5, 7] }, run: (t) => ops.argmax(t.x, { axes: [1] }), differentiable: [] },
  ],
  benchmarks: [
    { name: 'sum of all', inputs: { x: [1, 128, 128, 64] }, run: (t) => ops.sum(t.x) },
    { name: 'sum of pixels', inputs: { x: [1, 128, 128, 64] }, run: (t) => ops.sum(t.x, { axes: [0, 1, 2] }) },
    { name: 'max of channels', inputs: { x: [1, 128, 128, 64] }, run: (t) => ops.max(t.x, { axes: [-1] }) },
  ],
  errors: [
    { name: 'axis', run: () => ops.sum(ones([2, 3]), { axes: [2] }), message: 'sum: axis 2 is outside x [2,3]' },
    {
      name: 'axis twice',
      run: () => ops.sum(ones([2, 3]), { axes: [1, -1] }),
      message: 'sum: axes [1,-1] name one axis of x [2,3] twice',
    },
    {
      name: 'separate',
      run: () => ops.max(ones([2, 3, 4]), { axes: [0, 2] }),
      message: 'max: axes [0,2] of x [2,3,4] must be neighbours; permute first',
    },
    { name: 'empty', run: () => ops.max(ones([0])), message: 'max: x [0] is empty' },
  ],
};

export default cases;
