// A process that takes turns with others at the same work: a line in, a line out.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** A file beside the benches. */
export const local = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** What node is given to run a module beside the benches: the source, or what a bundle for a card has in its place (bench/card). */
export function script(name: string): string[] {
  if (import.meta.url.endsWith('.js')) return [local(`./${name}.js`)];
  return ['--import', local('../test/typescript.mjs'), local(`./${name}.ts`)];
}

/** The version of the PyTorch that this Python has. */
export function torchOf(python: string): string | undefined {
  const { status, stdout } = spawnSync(python, ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** Threads that have just worked go on spinning for a while: whoever has the next turn would share the cores with them. */
export const rest = (milliseconds = 10): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A neighbour that keeps one core busy while `work` runs. */
export async function besideBusy<T>(work: () => Promise<T>): Promise<T> {
  const neighbour = spawn(process.execPath, ['-e', "process.stdout.write('on'); for (;;);"]);
  try {
    await new Promise((resolve, reject) => {
      neighbour.stdout.once('data', resolve);
      neighbour.once('error', reject);
    });
    return await work();
  } finally {
    neighbour.kill('SIGKILL');
  }
}

export class Peer {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly lines: AsyncIterator<string>;
  private errors = '';

  constructor(
    readonly name: string,
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ) {
    this.child = spawn(command, args, { env: { ...process.env, ...env } });
    this.child.stderr.on('data', (text) => {
      this.errors = `${this.errors}${text}`.slice(-4000);
    });
    this.child.on('error', (error) => {
      this.errors += error.message;
    });
    this.child.stdin.on('error', () => {}); // the answer that does not come says more
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** Its next line. Throws what it wrote to stderr when it has ended. */
  async next(): Promise<string> {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`${this.name} ended: ${this.errors.trim().split('\n').slice(-4).join(' | ')}`);
    return value;
  }

  ask(line: string): Promise<string> {
    this.child.stdin.write(`${line}\n`);
    return this.next();
  }

  close(): void {
    this.child.stdin.end();
    this.child.kill();
  }
}
