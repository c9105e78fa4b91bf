// rescunet synth: from photos to faces at new poses, in one go.
import type { Command } from 'commander';
import type { Run } from './command.js';
import { addPhotoCommand } from './photo-command.js';

export const addSynth = (program: Command, run: Run): void =>
  addPhotoCommand(program, run, {
    name: 'synth',
    description: 'Photos in, faces at new poses out (complete, then views/ and the contact sheet sheet.png).',
    examples: `
Examples:
  rescunet synth photo.jpg --yaw -80:80:20 --out dir --model bfm_3ddfa.safetensors --weights-dir weights
  rescunet synth "album/**/*.jpg" --yaw -30,0,30 --pitch -15:15:15 --model bfm_3ddfa.safetensors --weights-dir weights
  rescunet synth photo.jpg --landmarks points.json --view-size 512
A run that was killed goes on where it stopped: finished photos are left as they are, unless --force.`,
  });
