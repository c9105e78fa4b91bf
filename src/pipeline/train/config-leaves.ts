// What a key of a training configuration may be, in zod, with the words for it. Contract: the message of a leaf is what is wanted there, as
// it stands after "wanted".
import { z } from 'zod';

const LARGEST = 1_000_000_000;

export const whole = (low: number, high = LARGEST) => {
  const wanted = high === LARGEST ? `a whole number of at least ${low}` : `a whole number from ${low} to ${high}`;
  return z.number(wanted).int(wanted).min(low, wanted).max(high, wanted);
};

export const atLeast = (low: number) => z.number(`a number of at least ${low}`).min(low, `a number of at least ${low}`);

export const above = (low: number) => z.number(`a number above ${low}`).gt(low, `a number above ${low}`);

/** low <= x <= high, or x < high where `open`. */
export const within = (low: number, high: number, open = false) => {
  const wanted = open ? `a number from ${low} to below ${high}` : `a number from ${low} to ${high}`;
  const number = z.number(wanted).min(low, wanted);
  return open ? number.lt(high, wanted) : number.max(high, wanted);
};

export const text = (wanted: string) => z.string(wanted).min(1, wanted);

export const flag = () => z.boolean('true or false');

export const choice = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, `one of ${values.join(', ')}`);

/** A group of keys that may be left out whole. */
export const section = <T extends z.core.$ZodLooseShape>(shape: T) => z.strictObject(shape).prefault({} as never);

/** Keys that every configuration has (job.ts). */
export const RUN_KEYS = {
  run: text('the folder of the run'),
  seed: whole(0, 2 ** 31 - 1).default(1),
  device: text('the name of a device').optional(),
  epochs: whole(1).optional(),
  steps: whole(1).optional(),
  checkpoint: section({ every: whole(1).default(1000), keep: whole(1).default(3) }),
  log: section({ every: whole(1).default(10), images: whole(0).default(500) }),
};

/** Keys that exclude each other: where an override gives one, those of the file step back. */
export interface Exclusive {
  section: readonly string[];
  keys: readonly string[];
}

export const LENGTH: Exclusive = { section: [], keys: ['epochs', 'steps'] };

/** Every key of a schema, as path. */
export function keysOf(schema: z.ZodType, prefix = ''): string[] {
  const shape = shapeOf(schema);
  if (!shape) return [];
  return Object.entries(shape).flatMap(([key, inner]) => [
    `${prefix}${key}`,
    ...keysOf(inner as z.ZodType, `${prefix}${key}.`),
  ]);
}

function shapeOf(schema: z.ZodType): Record<string, unknown> | undefined {
  if (schema instanceof z.ZodObject) return schema.shape;
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return shapeOf(schema.unwrap() as z.ZodType);
  }
  return undefined;
}
