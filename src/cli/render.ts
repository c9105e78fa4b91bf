// rescunet render: views of faces that were completed before, or of photos.
import type { Command } from 'commander';
import type { Run } from './command.js';
import {
  addCompletionOptions,
  addFitOptions,
  addMapOptions,
  addPoseOptions,
  addReportOptions,
  type PhotoOptions,
} from './photo-options.js';

export interface RenderOptions extends Omit<PhotoOptions, 'out'> {
  out?: string;
}

export function addRender(program: Command, run: Run): void {
  const command = program
    .command('render')
    .description('Render faces at any pose, from the folders that `complete` and `synth` write, without fitting again.')
    .argument('<folders...>', 'folders with fit.json and completed.png; photos are completed first');
  addPoseOptions(command);
  addFitOptions(command);
  addMapOptions(command);
  addCompletionOptions(command);
  command
    .option('--out <dir>', 'where views go (default: into the folder rendered; for photos "out")')
    .option('--force', 'do photos again that are already finished');
  addReportOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  rescunet render out/photo --yaw -90:90:5 --view-size 512
  rescunet render out/* --yaw 0 --pitch -20,20 --out views`,
    )
    .action((inputs: string[], options: RenderOptions) =>
      run(options, async (reporter) => (await import('./run-render.js')).runRender(inputs, options, reporter)),
    );
}
