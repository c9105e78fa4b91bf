// rescunet embed: what a recogniser makes of the faces of photos.
import type { Command } from 'commander';
import type { Run } from './command.js';
import { addFitOptions, addPhotosArgument, addReportOptions, type FaceOptions } from './photo-options.js';

export interface EmbedCommandOptions extends FaceOptions {
  recogniser?: string;
  out?: string;
  crops?: string;
  json?: boolean;
  quiet?: boolean;
}

export function addEmbed(program: Command, run: Run): void {
  const command = program
    .command('embed')
    .description('Embeddings of the faces of photos, to be compared by cosine; prints how alike each is to the first.');
  addPhotosArgument(command);
  addFitOptions(command)
    .option('--recogniser <file>', 'its weights, e.g. mobilefacenet_casia_068.safetensors or an IR-18 to 100')
    .option('--out <file>', 'write all embeddings to FILE, .json or .safetensors')
    .option('--crops <dir>', 'write the aligned crops to DIR');
  addReportOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  rescunet embed a.jpg b.jpg --weights-dir weights --model bfm_3ddfa.safetensors
  rescunet embed album/ --faces all --weights-dir weights --model bfm_3ddfa.safetensors --out album.safetensors
  rescunet embed a.jpg --landmarks a.json --recogniser mobilefacenet_casia_068.safetensors --json`,
    )
    .action((inputs: string[], options: EmbedCommandOptions) =>
      run(options, async (reporter) => (await import('./run-embed.js')).runEmbed(inputs, options, reporter)),
    );
}
