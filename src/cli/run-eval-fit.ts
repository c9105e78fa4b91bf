// The work behind eval fit.
import path from 'node:path';
import { writeAtomically } from '../formats/files.js';
import { evaluateFit, fitTable, readAflw2000 } from '../pipeline/evaluate/fit.js';
import { packageVersion } from './command.js';
import { EXIT_OK, EXIT_USAGE } from './errors.js';
import type { EvalFitOptions } from './eval.js';
import { loadNamedDetector, loadRegression } from './networks.js';
import { prepareOut } from './output.js';
import type { Reporter } from './reporter.js';

export async function runEvalFit(folder: string, options: EvalFitOptions, reporter: Reporter): Promise<number> {
  const { out, refine } = options;
  prepareOut(out);
  const { weights, ...networks } = loadRegression(options);
  const detector = loadNamedDetector(options);
  const { samples, skipped } = readAflw2000(folder);
  for (const problem of skipped) reporter.error(problem);
  const progress = await reporter.start(samples.length, 'photos');
  try {
    const onPhoto = (done: number, name: string) => progress.reach(done, name);
    const rows = await evaluateFit(samples, { ...networks, detector, refine, onPhoto });
    progress.stop();
    const sentences = [
      `NME of the 68 landmarks in per cent, by |yaw| in degrees: ${samples.length} photos of ${path.resolve(folder)}`,
      `${path.basename(weights)} on ${networks.model.name}${detector ? `, faces found by ${options.detector}` : ''}`,
    ];
    const record = {
      format: 'rescunet-evaluation',
      version: 1,
      task: 'fit',
      photos: samples.map(({ name, yaw }) => ({ name, yaw })),
      weights: path.basename(weights),
      model: networks.model.name,
      detector: detector && options.detector,
      rows: rows.map((row) => ({ ...row, errors: row.errors.map((nme) => nme ?? null) })),
      skipped,
      rescunet: packageVersion(),
    };
    const save = (name: string, text: string) => writeAtomically(path.join(out, name), Buffer.from(text));
    await save('results.json', `${JSON.stringify(record, null, 1)}\n`);
    await save('results.md', `${[...sentences, fitTable(rows, true).join('\n')].join('\n\n')}\n`);
    for (const line of [...sentences, '', ...fitTable(rows)]) reporter.line(line);
    const files = ['results.json', 'results.md'];
    reporter.line(`files in ${path.resolve(out)}: ${files.join(', ')}`);
    reporter.document({ command: 'eval fit', folder: path.resolve(out), files, ...record });
  } finally {
    progress.stop();
  }
  return skipped.length > 0 ? EXIT_USAGE : EXIT_OK;
}
