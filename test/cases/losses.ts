import { ones } from '../../src/tensor/create.js';
import * as ops from '../../src/tensor/ops/losses.js';
import { between, type Case, indicesBelow } from './case.js';

const cases: Case = {
  kernels: {}, // compositions
  maps: ['x', 'y'],
  samples: [
    {
      name: 'l1Loss',
      inputs: { x: between(1, 2, [3, 5]), y: between(-2, 0, [3, 5]) },
      run: (t) => ops.l1Loss(t.x, t.y),
    },
    { name: 'mseLoss', inputs: { x: [3, 5], y: [3, 5] }, run: (t) => ops.mseLoss(t.x, t.y) },
    { name: 'bceWithLogits', inputs: { x: [3, 5], y: between(0, 1, [3, 5]) }, run: (t) => ops.bceWithLogits(t.x, t.y) },
    { name: 'bceWithLogits against a number', inputs: { x: [3, 5] }, run: (t) => ops.bceWithLogits(t.x, 1) },
    {
      name: 'crossEntropy',
      inputs: { x: [5, 7], labels: indicesBelow(7, [5]) },
      run: (t) => ops.crossEntropy(t.x, t.labels),
    },
    { name: 'normalize', inputs: { x: [3, 5, 4] }, run: (t) => ops.normalize(t.x, { axis: 1 }) },
  ],
  benchmarks: [
    {
      name: 'l1Loss 256x256x3',
      inputs: { x: [1, 256, 256, 3], y: [1, 256, 256, 3] },
      run: (t) => ops.l1Loss(t.x, t.y),
    },
  ],
  errors: [
    { name: 'l1Loss', run: () => ops.l1Loss(ones([2]), ones([3])), message: 'l1Loss: x [2] and target [3] differ' },
    {
      name: 'crossEntropy',
      run: () => ops.crossEntropy(ones([2, 3]), ones([3], { dtype: 'i32' })),
      message: 'crossEntropy: wants logits [rows, classes] and labels [rows], got [2,3] and [3]',
    },
  ],
};

export default cases;
