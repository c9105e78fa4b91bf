// The work behind eval pose.
import { statSync } from 'node:fs';
import path from 'node:path';
import { writeAtomically } from '../formats/files.js';
import { chosenPairs } from '../pipeline/evaluate/uv.js';
import { loadFaceModel } from '../pipeline/face_model.js';
import { loadRecogniser } from '../pipeline/recognise/embed.js';
import { evaluatePoses, POSE_BINS, poseMarkdown, poseTable } from '../pipeline/recognise/pose-protocol.js';
import { verificationRecord } from '../pipeline/recognise/report.js';
import { packageVersion } from './command.js';
import { EXIT_OK, EXIT_USAGE, UsageError } from './errors.js';
import type { EvalPoseOptions } from './eval.js';
import { prepareOut } from './output.js';
import type { Reporter } from './reporter.js';
import { checkOptions, describe, loadMethods, openPairs } from './run-eval-uv.js';

export async function runEvalPose(options: EvalPoseOptions, reporter: Reporter): Promise<number> {
  const { out, recogniser: file = '', crop, composite, seed, samples, batch } = options;
  checkOptions(options);
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new UsageError(`--recogniser ${file}: there is no such file; give the weights of a recogniser`);
  }
  prepareOut(out);
  const recogniser = loadRecogniser(file);
  const { source, problems } = await openPairs(options);
  for (const problem of problems) reporter.error(problem);
  const methods = await loadMethods(options, source);
  const indices = samples === undefined ? undefined : chosenPairs(source, { samples, seed });
  const progress = await reporter.start(indices?.length ?? source.length, 'pairs');
  try {
    const model = loadFaceModel(options.model);
    const onPair = (done: number) => progress.reach(done, methods.map(({ name }) => name).join(', '));
    const results = await evaluatePoses(methods, source, {
      recogniser,
      model,
      crop,
      composite,
      seed,
      indices,
      batch,
      onPair,
    });
    progress.stop();
    const record = {
      format: 'rescunet-evaluation',
      version: 1,
      task: 'pose',
      source: source.config,
      recogniser: { name: recogniser.name, file: path.basename(file) },
      crop,
      seed,
      yaw: POSE_BINS,
      methods: results.map(({ method, about, bins }) => ({
        method,
        about,
        bins: bins.map((result, i) => result && verificationRecord({ name: `${method} ${POSE_BINS[i]}`, result })),
      })),
      problems,
      rescunet: packageVersion(),
    };
    const sentences = [
      `${recogniser.name} on ${crop === 'uv' ? 'the middle of UV maps' : 'faces from the front'}, seed ${seed}`,
      describe(source.config),
    ];
    const save = (name: string, text: string) => writeAtomically(path.join(out, name), Buffer.from(text));
    await save('results.json', `${JSON.stringify(record, null, 1)}\n`);
    await save('results.md', `${sentences.join('\n\n')}\n\n${poseMarkdown(results)}`);
    for (const line of [...sentences, '', ...poseTable(results)]) reporter.line(line);
    const files = ['results.json', 'results.md'];
    reporter.line(`files in ${path.resolve(out)}: ${files.join(', ')}`);
    reporter.document({ command: 'eval pose', folder: path.resolve(out), files, ...record });
  } finally {
    progress.stop();
    for (const method of methods) method.dispose();
    recogniser.dispose();
  }
  return problems.length > 0 ? EXIT_USAGE : EXIT_OK;
}
