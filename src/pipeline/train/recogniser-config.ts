// The configuration of a recogniser's training. Defaults are those of paper-spec 11.2 where it gives them.
import path from 'node:path';
import { z } from 'zod';
import { type Given, missingFile, type Problem, valueAt } from './config-checks.js';
import {
  above,
  atLeast,
  choice,
  type Exclusive,
  flag,
  LENGTH,
  RUN_KEYS,
  section,
  text,
  whole,
  within,
} from './config-leaves.js';
import type { ConfigKeys, FolderOf } from './config-reader.js';
import type { RunConfig } from './job.js';
import { BACKBONES, type Backbone } from './recogniser-step.js';

/** Aligned crops of 112x112 with their identities: folders of a folder for each, or one RecordIO file. */
export type FaceSpec = { folders: string[]; record?: undefined } | { record: string; folders?: undefined };

/** Crops that a run is scored on: identities of their own, of which pairs are drawn, or a verification pack. */
export type FacePairSpec =
  | { folders: string[]; pairs: number; pack?: undefined }
  | { pack: string; folders?: undefined };

export interface RecogniserConfig extends RunConfig {
  task: 'recogniser';
  model: { backbone: Backbone; width: number; weights?: string };
  head: {
    kind: 'arcface' | 'cosface' | 'softmax';
    scale: number;
    margin?: number;
    easyMargin: boolean;
    shards: number;
  };
  data: { train: FaceSpec; validation?: FacePairSpec; flip: boolean };
  optimiser: {
    lr: number;
    momentum: number;
    weightDecay: number;
    nesterov: boolean;
    schedule: 'drops' | 'cosine' | 'constant';
    /** Epochs, which may be broken numbers, after which the rate is a tenth of what it was. */
    drops: number[];
    /** Steps over which the rate rises from 0. */
    warmup: number;
  };
}

const NAMES = Object.keys(BACKBONES) as [Backbone, ...Backbone[]];
const FOLDERS = 'a list of folders that hold a folder for each identity';
const folders = z.array(text('a folder that holds a folder for each identity'), FOLDERS).min(1, FOLDERS);

const SCHEMA = z.strictObject({
  ...RUN_KEYS,
  model: section({
    backbone: z.enum(NAMES, `one of ${NAMES.join(', ')}`).default('ir100'),
    width: whole(1, 256).default(64),
    weights: text('a .safetensors or torch file').optional(),
  }),
  head: section({
    kind: choice(['arcface', 'cosface', 'softmax']).default('arcface'),
    scale: above(0).default(64),
    margin: within(0, 3.14).optional(),
    easyMargin: flag().default(false),
    shards: whole(1, 4096).default(1),
  }),
  data: z.strictObject({
    train: z.strictObject({ folders: folders.optional(), record: text('a .rec file').optional() }),
    validation: z
      .strictObject({
        folders: folders.optional(),
        pack: text('a .bin verification pack').optional(),
        pairs: whole(20, 1_000_000).default(2000),
      })
      .optional(),
    flip: flag().default(true),
  }),
  batch: whole(2, 65_536).default(128),
  optimiser: section({
    lr: above(0).default(0.025),
    momentum: within(0, 1, true).default(0.9),
    weightDecay: atLeast(0).default(5e-4),
    nesterov: flag().default(false),
    schedule: choice(['drops', 'cosine', 'constant']).default('drops'),
    drops: z.array(above(0), 'a list of epochs').default([10, 18, 24]),
    warmup: whole(0).default(0),
  }),
  validate: section({ every: whole(0).default(1000) }),
});

type Raw = z.output<typeof SCHEMA>;

const EXCLUSIVE: readonly Exclusive[] = [
  LENGTH,
  { section: ['data', 'train'], keys: ['folders', 'record'] },
  { section: ['data', 'validation'], keys: ['folders', 'pack'] },
];

function together(given: Given): Problem[] {
  const problems: Problem[] = [];
  const backbone = valueAt(given, ['model', 'backbone']) ?? 'ir100';
  const width = valueAt(given, ['model', 'width']);
  if (width !== undefined && width !== 64 && !String(backbone).startsWith('ir')) {
    problems.push({ path: ['model', 'width'], text: `is for ir18 to ir100 alone, backbone is '${backbone}'` });
  }
  const kind = valueAt(given, ['head', 'kind']) ?? 'arcface';
  if (kind === 'softmax' && valueAt(given, ['head', 'margin']) !== undefined) {
    problems.push({ path: ['head', 'margin'], text: 'is for arcface and cosface alone, kind is softmax' });
  }
  if (kind !== 'arcface' && valueAt(given, ['head', 'easyMargin']) === true) {
    problems.push({ path: ['head', 'easyMargin'], text: `is for arcface alone, kind is '${kind}'` });
  }
  return problems;
}

function located(raw: Raw, folderOf: FolderOf): Raw {
  const at = (...keys: string[]) => {
    const name = keys.pop() as string;
    return path.resolve(folderOf(...keys), name);
  };
  const { train, validation } = raw.data;
  const list = (names: string[] | undefined, part: string) =>
    names && { folders: names.map((name) => at('data', part, 'folders', name)) };
  return {
    ...raw,
    run: at('run', raw.run),
    model: raw.model.weights ? { ...raw.model, weights: at('model', 'weights', raw.model.weights) } : raw.model,
    data: {
      ...raw.data,
      train: {
        ...list(train.folders, 'train'),
        ...(train.record && { record: at('data', 'train', 'record', train.record) }),
      },
      ...(validation && {
        validation: {
          ...validation,
          ...list(validation.folders, 'validation'),
          ...(validation.pack && { pack: at('data', 'validation', 'pack', validation.pack) }),
        },
      }),
    },
  };
}

function files({ model, data }: Raw): Problem[] {
  const { train, validation } = data;
  const each = (part: string, names: string[] = []) =>
    names.flatMap((name, i) => missingFile(['data', part, 'folders', i], name, 'folder'));
  return [
    ...missingFile(['model', 'weights'], model.weights, 'file'),
    ...each('train', train.folders),
    ...missingFile(['data', 'train', 'record'], train.record, 'file'),
    ...each('validation', validation?.folders),
    ...missingFile(['data', 'validation', 'pack'], validation?.pack, 'file'),
  ];
}

function finished({ data, ...raw }: Raw): RecogniserConfig {
  const { train, validation } = data;
  return {
    task: 'recogniser',
    ...raw,
    ...(raw.steps === undefined && raw.epochs === undefined && { epochs: 30 }),
    data: {
      ...data,
      train: train as FaceSpec,
      validation: validation?.pack ? { pack: validation.pack } : (validation as FacePairSpec | undefined),
    },
  };
}

export const RECOGNISER_KEYS: ConfigKeys<Raw, RecogniserConfig> = {
  schema: SCHEMA,
  exclusive: EXCLUSIVE,
  together,
  located,
  files,
  finished,
};

/** Rate of 0-based step `step` of `total`, an epoch having `stepsPerEpoch`: up over the warmup, then as the schedule says. */
export function recogniserRate(
  { lr, schedule, drops, warmup }: RecogniserConfig['optimiser'],
  step: number,
  { total, stepsPerEpoch }: { total: number; stepsPerEpoch: number },
): number {
  if (step < warmup) return (lr * (step + 1)) / warmup;
  if (schedule === 'constant') return lr;
  if (schedule === 'cosine') {
    return (lr * (1 + Math.cos((Math.PI * (step - warmup)) / Math.max(1, total - warmup)))) / 2;
  }
  return lr * 0.1 ** drops.filter((epoch) => step >= epoch * stepsPerEpoch).length;
}

/** What `rescunet train --init FILE --task recogniser` writes. */
export const recogniserConfigText = (): string => `# rescunet train THIS_FILE
# Relative paths start at this file's folder; --set optimiser.lr=0.1 changes a key for one run.

task: recogniser
run: runs/recogniser                # checkpoints, logs and networks go there
seed: 1
# device: cpu                       # as rescunet info lists them

model:
  backbone: ir100                   # or ${NAMES.filter((name) => name !== 'ir100').join(', ')}
  width: 64                         # ir18 to ir100: channels of the first level; smaller ones are quicker
  # weights: ms1mv3_r100.pth        # start from these

head:
  kind: arcface                     # or cosface, softmax
  scale: 64
  # margin: 0.5                     # unless given: arcface 0.5 radians, cosface 0.35
  easyMargin: false                 # arcface: no margin above 90 degrees
  shards: 1                         # parts that the class weights are held in

data:
  train:                            # aligned crops of 112x112: one of folders, record
    folders: [casia, augmented]     # a folder for each identity in them; the same name is the same identity
    # record: train.rec             # RecordIO, with train.idx beside it where there is one
  # validation:                     # what the best network is chosen by: one of folders, pack
  #   folders: [others]             # people of their own
  #   pairs: 2000                   # drawn of them, half of one person
  #   pack: lfw.bin
  flip: true                        # mirror every second crop

batch: 128
epochs: 30                          # or steps: 100000

optimiser:                          # stochastic gradient descent
  lr: 0.025
  momentum: 0.9
  weightDecay: 5e-4
  nesterov: false
  schedule: drops                   # to a tenth after these epochs; or cosine, constant
  drops: [10, 18, 24]
  warmup: 0                         # steps

checkpoint:
  every: 1000                       # steps
  keep: 3

log:
  every: 10                         # steps
  images: 0                         # steps between pictures of a batch; 0 is never

validate:
  every: 1000                       # steps; 0 is at the end alone
`;
