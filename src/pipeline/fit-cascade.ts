// A trained cascade as something that fits photos. Contract: it sees faces as large in the square as in its training.
import { splitParameters } from '../models/face-parameters.js';
import type { Roi } from '../models/parameters62.js';
import { affineFromPose } from '../models/pose.js';
import type { Tensor } from '../tensor/tensor.js';
import { FACE_SHARE, type Fitter, fitCrops } from './fitters.js';
import { cropRoi, type Pixels, resizeBilinear, roundRoi } from './image.js';
import type { Box, FaceAnswer, Regression } from './regression.js';

/** Side of the square around a face's landmarks, in sides of the box around them. */
const AROUND = 2 / (FACE_SHARE[0] + FACE_SHARE[1]);
/**
 * Landmarks' extent in sides of a detector's box, and how far below its middle they lie: where the squares that 3DDFA_V2 makes of boxes
 * and of landmarks are the same.
 */
const EXTENT = 1.58 / Math.SQRT2;
const BELOW = 0.14;

/** `fitPhoto` by a cascade. */
export function cascadeRegression(fitter: Fitter): Regression {
  const { side } = fitter.settings;
  return {
    side,
    roiOfBox([left, top, right, bottom]: Box): Roi {
      const size = (right - left + bottom - top) / 2;
      return square((left + right) / 2, (top + bottom) / 2 + BELOW * size, AROUND * EXTENT * size);
    },
    roiOfExtent: ([left, top, right, bottom]: Box): Roi =>
      square((left + right) / 2, (top + bottom) / 2, AROUND * Math.max(right - left, bottom - top)),
    crop: (photo, roi) => cascadeCrop(photo, roi, side),
    async answer(crops: Tensor, rois: readonly Roi[]): Promise<FaceAnswer[]> {
      const vectors = await fitCrops(fitter, crops);
      const d = fitter.start.length;
      return rois.map((roi, i) => {
        const parameters = Float64Array.from(vectors.subarray(i * d, (i + 1) * d));
        const { pose, alpha, beta } = splitParameters(parameters, fitter.cascade.counts);
        const upright = inPhoto(affineFromPose(pose), roi, side);
        return { parameters, alpha: Float64Array.from(alpha), beta: Float64Array.from(beta), upright };
      });
    },
  };
}

/** The square of the photo that a cascade sees, [side, side, 3]. */
export function cascadeCrop(photo: Pixels, roi: Roi, side: number): Pixels {
  let image = cropRoi(photo, roi);
  // Halves are means of four pixels, so that a large face is not sampled here and there.
  while (image.width >= 2 * side) image = resizeBilinear(image, image.height >> 1, image.width >> 1);
  return resizeBilinear(image, side, side);
}

const square = (x: number, y: number, size: number): Roi => [x - size / 2, y - size / 2, x + size / 2, y + size / 2];

/** A camera of the photo, y up, in the frame of a crop (y up, pixel (Vx, side - 1 - Vy)): the other way round of `inPhoto`. */
export function inCrop(camera: Float64Array, roi: Roi, side: number): Float64Array {
  const [left, top, right] = roundRoi(roi);
  const k = (right - left) / side;
  const out = camera.map((m) => m / k);
  out[3] += (0.5 - left) / k - 0.5;
  out[7] += (top - 0.5) / k + side - 0.5;
  return out;
}

/** A camera of the crop's frame in the photo's, y still up. */
function inPhoto(camera: Float64Array, roi: Roi, side: number): Float64Array {
  const [left, top, right] = roundRoi(roi);
  const k = (right - left) / side;
  const out = camera.map((m) => k * m);
  out[3] += left + 0.5 * k - 0.5;
  out[7] -= top + k * (side - 0.5) - 0.5;
  return out;
}
