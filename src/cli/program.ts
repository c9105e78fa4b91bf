// The command line as a whole: its commands, how their errors end, and the exit code. Contract: importing this file and the
// commands loads neither engine nor pipeline; each action imports what it needs.
import { Command, CommanderError } from 'commander';
import { addAugment } from './augment.js';
import { packageVersion, type Run } from './command.js';
import { addComplete } from './complete.js';
import { addData } from './data.js';
import { addDemo } from './demo.js';
import { addDetect } from './detect.js';
import { addEmbed } from './embed.js';
import { EXIT_CRASH, EXIT_OK, EXIT_USAGE, explain } from './errors.js';
import { addEval } from './eval.js';
import { addFigures } from './figures.js';
import { addFit } from './fit.js';
import { addInfo } from './info.js';
import { addModel } from './model.js';
import { addRender } from './render.js';
import { Reporter, type Streams } from './reporter.js';
import { addSynth } from './synth.js';
import { addTrain } from './train.js';
import { addUnwrap } from './unwrap.js';

/** Runs a command line (without node and script) and returns the exit code: 0 done, 2 the user can put it right, 1 a crash. */
export async function main(argv: readonly string[], streams: Streams = process): Promise<number> {
  let code: number = EXIT_OK;
  const program = new Command('rescunet')
    .description('From one face photo to its complete texture and to faces at new poses.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => streams.stdout.write(text),
      writeErr: (text) => streams.stderr.write(text),
      outputError: (text, write) =>
        write(
          `${text
            .trim()
            .replace(/^error: /, 'rescunet: ')
            .replace(/\s*\n\s*/g, ' ')} (--help shows the options)\n`,
        ),
      getOutHelpWidth: () => Math.min(streams.stdout.columns ?? 100, 120),
      getErrHelpWidth: () => Math.min(streams.stderr.columns ?? 100, 120),
    })
    .exitOverride()
    .addHelpText('after', EXAMPLES);
  const run: Run = async (options, work) => {
    const reporter = new Reporter(streams, options);
    try {
      code = await work(reporter);
    } catch (error) {
      const explained = explain(error);
      reporter.error(explained.message);
      if (explained.code === EXIT_CRASH) reporter.trace(error);
      code = explained.code;
    }
  };
  for (const add of [
    addDemo,
    addSynth,
    addDetect,
    addFit,
    addUnwrap,
    addComplete,
    addRender,
    addEmbed,
    addAugment,
    addModel,
    addData,
    addTrain,
    addEval,
    addFigures,
    addInfo,
  ]) {
    add(program, run);
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version end here too, with code 0; a bare `rescunet` prints its help to stderr, as an error.
    code = error.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
  }
  return code;
}

const EXAMPLES = `
Examples:
  rescunet demo                                   a person who does not exist, from photo to turntable, into out/
  rescunet synth photo.jpg --yaw -80:80:20 --out dir --model bfm_3ddfa.safetensors --weights-dir weights
  rescunet fit photo.jpg --landmarks points.json  without any weights, from 68 landmarks
  rescunet model inspect                          the face model that ships with the package

Exit codes: 0 all done; 2 an option, a file or a photo was no use (one line says which, the other photos are done);
1 a crash (RESCUNET_DEBUG=1 prints where).`;
