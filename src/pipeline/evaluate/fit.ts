// How near fits come to annotated landmarks: the AFLW2000-3D protocol (paper-spec 9.5). Contract: every photo counts in every row; a face that
// a detector did not find is counted and has no error.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { isMatArray, readMat } from '../../formats/mat.js';
import { type FitPhotoOptions, fitPhoto, type Passes } from '../fit.js';
import { FIT_YAW_BINS, normalizedMeanError } from '../fit-error.js';
import type { Fit } from '../fit-face.js';
import { readPixels } from '../image.js';
import { refineFit } from '../refine.js';
import { boxOf } from '../regression.js';

/** An annotated photo. */
export interface FitSample {
  name: string;
  file: string;
  /** [68, 2] in pixels. */
  landmarks: Float32Array;
  /** Degrees. */
  yaw: number;
}

const POINTS = 68;
const ANNOTATIONS = 'annotations.json';
const PHOTO = /\.(jpe?g|png)$/i;
const DEGREES = 180 / Math.PI;

/**
 * AFLW2000-3D as it is published: image00002.jpg with image00002.mat beside it (`pt3d_68` [3, 68] in pixels, `Pose_Para` pitch, yaw, roll ... in
 * radians); or a folder of photos with annotations.json, which has the same by photo. Annotations of no use are listed under `skipped`, with the
 * reason. Throws FormatError for a folder that holds neither.
 */
export function readAflw2000(folder: string): { samples: FitSample[]; skipped: string[] } {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new FormatError(folder, 'folder', 'is not there');
  const listed = path.join(folder, ANNOTATIONS);
  const found = existsSync(listed) ? fromJson(folder, listed) : fromMat(folder);
  const samples: FitSample[] = [];
  const skipped: string[] = [];
  for (const { name, file, annotation } of found) {
    try {
      if (!existsSync(file)) throw new FormatError(file, 'photo', 'is not there');
      samples.push({ name, file, ...checked(file, annotation()) });
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      skipped.push(error.message);
    }
  }
  if (samples.length > 0) return { samples, skipped };
  const why = skipped[0] ?? `has neither ${ANNOTATIONS} nor photos with a .mat beside them`;
  throw new FormatError(folder, 'annotations', why);
}

/** Points by axis, x and y first, and angles in radians. */
interface Annotation {
  points: ArrayLike<number>[];
  pose: ArrayLike<number>;
}

interface Listed {
  name: string;
  file: string;
  annotation: () => Annotation;
}

function fromMat(folder: string): Listed[] {
  const names = readdirSync(folder).sort();
  const photos = new Map(names.filter((name) => PHOTO.test(name)).map((name) => [path.parse(name).name, name]));
  return names
    .filter((name) => name.endsWith('.mat'))
    .map((name) => {
      const stem = name.slice(0, -4);
      const annotation = () => {
        const file = path.join(folder, name);
        const { pt3d_68: points, Pose_Para: pose } = readMat(file, { only: ['pt3d_68', 'Pose_Para'] });
        if (!isMatArray(points) || points.shape.length !== 2) throw new FormatError(file, 'pt3d_68', 'wanted [3, 68]');
        if (!isMatArray(pose)) throw new FormatError(file, 'Pose_Para', 'wanted [1, 7]');
        const [axes, n] = points.shape;
        const axis = (c: number) => points.data.slice(c * n, (c + 1) * n);
        return { points: Array.from({ length: axes }, (_, c) => axis(c)), pose: pose.data };
      };
      return { name: stem, file: path.join(folder, photos.get(stem) ?? `${stem}.jpg`), annotation };
    });
}

/** {"folder/photo.jpg": {"pt3d_68": [[68 x], [68 y], [68 z]], "Pose_Para": [[pitch, yaw, roll, ...]]}}; only the photo's own name counts. */
function fromJson(folder: string, listed: string): Listed[] {
  let table: Record<string, { pt3d_68?: number[][]; Pose_Para?: number[][] } | undefined>;
  try {
    table = JSON.parse(readFileSync(listed, 'utf8'));
  } catch (error) {
    throw new FormatError(listed, 'JSON', (error as Error).message);
  }
  return Object.entries(table).map(([key, entry]) => {
    const base = path.posix.basename(key);
    const annotation = () => ({ points: entry?.pt3d_68 ?? [], pose: entry?.Pose_Para?.flat() ?? [] });
    return { name: path.parse(base).name, file: path.join(folder, base), annotation };
  });
}

function checked(
  file: string,
  { points: [x = [], y = []], pose }: Annotation,
): { landmarks: Float32Array; yaw: number } {
  const landmarks = Float32Array.from({ length: 2 * POINTS }, (_, i) => (i % 2 === 0 ? x : y)[i >> 1]);
  if (x.length !== POINTS || y.length !== POINTS || !landmarks.every(Number.isFinite)) {
    throw new FormatError(file, 'pt3d_68', 'wanted 68 finite points');
  }
  const yaw = pose[1] * DEGREES;
  if (!Number.isFinite(yaw)) throw new FormatError(file, 'Pose_Para', 'wanted pitch, yaw, roll in radians');
  return { landmarks, yaw };
}

/** Where the network's first square comes from: the annotated landmarks, as the published figures have it, or a detector. */
export const FIT_CROPS = ['landmarks', 'detector'] as const;
export type FitCrop = (typeof FIT_CROPS)[number];

export interface EvaluateFitOptions extends Pick<FitPhotoOptions, 'model' | 'regressor' | 'fitter' | 'detector'> {
  /** Every fit once more, refined (`refineFit`). */
  refine?: boolean;
  /** Called after each photo. */
  onPhoto?: (done: number, name: string) => void;
}

/** One way of fitting. */
export interface FitRow {
  crop: FitCrop;
  passes: Passes;
  refined: boolean;
  /** NME of the 68 landmarks in per cent, in the order of the photos; undefined where no face was found. */
  errors: (number | undefined)[];
  /** Its mean and the number of faces by |yaw| (FIT_YAW_BINS), only where there are any. */
  bins: { name: string; nme: number; faces: number }[];
  /** Mean over the bins, and over the faces. */
  mean: number;
  overFaces: number;
  missed: number;
}

/**
 * Fits every photo from every crop there is (without a detector the landmarks' alone), with one and with two passes,
 * and with `refine` each of these refined. Of several faces that a detector finds, the one nearest to the annotated one counts.
 * A photo that cannot be read throws its FormatError.
 */
export async function evaluateFit(
  samples: readonly FitSample[],
  { detector, refine = false, onPhoto, ...networks }: EvaluateFitOptions,
): Promise<FitRow[]> {
  const ways = FIT_CROPS.filter((crop) => crop === 'landmarks' || detector).flatMap((crop) =>
    ([1, 2] as const).flatMap((passes) =>
      [false, true]
        .slice(0, refine ? 2 : 1)
        .map((refined) => ({ crop, passes, refined, errors: [] as (number | undefined)[] })),
    ),
  );
  for (const [i, { name, file, landmarks }] of samples.entries()) {
    const photo = await readPixels(file);
    const extent = boxOf(landmarks, 2);
    const away = ({ box: [l, t, r, b] = extent }: Fit) =>
      Math.hypot(l + r - extent[0] - extent[2], t + b - extent[1] - extent[3]);
    for (const { crop, passes, refined, errors } of ways) {
      const from = crop === 'landmarks' ? { extent } : { detector };
      const fits = await fitPhoto(photo, { ...networks, passes, ...from });
      const nearest = fits.sort((a, b) => away(a) - away(b)).at(0);
      const fit = nearest && refined ? refineFit(photo, nearest, networks) : nearest;
      errors.push(fit && normalizedMeanError(flat(fit.landmarks), landmarks, 2));
    }
    onPhoto?.(i + 1, name);
  }
  return ways.map((way) => ({ ...way, ...summary(samples, way.errors) }));
}

/** x and y of points [n, 3]. */
const flat = (points: Float32Array): Float32Array => points.filter((_, i) => i % 3 !== 2);

function summary(
  samples: readonly FitSample[],
  errors: readonly (number | undefined)[],
): Pick<FitRow, 'bins' | 'mean' | 'overFaces' | 'missed'> {
  const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const within = (from: number, to: number) =>
    errors.filter((nme, i): nme is number => {
      const yaw = Math.abs(samples[i].yaw);
      return nme !== undefined && yaw >= from && yaw < to;
    });
  const bins = FIT_YAW_BINS.map(({ name, from, to }) => ({ name, found: within(from, to) }))
    .filter(({ found }) => found.length > 0)
    .map(({ name, found }) => ({ name, nme: average(found), faces: found.length }));
  const all = within(0, Infinity);
  return {
    bins,
    mean: average(bins.map(({ nme }) => nme)),
    overFaces: average(all),
    missed: errors.length - all.length,
  };
}

/** The rows as lines of a table for a terminal, or as Markdown. */
export function fitTable(rows: readonly FitRow[], markdown = false): string[] {
  const names = FIT_YAW_BINS.map(({ name }) => name);
  const header = ['crop', 'passes', 'refined', ...names, 'mean of bins', 'mean of faces', 'not found'];
  const cells = rows.map(({ crop, passes, refined, bins, mean, overFaces, missed }) => [
    crop,
    String(passes),
    refined ? 'yes' : 'no',
    ...names.map((name) => bins.find((bin) => bin.name === name)?.nme.toFixed(2) ?? '-'),
    mean.toFixed(2),
    overFaces.toFixed(2),
    String(missed),
  ]);
  if (markdown) {
    const line = (row: readonly string[]) => `| ${row.join(' | ')} |`;
    return [line(header), line(header.map(() => '---')), ...cells.map(line)];
  }
  const widths = header.map((_, c) => Math.max(...[header, ...cells].map((row) => row[c].length)));
  return [header, ...cells].map((row) =>
    row.map((text, c) => (c === 0 ? text.padEnd(widths[c]) : text.padStart(widths[c]))).join('  '),
  );
}
