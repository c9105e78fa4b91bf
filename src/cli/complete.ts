// rescunet complete: the whole texture of a face, hidden parts filled.
import type { Command } from 'commander';
import type { Run } from './command.js';
import { addPhotoCommand } from './photo-command.js';

export const addComplete = (program: Command, run: Run): void =>
  addPhotoCommand(program, run, {
    name: 'complete',
    description: 'Complete the UV maps of photos (unwrap, then completed.png and the face as OBJ and GLB).',
    examples: `
Examples:
  rescunet complete photo.jpg --model bfm_3ddfa.safetensors --weights-dir weights
  rescunet complete photo.jpg --model bfm_3ddfa.safetensors --weights-dir weights --generator generator.safetensors
  rescunet complete album/ --landmarks points/ --out faces`,
  });
