// All case files, and the reference device made of their kernels.
import { registerReference } from '../reference.js';
import area from './area.js';
import attentionGate from './attention_gate.js';
import batchNorm from './batch_norm.js';
import boxQuadratic from './box_quadratic.js';
import type { Case } from './case.js';
import conv2d from './conv2d.js';
import conv2dUpsampled from './conv2d_upsampled.js';
import elementwise from './elementwise.js';
import fastNormalizedFusion from './fast_normalized_fusion.js';
import fmaChain from './fma_chain.js';
import gridSample from './grid_sample.js';
import layout from './layout.js';
import losses from './losses.js';
import matmul from './matmul.js';
import mean from './mean.js';
import meshNormals from './mesh_normals.js';
import poisson from './poisson.js';
import pool2d from './pool2d.js';
import random from './random.js';
import rasterize from './rasterize.js';
import reduce from './reduce.js';
import resize from './resize.js';
import softmax from './softmax.js';
import visibility from './visibility.js';

export const cases: Record<string, Case> = {
  area,
  attentionGate,
  batchNorm,
  boxQuadratic,
  conv2d,
  conv2dUpsampled,
  elementwise,
  fastNormalizedFusion,
  fmaChain,
  gridSample,
  layout,
  losses,
  matmul,
  mean,
  meshNormals,
  poisson,
  pool2d,
  random,
  rasterize,
  reduce,
  resize,
  softmax,
  visibility,
};

export const reference = registerReference(Object.assign({}, ...Object.values(cases).map((c) => c.kernels)));
