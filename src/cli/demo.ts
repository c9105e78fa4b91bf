// rescunet demo: the whole way with a person who does not exist, so that nothing needs to be at hand.
import { type Command, Option } from 'commander';
import type { Run } from './command.js';
import { addReportOptions, yawOption } from './photo-options.js';
import { whole } from './values.js';

export interface DemoOptions {
  seed: number;
  out: string;
  yaw: number[];
  completion: 'generator' | 'mirror';
  fit: 'pixels' | 'landmarks';
  json?: boolean;
  quiet?: boolean;
}

export function addDemo(program: Command, run: Run): void {
  const command = program
    .command('demo')
    .description(
      'Draw a person, render a photo of it at yaw 45, and take it all the way: fit, unwrap, complete, turntable.',
    )
    .option('--seed <number>', 'which person', whole(0, 2 ** 31 - 1), 1)
    .option('--out <dir>', 'where results go', 'out')
    .addOption(yawOption());
  command.addOption(
    new Option('--completion <method>', 'how hidden parts are filled')
      .choices(['generator', 'mirror'])
      .default('generator'),
  );
  command.addOption(
    new Option('--fit <from>', "from pixels, given the face's box, or to the 68 landmarks that the renderer knows")
      .choices(['pixels', 'landmarks'])
      .default('pixels'),
  );
  addReportOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  rescunet demo
  rescunet demo --seed 7 --out person7
  rescunet demo --completion mirror --fit landmarks
  rescunet demo --yaw -40,0,40 --json`,
    )
    .action((options: DemoOptions) =>
      run(options, async (reporter) => (await import('./run-demo.js')).runDemo(options, reporter)),
    );
}
