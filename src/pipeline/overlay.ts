// Pictures for people: landmarks drawn into a photo, and contact sheets.
import { ShapeError } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { type Pixels, toPixels } from './image.js';

/** The 68 iBUG / Multi-PIE landmarks as open and closed lines: [first, last, closed]. */
export const LANDMARK_LINES: readonly (readonly [number, number, boolean])[] = [
  [0, 16, false], // jaw
  [17, 21, false], // brows
  [22, 26, false],
  [27, 30, false], // nose
  [31, 35, false],
  [36, 41, true], // eyes
  [42, 47, true],
  [48, 59, true], // lips
  [60, 67, true],
];

export type Colour = readonly [number, number, number];

/** Mixes a colour into pixel (x, y) with opacity 0..1; nothing outside the image. */
function dab({ data, width, height }: Pixels, x: number, y: number, colour: Colour, opacity: number): void {
  if (x < 0 || y < 0 || x >= width || y >= height || opacity <= 0) return;
  const at = 3 * (y * width + x);
  for (let c = 0; c < 3; c++) data[at + c] = Math.round(data[at + c] + opacity * (colour[c] - data[at + c]));
}

/** A line with round ends and smooth edges; every pixel is covered by its distance from the line. */
function stroke(image: Pixels, a: readonly number[], b: readonly number[], radius: number, colour: Colour): void {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = dx * dx + dy * dy;
  const reach = radius + 1;
  const x0 = Math.max(0, Math.floor(Math.min(a[0], b[0]) - reach));
  const x1 = Math.min(image.width - 1, Math.ceil(Math.max(a[0], b[0]) + reach));
  const y0 = Math.max(0, Math.floor(Math.min(a[1], b[1]) - reach));
  const y1 = Math.min(image.height - 1, Math.ceil(Math.max(a[1], b[1]) + reach));
  for (let y = y0; y <= y1; y++)
    for (let x = x0; x <= x1; x++) {
      const t = length > 0 ? Math.max(0, Math.min(1, ((x - a[0]) * dx + (y - a[1]) * dy) / length)) : 0;
      const distance = Math.hypot(x - a[0] - t * dx, y - a[1] - t * dy);
      dab(image, x, y, colour, Math.min(1, radius + 0.5 - distance));
    }
}

/**
 * A copy of the photo with landmarks [68, 2] or [68, 3] (pixels) drawn as dots and their lines. Any other number of points
 * is drawn as dots only. Line width follows the extent of the points.
 */
export function drawLandmarks(
  photo: Tensor | Pixels,
  points: ArrayLike<number>,
  { columns = points.length === 136 ? 2 : 3, line = [90, 220, 255] as Colour, dot = [255, 240, 90] as Colour } = {},
): Pixels {
  if (points.length % columns !== 0 || points.length === 0) {
    throw new ShapeError(`drawLandmarks: ${points.length} numbers are no points of ${columns} coordinates`);
  }
  const source = toPixels(photo);
  const image: Pixels = { ...source, data: Uint8Array.from(source.data) };
  const at = (i: number): [number, number] => [points[i * columns], points[i * columns + 1]];
  const all = Array.from({ length: points.length / columns }, (_, i) => at(i)).filter((p) => p.every(Number.isFinite));
  const ys = all.map((p) => p[1]);
  const extent = Math.max(...ys) - Math.min(...ys);
  const radius = Math.max(0.4, extent / 350);
  if (points.length / columns === 68) {
    for (const [first, last, closed] of LANDMARK_LINES) {
      for (let i = first; i < last; i++) stroke(image, at(i), at(i + 1), radius, line);
      if (closed) stroke(image, at(last), at(first), radius, line);
    }
  }
  for (const point of all) stroke(image, point, point, 2 * radius, dot);
  return image;
}

/** A copy of the photo with boxes (left, top, right, bottom in pixels) drawn as outlines. */
export function drawBoxes(
  photo: Tensor | Pixels,
  boxes: readonly (readonly [number, number, number, number])[],
  { line = [90, 220, 255] as Colour } = {},
): Pixels {
  const source = toPixels(photo);
  const image: Pixels = { ...source, data: Uint8Array.from(source.data) };
  for (const [left, top, right, bottom] of boxes) {
    const corners = [
      [left, top],
      [right, top],
      [right, bottom],
      [left, bottom],
    ];
    const radius = Math.max(0.6, (bottom - top) / 200);
    corners.forEach((corner, i) => {
      stroke(image, corner, corners[(i + 1) % 4], radius, line);
    });
  }
  return image;
}

/**
 * Images side by side, row by row, each in a cell of the largest height and width, on one background.
 * Images of different sizes are centred in their cells.
 */
export function contactSheet(
  images: readonly (Tensor | Pixels)[],
  { columns = images.length, gap = 8, background = [24, 24, 28] as Colour } = {},
): Pixels {
  if (images.length === 0 || !Number.isInteger(columns) || columns < 1) {
    throw new ShapeError(`contactSheet: ${images.length} images in ${columns} columns`);
  }
  const cells = images.map(toPixels);
  const cellWidth = Math.max(...cells.map((cell) => cell.width));
  const cellHeight = Math.max(...cells.map((cell) => cell.height));
  const across = Math.min(columns, cells.length);
  const down = Math.ceil(cells.length / across);
  const width = across * cellWidth + (across + 1) * gap;
  const height = down * cellHeight + (down + 1) * gap;
  const data = Buffer.alloc(3 * width * height, Uint8Array.from(background));
  cells.forEach((cell, i) => {
    const x = gap + (i % across) * (cellWidth + gap) + ((cellWidth - cell.width) >> 1);
    const y = gap + Math.floor(i / across) * (cellHeight + gap) + ((cellHeight - cell.height) >> 1);
    for (let row = 0; row < cell.height; row++) {
      const from = 3 * row * cell.width;
      data.set(cell.data.subarray(from, from + 3 * cell.width), 3 * ((y + row) * width + x));
    }
  });
  return { data, width, height };
}
