// The work behind figures.
import path from 'node:path';
import { writeRunFigures } from '../pipeline/evaluate/run-figures.js';
import { EXIT_OK } from './errors.js';
import type { FiguresOptions } from './figures.js';
import { prepareOut } from './output.js';
import type { Reporter } from './reporter.js';

export async function runFigures(options: FiguresOptions, reporter: Reporter): Promise<number> {
  const { run, people, out = path.join(run, 'figures') } = options;
  if (options.out !== undefined) prepareOut(out);
  const progress = await reporter.start(0, 'pictures');
  let files: string[];
  try {
    files = await writeRunFigures(run, { out, people, onPicture: (file) => progress.show(file) });
  } finally {
    progress.stop();
  }
  reporter.line(`${files.length - 1} pictures and their page: ${path.join(out, 'report.html')}`);
  reporter.document({ command: 'figures', run: path.resolve(run), folder: path.resolve(out), files });
  return EXIT_OK;
}
