// All case files, and the reference device made of their kernels.
import { registerReference } from '../reference.js';
import type { Case } from './case.js';
import elementwise from './elementwise.js';
import gridSample from './grid_sample.js';
import layout from './layout.js';
import losses from './losses.js';
import matmul from './matmul.js';
import poisson from './poisson.js';
import random from './random.js';
import rasterize from './rasterize.js';
import reduce from './reduce.js';
import softmax from './softmax.js';

export const cases: Record<string, Case> = {
  elementwise,
  gridSample,
  layout,
  losses,
  matmul,
  poisson,
  random,
  rasterize,
  reduce,
  softmax,
};

export const reference = registerReference(Object.assign({}, ...Object.values(cases).map((c) => c.kernels)));
