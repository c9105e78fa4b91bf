// From a photo to a completed face and back to pictures.
export * from './blend.js';
export * from './complete.js';
export * from './dataset/index.js';
export * from './demo.js';
export * from './detect.js';
export * from './evaluate/index.js';
export * from './face_model.js';
export * from './fit.js';
export * from './fit-error.js';
export { type Fit, fitRecord } from './fit-face.js';
export * from './fitters.js';
export * from './generator-input.js';
export * from './generators.js';
export * from './image.js';
export * from './metrics.js';
export { type Imported, type ImportOptions, importFaceModel } from './model-import.js';
export * from './overlay.js';
export * from './recognise/index.js';
export { type Refinement, type RefineOptions, refineFit } from './refine.js';
export type { Box, FaceAnswer, Regression } from './regression.js';
export { type Regressor, regressorCrop, roiFromBox, roiFromLandmarks } from './regression62.js';
export * from './render.js';
export * from './results.js';
export {
  type BuildFaceModelOptions,
  type BuiltFromScans,
  buildFaceModel,
  findScans,
  type SubjectFiles,
} from './scans.js';
export * from './synthesise.js';
export * from './train/index.js';
export * from './unwrap.js';
