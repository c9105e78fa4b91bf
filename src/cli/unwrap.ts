// rescunet unwrap: what a photo shows of the face's texture.
import type { Command } from 'commander';
import type { Run } from './command.js';
import { addPhotoCommand } from './photo-command.js';

export const addUnwrap = (program: Command, run: Run): void =>
  addPhotoCommand(program, run, {
    name: 'unwrap',
    description: 'Unwrap the faces of photos into UV maps (fit, then incomplete.png and mask.png).',
    examples: `
Examples:
  rescunet unwrap photo.jpg --model bfm_3ddfa.safetensors --weights-dir weights --size 512
  rescunet unwrap photo.jpg --landmarks points.txt --out maps`,
  });
