// Every op, once. methods.ts makes each of them a method of Tensor.
export * from './elementwise.js';
export * from './grid_sample.js';
export * from './layout.js';
export * from './losses.js';
export * from './matmul.js';
export * from './poisson.js';
export * from './rasterize.js';
export * from './reduce.js';
export * from './softmax.js';
