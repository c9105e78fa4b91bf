import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Nothing is tested by the clock: the limit only ends what hangs. Forks, because the addon's device threads end with their process;
// what they start in turn runs the sources by way of test/typescript.mjs.
const sources = fileURLToPath(new URL('./test/typescript.mjs', import.meta.url));
export default defineConfig({
  test: {
    setupFiles: ['test/turns.ts'],
    include: ['test/**/*.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: 'forks',
    poolOptions: { forks: { execArgv: ['--import', sources] } },
  },
});
