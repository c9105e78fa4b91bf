// The values of options: text to numbers, each refused with a sentence that shows a right one.
import { InvalidArgumentError } from 'commander';

const MOST_ANGLES = 361;

function finite(text: string): number {
  const value = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value)) throw new InvalidArgumentError(`'${text}' is not a number.`);
  return value;
}

/** `20`, `-30,0,30`, `-80:80:20` (both ends included) or a mix, in degrees. */
export function angles(text: string): number[] {
  const found = text.split(',').flatMap((part) => {
    const [first, last = first, step = 10, ...more] = part.split(':').map(finite);
    if (more.length > 0 || !(step > 0)) throw new InvalidArgumentError('A range is start:stop:step, e.g. -80:80:20.');
    const count = Math.floor(Math.abs(last - first) / step + 1e-9) + 1;
    if (count > MOST_ANGLES) throw new InvalidArgumentError(`${count} angles are more than ${MOST_ANGLES}.`);
    const direction = last < first ? -step : step;
    return Array.from({ length: count }, (_, i) => Number((first + i * direction).toFixed(6)) + 0);
  });
  if (found.length > MOST_ANGLES)
    throw new InvalidArgumentError(`${found.length} angles are more than ${MOST_ANGLES}.`);
  const outside = found.find((angle) => Math.abs(angle) > 180);
  if (outside !== undefined) throw new InvalidArgumentError(`${outside} is not within -180..180 degrees.`);
  return [...new Set(found)];
}

/** Four numbers, the second pair greater than the first: left, top, right, bottom in pixels. */
export function box(text: string): [number, number, number, number] {
  const [left, top, right, bottom, ...more] = text.split(',').map(finite);
  if (bottom === undefined || more.length > 0 || !(right > left) || !(bottom > top)) {
    throw new InvalidArgumentError('A box is left,top,right,bottom in pixels, e.g. 120,80,360,340.');
  }
  return [left, top, right, bottom];
}

/** A number within limits. */
export const within =
  (low: number, high: number) =>
  (text: string): number => {
    const value = finite(text);
    if (value < low || value > high) throw new InvalidArgumentError(`Wanted a number from ${low} to ${high}.`);
    return value;
  };

/** A whole number within limits. */
export const whole =
  (low: number, high: number) =>
  (text: string): number => {
    const value = finite(text);
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new InvalidArgumentError(`Wanted a whole number from ${low} to ${high}.`);
    }
    return value;
  };
