// rescunet model inspect | convert | build: what a face model file holds, any of the known ones as one .safetensors, one from scans.
import { statSync } from 'node:fs';
import path from 'node:path';
import { type Command, Option } from 'commander';
import type { MorphableModel } from '../models/morphable.js';
import type { ImportOptions } from '../pipeline/model-import.js';
import { EMBEDDED_MODEL, type Run } from './command.js';
import { EXIT_OK, UsageError } from './errors.js';
import { addModelBuild } from './model-build.js';
import type { Reporter } from './reporter.js';

type ConvertOptions = ImportOptions & { json?: boolean };

export function addModel(program: Command, run: Run): void {
  const model = program
    .command('model')
    .description('Look into face models, convert them, make them from scans.')
    .addHelpText(
      'after',
      '\nExamples:\n  rescunet model inspect\n  rescunet model convert bfm_3ddfa.safetensors face.safetensors\n  rescunet model build scans --out face.safetensors',
    );
  addModelBuild(model, run);

  model
    .command('inspect')
    .description('Print what a face model holds: counts, units, licence, bounds, UV coverage.')
    .argument('[in]', 'a face model of any kind that convert reads (default: the one that ships with the package)')
    .addOption(landmarks())
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExamples:\n  rescunet model inspect\n  rescunet model inspect bfm_3ddfa.safetensors --json\n  rescunet model inspect ICT-FaceKit/FaceXModel',
    )
    .action((input: string | undefined, options: Pick<ConvertOptions, 'landmarks' | 'json'>) =>
      run(options, async (reporter) => {
        if (input !== undefined) checkInput(input);
        await show(input ?? EMBEDDED_MODEL, options, reporter);
        return EXIT_OK;
      }),
    );

  model
    .command('convert')
    .description(
      'Write a face model as one .safetensors file: Basel 2009, 2017, 2019, 3DDFA, 3DDFA_V2, FLAME, ICT-FaceKit, Surrey, and more.',
    )
    .argument('<in>', 'the model to read: a file, or the folder it was published as')
    .argument('<out>', 'the .safetensors file to write')
    .addOption(
      new Option(
        '--uv <layout>',
        "the model's own texture coordinates, the cylindrical unwrap of its mean, or that in the package's layout",
      )
        .choices(['own', 'cylindrical', 'package'])
        .default('own'),
    )
    .addOption(landmarks())
    .option('--texture <obj>', 'an OBJ of the same vertices, for its texture coordinates')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  rescunet model convert bfm_3ddfa.safetensors bfm.safetensors --uv cylindrical
  rescunet model convert 01_MorphableModel.mat bfm2009.safetensors --landmarks ibug_to_bfm.txt
  rescunet model convert model2019_bfm.h5 bfm2019.safetensors
  rescunet model convert 3DDFA_V2/configs bfm.safetensors
  rescunet model convert generic_model.pkl flame.safetensors --landmarks embedding.npz --texture head_template.obj
  rescunet model convert ICT-FaceKit/FaceXModel ict.safetensors
The plain layout: mean [N,3], identity [k,N,3], identity_std [k], expression [k,N,3],
expression_std [k], triangles [T,3], landmarks [68], uv [N,2]; metadata name, licence, units.`,
    )
    .action((input: string, output: string, options: ConvertOptions) =>
      run(options, async (reporter) => {
        checkOutput(input, output);
        const { saveFaceModel } = await import('../pipeline/face_model.js');
        await show(input, options, reporter, (model) => {
          saveFaceModel(output, model);
          return output;
        });
        return EXIT_OK;
      }),
    );
}

const landmarks = (): Option =>
  new Option(
    '--landmarks <file>',
    'vertices of the 68 landmarks: JSON, text, a mapping of eos, or the embedding of FLAME',
  );

/** Reads a face model and reports what it holds; where `written` keeps it, of the file that it names. */
async function show(
  input: string,
  options: ImportOptions,
  reporter: Reporter,
  written?: (model: MorphableModel) => string,
): Promise<void> {
  const { importFaceModel } = await import('../pipeline/model-import.js');
  const { model, layout, notes } = await importFaceModel(input, options);
  const facts = await describe(written?.(model) ?? input, model);
  for (const [name, text] of Object.entries(facts.lines)) reporter.line(`${name.padEnd(12)} ${text}`);
  for (const note of notes) reporter.line(`${'note'.padEnd(12)} ${note}`);
  reporter.document({ ...(written ? { from: input } : {}), layout, notes, ...facts.document });
}

function checkInput(input: string): void {
  if (statSync(input, { throwIfNoEntry: false })) return;
  throw new UsageError(`${input}: there is no such file; give a face model, or the folder it was published as`);
}

/** Refuses what could only fail at the end. */
function checkOutput(input: string, output: string): void {
  if (path.extname(output).toLowerCase() !== '.safetensors') {
    throw new UsageError(`${output}: a face model is written as .safetensors; give a name that ends so`);
  }
  checkInput(input);
  if (path.resolve(input) === path.resolve(output)) {
    throw new UsageError(`${output}: is the file to read; give another name to write`);
  }
  const folder = path.dirname(output);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new UsageError(`${output}: there is no folder ${folder}; make it first`);
  }
}

async function describe(file: string, model: MorphableModel) {
  const { uvTable } = await import('../pipeline/unwrap.js');
  const { footprint, size } = uvTable(model.uv, model.triangles);
  const coverage = footprint.reduce((sum, inside) => sum + inside, 0) / (size * size);
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  model.mean.forEach((v, i) => {
    low[i % 3] = Math.min(low[i % 3], v);
    high[i % 3] = Math.max(high[i % 3], v);
  });
  const round = (v: number) => Number(v.toPrecision(6));
  const found = statSync(file);
  const bytes = found.isFile() ? found.size : undefined; // a folder has none of its own
  const document = {
    file,
    bytes,
    name: model.name,
    licence: model.licence,
    units: model.units,
    vertices: model.vertexCount,
    sourceVertices: model.source?.count,
    triangles: model.triangles.length / 3,
    landmarks: model.landmarks.length,
    identity: model.identityCount,
    expression: model.expressionCount,
    regressorStatistics: model.parameterMean !== undefined,
    bounds: { low: low.map(round), high: high.map(round) },
    uvCoverage: round(coverage),
  };
  const extent = low.map((v, c) => `${'xyz'[c]} ${v.toPrecision(4)}..${high[c].toPrecision(4)}`).join(', ');
  const copied = model.source ? ` (of the ${model.source.count} of the mesh that it was made from)` : '';
  const lines = {
    file: bytes === undefined ? file : `${file} (${(bytes / 2 ** 20).toFixed(1)} MiB)`,
    name: document.name,
    licence: document.licence,
    units: document.units,
    mesh: `${document.vertices} vertices${copied}, ${document.triangles} triangles, ${document.landmarks} landmarks`,
    modes: `${document.identity} identity, ${document.expression} expression`,
    regressor: document.regressorStatistics ? 'carries the statistics of the 62 parameters' : 'no statistics',
    bounds: `${extent} (${document.units})`,
    uv: `${(100 * coverage).toFixed(1)} % of the map shows surface`,
  };
  return { document, lines };
}
