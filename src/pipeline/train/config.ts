// The configuration of a completion network's training: its keys as the loop takes them, and its learning rate.
import path from 'node:path';
import { readBytes } from '../../formats/files.js';
import type { InputMode } from '../../models/input-mode.js';
import type { DataSpec } from '../dataset/loader.js';
import type { GeneratorKind } from '../generators.js';
import { checkFiles, checkTogether } from './config-checks.js';
import { type ConfigKeys, type FolderOf, readConfig } from './config-reader.js';
import { EXCLUSIVE, type RawConfig, type RawData, SCHEMA } from './config-schema.js';
import type { RunConfig } from './job.js';

export { TrainConfigError } from './config-reader.js';

/** What a run does. Defaults are the paper's where it gives them (paper-spec 6 and 8). */
export interface TrainConfig extends RunConfig {
  task?: undefined;
  model: {
    kind: GeneratorKind;
    baseWidth: number;
    input: InputMode;
    /** The heads see the input past every norm. Not for `uvgan`. */
    inputSkip?: boolean;
    /** The encoders' residual branches start at 0. Not for `uvgan`. */
    zeroInitResidual?: boolean;
    /** File to start from. */
    weights?: string;
    /** Halvings of `uvgan`. */
    levels?: number;
  };
  discriminator: { baseWidth: number; conditional: boolean };
  /** Weights of Eq. 11 and 12. `idNorm`: compare normalised embeddings. */
  loss: { local: number; global: number; identity: number; auxiliary: number; idNorm: boolean };
  /** There whenever loss.identity > 0. */
  identity?: { network: 'facenet' | 'mobilefacenet'; weights: string };
  data: { train: DataSpec; validation?: DataSpec; flip: boolean; cut: number; relight: number; workers: number };
  /** What maps are stored as while training, f32 unless given. */
  precision?: 'f32' | 'bf16';
  optimiser: {
    lr: number;
    betas: [number, number];
    schedule: 'constant' | 'linear' | 'cosine';
    /** Part of the run after which `linear` falls. */
    decayFrom: number;
    /** Steps over which the rate rises from 0. */
    warmup: number;
    /** Decay of the moving average of the generator's weights; 0 keeps none. */
    ema: number;
  };
  /** In steps, 0 only at the end; on so many pairs. */
  validate: { every: number; pairs: number };
}

/** Reads YAML text; `file` names it in messages, and relative paths start at its folder. Throws TrainConfigError. */
export function parseTrainConfig(text: string, file: string): TrainConfig {
  return readConfig({ text, file }, keysForCompletion, ['completion']);
}

/**
 * Reads a completion network's configuration file, with overrides `key.path=value` (the value in YAML; nothing or null takes the key
 * out) whose relative paths start at the working folder. Named files must exist. Throws TrainConfigError, FormatError for the file itself.
 */
export function readTrainConfig(file: string, overrides: readonly string[] = []): TrainConfig {
  const text = Buffer.from(readBytes(file)).toString('utf8');
  return readConfig({ text, file, overrides, files: true }, keysForCompletion, ['completion']);
}

const keysForCompletion = (task: unknown): ConfigKeys<unknown, TrainConfig> | undefined =>
  task === undefined || task === 'completion' ? (COMPLETION_KEYS as ConfigKeys<unknown, TrainConfig>) : undefined;

/** The same with absolute paths. */
function located(raw: RawConfig, folderOf: FolderOf): RawConfig {
  const { identity, model, data } = raw;
  const placed = (spec: RawData, part: string): RawData => {
    const whole = (key: string, name: string) => path.resolve(folderOf('data', part, ...key.split('.')), name);
    const { shards, textures, ...rest } = spec;
    return {
      ...rest,
      ...(shards && { shards: shards.map((name) => whole('shards', name)) }),
      ...(textures && {
        textures: {
          ...textures,
          folder: whole('textures.folder', textures.folder),
          model: whole('textures.model', textures.model),
        },
      }),
    };
  };
  return {
    ...raw,
    run: path.resolve(folderOf('run'), raw.run),
    model: model.weights ? { ...model, weights: path.resolve(folderOf('model', 'weights'), model.weights) } : model,
    ...(identity && {
      identity: { ...identity, weights: path.resolve(folderOf('identity', 'weights'), identity.weights) },
    }),
    data: {
      ...data,
      train: placed(data.train, 'train'),
      ...(data.validation && { validation: placed(data.validation, 'validation') }),
    },
  };
}

export const COMPLETION_KEYS: ConfigKeys<RawConfig, TrainConfig> = {
  schema: SCHEMA,
  exclusive: EXCLUSIVE,
  together: checkTogether,
  located,
  files: checkFiles,
  finished,
};

function finished({ data, ...raw }: RawConfig): TrainConfig {
  const { validation } = data;
  const length = raw.steps === undefined && raw.epochs === undefined ? { epochs: 100 } : {};
  return {
    ...raw,
    ...length,
    data: { ...data, train: dataSpec(data.train), validation: validation && dataSpec(validation) },
  };
}

function dataSpec({ shards, synthPie, textures, verify }: RawData): DataSpec {
  if (shards) return verify === undefined ? { shards } : { shards, verify };
  if (synthPie) return { synthPie };
  if (textures) return { textures };
  throw new RangeError('dataSpec: names no data'); // checkTogether refuses that
}

/**
 * Rate of 0-based step `step` of `total`: up over the warmup; then constant, or linear to 0 from `decayFrom` of the run on (0.5
 * is pix2pix's), or half a cosine to 0 from the end of the warmup.
 */
export function learningRate({ optimiser }: Pick<TrainConfig, 'optimiser'>, step: number, total: number): number {
  const { lr, schedule, decayFrom, warmup } = optimiser;
  if (step < warmup) return (lr * (step + 1)) / warmup;
  if (schedule === 'cosine')
    return (lr * (1 + Math.cos((Math.PI * (step - warmup)) / Math.max(1, total - warmup)))) / 2;
  const from = Math.floor(decayFrom * total);
  return schedule === 'constant' || step < from ? lr : (lr * (total - step)) / (total - from);
}
