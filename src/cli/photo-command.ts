// What fit, unwrap, complete and synth have in common: each does all that the one before does, and one thing more.
import type { Command } from 'commander';
import type { Run } from './command.js';
import {
  addBatchOptions,
  addCompletionOptions,
  addFitOptions,
  addMapOptions,
  addOutputOptions,
  addPhotosArgument,
  addPoseOptions,
  addReportOptions,
  type PhotoOptions,
} from './photo-options.js';

/** How far a photo is taken, in order. */
export const STAGES = ['fit', 'unwrap', 'complete', 'synth'] as const;
export type Stage = (typeof STAGES)[number];

/** Whether a command that ends with `last` gets as far as `stage`. */
export const reaches = (last: Stage, stage: Stage): boolean => STAGES.indexOf(last) >= STAGES.indexOf(stage);

export interface PhotoCommand {
  name: Stage;
  description: string;
  examples: string;
}

export function addPhotoCommand(program: Command, run: Run, { name, description, examples }: PhotoCommand): void {
  const command = program.command(name).description(description);
  addPhotosArgument(command);
  addFitOptions(command);
  if (reaches(name, 'unwrap')) addMapOptions(command);
  if (reaches(name, 'complete')) addCompletionOptions(command);
  if (reaches(name, 'synth')) addPoseOptions(command);
  addOutputOptions(command);
  addBatchOptions(command);
  addReportOptions(command)
    .addHelpText('after', examples)
    .action((inputs: string[], options: PhotoOptions) =>
      run(options, async (reporter) => (await import('./run-photos.js')).runPhotos(name, inputs, options, reporter)),
    );
}
