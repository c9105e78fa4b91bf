// The public surface of @rescunet/core: re-exports only.

export { FormatError } from './formats/error.js';
export * as formats from './formats/index.js';
export * as models from './models/index.js';
export * as nn from './nn/index.js';
export * as optim from './nn/optim.js';
export * as pipeline from './pipeline/index.js';
export * from './tensor/index.js';
