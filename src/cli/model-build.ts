// rescunet model build: a face model from registered scans.
import { statSync } from 'node:fs';
import path from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Stage } from '../models/scan-model.js';
import type { Run } from './command.js';
import { EXIT_OK, UsageError } from './errors.js';
import type { Progress, Reporter } from './reporter.js';
import { whole } from './values.js';

export interface BuildOptions {
  out: string;
  landmarks?: string;
  topology?: string;
  neutral: string;
  align: 'similarity' | 'rigid' | 'none';
  identity: number;
  expression: number;
  heldOut: number;
  uv: 'own' | 'cylindrical' | 'package';
  name?: string;
  licence?: string;
  units?: string;
  seed: number;
  json?: boolean;
  quiet?: boolean;
}

export function addModelBuild(model: Command, run: Run): void {
  model
    .command('build')
    .description(
      'Make a face model from registered scans: Procrustes alignment, PCA of neutral faces and of expressions.',
    )
    .argument(
      '<scans>',
      'a folder with one folder per subject: a neutral mesh and others with expressions (.obj, .ply)',
    )
    .requiredOption('--out <file>', 'the .safetensors file to write')
    .option('--landmarks <file>', '68 vertex numbers from 0, JSON or text (default: landmarks.json in the folder)')
    .option('--topology <model>', 'a face model of the same vertices, for landmarks, triangles and texture coordinates')
    .option('--neutral <text>', "part of the neutral meshes' names", 'neutral')
    .addOption(
      new Option('--align <how>', 'what Procrustes alignment may change; none takes the scans as they lie')
        .choices(['similarity', 'rigid', 'none'])
        .default('similarity'),
    )
    .option('--identity <modes>', 'most identity modes to keep', whole(1, 10000), 199)
    .option('--expression <modes>', 'most expression modes to keep', whole(0, 10000), 29)
    .option('--held-out <share>', 'share of the subjects to measure on instead of learning from', share, 0.1)
    .addOption(
      new Option(
        '--uv <layout>',
        "the meshes' own texture coordinates, the cylindrical unwrap, or the package's layout",
      )
        .choices(['own', 'cylindrical', 'package'])
        .default('own'),
    )
    .option('--name <text>', 'name to write into the model (default: that of the folder)')
    .option('--licence <text>', 'licence to write into the model')
    .addOption(
      new Option('--units <unit>', 'unit of the scans (default: judged by the size of the face)').choices([
        'um',
        'mm',
        'cm',
        'm',
      ]),
    )
    .option('--seed <number>', 'draws the subjects held out', whole(0, 2 ** 31), 1)
    .option('--json', 'one JSON document on stdout')
    .option('-q, --quiet', 'print errors only')
    .addHelpText(
      'after',
      `
Examples:
  rescunet model build scans --out face.safetensors
  rescunet model build scans --landmarks marks.json --identity 80 --held-out 0.2 --out face.safetensors --json
  rescunet model build more-scans --topology face.safetensors --out larger.safetensors

The folder:
  scans/landmarks.json          68 vertex numbers, iBUG order
  scans/anna/neutral.obj        every mesh with the same vertices in the same order
  scans/anna/smile.obj          any other mesh of the folder is an expression
  scans/ben/ben_neutral.ply
  scans/clara.obj               a mesh directly in the folder is a subject with a neutral face only`,
    )
    .action((scans: string, options: BuildOptions) =>
      run(options, (reporter) => runModelBuild(scans, options, reporter)),
    );
}

function share(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value < 1))
    throw new InvalidArgumentError('Wanted a share from 0 to below 1.');
  return value;
}

async function runModelBuild(scans: string, options: BuildOptions, reporter: Reporter): Promise<number> {
  const { out, landmarks, neutral, align, uv, seed, heldOut, name, licence, units } = options;
  if (path.extname(out).toLowerCase() !== '.safetensors') {
    throw new UsageError(`--out ${out}: a face model is written as .safetensors; give a name that ends so`);
  }
  if (!statSync(path.dirname(out), { throwIfNoEntry: false })?.isDirectory()) {
    throw new UsageError(`--out ${out}: there is no folder ${path.dirname(out)}; make it first`);
  }
  const { buildFaceModel, findScans } = await import('../pipeline/scans.js');
  const { loadFaceModel, saveFaceModel } = await import('../pipeline/face_model.js');
  const topology = options.topology === undefined ? undefined : loadFaceModel(options.topology);
  const files = findScans(scans, neutral).reduce((sum, s) => sum + 1 + s.expressions.length, 0);
  const begin = performance.now();
  const progress: Progress = await reporter.start(files, 'scans');
  try {
    const { model, report } = buildFaceModel(scans, {
      landmarks,
      topology,
      neutral,
      align,
      identityModes: options.identity,
      expressionModes: options.expression,
      heldOut,
      uv,
      name,
      licence,
      units,
      seed,
      onScan: (file) => {
        progress.show(path.basename(file));
        progress.advance();
      },
      onStage: (stage) => progress.show(stage),
    });
    saveFaceModel(out, model);
    const seconds = Number(((performance.now() - begin) / 1000).toFixed(2));
    progress.stop();
    const bytes = statSync(out).size;
    reporter.line(
      `${report.subjects} subjects (${report.heldOut.length} held out), ${files} scans of ${report.vertices} vertices: ` +
        `${out} (${(bytes / 2 ** 20).toFixed(1)} MiB, ${seconds} s)`,
    );
    if (report.turned) reporter.line('the scans lay otherwise; the model was turned to look along +z, y up');
    table('identity', report.identity, report.units, reporter);
    table('expression', report.expression, report.units, reporter);
    reporter.document({
      command: 'model build',
      file: out,
      bytes,
      seconds,
      scans: path.resolve(scans),
      files,
      ...report,
    });
    return EXIT_OK;
  } finally {
    progress.stop();
  }
}

/** Explained variance and what is left of held-out scans, by the number of modes. */
function table(name: string, { scans, modes, explained, heldOut }: Stage, units: string, reporter: Reporter): void {
  const whole = explained.at(-1) ?? 0;
  reporter.line(`${name}: ${modes} modes from ${scans} scans, ${(100 * whole).toFixed(2)} % of their variance`);
  for (const row of heldOut ?? []) {
    const part = row.modes === 0 ? 0 : (explained[row.modes - 1] ?? whole);
    reporter.line(
      `  ${String(row.modes).padStart(4)} modes  ${(100 * part).toFixed(2).padStart(6)} %   held out: ` +
        `rms ${row.rms.toPrecision(3)}, mean ${row.mean.toPrecision(3)}, worst ${row.worst.toPrecision(3)} ${units}`,
    );
  }
}
