// Where brows, lips and eyes lie on a face model, as shares per vertex: what an unknown person's colours differ by most. Contract: found
// from the model's 68 landmarks by the painters that draw people, so every model with landmarks has them.
import { drawAppearance } from './appearance.js';
import { eyePainter, lipPainter } from './features-paint.js';
import { browCoverage } from './hair.js';
import { type FaceGeometry, faceLayout } from './layout.js';

/** Brow, lip, dark of the eye, white of the eye. */
export const REGIONS = 4;

/** Behind this, in millimetres of the layout, there is no face. */
const FRONT = -50;

/** [N, 4] shares 0..1 of the regions at each vertex; brows thick and straight lips, nobody's in particular (our choice). */
export function faceRegions(model: FaceGeometry): Float32Array {
  const layout = faceLayout(model);
  const look = {
    ...drawAppearance(1),
    skin: [128, 128, 128] as const,
    lips: [255, 255, 255] as const,
    gaze: [0, 0] as const,
    browLift: [0, 0] as const,
    browThickness: 9,
    browDensity: 1,
    makeUp: 0,
  };
  const brow = browCoverage(layout, look);
  const lip = lipPainter(layout, look);
  const eye = eyePainter(layout, look);
  const out = new Float32Array((REGIONS * layout.positions.length) / 3);
  for (let v = 0; v < layout.positions.length / 3; v++) {
    const [x, y, z] = layout.positions.subarray(3 * v, 3 * v + 3);
    if (z < FRONT) continue;
    const grey = eye(x, y, look.skin).reduce((sum, value) => sum + value / 3, 0) / 128 - 1;
    out.set([brow(x, y), lip(x, y, z, [0, 0, 0])[0] / 255, Math.max(0, -grey), Math.max(0, grey)], REGIONS * v);
  }
  return out;
}
