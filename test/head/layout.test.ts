// A model's texture layout brought to another's.
import { describe, expect, it } from 'vitest';
import { inLayoutOf } from '../../src/models/layout.js';
import { MorphableModel } from '../../src/models/morphable.js';
import { convertFaceModel, loadFaceModel } from '../../src/pipeline/face_model.js';
import { sharedPath } from '../shared.js';

const own = loadFaceModel();

/** Largest distance of a landmark from where the package's model has it, in pixels of a map of 256. */
const apart = ({ uv, landmarks }: MorphableModel): number =>
  Math.max(
    ...Array.from(landmarks, (vertex, i) => {
      const other = own.landmarks[i];
      return 255 * Math.hypot(uv[2 * vertex] - own.uv[2 * other], uv[2 * vertex + 1] - own.uv[2 * other + 1]);
    }),
  );

/** Triangles whose corners run the other way round than most. */
function turned({ uv, triangles }: MorphableModel): number {
  let [left, right] = [0, 0];
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [0, 1, 2].map((k) => 2 * triangles[t + k]);
    const area = (uv[b] - uv[a]) * (uv[c + 1] - uv[a + 1]) - (uv[c] - uv[a]) * (uv[b + 1] - uv[a + 1]);
    if (area > 0) left++;
    if (area < 0) right++;
  }
  return Math.min(left, right);
}

describe('inLayoutOf', () => {
  it('undoes a stretch and a shift', () => {
    const moved = new MorphableModel({ ...own, uv: own.uv.map((v, i) => (i % 2 ? 0.3 + 0.6 * v : 0.1 + 0.5 * v)) });
    expect(apart(moved)).toBeGreaterThan(20);
    const back = inLayoutOf(moved, own);
    back.uv.forEach((v, i) => {
      if (Math.abs(v - own.uv[i]) > 1e-4) throw new Error(`number ${i}: ${v}, was ${own.uv[i]}`);
    });
  });

  const bfm = sharedPath('data/bfm/bfm_3ddfa.safetensors');
  it.skipIf(!bfm)('brings the landmarks of the Basel model to 3 pixels, and folds nothing', () => {
    const model = convertFaceModel(bfm as string, { uv: 'cylindrical' });
    expect(apart(model)).toBeGreaterThan(30);
    const moved = inLayoutOf(model, own);
    expect(apart(moved)).toBeLessThan(3);
    expect(turned(moved)).toBeLessThanOrEqual(turned(model) + 2);
  });
});
