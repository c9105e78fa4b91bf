// The keys of a completion network's training: what each may be, and its default. The checks between keys are in config-checks.ts.
import { z } from 'zod';
import { GENERATOR_KINDS } from '../generators.js';
import {
  above,
  atLeast,
  choice,
  type Exclusive,
  flag,
  keysOf,
  LENGTH,
  RUN_KEYS,
  section,
  text,
  whole,
  within,
} from './config-leaves.js';

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
  ...RUN_KEYS,
  model: section({
    kind: z.enum(KINDS, `one of ${KINDS.join(', ')}`).default('attention-rescunet'),
    baseWidth: whole(1, 1024).default(64),
    input: choice(['raw', 'masked', 'mirror', 'mask4']).default('raw'),
    inputSkip: flag().optional(),
    zeroInitResidual: flag().optional(),
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
  precision: choice(['f32', 'bf16']).optional(),
  optimiser: section({
    lr: above(0).default(1e-4),
    betas: z.tuple([within(0, 1, true), within(0, 1, true)], 'two numbers from 0 to below 1').default([0.5, 0.999]),
    schedule: choice(['constant', 'linear', 'cosine']).default('constant'),
    decayFrom: within(0, 1).default(0.5),
    warmup: whole(0).default(0),
    ema: within(0, 1, true).default(0),
  }),
  validate: section({ every: whole(0).default(1000), pairs: whole(1, 100_000).default(64) }),
});

export type RawConfig = z.output<typeof SCHEMA>;
export type RawData = z.output<typeof data>;

/** Keys that exclude each other: where an override gives one, those of the file step back. */
export const EXCLUSIVE: readonly Exclusive[] = [
  LENGTH,
  ...['train', 'validation'].map((part) => ({
    section: ['data', part],
    keys: ['shards', 'synthPie', 'textures'],
  })),
];

/** Every key there is, as path. */
export const KEYS: readonly string[] = keysOf(SCHEMA);
