// Recognition: alignment, embeddings, verification protocols and experiments.
export * from './align.js';
export * from './augment.js';
export * from './by-bin.js';
export * from './by-yaw.js';
export * from './embed.js';
export * from './frontal.js';
export * from './pack.js';
export * from './pair-set.js';
export * from './pose-protocol.js';
export * from './report.js';
export * from './verification.js';
export * from './verify-set.js';
