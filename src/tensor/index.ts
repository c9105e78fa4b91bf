// The tensor library's public names.
import './methods.js';

export * from './create.js';
export { customOp } from './custom.js';
export { DeviceError, devices, flush, type MemoryInfo, memory, setDefaultDevice } from './device.js';
export type { DType, TypedArray } from './dtype.js';
export { gradient } from './gradient.js';
export * from './ops/index.js';
export { type Captured, capture } from './plan.js';
export { manualSeed, type RandomOptions, rand, randn, randomState } from './random.js';
export { variable } from './record.js';
export { tidy } from './scope.js';
export { ShapeError } from './shape.js';
export { type NestedArray, Tensor, Variable } from './tensor.js';
