// Faces brought to where recognisers expect them: five points moved onto a template by a similarity (paper-spec 11.3).
// Contract: points are image coordinates (x right, y down, pixel centres at integers), pairs x, y in the order right eye, left
// eye, nose tip, right and left corner of the mouth, as seen on the person (left ones of the picture first).
import { ShapeError } from '../../tensor/shape.js';
import type { Pixels } from '../image.js';

/** A crop that a recogniser was trained on. */
export interface CropLayout {
  height: number;
  width: number;
  /** Where the five points come to lie: ten numbers. */
  points: readonly number[];
}

const NARROW = [30.2946, 51.6963, 65.5318, 51.5014, 48.0252, 71.7366, 33.5493, 92.3655, 62.7299, 92.2041];

/** 112 rows, 96 columns: SphereFace's crop, which the CASIA MobileFaceNet sees. */
export const CASIA_CROP: CropLayout = { height: 112, width: 96, points: NARROW };

/** 112x112: ArcFace's crop, the same points 8 pixels to the right. */
export const ARCFACE_CROP: CropLayout = {
  height: 112,
  width: 112,
  points: NARROW.map((value, i) => (i % 2 === 0 ? value + 8 : value)),
};

/** Landmarks whose mean is each point, counted from 0: six round an eye, tip of the nose, corners of the mouth. */
const SOURCES = [[36, 37, 38, 39, 40, 41], [42, 43, 44, 45, 46, 47], [30], [48], [54]];

/** The five points of 68 landmarks [68, 2] or [68, 3] -> ten numbers. Throws ShapeError. */
export function fivePoints(landmarks: ArrayLike<number>): Float64Array {
  const columns = landmarks.length / 68;
  if (columns !== 2 && columns !== 3) {
    throw new ShapeError(`fivePoints: wants landmarks [68, 2] or [68, 3], got ${landmarks.length} numbers`);
  }
  const points = new Float64Array(10);
  SOURCES.forEach((sources, p) => {
    for (const source of sources) {
      for (let c = 0; c < 2; c++) points[2 * p + c] += landmarks[columns * source + c] / sources.length;
    }
  });
  return points;
}

/**
 * The similarity (rotation, one scale, shift; no reflection) that brings points nearest to others in least squares: Umeyama's
 * (1991), which in the plane has a closed form. Row-major 2x3. Throws ShapeError for lists that do not pair and for points
 * that are all one.
 */
export function similarityTransform(from: ArrayLike<number>, to: ArrayLike<number>): Float64Array {
  const n = from.length / 2;
  if (from.length !== to.length || n < 2 || !Number.isInteger(n)) {
    throw new ShapeError(`similarityTransform: wants two equal lists x, y, ..., got ${from.length} and ${to.length}`);
  }
  const mean = (points: ArrayLike<number>, c: number) => {
    let sum = 0;
    for (let i = c; i < 2 * n; i += 2) sum += points[i];
    return sum / n;
  };
  const [fx, fy, tx, ty] = [mean(from, 0), mean(from, 1), mean(to, 0), mean(to, 1)];
  let [spread, along, across] = [0, 0, 0];
  for (let i = 0; i < 2 * n; i += 2) {
    const [x, y, u, v] = [from[i] - fx, from[i + 1] - fy, to[i] - tx, to[i + 1] - ty];
    spread += x * x + y * y;
    along += x * u + y * v;
    across += x * v - y * u;
  }
  if (!(spread > 0 && Number.isFinite(spread))) {
    throw new ShapeError('similarityTransform: wants points that differ and are finite');
  }
  const [a, b] = [along / spread, across / spread];
  return Float64Array.of(a, -b, tx - a * fx + b * fy, b, a, ty - b * fx - a * fy);
}

const round = (value: number): number => {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
};

/** Positions are held in 1/1024 pixel and used in 1/32. */
const FINE = 1024;
const STEPS = 32;

/**
 * The image moved by an affine map (row-major 2x3, image to result), black outside: bilinear in the fixed point of OpenCV's
 * warpAffine, because recognisers were trained on crops made by it. Throws ShapeError for a map without inverse.
 */
export function warpAffine(image: Pixels, map: ArrayLike<number>, height: number, width: number): Pixels {
  const [a, b, c, d, e, f] = Array.from(map);
  const determinant = a * e - b * d;
  if (map.length !== 6 || !(Math.abs(determinant) > 0 && Number.isFinite(determinant))) {
    throw new ShapeError(`warpAffine: wants a 2x3 map with an inverse, got [${Array.from(map)}]`);
  }
  const [ia, ib, id, ie] = [e / determinant, -b / determinant, -d / determinant, a / determinant];
  const [ic, iff] = [-ia * c - ib * f, -id * c - ie * f];
  const { data, width: w, height: h } = image;
  const out = new Uint8Array(3 * height * width);
  const half = FINE / STEPS / 2;
  const columnsX = Int32Array.from({ length: width }, (_, x) => round(ia * x * FINE));
  const columnsY = Int32Array.from({ length: width }, (_, x) => round(id * x * FINE));
  for (let y = 0, at = 0; y < height; y++) {
    const rowX = round((ib * y + ic) * FINE) + half;
    const rowY = round((ie * y + iff) * FINE) + half;
    for (let x = 0; x < width; x++, at += 3) {
      const fineX = Math.floor(((rowX + columnsX[x]) * STEPS) / FINE);
      const fineY = Math.floor(((rowY + columnsY[x]) * STEPS) / FINE);
      const left = Math.floor(fineX / STEPS);
      const top = Math.floor(fineY / STEPS);
      const shareX = fineX - STEPS * left;
      const shareY = fineY - STEPS * top;
      for (let k = 0; k < 4; k++) {
        const px = left + (k & 1);
        const py = top + (k >> 1);
        if (px < 0 || py < 0 || px >= w || py >= h) continue;
        const weight = (k & 1 ? shareX : STEPS - shareX) * (k >> 1 ? shareY : STEPS - shareY);
        const from = 3 * (py * w + px);
        for (let channel = 0; channel < 3; channel++) SUMS[channel] += weight * data[from + channel];
      }
      for (let channel = 0; channel < 3; channel++) {
        out[at + channel] = (SUMS[channel] + (STEPS * STEPS) / 2) >> 10;
        SUMS[channel] = 0;
      }
    }
  }
  return { data: out, height, width };
}

const SUMS = new Int32Array(3);

/** The crop of a face whose five points (ten numbers) are known. Throws ShapeError. */
export function alignFace(photo: Pixels, points: ArrayLike<number>, layout: CropLayout = ARCFACE_CROP): Pixels {
  if (points.length !== 10) throw new ShapeError(`alignFace: wants five points x, y, got ${points.length} numbers`);
  return warpAffine(photo, similarityTransform(points, layout.points), layout.height, layout.width);
}
