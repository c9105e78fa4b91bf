// Modules, layers, initialisation and losses.
export { AttentionGate } from './attention_gate.js';
export { follow } from './average.js';
export { Dropout } from './dropout.js';
export { FastNormalizedFusion } from './fusion.js';
export { type InferenceOptions, optimizeForInference } from './inference.js';
export { type Initializer, type Initializers, initializers, uninitialized } from './init.js';
export {
  BatchNorm2d,
  Conv2d,
  type ConvLayerOptions,
  ConvNorm,
  ConvTranspose2d,
  type ConvTransposeLayerOptions,
  Linear,
  type LinearOptions,
  PReLU,
} from './layers.js';
export * from './losses.js';
export {
  type ClassShard,
  MarginHead,
  type MarginHeadOptions,
  type MarginKind,
  type MarginOptions,
  marginCosine,
  marginLoss,
} from './margin.js';
export { type LoadReport, type LoadStateOptions, Module } from './module.js';
export { Adam, type AdamOptions, SGD, type SgdOptions } from './optim.js';
export {
  type FaceProjection,
  fastWpdcWeights,
  type OwpdcOptions,
  optimisedWeightedParameterDistanceCost,
  owpdcWeights,
  parameterDistanceCost,
  vertexDistanceCost,
  type WeightScale,
  type WpdcOptions,
  weightedParameterDistance,
  weightedParameterDistanceCost,
  wpdcWeights,
} from './parameter-cost.js';
