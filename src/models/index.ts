// The `models` namespace.
export * from './cylindrical.js';
export type { Box, FaceBox, FaceDetector, ScoredBox } from './detection.js';
export * from './discriminator.js';
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
export * from './pose.js';
export * from './rescunet.js';
export * from './resnet.js';
export { UvGan, type UvGanOptions } from './uvgan.js';
