// Faces for training at poses that a set lacks (paper-spec 10): which photos of a folder per identity are taken, and the views of
// one photo. Contract: what is taken depends on the folder and the options alone, so that a run that was cut short goes on alike.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { FormatError } from '../../formats/error.js';
import type { MorphableModel } from '../../models/morphable.js';
import { tensor } from '../../tensor/create.js';
import type { CompleteOptions } from '../complete.js';
import type { Fit } from '../fit-face.js';
import { crop, type Pixels } from '../image.js';
import type { Colour } from '../overlay.js';
import { completeFit, TURNTABLE } from '../synthesise.js';
import { ARCFACE_CROP, alignFace, type CropLayout, fivePoints } from './align.js';
import { poseCrop } from './frontal.js';

/** A photo of an identity, and the start of the names of what is made of it. */
export interface IdentityPhoto {
  identity: string;
  file: string;
  stem: string;
}

const PHOTO = /\.(jpe?g|png|webp|gif|tiff?)$/i;

/**
 * The photos of a folder that holds one folder per identity, at most `most` of each, spread evenly over them in the order of their
 * names. Throws FormatError for a folder without any.
 */
export function identityPhotos(folder: string, most = Number.POSITIVE_INFINITY): IdentityPhoto[] {
  let entries: string[];
  try {
    entries = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map(({ name }) => name)
      .sort();
  } catch {
    throw new FormatError(folder, 'folder', 'cannot be read');
  }
  const photos = entries.flatMap((identity) => {
    const names = readdirSync(path.join(folder, identity)).filter((name) => PHOTO.test(name) && !name.startsWith('.'));
    names.sort();
    const count = Math.min(names.length, most);
    const taken = Array.from({ length: count }, (_, i) => names[Math.floor((i * names.length) / count)]);
    const stems = taken.map((name) => path.parse(name).name.toLowerCase());
    return taken.map((name, i): IdentityPhoto => {
      const { name: stem } = path.parse(name);
      const alone = stems.indexOf(stems[i]) === stems.lastIndexOf(stems[i]);
      return { identity, file: path.join(folder, identity, name), stem: alone ? stem : name.replaceAll('.', '_') };
    });
  });
  if (photos.length > 0) return photos;
  throw new FormatError(folder, 'folder', 'holds no photos in folders, one for each identity');
}

export interface AugmentOptions extends CompleteOptions {
  model: MorphableModel;
  /** Degrees; -80 to 80 in steps of 20 unless told otherwise. */
  yaw?: readonly number[];
  layout?: CropLayout;
  /** Behind the face: a colour, or the photo's own surroundings, blurred. */
  background?: Colour | 'photo';
  /** Side of the UV map in pixels. */
  size?: number;
}

export interface AugmentedFace {
  /** Undefined for the photo's own crop. */
  yaw: number | undefined;
  crop: Pixels;
}

/**
 * The photo's own aligned crop, and the completed face at each yaw, aligned alike. Of the photo's surroundings only their light and
 * colour stay: sharp ones would show the photo's face beside the turned one (our choice). Throws ShapeError.
 */
export async function augmentFace(photo: Pixels, fit: Fit, options: AugmentOptions): Promise<AugmentedFace[]> {
  const { model, yaw = TURNTABLE, layout = ARCFACE_CROP, background = [0, 0, 0], size, ...completion } = options;
  const own = alignFace(photo, fivePoints(fit.landmarks), layout);
  const behind = background === 'photo' ? await surroundings(photo, fit, layout) : background;
  const { unwrapped, completed, mesh } = completeFit(photo, fit, model, { size, ...completion });
  const faces: AugmentedFace[] = [{ yaw: undefined, crop: own }];
  for (const angle of yaw) faces.push({ yaw: angle, crop: poseCrop(mesh, model, { yaw: angle }, layout, behind) });
  for (const t of [unwrapped.texture, unwrapped.mask, unwrapped.confidence, completed]) t.dispose();
  if (!Array.isArray(behind)) (behind as { dispose(): void }).dispose();
  return faces;
}

/** A square twice as wide as the landmarks, at the crop's size and blurred. */
async function surroundings(photo: Pixels, fit: Fit, { height, width }: CropLayout) {
  const xs = Array.from({ length: 68 }, (_, i) => fit.landmarks[3 * i]);
  const ys = Array.from({ length: 68 }, (_, i) => fit.landmarks[3 * i + 1]);
  const middle = (values: number[]) => (Math.min(...values) + Math.max(...values)) / 2;
  const side = 2 * Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
  const clamp = (v: number, last: number) => Math.round(Math.max(0, Math.min(last, v)));
  const [left, right] = [-1, 1].map((sign) => clamp(middle(xs) + (sign * side) / 2, photo.width));
  const [top, bottom] = [-1, 1].map((sign) => clamp(middle(ys) + (sign * side) / 2, photo.height));
  const part = crop(
    photo,
    Math.min(left, photo.width - 1),
    Math.min(top, photo.height - 1),
    Math.max(1, right - left),
    Math.max(1, bottom - top),
  );
  const { data } = await sharp(part.data, { raw: { width: part.width, height: part.height, channels: 3 } })
    .resize(width, height, { fit: 'fill' })
    .blur(width / 10)
    .raw()
    .toBuffer({ resolveWithObject: true });
  return tensor(new Float32Array(data), { shape: [height, width, 3] });
}
