// rescunet eval: how good a method is, in numbers and pictures. One subcommand for each kind of task.
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Run } from './command.js';
import { addDetectorOptions, addReportOptions } from './photo-options.js';
import { whole } from './values.js';
import { addVerify } from './verify.js';
import type { WeightOptions } from './weights.js';

/** A file of weights and the name that its numbers go by. */
export interface NamedWeights {
  name: string;
  file: string;
}

/** People drawn for the evaluation. */
export interface DrawnPeople {
  identities: number;
  first: number;
  expressions: number;
}

export interface EvalUvOptions {
  out: string;
  data?: string[];
  synthPie?: DrawnPeople;
  textures?: string;
  model?: string;
  split: 'train' | 'test' | 'all';
  views: number;
  size?: number;
  dataSeed: number;
  /** With --no-fit-error false. */
  fitError: boolean;
  method?: string[];
  weights?: NamedWeights[];
  composite?: boolean;
  intermediate?: boolean;
  samples?: number;
  seed: number;
  batch: number;
  /** Number of people, true for the default. */
  figures?: number | true;
  json?: boolean;
  quiet?: boolean;
}

/** `a.safetensors`, named by its file, or `name=b.safetensors`; given several times. */
function namedWeights(text: string, before: NamedWeights[] = []): NamedWeights[] {
  const [, given, file] = /^([^=/\\]+)=(.*)$/s.exec(text) ?? [undefined, undefined, text];
  const name =
    given ??
    text
      .split(/[/\\]/)
      .pop()
      ?.replace(/\.[^.]+$/, '');
  if (!file || !name) throw new InvalidArgumentError('Wanted a file, or name=file.');
  return [...before, { name, file }];
}

const PEOPLE = {
  identities: { low: 1, high: 1000000, fallback: undefined },
  first: { low: 0, high: 1000000, fallback: 0 },
  expressions: { low: 1, high: 6, fallback: 3 },
} as const;

/** `identities=5,first=1000,expressions=2`. */
function drawnPeople(text: string): DrawnPeople {
  const given = new Map(
    text.split(',').map((part): [string, string] => {
      const [key, value, ...more] = part.split('=');
      if (!(key in PEOPLE) || value === undefined || more.length > 0) {
        throw new InvalidArgumentError(`'${part}' is none of identities=5, first=1000, expressions=3.`);
      }
      return [key, value];
    }),
  );
  const read = (key: keyof typeof PEOPLE): number => {
    const { low, high, fallback } = PEOPLE[key];
    const value = given.get(key);
    if (value === undefined && fallback !== undefined) return fallback;
    if (value === undefined) throw new InvalidArgumentError(`Say how many people: ${key}=5.`);
    try {
      return whole(low, high)(value);
    } catch (error) {
      if (error instanceof InvalidArgumentError) throw new InvalidArgumentError(`${key}: ${error.message}`);
      throw error;
    }
  };
  return { identities: read('identities'), first: read('first'), expressions: read('expressions') };
}

export interface EvalPoseOptions extends EvalUvOptions {
  recogniser?: string;
  crop: 'uv' | 'frontal';
}

export interface EvalFitOptions extends WeightOptions {
  model?: string;
  out: string;
  json?: boolean;
  quiet?: boolean;
  refine?: boolean;
}

export function addEval(program: Command, run: Run): void {
  const evaluation = program
    .command('eval')
    .description('Measure completion, fitting and recognition.')
    .addHelpText(
      'after',
      `
Examples:
  rescunet eval uv --synth-pie identities=10,first=9000 --method mirror
  rescunet eval fit AFLW2000 --weights-dir weights --model bfm_3ddfa.safetensors
  rescunet eval COMMAND --help   for what each of them wants`,
    );
  addUv(evaluation, run);
  addFitting(evaluation, run);
  addVerify(evaluation, run);
  addPose(evaluation, run);
}

/** Where pairs come from and what completes them. */
const addPairOptions = (command: Command): Command =>
  command
    .option('--data <dirs...>', 'pairs made by `rescunet data`; several folders count as one')
    .option('--synth-pie <people>', 'pairs drawn now, e.g. identities=5,first=1000,expressions=1', drawnPeople)
    .option('--textures <dir>', 'pairs from complete textures (with --model)')
    .option('--model <file>', 'the face model whose layout the textures have')
    .addOption(
      new Option('--split <part>', 'people of the textures; every fifth is held out as test')
        .choices(['train', 'test', 'all'])
        .default('test'),
    )
    .option('--views <number>', 'poses for each person of the textures', whole(1, 10000), 16)
    .option('--size <pixels>', 'side of UV maps that are made now (default: 128)', whole(32, 1024))
    .option('--data-seed <number>', 'what pairs that are made now are drawn from', whole(0, 2 ** 31 - 1), 1)
    .option('--no-fit-error', 'unwrap pairs that are made now on the true mesh')
    .addOption(
      new Option('--method <names...>', 'methods without weights (default: both)').choices(['input', 'mirror']),
    )
    .option('--weights <[name=]file>', 'a generator to measure; may be given several times', namedWeights);

/** The same for how many are measured. */
const addSampleOptions = (command: Command): Command =>
  command
    .option('--samples <number>', 'at most so many pairs, balanced over yaw', whole(1, 10000000))
    .option('--seed <number>', 'what the sample is drawn from', whole(0, 2 ** 31 - 1), 1)
    .option('--batch <pairs>', 'pairs given to a network at a time', whole(1, 256), 8);

function addUv(evaluation: Command, run: Run): void {
  const command = evaluation
    .command('uv')
    .description('UV completion: PSNR and SSIM by region and yaw, on pairs that none of the networks was trained on.')
    .requiredOption('--out <dir>', 'where results.json, results.md, pairs.jsonl and figures/ go');
  addPairOptions(command)
    .option('--composite', "measure generators with the photo's pixels kept, too")
    .option('--intermediate', "measure the first U-Net's map, too, where there are two")
    .option('--figures [people]', 'sheets side by side and attention maps of so many people (3)', whole(1, 1000));
  addSampleOptions(command);
  addReportOptions(command)
    .addHelpText(
      'after',
      `
One of --data, --synth-pie and --textures says where the pairs come from. docs/evaluation.md says what is measured.

Examples:
  rescunet eval uv --data held-out --weights model.safetensors --out results
  rescunet eval uv --synth-pie identities=5,first=1000 --size 128 --samples 500 --out baselines
  rescunet eval uv --data held-out --weights uvgan=a.safetensors --weights ours=b.safetensors --figures --out table1
  rescunet eval uv --textures deep3d-204 --model bfm_3ddfa.safetensors --split test --method mirror --out t --json`,
    )
    .action((options: EvalUvOptions) =>
      run(options, async (reporter) => (await import('./run-eval-uv.js')).runEvalUv(options, reporter)),
    );
}

function addFitting(evaluation: Command, run: Run): void {
  const command = evaluation
    .command('fit')
    .description('Fits against annotated landmarks by yaw: the AFLW2000-3D protocol.')
    .argument('<folder>', 'photos with a .mat beside each, as AFLW2000-3D has them, or with one annotations.json')
    .requiredOption('--out <dir>', 'where results.json and results.md go')
    .option('--model <file>', 'its face model, e.g. bfm_3ddfa.safetensors (default: the one that ships)')
    .option(
      '--weights <file>',
      'weights of the 62-parameter regressor (mb05_120x120.pth) or of a cascade (default: the one that ships)',
    );
  addDetectorOptions(command, { faces: false });
  command.option('--refine', 'every way of fitting once more, refined');
  addReportOptions(command)
    .addHelpText(
      'after',
      `
Every photo is fitted from the crop of its true landmarks, as published figures are, and from a detector's box where there is a detector; each
with one look of the regressor and with two (--passes of rescunet fit). docs/fitting.md says what is measured.

Examples:
  rescunet eval fit AFLW2000 --model bfm_3ddfa.safetensors --weights-dir weights --out nme
  rescunet eval fit AFLW2000 --model bfm_3ddfa.safetensors --weights mb05_120x120.pth --refine --out nme --json`,
    )
    .action((folder: string, options: EvalFitOptions) =>
      run(options, async (reporter) => (await import('./run-eval-fit.js')).runEvalFit(folder, options, reporter)),
    );
}

function addPose(evaluation: Command, run: Run): void {
  const command = evaluation
    .command('pose')
    .description("Same or different by the photo's yaw: completed faces against true ones (the paper's Table 2).")
    .requiredOption('--out <dir>', 'where results.json and results.md go')
    .requiredOption('--recogniser <file>', 'its weights, e.g. mobilefacenet_casia_068.safetensors or an IR-18 to 100');
  addPairOptions(command).addOption(
    new Option('--crop <what>', 'what the recogniser sees: the middle of the UV map, or the face from the front')
      .choices(['uv', 'frontal'])
      .default('uv'),
  );
  command.option('--composite', "measure generators with the photo's pixels kept, too");
  addSampleOptions(command);
  addReportOptions(command)
    .addHelpText(
      'after',
      `
One of --data, --synth-pie and --textures says where the pairs come from. docs/recognition.md says what is measured.

Examples:
  rescunet eval pose --synth-pie identities=50,first=5000,expressions=1 --recogniser mobilefacenet_casia_068.safetensors --out table2
  rescunet eval pose --data held-out --weights uvgan=a.safetensors --weights ours=b.safetensors --recogniser r50.pth --out table2`,
    )
    .action((options: EvalPoseOptions) =>
      run(options, async (reporter) => (await import('./run-eval-pose.js')).runEvalPose(options, reporter)),
    );
}
