// Quarter turns: a photo turned, and a fit in the turned photo brought back. Contract: turning a photo moves whole pixels; a fit that
// was brought back speaks of the photo as it was, its `parameters` and `roi` excepted, which stay what the regressor saw.
import { poseFromAffine } from '../models/pose.js';
import type { Fit } from './fit-face.js';
import type { Pixels } from './image.js';

/** The image turned clockwise by quarters. */
export function turnPixels(image: Pixels, quarters: number): Pixels {
  let turned = image;
  for (let q = 0; q < quarters; q++) turned = quarter(turned);
  return turned;
}

function quarter({ data, width, height }: Pixels): Pixels {
  const out = new Uint8Array(data.length);
  // (x, y) goes to (height - 1 - y, x)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = 3 * (y * width + x);
      const to = 3 * (x * height + height - 1 - y);
      out[to] = data[from];
      out[to + 1] = data[from + 1];
      out[to + 2] = data[from + 2];
    }
  }
  return { data: out, width: height, height: width };
}

/** A fit of the turned photo as one of the photo of that size before it was turned. */
export function turnFitBack(fit: Fit, quarters: number, { width, height }: { width: number; height: number }): Fit {
  if (quarters === 0) return fit;
  const camera = Float64Array.from(fit.camera);
  const landmarks = Float32Array.from(fit.landmarks);
  const vertices = Float32Array.from(fit.vertices);
  let box = fit.box;
  for (let q = quarters; q > 0; q--) {
    // Before its q-th turn the photo was this high.
    const last = (q % 2 === 1 ? height : width) - 1;
    for (const points of [landmarks, vertices]) {
      for (let i = 0; i < points.length; i += 3) [points[i], points[i + 1]] = [points[i + 1], last - points[i]];
    }
    for (let c = 0; c < 4; c++) [camera[c], camera[4 + c]] = [camera[4 + c], (c === 3 ? last : 0) - camera[c]];
    if (box) box = [box[1], last - box[2], box[3], last - box[0]];
  }
  const upright = camera.map((m, i) => (i >= 4 && i < 8 ? -m : m));
  return { ...fit, ...poseFromAffine(upright).angles, camera, landmarks, vertices, box, turned: quarters };
}
