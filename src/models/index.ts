// The `models` namespace.
export * from './cascade.js';
export * from './cascade-start.js';
export * from './cylindrical.js';
export type { Box, FaceBox, FaceDetector, ScoredBox } from './detection.js';
export * from './discriminator.js';
export * from './face-decoder.js';
export * from './face-features.js';
export * from './face-parameters.js';
export { FaceBoxes } from './faceboxes.js';
export { FaceNet, type FaceNetOptions } from './facenet.js';
export * from './fitter.js';
export * from './input-mode.js';
export { IResNet, type IResNetOptions } from './iresnet.js';
export { mirrored, withMirror } from './mirror.js';
export { MobileFaceNet } from './mobilefacenet.js';
export { MobileNetV1, type MobileNetV1Options, normalizeCrops } from './mobilenet.js';
export * from './morphable.js';
export { Mtcnn, type MtcnnOptions } from './mtcnn.js';
export * from './parameters62.js';
export { type ComponentOptions, type Components, principalComponents, truncatedSvd } from './pca.js';
export * from './pose.js';
export { generalisedProcrustes, procrustes, robustProcrustes, type Similarity } from './procrustes.js';
export * from './rescunet.js';
export * from './resnet.js';
export { ResNetRecogniser, type ResNetRecogniserOptions } from './resnet-recogniser.js';
export {
  type Alignment,
  modelFromScans,
  type Reconstruction,
  type ScanModel,
  type ScanModelOptions,
  type ScannedSubject,
  type Stage,
} from './scan-model.js';
export * from './surface-points.js';
export * from './two-stream.js';
export { UvGan, type UvGanOptions } from './uvgan.js';
