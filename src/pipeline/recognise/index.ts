// Recognition: alignment, embeddings, verification protocols and experiments.
export * from './align.js';
export * from './embed.js';
export * from './verification.js';
