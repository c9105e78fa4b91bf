#!/usr/bin/env node
// The executable: arguments in, exit code out.
import { main } from './program.js';

// `rescunet ... | head` closes the pipe early; that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

process.exitCode = await main(process.argv.slice(2));
