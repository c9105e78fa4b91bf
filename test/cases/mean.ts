import { ones } from '../../src/tensor/create.js';
import { mean } from '../../src/tensor/ops/mean.js';
import type { Case } from './case.js';

const cases: Case = {
  kernels: {}, // a sum and a scale
  maps: ['x'],
  samples: [
    { name: 'of pixels', inputs: { x: [2, 3, 4, 5] }, run: (t) => mean(t.x, { axes: [0, 1, 2] }) },
    { name: 'of all', inputs: { x: [2, 3] }, run: (t) => mean(t.x, { axes: null }) },
    {
      name: 'of separate axes, kept',
      inputs: { x: [3, 4, 5] },
      run: (t) => mean(t.x, { axes: [0, -1], keepDims: true }),
    },
  ],
  errors: [{ name: 'axis', run: () => mean(ones([2]), { axes: 1 }), message: 'mean: axis 1 is outside x [2]' }],
};

export default cases;
