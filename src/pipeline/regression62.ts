// The 62-parameter regressor as 3DDFA_V2 uses it: its squares, its crop, and what its numbers say.
import { FaceModelError, type MorphableModel } from '../models/morphable.js';
import { CROP_SIDE, imageCamera62, type Roi, splitParameters62, unwhiten } from '../models/parameters62.js';
import type { Tensor } from '../tensor/tensor.js';
import { cropRoi, type Pixels, resizeBilinear } from './image.js';
import { type Box, boxOf, checkBox, type FaceAnswer, type Regression } from './regression.js';

/** What turns crops u8 [n, 120, 120, 3] (RGB) into whitened parameters [n, 62]; MobileNetV1 is one. */
export interface Regressor {
  predict(crops: Tensor): Promise<Float32Array>;
}

/** `fitPhoto` by the regressor. Throws FaceModelError for a model that is not 3DDFA's. */
export function regression62(model: MorphableModel, regressor: Regressor): Regression {
  checkStatistics(model);
  return {
    side: CROP_SIDE,
    roiOfBox: roiFromBox,
    roiOfExtent: roiFromExtent,
    crop: regressorCrop,
    async answer(crops, rois) {
      const output = await regressor.predict(crops);
      return rois.map((roi, i) => answer62(unwhiten(output.slice(62 * i, 62 * i + 62), model), roi));
    },
  };
}

function answer62(parameters: Float64Array, roi: Roi): FaceAnswer {
  const { alpha, beta } = splitParameters62(parameters);
  return { parameters, alpha, beta, upright: imageCamera62(parameters, roi, 1) };
}

/** The regressor's square of a face box: 3DDFA_V2's rule, 1.58 times its mean side and lowered by 14 %. Throws FitError. */
export function roiFromBox(box: Box): Roi {
  const [left, top, right, bottom] = checkBox('box', box);
  const old = (right - left + bottom - top) / 2;
  const x = right - (right - left) / 2;
  const y = bottom - (bottom - top) / 2 + 0.14 * old;
  const size = Math.floor(1.58 * old);
  return [x - size / 2, y - size / 2, x - size / 2 + size, y - size / 2 + size];
}

/** The regressor's square of landmarks [n, 2]: the diagonal of the square box around them. */
export const roiFromLandmarks = (landmarks: ArrayLike<number>): Roi => roiFromExtent(boxOf(landmarks, 2));

function roiFromExtent([left, top, right, bottom]: Box): Roi {
  const size = Math.SQRT2 * Math.max(right - left, bottom - top);
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  return [x - size / 2, y - size / 2, x + size / 2, y + size / 2];
}

/** The square of the photo that the regressor sees: sides rounded, black outside, 8-bit bilinear resizing -> 120x120. */
export const regressorCrop = (photo: Pixels, roi: Roi): Pixels =>
  resizeBilinear(cropRoi(photo, roi), CROP_SIDE, CROP_SIDE);

function checkStatistics(model: MorphableModel): void {
  const fits = model.parameterMean && model.identityCount >= 40 && model.expressionCount >= 10;
  if (fits) return;
  const what = 'has no statistics of the 62 parameters; the regressor needs the face model of 3DDFA, converted';
  throw new FaceModelError('parameter_mean', `${model.name} ${what}`);
}
