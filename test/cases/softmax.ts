import { ones } from '../../src/tensor/create.js';
import { mul } from '../../src/tensor/ops/elementwise.js';
import * as ops from '../../src/tensor/ops/softmax.js';
import type { ReferenceKernel } from '../reference.js';
import type { Case } from './case.js';

const along =
  (f: (x: number, logSum: number) => number): ReferenceKernel =>
  ({ x, y }, { outer, axis, inner }) => {
    for (let o = 0; o < outer; o++)
      for (let j = 0; j < inner; j++) {
        const at = (i: number) => (o * axis + i) * inner + j;
        let largest = Number.NEGATIVE_INFINITY;
        for (let i = 0; i < axis; i++) largest = Math.max(largest, x[at(i)]);
        let sum = 0;
        for (let i = 0; i < axis; i++) sum += Math.exp(x[at(i)] - largest);
        for (let i = 0; i < axis; i++) y[at(i)] = f(x[at(i)] - largest, Math.log(sum));
      }
  };

const cases: Case = {
  kernels: { softmax: along((x, logSum) => Math.exp(x - logSum)), log_softmax: along((x, logSum) => x - logSum) },
  maps: ['x'],
  samples: [
    { name: 'softmax', inputs: { x: [3, 37] }, run: (t) => ops.softmax(t.x) },
    { name: 'softmax inside', inputs: { x: [3, 5, 7] }, run: (t) => ops.softmax(t.x, { axis: 1 }) },
    { name: 'logSoftmax', inputs: { x: [3, 37] }, run: (t) => ops.logSoftmax(t.x) },
    {
      name: 'logSoftmax of large values',
      inputs: { x: [3, 5, 7] },
      run: (t) => ops.logSoftmax(mul(t.x, 100), { axis: 0 }),
      second: false,
    },
  ],
  benchmarks: [{ name: 'softmax 1000', inputs: { x: [256, 1000] }, run: (t) => ops.softmax(t.x) }],
  errors: [
    { name: 'axis', run: () => ops.softmax(ones([2]), { axis: 1 }), message: 'softmax: axis 1 is outside x [2]' },
  ],
};

export default cases;
