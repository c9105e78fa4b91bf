import { defineConfig } from 'vitest/config';

// Nothing is tested by the clock: the limit only ends what hangs. Forks, because the addon's device threads end with their process.
export default defineConfig({ test: { include: ['test/**/*.test.ts'], testTimeout: 300_000, hookTimeout: 300_000, pool: 'forks' } });
