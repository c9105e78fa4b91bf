// Runs a command line in this process and keeps what it printed.
import { main } from '../../src/cli/program.js';

// What the tests call missing must not be found by way of the environment.
delete process.env.RESCUNET_WEIGHTS;

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export async function rescunet(...argv: string[]): Promise<Ran> {
  const printed = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    write(text: string) {
      printed[name] += text;
    },
  });
  const code = await main(argv, { stdout: stream('stdout'), stderr: stream('stderr') });
  return { code, ...printed };
}

/** The lines of what was printed. */
export const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');
