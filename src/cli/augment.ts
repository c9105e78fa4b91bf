// rescunet augment: a training set of faces at poses that its photos lack.
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Run } from './command.js';
import {
  addCompletionOptions,
  addFitOptions,
  addMapOptions,
  addOutputOptions,
  addReportOptions,
  type PhotoOptions,
  yawOption,
} from './photo-options.js';
import { whole } from './values.js';

export interface AugmentCommandOptions extends PhotoOptions {
  perIdentity: number;
  background: 'black' | 'grey' | 'photo';
  /** This one's number, from 1, of so many that share the work. */
  part: [number, number];
}

function part(text: string): [number, number] {
  const [, number, of] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (!(Number(number) >= 1 && Number(number) <= Number(of))) {
    throw new InvalidArgumentError('A part is number/of, e.g. 1/4.');
  }
  return [Number(number), Number(of)];
}

export function addAugment(program: Command, run: Run): void {
  const command = program
    .command('augment')
    .description(
      'Turn each identity of a folder to poses it lacks: completed faces, aligned for training a recogniser.',
    )
    .argument('<folder>', 'one folder of photos for each identity');
  addFitOptions(command);
  addMapOptions(command);
  addCompletionOptions(command)
    .addOption(yawOption())
    .option('--per-identity <images>', 'about so many images of each identity', whole(1, 100_000), 300)
    .addOption(
      new Option('--background <what>', 'behind the face').choices(['black', 'grey', 'photo']).default('photo'),
    )
    .addOption(
      new Option('--part <number/of>', 'take every so many-th photo; processes or machines may share one --out')
        .argParser(part)
        .default([1, 1], '1/1'),
    );
  addOutputOptions(command);
  addReportOptions(command)
    .addHelpText(
      'after',
      `
Writes OUT/IDENTITY/PHOTO_photo.png and PHOTO_yaw+20.png, ..., 112x112 on ArcFace's template, and OUT/manifest.json. A run that was
cut short goes on where it was; photos that fail are listed.

Examples:
  rescunet augment casia --out augmented --weights-dir weights --model bfm_3ddfa.safetensors
  rescunet augment casia --out augmented --part 2/4 --generator generator.safetensors --weights-dir weights --model bfm.safetensors`,
    )
    .action((folder: string, options: AugmentCommandOptions) =>
      run(options, async (reporter) => (await import('./run-augment.js')).runAugment(folder, options, reporter)),
    );
}
