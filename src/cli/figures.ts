// rescunet figures: the pictures of a run and of its evaluations, and one page with all of them.
import type { Command } from 'commander';
import type { Run } from './command.js';
import { addReportOptions } from './photo-options.js';
import { whole } from './values.js';

export interface FiguresOptions {
  run: string;
  out?: string;
  people: number;
  json?: boolean;
  quiet?: boolean;
}

export function addFigures(program: Command, run: Run): void {
  const command = program
    .command('figures')
    .description('Draw what a run left behind: curves, sheets, attention, ROC and accuracy by pose, in one HTML page.')
    .requiredOption('--run <dir>', 'a folder of `rescunet train`, or of results of `rescunet eval`')
    .option('--out <dir>', 'where report.html and the PNG files go (default: RUN/figures)')
    .option('--people <number>', 'people of the validation pairs with a sheet each; 0 draws none', whole(0, 1000), 3);
  addReportOptions(command)
    .addHelpText(
      'after',
      `
Evaluations are found by their results.json in RUN and up to two folders below it. The page needs no network and no other file.

Examples:
  rescunet figures --run runs/attention-rescunet
  rescunet eval uv --data held-out --weights runs/a/best.safetensors --out runs/a/uv && rescunet figures --run runs/a --people 5
  rescunet figures --run table2 --out pictures`,
    )
    .action((options: FiguresOptions) =>
      run(options, async (reporter) => (await import('./run-figures.js')).runFigures(options, reporter)),
    );
}
