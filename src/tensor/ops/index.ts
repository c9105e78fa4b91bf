// Every op, once. methods.ts makes each of them a method of Tensor.
export { type AttentionGateParams, attentionGate, type GateBranch } from './attention_gate.js';
export { type BatchNormOptions, batchNorm, type NormEnd } from './batch_norm.js';
export * from './box_quadratic.js';
export * from './conv2d.js';
export * from './conv2d_upsampled.js';
export * from './elementwise.js';
export * from './fast_normalized_fusion.js';
export * from './grid_sample.js';
export {
  cast,
  clone,
  concat,
  detach,
  flip,
  gather,
  pad,
  permute,
  putAxis,
  reshape,
  scatterAdd,
  slice,
  takeAxis,
  to,
} from './layout.js';
export * from './losses.js';
export * from './matmul.js';
export * from './mean.js';
export * from './mesh_normals.js';
export * from './poisson.js';
export { avgPool2d, globalAvgPool2d, type MaxPoolOptions, maxPool2d, type PoolOptions } from './pool2d.js';
export * from './rasterize.js';
export { argmax, expand, max, type ReduceOptions, sum, sumTo } from './reduce.js';
export * from './resize.js';
export * from './softmax.js';
export * from './visibility.js';
