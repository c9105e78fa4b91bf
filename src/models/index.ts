// The `models` namespace.
export * from './cylindrical.js';
export * from './discriminator.js';
export * from './fitter.js';
export * from './morphable.js';
export * from './parameters62.js';
export * from './pose.js';
export * from './rescunet.js';
