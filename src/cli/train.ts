// rescunet train: a completion network or a recogniser from a configuration file.
import type { Command } from 'commander';
import type { Run } from './command.js';
import { addReportOptions } from './photo-options.js';

export interface TrainOptions {
  resume?: boolean;
  set: string[];
  run?: string;
  init?: string;
  task?: string;
  json?: boolean;
  quiet?: boolean;
}

export function addTrain(program: Command, run: Run): void {
  const command = program
    .command('train [config]')
    .description(
      'Train a completion network, a fitter or a recogniser as a YAML file says; killed or stopped, it goes on where it was.',
    )
    .option('--resume', "go on from the run's newest checkpoint")
    .option('--set <key=value>', 'change a key of the file, e.g. optimiser.lr=2e-4; may be repeated', gathered, [])
    .option('--run <dir>', 'the folder of the run, instead of the key run')
    .option('--init <file>', 'write a configuration with every key, its default and what it does, and end')
    .option('--task <name>', 'what the file of --init trains: completion (unless given), fitter, recogniser');
  addReportOptions(command)
    .addHelpText(
      'after',
      `
The folder of a run holds checkpoints/, the newest network (generator.safetensors, recogniser.safetensors), best.safetensors,
metrics.jsonl and TensorBoard's events.
Ctrl-C finishes the step and writes a checkpoint (exit code 130); a second one ends at once.

Examples:
  rescunet train --init train.yaml
  rescunet train train.yaml
  rescunet train train.yaml --resume
  rescunet train --init recogniser.yaml --task recogniser
  rescunet train --init fitter.yaml --task fitter
  rescunet train recogniser --run runs/faces --set "data.train.folders=[casia]"    a task's defaults, no file
  rescunet train train.yaml --run runs/wide --set model.baseWidth=32 --set steps=20000
  tensorboard --logdir runs`,
    )
    .action((config: string | undefined, options: TrainOptions) =>
      run(options, async (reporter) => (await import('./run-train.js')).runTrain(config, options, reporter)),
    );
}

const gathered = (value: string, before: string[]): string[] => [...before, value];
