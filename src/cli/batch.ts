// Photo by photo, one after the other or in several lanes: a failure is one line and the next photo's turn. It owns the order of lines, the progress and the
// exit code of the commands over photos.
import { EXIT_CRASH, EXIT_OK, explain, explainFor } from './errors.js';
import type { Input, Inputs } from './inputs.js';
import type { Progress, Reporter } from './reporter.js';

export interface Outcome {
  /** What is printed behind the photo's name. */
  summary: string;
  /** What --json tells of the photo. */
  record: Record<string, unknown>;
  /** Left as an earlier run made it. */
  skipped?: boolean;
}

export interface BatchOptions {
  /** Photos under way at once. */
  lanes?: number;
  /** Called with what --json tells of the photos, in their order, before the document is printed; adds to the document. */
  finish?: (photos: readonly Record<string, unknown>[]) => Record<string, unknown>;
}

/**
 * Runs `work` on every photo and reports. Returns 0 when all went well, 2 when an argument or photo could not be used, 1 when
 * something crashed; the other photos are done in any case.
 */
export async function runBatch(
  command: string,
  { photos, problems }: Inputs,
  reporter: Reporter,
  work: (photo: Input, progress: Progress) => Promise<Outcome>,
  { lanes = 1, finish }: BatchOptions = {},
): Promise<number> {
  let code: number = EXIT_OK;
  const refused: Record<string, unknown>[] = [];
  const records = new Array<Record<string, unknown>>(photos.length);
  const count = { done: 0, skipped: 0, failed: 0 };
  const failed = (i: number | undefined, error: unknown): void => {
    const file = i === undefined ? undefined : photos[i].file;
    const { message, code: found } = file === undefined ? explain(error) : explainFor(file, error);
    if (code !== EXIT_CRASH) code = found;
    count.failed++;
    if (i === undefined) refused.push({ status: 'failed', error: message });
    else records[i] = { file, status: 'failed', error: message };
    reporter.error(message);
    if (found === EXIT_CRASH) reporter.trace(error);
  };
  for (const problem of problems) failed(undefined, problem);
  const progress = await reporter.start(photos.length, photos.length === 1 ? 'photo' : 'photos');
  const waiting = photos.entries();
  const lane = async (): Promise<void> => {
    for (const [i, photo] of waiting) {
      const begin = performance.now();
      progress.show(photo.file);
      try {
        const { summary, record, skipped } = await work(photo, progress);
        const seconds = Number(((performance.now() - begin) / 1000).toFixed(3));
        const status = skipped ? 'skipped' : 'done';
        count[status]++;
        records[i] = { file: photo.file, status, seconds, ...record };
        const place = photos.length > 1 ? `[${i + 1}/${photos.length}] ` : '';
        reporter.line(`${place}${photo.file}: ${summary}${skipped ? '' : ` (${seconds.toFixed(2)} s)`}`);
      } catch (error) {
        failed(i, error);
      }
      progress.advance();
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.max(1, Math.min(lanes, photos.length)) }, lane));
  } finally {
    progress.stop();
  }
  if (photos.length > 1) {
    const parts = [`${count.done} done`];
    if (count.skipped > 0) parts.push(`${count.skipped} already finished (--force does them again)`);
    if (count.failed > 0) parts.push(`${count.failed} failed`);
    reporter.line(parts.join(', '));
  }
  const more = finish?.(records) ?? {};
  reporter.document({ command, ...count, ...more, photos: [...refused, ...records] });
  return code;
}
