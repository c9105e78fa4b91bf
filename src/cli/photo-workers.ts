// Processes that take photos beside one another, each with networks of its own. Contract: a photo goes to a process that is idle, so
// the caller asks for no more at once than there are; an error crosses over with its name, so that it is explained as if thrown here.
import { type ChildProcess, fork } from 'node:child_process';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './batch.js';
import type { Input } from './inputs.js';
import type { Stage } from './photo-command.js';
import type { PhotoOptions } from './photo-options.js';

/** What each process loads before its first photo. */
export interface Job {
  stage: Stage;
  options: PhotoOptions;
  /** Photos of the whole batch. */
  photos: number;
}

export type Answer =
  | { show: string }
  | { outcome: Outcome }
  | { error: { name: string; message: string; code?: string } };

export class PhotoWorkers {
  private readonly processes: ChildProcess[] = [];
  private readonly idle: ChildProcess[];
  private readonly start: () => ChildProcess;
  private readonly queue: ((worker: ChildProcess) => void)[] = [];

  constructor(count: number, job: Job) {
    const file = fileURLToPath(new URL('./photo-worker.js', import.meta.url));
    // Each would otherwise want every core.
    const threads = Math.max(1, Math.floor(os.availableParallelism() / count));
    const env = { RESCUNET_THREADS: String(threads), ...process.env };
    this.start = () => {
      const worker = fork(file, { env });
      this.processes.push(worker);
      worker.send(job);
      return worker;
    };
    this.idle = Array.from({ length: count }, this.start);
  }

  async take(photo: Input, show: (what: string) => void): Promise<Outcome> {
    const worker = this.idle.pop() ?? (await new Promise<ChildProcess>((resolve) => this.queue.push(resolve)));
    let gone = worker.exitCode !== null || worker.signalCode !== null;
    try {
      return await new Promise<Outcome>((resolve, reject) => {
        const ended = () => {
          gone = true;
          reject(new Error(`the process that had ${photo.file} ended; give fewer --workers if memory is short`));
        };
        const heard = (answer: Answer) => {
          if ('show' in answer) return show(answer.show);
          worker.off('message', heard);
          worker.off('exit', ended);
          if ('outcome' in answer) resolve(answer.outcome);
          else reject(Object.assign(new Error(answer.error.message), answer.error));
        };
        if (gone) return ended();
        worker.on('message', heard);
        worker.once('exit', ended);
        worker.send(photo);
      });
    } finally {
      // The photo that ended a process does not take the next ones with it.
      this.release(gone ? this.start() : worker);
    }
  }

  /** Ends the processes. */
  close(): void {
    for (const worker of this.processes) worker.kill();
  }

  private release(worker: ChildProcess): void {
    const next = this.queue.shift();
    if (next) next(worker);
    else this.idle.push(worker);
  }
}
