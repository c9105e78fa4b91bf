// rescunet data: training pairs to disk, drawn (synth-pie) or from complete textures (textures).
import { type Command, Option } from 'commander';
import type { Run } from './command.js';
import { addReportOptions } from './photo-options.js';
import { whole } from './values.js';

export interface PairOptions {
  out: string;
  size: number;
  seed: number;
  /** With --no-fit-error false. */
  fitError: boolean;
  shard: number;
  json?: boolean;
  quiet?: boolean;
}

export interface SynthPieOptions extends PairOptions {
  identities: number;
  firstIdentity: number;
  expressions: number;
  illuminations: number;
  viewpoints: number;
}

export interface TexturesOptions extends PairOptions {
  textures: string;
  model: string;
  split: 'train' | 'test' | 'all';
  views: number;
}

const addPairOptions = (command: Command): Command =>
  addReportOptions(
    command
      .requiredOption('--out <dir>', 'where shards and manifest.json go; a run that was killed is taken up again')
      .option('--size <pixels>', 'side of the UV maps', whole(32, 1024), 128)
      .option('--seed <number>', 'what everything at random is drawn from', whole(0, 2 ** 31 - 1), 1)
      .option('--no-fit-error', 'unwrap on the true mesh instead of one that is slightly off, as a fitted one is')
      .option('--shard <pairs>', 'pairs per file', whole(1, 100000), 285),
  );

export function addData(program: Command, run: Run): void {
  const data = program
    .command('data')
    .description('Make training pairs: incomplete UV map, complete UV map, visibility.');
  addPairOptions(
    data
      .command('synth-pie')
      .description(
        'The Multi-PIE protocol on people who do not exist: 15 viewpoints, 19 illuminations, several expressions.',
      )
      .requiredOption('--identities <number>', 'how many people', whole(1, 1000000))
      .option('--first-identity <number>', 'number of the first; other ranges are other people', whole(0, 1000000), 0)
      .option('--expressions <number>', 'neutral, smile, surprise, squint, disgust, scream', whole(1, 6), 3)
      .option('--illuminations <number>', 'how many of the 19, drawn for each expression of a person', whole(1, 19), 19)
      .option('--viewpoints <number>', 'how many of the 15, drawn for each of these', whole(1, 15), 15),
  )
    .addHelpText(
      'after',
      `
One person is 285 pairs per expression, or illuminations x viewpoints.

Examples:
  rescunet data synth-pie --identities 20 --out pairs
  rescunet data synth-pie --identities 400 --illuminations 3 --viewpoints 5 --out many-people
  rescunet data synth-pie --identities 5 --first-identity 1000 --out held-out
  rescunet data synth-pie --identities 1 --expressions 1 --size 256 --no-fit-error --out exact --json`,
    )
    .action((options: SynthPieOptions) =>
      run(options, async (reporter) => (await import('./run-data.js')).runSynthPie(options, reporter)),
    );
  addPairOptions(
    data
      .command('textures')
      .description('Complete UV textures of people put on their meshes and seen from random poses.')
      .requiredOption('--textures <dir>', 'NNN.png, mask.png, params.safetensors')
      .requiredOption('--model <file>', 'the face model whose layout the textures have')
      .addOption(
        new Option('--split <part>', 'every fifth person is held out as test')
          .choices(['train', 'test', 'all'])
          .default('all'),
      )
      .option('--views <number>', 'poses per person', whole(1, 10000), 16),
  )
    .addHelpText(
      'after',
      `
Examples:
  rescunet data textures --textures deep3d-204 --model bfm_3ddfa.safetensors --split train --out pairs
  rescunet data textures --textures deep3d-204 --model bfm_3ddfa.safetensors --split test --views 32 --out held-out`,
    )
    .action((options: TexturesOptions) =>
      run(options, async (reporter) => (await import('./run-data.js')).runTextures(options, reporter)),
    );
}
