// rescunet data: training data to disk. Pairs of UV maps, drawn (synth-pie), from complete textures (textures) or from photos (folder, multipie,
// photos); drawn photos for fitters (synth-faces).
import { type Command, Option } from 'commander';
import type { Run } from './command.js';
import { addReportOptions } from './photo-options.js';
import { whole, within } from './values.js';
import type { WeightOptions } from './weights.js';

export interface PairOptions {
  out: string;
  size: number;
  seed: number;
  /** With --no-fit-error false. */
  fitError: boolean;
  shard: number;
  workers?: number;
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

/** Of the commands over photos. */
export interface PhotoPairOptions extends Omit<PairOptions, 'fitError' | 'seed'>, WeightOptions {
  model?: string;
  landmarks?: string;
  frontal: number;
  /** Of `photos` only. */
  seed?: number;
  fitError?: boolean;
  views?: number;
}

export interface SynthFacesOptions {
  people: number;
  firstPerson: number;
  views: number;
  side: number;
  seed: number;
  maxYaw: number;
  occluders: number;
  out: string;
  workers?: number;
  json?: boolean;
  quiet?: boolean;
}

const workersOption = (): Option =>
  new Option(
    '--workers <number>',
    'processes (default: one for each core); any number writes the same files',
  ).argParser(whole(1, 256));

const addPairOptions = (command: Command): Command =>
  addReportOptions(
    command
      .requiredOption('--out <dir>', 'where shards and manifest.json go; a run that was killed is taken up again')
      .option('--size <pixels>', 'side of the UV maps', whole(32, 1024), 128)
      .option('--seed <number>', 'what everything at random is drawn from', whole(0, 2 ** 31 - 1), 1)
      .option('--no-fit-error', 'unwrap on the true mesh instead of one that is slightly off, as a fitted one is')
      .option('--shard <pairs>', 'pairs per file', whole(1, 100000), 285)
      .addOption(workersOption()),
  );

const addPhotoPairOptions = (command: Command, perFile: string): Command =>
  addReportOptions(
    command
      .argument('<root>', 'folder of the photos')
      .requiredOption(
        '--out <dir>',
        'where shards, manifest.json and report.json go; a run that was killed is taken up again',
      )
      .option('--size <pixels>', 'side of the UV maps', whole(32, 1024), 256)
      .option('--model <file>', 'face model (default: the one that ships with the package)')
      .option('--weights <file>', 'weights of the 62-parameter regressor, e.g. mb05_120x120.pth')
      .addOption(
        new Option('--detector <name>', 'what finds faces').choices(['faceboxes', 'mtcnn']).default('faceboxes'),
      )
      .option('--detector-weights <file>', 'its weights; for mtcnn the folder of its three files')
      .option(
        '--weights-dir <dir>',
        'folder of weights under their known names (else the environment RESCUNET_WEIGHTS)',
      )
      .option(
        '--landmarks <dir>',
        '68 points for each photo (its path below the root, .json, .txt or .pts) instead of networks',
      )
      .option('--frontal <degrees>', 'greatest yaw of a photo that a target is built on', whole(1, 60), 20)
      .option('--shard <number>', `${perFile} per file`, whole(1, 100000), 16)
      .addOption(workersOption()),
  );

export function addData(program: Command, run: Run): void {
  const data = program
    .command('data')
    .description('Make training data: pairs of incomplete and complete UV maps, or photos that fitters learn from.')
    .addHelpText(
      'after',
      `
Examples:
  rescunet data synth-pie --identities 20 --out pairs
  rescunet data folder album --out pairs
  rescunet data COMMAND --help   for what each of them wants`,
    );
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
  addReportOptions(
    data
      .command('synth-faces')
      .description('Photos of people who do not exist, which a fitter is trained on (rescunet train --task fitter).')
      .requiredOption('--people <number>', 'how many people, those held out included', whole(1, 1000000))
      .requiredOption('--out <dir>', 'where person-NNNNNN.safetensors go; a run that was killed is taken up again')
      .option('--first-person <number>', 'number of the first; other ranges are other people', whole(0, 1000000), 0)
      .option('--views <number>', 'photos of each', whole(1, 100000), 64)
      .option('--side <pixels>', 'side of the photos', whole(16, 1024), 120)
      .option('--seed <number>', 'what everything at random is drawn from', whole(0, 2 ** 31 - 1), 1)
      .option('--max-yaw <degrees>', 'greatest turn to either side', within(0, 90), 90)
      .option('--occluders <share>', 'of the photos with something before the face', within(0, 1), 0.35)
      .addOption(workersOption()),
  )
    .addHelpText(
      'after',
      `
Training reads them where its configuration says data.keep; people, views, side, seed, maxYaw and occluders have to be the same there
(people: data.people + 2 * data.held).

Examples:
  rescunet data synth-faces --people 1128 --out photos
  rescunet train fitter.yaml --set data.keep=photos`,
    )
    .action((options: SynthFacesOptions) =>
      run(options, async (reporter) => (await import('./run-data.js')).runSynthFaces(options, reporter)),
    );
  const photoCommand = (
    kind: 'folder' | 'multipie' | 'photos',
    { about, perFile, help }: { about: string; perFile: string; help: string },
  ): Command =>
    addPhotoPairOptions(data.command(kind).description(about), perFile)
      .addHelpText('after', help)
      .action((root: string, options: PhotoPairOptions) =>
        run(options, async (reporter) => (await import('./run-data.js')).runPhotoPairs(kind, root, options, reporter)),
      );
  photoCommand('folder', {
    about: 'ROOT/SUBJECT/*.jpg: views of one person share a target, blended from those nearest to yaw 0, -30 and 30.',
    perFile: 'subjects',
    help: `
The photos of a folder should be in one light: they share their target. Photos without a usable face, and folders without a
near-frontal photo, are left out and listed with the reason in report.json and manifest.json.

Examples:
  rescunet data folder people --weights-dir weights --model bfm_3ddfa.safetensors --out pairs
  rescunet data folder people --landmarks people-landmarks --size 128 --workers 4 --out pairs --json`,
  });
  photoCommand('multipie', {
    about:
      'Multi-PIE: SSS_NN_RR_CCC_II.png anywhere below ROOT, a target per subject, session, recording and illumination.',
    perFile: 'targets',
    help: `
Cameras 05_1, 13_0 and 04_1 (0, -30, 30 degrees) are blended into the target; all 15 give pairs. A photo that is fitted more than
30 degrees from where its camera stands is left out.

Examples:
  rescunet data multipie Multi-Pie/data --weights-dir weights --model bfm_3ddfa.safetensors --out pairs
  rescunet data multipie Multi-Pie/data --weights-dir weights --model bfm_3ddfa.safetensors --workers 8 --out pairs --json`,
  });
  photoCommand('photos', {
    about: 'Any photos below ROOT: near-frontal ones give targets and are seen again from random poses.',
    perFile: 'photos',
    help: `
What a photo does not show of its own face is completed by symmetry. The face is then drawn at random poses and unwrapped again,
on a mesh that is slightly off as a fitted one is.

Examples:
  rescunet data photos album --weights-dir weights --model bfm_3ddfa.safetensors --out pairs
  rescunet data photos album --weights-dir weights --model bfm_3ddfa.safetensors --views 8 --size 128 --out pairs`,
  })
    .option('--views <number>', 'poses per photo', whole(1, 1000), 4)
    .option('--seed <number>', 'what the poses are drawn from', whole(0, 2 ** 31 - 1), 1)
    .option('--no-fit-error', 'unwrap on the true mesh');
}
