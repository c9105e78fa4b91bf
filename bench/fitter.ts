// `npm run bench:fitter -- FILE...`: NME of trained cascades, stage by stage, on drawn people. Contract: the same photos for every file; that
// nobody among them was trained on or had a say in which step is kept is for --first to see to.
import { parseArgs } from 'node:util';
import { readSafetensorsMetadata } from '../src/formats/safetensors.js';
import { keptFaces } from '../src/pipeline/dataset/face-store.js';
import { synthFaces } from '../src/pipeline/dataset/synth-faces.js';
import { loadFitter } from '../src/pipeline/fitters.js';
import { fittedFaces, landmarkErrors } from '../src/pipeline/train/fitter-score.js';
import { machine, whole, writeResult } from './report.js';

const { values: given, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    /** data.people + 2 * data.held of examples/configs/fitter.yaml. */
    first: { type: 'string', default: '576' },
    people: { type: 'string', default: '32' },
    views: { type: 'string', default: '48' },
    keep: { type: 'string' },
    json: { type: 'string' },
  },
});
if (files.length === 0) throw new RangeError('bench:fitter wants files of cascades (runs/NAME/fitter.safetensors)');
const drawn = {
  firstPerson: whole('first', given.first, 0),
  people: whole('people', given.people),
  views: whole('views', given.views),
};

const rows: Record<string, unknown>[] = [];
for (const file of files) {
  const fitter = loadFitter(file);
  const faces = synthFaces({ ...drawn, side: fitter.settings.side });
  const photos = given.keep ? keptFaces(faces, given.keep) : faces;
  const { loss, step } = readSafetensorsMetadata(file);
  for (let stages = 1; stages <= fitter.settings.stages; stages++) {
    const { bins, mean } = landmarkErrors(await fittedFaces(fitter, photos, { stages }), photos.model, photos.counts);
    rows.push({ file, network: fitter.settings.network, loss, step: Number(step), stages, bins, mean });
    const shown = Object.entries(bins).map(([name, value]) => `${name}: ${value.toFixed(2)}`);
    console.log(
      `${file}, stage ${stages} of ${fitter.settings.stages}: ${shown.join(', ')}, mean ${mean.toFixed(2)} %`,
    );
  }
}
if (given.json) writeResult(given.json, { bench: 'fitter', machine: machine(), drawn, rows });
