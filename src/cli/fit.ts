// rescunet fit: the face model fitted to photos.
import type { Command } from 'commander';
import type { Run } from './command.js';
import { addPhotoCommand } from './photo-command.js';

export const addFit = (program: Command, run: Run): void =>
  addPhotoCommand(program, run, {
    name: 'fit',
    description: 'Fit the face model to photos: pose, shape, expression and 68 landmarks (photo.png, fit.json).',
    examples: `
Examples:
  rescunet fit photo.jpg --model bfm_3ddfa.safetensors --weights mb05_120x120.pth --detector-weights FaceBoxesProd.pth
  rescunet fit photo.jpg --model bfm_3ddfa.safetensors --weights-dir weights --json
  rescunet fit album --faces all --workers 4 --csv faces.csv --model bfm_3ddfa.safetensors --weights-dir weights
  rescunet fit photo.jpg --model bfm_3ddfa.safetensors --weights mb05_120x120.pth --box 120,80,360,340
  rescunet fit photo.jpg --refine --model bfm_3ddfa.safetensors --weights-dir weights
  rescunet fit photo.jpg --box 120,80,360,340      with the cascade and the face model of the package
  rescunet fit photo.jpg --landmarks points.json   without any weights, with the face model of the package`,
  });
