// The options that commands over photos share, declared once; each command takes the groups that mean something to it.
import { type Command, Option } from 'commander';
import type { Passes } from '../pipeline/fit.js';
import { angles, box, whole } from './values.js';
import type { WeightOptions } from './weights.js';

export interface OutputOptions {
  out: string;
  force?: boolean;
  json?: boolean;
  quiet?: boolean;
}

export interface FaceOptions extends WeightOptions {
  model?: string;
  box?: [number, number, number, number];
  landmarks?: string;
  faces: 'all' | 'largest';
  passes?: Passes;
  refine?: boolean;
}

export interface CompletionOptions {
  completion?: 'mirror' | 'generator';
  generator?: string;
  composite?: boolean;
}

export interface PoseOptions {
  yaw: number[];
  pitch: number[];
  roll: number[];
}

/** Everything a command over photos may have been given. */
export interface PhotoOptions extends OutputOptions, FaceOptions, CompletionOptions, Partial<PoseOptions> {
  /** Side of the UV map in pixels. */
  size?: number;
  /** Side of a view in pixels. */
  viewSize?: number;
  /** Processes that share the photos. */
  workers?: number;
  /** File for a table of all faces. */
  csv?: string;
}

export const addPhotosArgument = (command: Command): Command =>
  command.argument('<photos...>', 'photos, folders of photos, patterns such as "album/**/*.jpg"');

export const addReportOptions = (command: Command): Command =>
  command.option('--json', 'one JSON document on stdout').option('--quiet', 'print errors only');

export const addOutputOptions = (command: Command): Command =>
  command
    .option('--out <dir>', "where results go, each photo's in its own folder", 'out')
    .option('--force', 'do photos again that are already finished');

export const addBatchOptions = (command: Command): Command =>
  command
    .option('--workers <n>', 'processes that share the photos', whole(1, 256), 1)
    .option('--csv <file>', 'a table of all faces: box, score, pose, landmarks, parameters');

export const addDetectorOptions = (command: Command, { faces = true } = {}): Command => {
  command
    .addOption(new Option('--detector <name>', 'what finds faces').choices(['faceboxes', 'mtcnn']).default('faceboxes'))
    .option('--detector-weights <file>', 'its weights; for mtcnn the folder of its three files')
    .option('--weights-dir <dir>', 'folder of weights under their known names (else the environment RESCUNET_WEIGHTS)');
  if (!faces) return command;
  return command.addOption(
    new Option('--faces <which>', 'faces of a photo').choices(['all', 'largest']).default('largest'),
  );
};

export const addFitOptions = (command: Command): Command =>
  addDetectorOptions(command)
    .option('--model <file>', 'face model (default: the one that ships with the package)')
    .option(
      '--weights <file>',
      'weights of the 62-parameter regressor (mb05_120x120.pth) or of a cascade (default: the one that ships)',
    )
    .option('--box <l,t,r,b>', 'where the face is, in pixels, instead of a detector', box)
    .option(
      '--passes <n>',
      'looks of the network, the second at the square of its own landmarks (default: 2 for a cascade, 1 for the 62-parameter regressor)',
      whole(1, 2),
    )
    .option('--refine', 'then bring the fit nearer to the photo itself, by drawing it (a second or so per face)')
    .option('--landmarks <file>', '68 points (.json, .txt, .pts; or a folder of them) instead of a regressor');

export const addMapOptions = (command: Command): Command =>
  command.option('--size <pixels>', 'side of the UV map', whole(32, 4096), 256);

export const addCompletionOptions = (command: Command): Command =>
  command
    .addOption(
      new Option('--completion <method>', 'how hidden parts are filled (default: generator)').choices([
        'generator',
        'mirror',
      ]),
    )
    .option('--generator <file>', 'weights of a generator (default: the one that ships with the package)')
    .option(
      '--no-composite',
      "a generator's answer as it is; otherwise what the photo saw is kept, the rest blended in",
    );

const TURNTABLE = '-80:80:20';

export const yawOption = (): Option =>
  new Option('--yaw <degrees>', 'poses: a range start:stop:step, a list, or one angle')
    .argParser(angles)
    .default(angles(TURNTABLE), TURNTABLE);

export const addPoseOptions = (command: Command): Command =>
  command
    .addOption(yawOption())
    .addOption(new Option('--pitch <degrees>', 'the same, up and down').argParser(angles).default([0], '0'))
    .addOption(new Option('--roll <degrees>', 'the same, tilted').argParser(angles).default([0], '0'))
    .option('--view-size <pixels>', 'side of a view', whole(16, 4096), 256);
