// The keys of a training configuration: what each may be, and its default. Contract: the message of a leaf is what is wanted
// there, as it stands after "wanted"; the checks between keys are in config-checks.ts.
import { z } from 'zod';
import { GENERATOR_KINDS } from '../generators.js';

const LARGEST = 1_000_000_000;

const whole = (low: number, high = LARGEST) => {
  const wanted = high === LARGEST ? `a whole number of at least ${low}` : `a whole number from ${low} to ${high}`;
  return z.number(wanted).int(wanted).min(low, wanted).max(high, wanted);
};

const atLeast = (low: number) => z.number(`a number of at least ${low}`).min(low, `a number of at least ${low}`);

const above = (low: number) => z.number(`a number above ${low}`).gt(low, `a number above ${low}`);

/** low <= x <= high, or x < high where `open`. */
const within = (low: number, high: number, open = false) => {
  const wanted = open ? `a number from ${low} to below ${high}` : `a number from ${low} to ${high}`;
  const number = z.number(wanted).min(low, wanted);
  return open ? number.lt(high, wanted) : number.max(high, wanted);
};

const text = (wanted: string) => z.string(wanted).min(1, wanted);

const flag = () => z.boolean('true or false');

const choice = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, `one of ${values.join(', ')}`);

/** A group of keys that may be left out whole. */
const section = <T extends z.core.$ZodLooseShape>(shape: T) => z.strictObject(shape).prefault({} as never);

const KINDS = [...GENERATOR_KINDS] as [(typeof GENERATOR_KINDS)[number], ...(typeof GENERATOR_KINDS)[number][]];

const observed = {
  size: whole(32, 1024).default(256),
  seed: whole(0, 2 ** 31 - 1).default(1),
  fitError: atLeast(0).default(1),
  photoScale: within(0.5, 8).default(2),
};

/** One of shards, synthPie, textures. */
const data = z.strictObject({
  shards: z
    .array(text('a folder that rescunet data wrote'), 'a list of folders')
    .min(1, 'a list of folders')
    .optional(),
  verify: flag().optional(),
  synthPie: z
    .strictObject({
      identities: whole(1, 1_000_000),
      firstIdentity: whole(0, 1_000_000).default(0),
      expressions: whole(1, 6).default(3),
      illuminations: whole(1, 19).default(19),
      viewpoints: whole(1, 15).default(15),
      ...observed,
    })
    .optional(),
  textures: z
    .strictObject({
      folder: text('the folder of a texture set'),
      model: text('the file of the face model whose layout the textures have'),
      split: choice(['train', 'test', 'all']).default('all'),
      views: whole(1, 10_000).default(16),
      ...observed,
    })
    .optional(),
});

export const SCHEMA = z.strictObject({
  run: text('the folder of the run'),
  seed: whole(0, 2 ** 31 - 1).default(1),
  device: text('the name of a device').optional(),
  model: section({
    kind: z.enum(KINDS, `one of ${KINDS.join(', ')}`).default('attention-rescunet'),
    baseWidth: whole(1, 1024).default(64),
    input: choice(['raw', 'masked', 'mirror', 'mask4']).default('raw'),
    weights: text('a .safetensors file').optional(),
    levels: whole(2, 10).optional(),
  }),
  discriminator: section({
    baseWidth: whole(1, 1024).default(64),
    conditional: flag().default(true),
  }),
  loss: section({
    local: atLeast(0).default(0.5),
    global: atLeast(0).default(0.5),
    identity: atLeast(0).default(0.01),
    auxiliary: atLeast(0).default(0.3),
    idNorm: flag().default(true),
  }),
  identity: z
    .strictObject({ network: choice(['facenet', 'mobilefacenet']), weights: text('the file of its weights') })
    .optional(),
  data: z.strictObject({
    train: data,
    validation: data.optional(),
    flip: flag().default(true),
    cut: within(0, 1).default(0),
    relight: within(0, 1).default(0),
    workers: whole(0, 256).default(1),
  }),
  batch: whole(1, 65_536).default(16),
  epochs: whole(1).optional(),
  steps: whole(1).optional(),
  optimiser: section({
    lr: above(0).default(1e-4),
    betas: z.tuple([within(0, 1, true), within(0, 1, true)], 'two numbers from 0 to below 1').default([0.5, 0.999]),
    schedule: choice(['constant', 'linear', 'cosine']).default('constant'),
    decayFrom: within(0, 1).default(0.5),
    warmup: whole(0).default(0),
    ema: within(0, 1, true).default(0),
  }),
  checkpoint: section({ every: whole(1).default(1000), keep: whole(1).default(3) }),
  log: section({ every: whole(1).default(10), images: whole(0).default(500) }),
  validate: section({ every: whole(0).default(1000), pairs: whole(1, 100_000).default(64) }),
});

export type RawConfig = z.output<typeof SCHEMA>;
export type RawData = z.output<typeof data>;

/** Keys that exclude each other: where an override gives one, those of the file step back. */
export const EXCLUSIVE: readonly { section: readonly string[]; keys: readonly string[] }[] = [
  { section: [], keys: ['epochs', 'steps'] },
  ...['train', 'validation'].map((part) => ({
    section: ['data', part],
    keys: ['shards', 'synthPie', 'textures'],
  })),
];

/** Every key there is, as path. */
export const KEYS: readonly string[] = keysOf(SCHEMA, '');

function keysOf(schema: z.ZodType, prefix: string): string[] {
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
