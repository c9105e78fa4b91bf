// Packs a trained network as the package carries it: half the bytes (bf16), and in words what it was trained on.
//   node scripts/ship.mjs runs/shipped-2/generator.safetensors assets/generator.safetensors "SynthPIE: ..."
import { statSync } from 'node:fs';
import { readSafetensors, readSafetensorsMetadata, writeSafetensors } from '../dist/formats/safetensors.js';

const [from, to, trainedOn] = process.argv.slice(2);
if (!trainedOn) throw new RangeError('usage: node scripts/ship.mjs FROM TO "what it was trained on"');
const metadata = { ...readSafetensorsMetadata(from), trainedOn };
// A fitter's mean and std say what its numbers mean: bf16 would shift them by more than a pixel.
writeSafetensors(to, readSafetensors(from), metadata, { dtype: 'bf16', exact: ['mean', 'std'] });
console.log(`${to}: ${statSync(to).size} bytes, ${JSON.stringify(metadata)}`);
