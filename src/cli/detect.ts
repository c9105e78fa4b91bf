// rescunet detect: where the faces of photos are.
import type { Command } from 'commander';
import type { Run } from './command.js';
import { addDetectorOptions, addPhotosArgument, addReportOptions, type FaceOptions } from './photo-options.js';

export interface DetectOptions extends FaceOptions {
  out?: string;
  json?: boolean;
  quiet?: boolean;
}

export function addDetect(program: Command, run: Run): void {
  const command = program.command('detect').description('Find the faces of photos: boxes and scores, largest first.');
  addPhotosArgument(command);
  addDetectorOptions(command).option('--out <dir>', 'also write each photo with its boxes to DIR/<photo>/photo.png');
  addReportOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  rescunet detect photo.jpg --detector-weights FaceBoxesProd.safetensors
  rescunet detect album/ --faces all --weights-dir weights --json
  rescunet detect photo.jpg --detector mtcnn --detector-weights weights/ --out boxes`,
    )
    .action((inputs: string[], options: DetectOptions) =>
      run(options, async (reporter) => (await import('./run-detect.js')).runDetect(inputs, options, reporter)),
    );
}
