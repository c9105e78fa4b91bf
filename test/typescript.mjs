// Lets threads and processes that tests start run the sources: `node --import ./test/typescript.mjs`. Vitest compiles what it runs itself
// only; what that starts in turn is plain node, which would look for the .js files that the sources name.
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
