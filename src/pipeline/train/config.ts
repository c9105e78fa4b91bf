// The configuration of a training run: YAML text to a checked TrainConfig. Contract: a configuration that is returned has every
// default filled in and only absolute paths, and one that is refused is refused once, with all that is wrong with it.
import path from 'node:path';
import { type Document, isMap, isScalar, LineCounter, parse, parseDocument } from 'yaml';
import { FormatError } from '../../formats/error.js';
import { readBytes } from '../../formats/files.js';
import type { InputMode } from '../../models/input-mode.js';
import type { DataSpec } from '../dataset/loader.js';
import type { GeneratorKind } from '../generators.js';
import { checkFiles, checkTogether, explainIssue, type Given, isSection, type Problem } from './config-checks.js';
import { EXCLUSIVE, type RawConfig, type RawData, SCHEMA } from './config-schema.js';

/** What a run does. Defaults are the paper's where it gives them (paper-spec 6 and 8). */
export interface TrainConfig {
  /** Folder of checkpoints, logs and networks. */
  run: string;
  seed: number;
  device?: string;
  model: {
    kind: GeneratorKind;
    baseWidth: number;
    input: InputMode;
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
  batch: number;
  /** Exactly one of the two. */
  epochs?: number;
  steps?: number;
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
  /** In steps; `keep` files beside the best. */
  checkpoint: { every: number; keep: number };
  /** In steps; images 0 draws none. */
  log: { every: number; images: number };
  /** In steps, 0 only at the end; on so many pairs. */
  validate: { every: number; pairs: number };
}

/** All that is wrong with a configuration: `problems` has one line each, the message them all. */
export class TrainConfigError extends FormatError {
  constructor(
    file: string,
    readonly problems: readonly string[],
  ) {
    const [first] = problems;
    const colon = first.indexOf(': ');
    if (problems.length === 1) super(file, first.slice(0, colon), first.slice(colon + 2));
    else super(file, `${problems.length} problems`, problems.map((line) => `\n  ${line}`).join(''));
  }
}

/** Reads YAML text; `file` names it in messages, and relative paths start at its folder. Throws TrainConfigError. */
export function parseTrainConfig(text: string, file: string): TrainConfig {
  return read(text, file, [], false);
}

/**
 * Reads a configuration file, with overrides `key.path=value` (the value in YAML; nothing or null takes the key out) whose
 * relative paths start at the working folder. Named files must exist. Throws TrainConfigError, FormatError for the file itself.
 */
export function readTrainConfig(file: string, overrides: readonly string[] = []): TrainConfig {
  return read(Buffer.from(readBytes(file)).toString('utf8'), file, overrides, true);
}

function read(text: string, file: string, overrides: readonly string[], files: boolean): TrainConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const broken = document.errors.map(
    ({ message, pos }) => `line ${lines.linePos(pos[0]).line}: ${message.replace(/\s*\n[\s\S]*$/, '')}`,
  );
  if (broken.length > 0) throw new TrainConfigError(file, broken);
  const given = withoutNulls(document.toJS() ?? {});
  if (!isSection(given)) throw new TrainConfigError(file, ['line 1: wanted keys and values, as in seed: 1']);

  const problems: Problem[] = [];
  const overridden = new Map<string, string>();
  let keys: Given = given;
  for (const override of overrides) keys = applied(keys, override, overridden, problems);

  const parsed = SCHEMA.safeParse(keys);
  for (const issue of parsed.error?.issues ?? []) problems.push(...explainIssue(issue, keys));
  problems.push(...checkTogether(keys));
  const refuse = () => {
    throw new TrainConfigError(file, told(problems, document, lines, overridden));
  };
  if (!parsed.success) return refuse();
  const folder = path.dirname(path.resolve(file));
  const config = located(parsed.data, (...at) => (isOverridden(at, overridden) ? process.cwd() : folder));
  if (files) problems.push(...checkFiles(config));
  return problems.length > 0 ? refuse() : finished(config);
}

/** A key without a value counts as not given. */
function withoutNulls(value: unknown): unknown {
  if (!isSection(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (inner === null ? [] : [[key, withoutNulls(inner)]])),
  );
}

/** `keys` with `key.path=value`; keys that the new one excludes step back unless they were given by an override too. */
function applied(keys: Given, override: string, overridden: Map<string, string>, problems: Problem[]): Given {
  const equals = override.indexOf('=');
  const at = override.slice(0, Math.max(0, equals)).trim().split('.');
  const refuse = (text: string) => {
    problems.push({ path: [`--set ${override}`], text });
    return keys;
  };
  if (equals < 1 || at.includes('')) return refuse('wanted key.path=value, as in optimiser.lr=2e-4');
  let value: unknown;
  try {
    value = withoutNulls(parse(override.slice(equals + 1)));
  } catch (error) {
    return refuse(`its value is not YAML: ${(error as Error).message.split('\n')[0]}`);
  }
  overridden.set(at.join('.'), override);
  const set = (section: Given, [key, ...rest]: string[], depth: number): Given => {
    const own = { ...section };
    const rivals = EXCLUSIVE.find(({ section: s }) => s.join('.') === at.slice(0, depth).join('.'));
    if (value !== null && rivals?.keys.includes(key)) {
      for (const rival of rivals.keys) {
        if (rival !== key && !isOverridden([...rivals.section, rival], overridden)) delete own[rival];
      }
    }
    if (rest.length > 0) own[key] = set(isSection(own[key]) ? own[key] : {}, rest, depth + 1);
    else if (value === null) delete own[key];
    else own[key] = value;
    return own;
  };
  return set(keys, at, 0);
}

/** Whether a key, one above it or one below it came from an override. */
const isOverridden = (at: readonly PropertyKey[], overridden: ReadonlyMap<string, string>): boolean =>
  overrideOf(at, overridden) !== undefined;

function overrideOf(at: readonly PropertyKey[], overridden: ReadonlyMap<string, string>): string | undefined {
  const key = `${at.map(String).join('.')}.`;
  for (const [own, override] of overridden) {
    if (key.startsWith(`${own}.`) || `${own}.`.startsWith(key)) return override;
  }
  return undefined;
}

/** Problems as lines, in the order of the file, one for a key. */
function told(problems: Problem[], document: Document, lines: LineCounter, overridden: Map<string, string>): string[] {
  const seen = new Set<string>();
  const placed = problems.flatMap(({ path: at, text }) => {
    const key = at.map(String).join('.');
    if (seen.has(key)) return [];
    seen.add(key);
    const override = overrideOf(at, overridden);
    if (override !== undefined) return [{ line: Number.MAX_VALUE, told: `${key} (--set ${override}): ${text}` }];
    const offset = offsetOf(document, at);
    if (offset === undefined)
      return [{ line: key.startsWith('--set') ? Number.MAX_VALUE : 0, told: `${key}: ${text}` }];
    const { line } = lines.linePos(offset);
    return [{ line, told: `${key} (line ${line}): ${text}` }];
  });
  return placed.sort((a, b) => a.line - b.line).map(({ told }) => told);
}

/** Where a key stands in the text, or the section in which it is missing; undefined at the top. */
function offsetOf(document: Document, at: readonly PropertyKey[]): number | undefined {
  for (let length = at.length; length > 0; length--) {
    const parent = length > 1 ? document.getIn(at.slice(0, length - 1), true) : document.contents;
    if (isMap(parent)) {
      const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(at[length - 1]));
      if (pair && isScalar(pair.key)) return pair.key.range?.[0];
    }
    const node = document.getIn(at.slice(0, length), true);
    const range = node !== null && typeof node === 'object' && 'range' in node ? node.range : undefined;
    if (Array.isArray(range)) return Number(range[0]);
  }
  return undefined;
}

/** The same with absolute paths. */
function located(raw: RawConfig, folderOf: (...at: string[]) => string): RawConfig {
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
