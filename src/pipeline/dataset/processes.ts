// Work shared out to processes. Contract: each is told once what the work is about, then has one task at a time; the first failure ends all.
import { fork } from 'node:child_process';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

/** What a process says of a task: what came of it, or the message of its error. */
export type ProcessAnswer<Result> = { result: Result } | { problem: string };

interface Sharing<Task, Result> {
  /** Module of the processes, which calls `serveTasks`. */
  worker: URL;
  /** What the work is about: the first message. */
  about: object;
  tasks: readonly Task[];
  workers: number;
  done: (task: Task, result: Result) => void;
}

/** Gives the tasks to processes as they become free. Together they use the cores once, unless RESCUNET_THREADS says otherwise. */
export async function shareOut<Task extends object, Result>(sharing: Sharing<Task, Result>): Promise<void> {
  const { worker, about, workers, done } = sharing;
  const waiting = [...sharing.tasks];
  const threads = Math.max(1, Math.floor(os.availableParallelism() / workers));
  const env = { RESCUNET_THREADS: String(threads), ...process.env };
  const processes = Array.from({ length: Math.min(workers, waiting.length) }, () =>
    fork(fileURLToPath(worker), { env }),
  );
  try {
    await Promise.all(
      processes.map(
        (child) =>
          new Promise<void>((resolve, reject) => {
            let task: Task | undefined;
            const next = () => {
              task = waiting.shift();
              if (task) child.send(task);
              else {
                child.disconnect();
                resolve();
              }
            };
            child.on('message', (answer: ProcessAnswer<Result>) => {
              if ('problem' in answer) {
                reject(new Error(answer.problem));
                return;
              }
              try {
                done(task as Task, answer.result);
                next();
              } catch (error) {
                reject(error);
              }
            });
            child.on('error', reject);
            child.on('exit', (code, signal) => {
              reject(new Error(`a process ended with ${signal ?? `code ${code}`}; start again to go on`));
            });
            child.send(about);
            next();
          }),
      ),
    );
  } finally {
    for (const child of processes) if (child.connected) child.kill();
  }
}

/** The other side of it, for a module that is nothing else: `open` gets the first message, what it gives does the tasks. */
export function serveTasks<About, Task, Result>(
  open: (
    about: About,
  ) => ((task: Task) => Result | Promise<Result>) | Promise<(task: Task) => Result | Promise<Result>>,
): void {
  let work: Promise<(task: Task) => Result | Promise<Result>> | undefined;
  process.on('message', async (message: About | Task) => {
    if (!work) {
      work = (async () => open(message as About))();
      work.catch(() => {}); // told with the first task
      return;
    }
    let answer: ProcessAnswer<Result>;
    try {
      answer = { result: await (await work)(message as Task) };
    } catch (error) {
      answer = { problem: error instanceof Error ? error.message : String(error) };
    }
    if (process.connected) process.send?.(answer);
  });
  process.on('disconnect', () => process.exit());
}
