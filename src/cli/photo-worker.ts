// A process of PhotoWorkers: gets a job, then photos, and answers each. Contract: it says nothing but through messages, and ends with its parent.
import type { Input } from './inputs.js';
import type { Answer, Job } from './photo-workers.js';
import { FaceTaker } from './run-photos.js';

const answer = (message: Answer): void => {
  process.send?.(message);
};

let taker: Promise<FaceTaker> | undefined;

process.on('message', async (message: Job | Input) => {
  if ('stage' in message) {
    taker = FaceTaker.load(message.stage, message.options, message.photos);
    // What fails here is answered to the first photo.
    taker.catch(() => undefined);
    return;
  }
  try {
    if (!taker) throw new Error('photo-worker: a photo before the job');
    answer({ outcome: await (await taker).take(message, (show) => answer({ show })) });
  } catch (error) {
    const { name, message: text, code } = error as NodeJS.ErrnoException;
    answer({ error: { name, message: text, code } });
  }
});

process.on('disconnect', () => process.exit(0));
