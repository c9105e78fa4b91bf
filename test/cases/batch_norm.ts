import { ones, zeros } from '../../src/tensor/create.js';
import { batchNorm, type NormEnd } from '../../src/tensor/ops/batch_norm.js';
import { concat } from '../../src/tensor/ops/layout.js';
import { variable } from '../../src/tensor/record.js';
import { between, type Case, type Sample } from './case.js';

const sample = (name: string, shape: number[], training: boolean, rest: Partial<Sample> = {}): Sample => {
  const c = [shape[shape.length - 1]];
  return {
    name,
    inputs: { x: shape, weight: c, bias: c, mean: c, variance: between(0.5, 2, c) },
    differentiable: ['x', 'weight', 'bias'],
    run: ({ x, weight, bias, mean, variance }) =>
      batchNorm(x, { weight, bias, runningMean: variable(mean), runningVar: variable(variance), training }),
    ...rest,
  };
};

/** A norm with what follows it. */
const ending = (name: string, training: boolean, end: NormEnd, residual: boolean, c = 11): Sample => ({
  name,
  inputs: {
    x: [4, 3, 3, c],
    weight: [c],
    bias: [c],
    mean: [c],
    variance: between(0.5, 2, [c]),
    residual: [4, 3, 3, c],
  },
  differentiable: residual ? ['x', 'weight', 'bias', 'residual'] : ['x', 'weight', 'bias'],
  run: ({ x, weight, bias, mean, variance, residual: added }) =>
    batchNorm(x, {
      weight,
      bias,
      runningMean: variable(mean),
      runningVar: variable(variance),
      training,
      ...end,
      residual: residual ? added : undefined,
    }),
});

const parameters = (c: number, device = 'cpu') => ({
  weight: ones([c], { device }),
  bias: zeros([c], { device }),
  runningMean: zeros([c], { device }),
  runningVar: ones([c], { device }),
});

const cases: Case = {
  kernels: {
    batch_norm_stats({ x, mean, variance }, { rows, c }) {
      for (let j = 0; j < c; j++) {
        let sum = 0;
        for (let i = 0; i < rows; i++) sum += x[i * c + j];
        mean[j] = sum / rows;
        let squares = 0;
        for (let i = 0; i < rows; i++) squares += (x[i * c + j] - mean[j]) ** 2;
        variance[j] = squares / rows;
      }
    },
    batch_norm_apply({ x, mean, variance, weight, bias, residual, y }, { rows, c, activation, slope, eps }) {
      for (let i = 0; i < rows * c; i++) {
        const j = i % c;
        y[i] = ((x[i] - mean[j]) / Math.sqrt(variance[j] + eps)) * weight[j] + bias[j] + (residual ? residual[i] : 0);
        if (y[i] < 0) y[i] *= [1, 0, slope][activation];
      }
    },
    batch_norm_grad({ x, mean, variance, weight, bias, dy, dx, dweight, dbias }, { rows, c, activation, slope, eps }) {
      for (let j = 0; j < c; j++) {
        const inverse = 1 / Math.sqrt(variance[j] + eps);
        const xhat = (i: number) => (x[i * c + j] - mean[j]) * inverse;
        const dz = (i: number) =>
          xhat(i) * weight[j] + bias[j] > 0 ? dy[i * c + j] : dy[i * c + j] * [1, 0, slope][activation];
        dweight[j] = 0;
        dbias[j] = 0;
        for (let i = 0; i < rows; i++) {
          dweight[j] += dz(i) * xhat(i);
          dbias[j] += dz(i);
        }
        for (let i = 0; i < rows; i++) {
          dx[i * c + j] = weight[j] * inverse * (dz(i) - dbias[j] / rows - (xhat(i) * dweight[j]) / rows);
        }
      }
    },
    lerp({ v, x }, { size, t, scale }) {
      for (let i = 0; i < size; i++) v[i] += t * (scale * x[i] - v[i]);
    },
  },
  maps: ['first', 'x', 'residual'],
  samples: [
    sample('training', [3, 5, 4, 7], true),
    sample('training, many channels', [11, 131], true),
    sample('training, many rows', [1031, 3], true),
    sample('training, large mean', [700, 5], true, {
      inputs: { ...sample('', [700, 5], true).inputs, x: between(999, 1001, [700, 5]) },
      tolerance: 2e-4, // the inputs' own rounding is 6e-5 of their spread
      second: false,
    }),
    {
      name: 'training, an outlier in the first row', // sums around that row would lose the variance of the others
      inputs: { first: between(29, 31, [1, 5]), x: [300, 5], weight: [5], bias: [5] },
      run: ({ first, x, weight, bias }) =>
        batchNorm(concat([first, x], { axis: 0 }), { ...parameters(5, x.device), weight, bias, training: true }),
      second: false,
    },
    sample('evaluation', [3, 5, 4, 7], false),
    sample('evaluation, one row', [1, 67], false),
    sample('training, narrow rows side by side', [512, 12], true),
    sample('training, one channel', [40, 8, 1], true, { bf16Tolerance: 2 ** -5 }), // its bias's gradient is a sum that cancels
    ...[true, false].flatMap((training) => [
      ending(`ReLU, training ${training}`, training, { activation: 'relu' }, false),
      ending(`leaky ReLU, training ${training}`, training, { activation: 'leakyRelu', negativeSlope: 0.2 }, false),
      ending(`residual, training ${training}`, training, {}, true),
      ending(`residual and ReLU, training ${training}`, training, { activation: 'relu' }, true),
    ]),
    ending('ReLU, whole fours of channels', true, { activation: 'relu' }, false, 12),
    {
      name: 'running mean',
      inputs: { x: [2, 3, 5] },
      differentiable: [],
      run: ({ x }) => {
        const runningMean = variable(zeros([5], { device: x.device }));
        const p = {
          weight: ones([5], { device: x.device }),
          bias: zeros([5], { device: x.device }),
          runningVar: ones([5], { device: x.device }),
        };
        batchNorm(x, { ...p, runningMean, training: true });
        return runningMean;
      },
    },
    {
      name: 'running variance',
      inputs: { x: [2, 3, 5] },
      differentiable: [],
      run: ({ x }) => {
        const runningVar = variable(ones([5], { device: x.device }));
        const p = {
          weight: ones([5], { device: x.device }),
          bias: zeros([5], { device: x.device }),
          runningMean: zeros([5], { device: x.device }),
        };
        batchNorm(x, { ...p, runningVar, training: true, momentum: 0.3 });
        return runningVar;
      },
    },
  ],
  benchmarks: [
    sample('training 64 @128', [1, 128, 128, 64], true),
    sample('training 256 @64', [1, 64, 64, 256], true),
    sample('evaluation 256 @64', [1, 64, 64, 256], false),
  ],
  errors: [
    {
      name: 'channels',
      run: () => batchNorm(ones([2, 3]), parameters(4)),
      message: 'batchNorm: weight must be [3] for x [2,3], got [4]',
    },
    {
      name: 'one row',
      run: () => batchNorm(ones([1, 1, 1, 3]), { ...parameters(3), training: true }),
      message: 'batchNorm: training needs more than one value per channel, x is [1,1,1,3]',
    },
    {
      name: 'residual',
      run: () => batchNorm(ones([2, 3]), { ...parameters(3), residual: ones([3]) }),
      message: 'batchNorm: residual [3] and x [2,3] differ',
    },
    {
      name: 'slope',
      run: () => batchNorm(ones([2, 3]), { ...parameters(3), activation: 'leakyRelu', negativeSlope: 0 }),
      message: 'batchNorm: negativeSlope must be positive, got 0',
    },
  ],
};

export default cases;
