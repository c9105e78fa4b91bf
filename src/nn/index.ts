// The `nn` namespace.
export { AttentionGate } from './attention_gate.js';
export { FastNormalizedFusion } from './fusion.js';
export * as init from './init.js';
export * from './layers.js';
export { buffer, type LoadOptions, Module, parameter, type StateDict } from './module.js';
