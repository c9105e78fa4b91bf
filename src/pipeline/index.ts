// From a photo to a completed face and back to pictures.
export * from './blend.js';
export * from './generator-input.js';
export * from './image.js';
export * from './metrics.js';
export * from './overlay.js';
export * from './render.js';
export * from './unwrap.js';
