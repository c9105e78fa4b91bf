// From a photo to a face: where it is, its pose, shape and expression, by the 62-parameter regressor, by a cascade, or from 68 landmarks.
// Contract: a Fit speaks of the photo's pixels (x right, y down, pixel centres at integers, z larger nearer); its `vertices` are
// `camera` applied to the model's shape, nothing else.
import { FitError, fitLandmarks } from '../models/fitter.js';
import type { MorphableModel } from '../models/morphable.js';
import type { Roi } from '../models/parameters62.js';
import { affineFromPose, eulerFromQuaternion, poseFromAffine } from '../models/pose.js';
import { tensor } from '../tensor/create.js';
import { Tensor } from '../tensor/tensor.js';
import type { FaceDetector } from './detect.js';
import { cascadeRegression } from './fit-cascade.js';
import { type Fit, placedBy } from './fit-face.js';
import type { Fitter } from './fitters.js';
import { crop, type Pixels, resizeBilinear, toPixels, toTensor } from './image.js';
import { refineFit } from './refine.js';
import { type Box, boxOf, checkBox, type FaceAnswer, type Regression } from './regression.js';
import { type Regressor, regression62 } from './regression62.js';
import { turnFitBack, turnPixels } from './turn.js';

export interface FitPhotoOptions {
  model: MorphableModel;
  regressor?: Regressor;
  /** A cascade for this model (`loadFitter`), instead of a regressor. */
  fitter?: Fitter;
  detector?: FaceDetector;
  /** Where the face is, instead of a detector. */
  box?: Box;
  /** The box around its landmarks, instead of a detector. */
  extent?: Box;
  /** The network's square itself. */
  roi?: Roi;
  /** [68, 2] in pixels: the face is fitted to them and no network is asked. */
  landmarks?: ArrayLike<number>;
  /** Of the faces detected, all (the largest first) or the largest only. */
  faces?: 'all' | 'largest';
  /** How often the regressor looks: 2 looks again in the square of the landmarks that the first look gave. 1 by default, as 3DDFA_V2 does. */
  passes?: Passes;
  /** Then bring the face nearer to the photo itself, by `refineFit`. */
  refine?: boolean;
}

export type Passes = 1 | 2;

/**
 * Fits the model to the faces of a photo (pixels, or a tensor [h, w, 3] in 0..255): to `landmarks` where they are given, else by the regressor or
 * cascade in `roi`, in the square of `box` or `extent`, or in the squares of what the detector finds; where its surest face shows clearly
 * better on a side or upside down, the photo is taken turned so. No face found gives an empty list.
 * Throws FitError or FaceModelError, before any work, when something that is needed was not given.
 */
export async function fitPhoto(photo: Pixels | Tensor, options: FitPhotoOptions): Promise<Fit[]> {
  const { model, detector, box, extent, roi, landmarks, faces = 'all', passes = 1, refine = false } = options;
  const finished = (seen: Pixels, fits: Fit[]): Fit[] =>
    refine ? fits.map((fit) => refineFit(seen, fit, { model })) : fits;
  if (landmarks) return finished(toPixels(photo), [fitToLandmarks(model, landmarks)]);
  const regression = regressionOf(options);
  const fitted = async (seen: Pixels, first: readonly Place[]): Promise<Fit[]> => {
    const fits = await regress(seen, first, model, regression);
    if (passes === 1) return finished(seen, fits);
    const places = fits.map((fit) => placeOf(fit, seen, regression));
    return finished(seen, await regress(seen, places, model, regression));
  };
  const { roiOfBox, roiOfExtent } = regression;
  if (roi) return fitted(toPixels(photo), [{ roi: checkBox('roi', roi) }]);
  if (box) return fitted(toPixels(photo), [{ box, roi: roiOfBox(checkBox('box', box)) }]);
  if (extent) return fitted(toPixels(photo), [{ box: extent, roi: roiOfExtent(checkBox('extent', extent)) }]);
  if (!detector) throw new FitError('fitPhoto: wanted a detector, a box, a roi or landmarks, got none');
  const { places, turned, quarters } = await findPlaces(photo, detector, roiOfBox);
  const area = ({ box: [l, t, r, b] = [0, 0, 0, 0] }: Place) => (r - l) * (b - t);
  places.sort((a, b) => area(b) - area(a));
  const wanted = faces === 'largest' ? places.slice(0, 1) : places;
  if (wanted.length === 0) return [];
  const fits = await fitted(turned, wanted);
  const [height, width] = photo instanceof Tensor ? photo.shape : [photo.height, photo.width];
  return fits.map((fit) => turnFitBack(fit, quarters, { width, height }));
}

/** From this score on a detector is sure of a face; a turned view has to be as sure, and its odds so many times those of the one before. */
const SURE = 0.9;
const CLEARLY = 3;
/**
 * Detectors are sure of upside-down faces too, so the surest face is looked at again alone and in all four directions: the part of the photo around
 * it in sides of its box, and the size in pixels it is brought to. All four numbers are our choice on 31 photos turned by quarters: FaceBoxes and
 * MTCNN take every one the right way up; at 96 pixels FaceBoxes leaves 9 upside down.
 */
const AROUND = 1.6;
const LOOK = 128;

const surest = (places: readonly Place[]) => Math.max(0, ...places.map(({ score = 0 }) => score));

/** Faces of the photo as it is, or turned by the quarter in which its surest face shows best. */
async function findPlaces(
  photo: Pixels | Tensor,
  detector: FaceDetector,
  roiOfBox: Regression['roiOfBox'],
): Promise<{ places: Place[]; turned: Pixels; quarters: number }> {
  const detect = async (seen: Pixels | Tensor): Promise<Place[]> => {
    const image = seen instanceof Tensor ? seen : toTensor(seen, 'u8');
    const found = await detector.detect(image);
    if (image !== seen) image.dispose();
    return found.map(({ left, top, right, bottom, score }): Place => {
      const around: Box = [left, top, right, bottom];
      return { box: around, score, roi: roiOfBox(around) };
    });
  };
  const places = await detect(photo);
  const pixels = toPixels(photo);
  const views = [0, 1, 2, 3].map((quarters) => () => turnPixels(pixels, quarters));
  if (surest(places) < SURE) {
    const found = [places];
    for (const view of views.slice(1)) found.push(await detect(view()));
    const quarters = clearest(found.map(surest));
    return { places: found[quarters], turned: views[quarters](), quarters };
  }
  const best = places.find(({ score }) => score === surest(places))?.box ?? [0, 0, 0, 0];
  const quarters = clearest((await detect(fourViews(pixels, best)).then(byQuadrant)).map(surest));
  const again = quarters === 0 ? places : await detect(views[quarters]());
  if (quarters === 0 || surest(again) < SURE) return { places, turned: pixels, quarters: 0 };
  return { places: again, turned: views[quarters](), quarters };
}

/** The quarter whose score is sure and clearly better than those before: upright, on a side, on the other, upside down. */
function clearest(scores: readonly number[]): number {
  const odds = (probability: number) => probability / (1 - probability);
  let best = 0;
  for (const quarters of [1, 3, 2]) {
    if (scores[quarters] >= SURE && odds(scores[quarters]) > CLEARLY * odds(scores[best])) best = quarters;
  }
  return best;
}

/** A face in all four directions, in one picture of two by two: to look once takes less time than four times. */
function fourViews(photo: Pixels, [left, top, right, bottom]: Box): Pixels {
  const side = Math.max(1, Math.round(AROUND * Math.max(right - left, bottom - top)));
  const alone = crop(photo, Math.round((left + right - side) / 2), Math.round((top + bottom - side) / 2), side, side);
  const small = resizeBilinear(alone, LOOK, LOOK);
  const data = new Uint8Array(12 * LOOK * LOOK);
  for (let quarters = 0; quarters < 4; quarters++) {
    const view = turnPixels(small, quarters).data;
    const corner = 3 * LOOK * ((quarters >> 1) * 2 * LOOK + (quarters & 1));
    for (let y = 0; y < LOOK; y++) data.set(view.subarray(3 * LOOK * y, 3 * LOOK * (y + 1)), corner + 6 * LOOK * y);
  }
  return { data, width: 2 * LOOK, height: 2 * LOOK };
}

/** What was found in each part of `fourViews`. */
const byQuadrant = (places: readonly Place[]): Place[][] =>
  [0, 1, 2, 3].map((quarters) =>
    places.filter(({ box: [left, top, right, bottom] = [0, 0, 0, 0] }) => {
      const [x, y] = [Number(left + right >= 2 * LOOK), Number(top + bottom >= 2 * LOOK)];
      return 2 * y + x === quarters;
    }),
  );

interface Place {
  box?: Box;
  score?: number;
  roi: Roi;
}

/** Where a second look at a fitted face goes: its landmarks' square, or the first one again where they lie outside the photo. */
function placeOf({ box, score, roi, landmarks }: Fit, photo: Pixels, { roiOfExtent }: Regression): Place {
  const around = roiOfExtent(boxOf(landmarks, 3));
  const usable = overlaps(around, photo) && around[2] - around[0] >= 2;
  return { box, score, roi: usable || !roi ? around : roi };
}

/** The network that the options name. Throws FitError or FaceModelError. */
function regressionOf({ model, regressor, fitter }: FitPhotoOptions): Regression {
  if (fitter) return cascadeRegression(fitter);
  if (regressor) return regression62(model, regressor);
  throw new FitError('fitPhoto: wanted a regressor, a fitter or landmarks, got none');
}

async function regress(
  photo: Pixels,
  places: readonly Place[],
  model: MorphableModel,
  { side, crop, answer }: Regression,
): Promise<Fit[]> {
  const size = 3 * side * side;
  const crops = new Uint8Array(places.length * size);
  places.forEach(({ roi }, i) => {
    crops.set(crop(photo, checkOverlap(roi, photo)).data, i * size);
  });
  const input = tensor(crops, { shape: [places.length, side, side, 3], dtype: 'u8' });
  const rois = places.map(({ roi }) => roi);
  const answers = await answer(input, rois).finally(() => input.dispose());
  return answers.map((face, i) => fitOf(model, face, places[i]));
}

function fitOf(
  model: MorphableModel,
  { parameters, alpha, beta, upright }: FaceAnswer,
  { box, score, roi }: { box?: Box; score?: number; roi: Roi },
): Fit {
  const { angles, f } = poseFromAffine(upright);
  const placed = placedBy(model, alpha, beta, upright);
  const method = 'regressor';
  return { method, box, score, roi, parameters, alpha, beta, ...angles, scale: f, ...placed, rmse: undefined };
}

function fitToLandmarks(model: MorphableModel, landmarks: ArrayLike<number>): Fit {
  const { pose, scale, alpha, beta, rmse } = fitLandmarks(model, landmarks);
  const placed = placedBy(model, alpha, beta, affineFromPose(pose));
  const angles = eulerFromQuaternion(pose.q);
  const none = { score: undefined, roi: undefined, parameters: undefined };
  return { method: 'landmarks', box: boxOf(landmarks, 2), ...none, alpha, beta, ...angles, scale, ...placed, rmse };
}

const overlaps = ([left, top, right, bottom]: Roi, { width, height }: Pixels): boolean =>
  left < width && top < height && right > 0 && bottom > 0;

function checkOverlap(roi: Roi, photo: Pixels): Roi {
  if (overlaps(roi, photo)) return roi;
  const { width, height } = photo;
  throw new FitError(`fitPhoto: the roi ${roi.map(Math.round)} lies outside the photo of ${width}x${height}`);
}
