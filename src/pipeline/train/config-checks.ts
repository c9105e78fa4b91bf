// What is wrong with a training configuration beyond the type of each key, and the words for it. Contract: the checks look at
// the keys as they were given, so they say all they can even where other keys are wrong.
import { existsSync, statSync } from 'node:fs';
import type { z } from 'zod';
import { INPUT_CHANNELS } from '../../models/input-mode.js';
import type { Exclusive } from './config-leaves.js';
import type { RawConfig, RawData } from './config-schema.js';

export interface Problem {
  /** Keys from the top. */
  path: readonly PropertyKey[];
  /** What was wanted and what was found. */
  text: string;
}

/** A section as it was given. */
export type Given = Readonly<Record<string, unknown>>;

export const isSection = (value: unknown): value is Given =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) {
    value = typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined;
  }
  return value;
}

/** A value as a message shows it. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 57)}...` : value}'`;
  if (isSection(value)) return `a section with ${Object.keys(value).join(', ') || 'no keys'}`;
  const text = Array.isArray(value) ? `[${value.map(shown).join(', ')}]` : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** One finding of the schema, in words. */
export function explainIssue(issue: z.core.$ZodIssue, given: unknown, keys: readonly string[]): Problem[] {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], text: `is no key; ${suggestion(path, key, keys)}` }));
  }
  const found = shown(valueAt(given, path));
  if (issue.code === 'invalid_type' && issue.expected === 'object') {
    return [{ path, text: `wanted a section with ${keysIn(path, keys).join(', ')}, found ${found}` }];
  }
  return [{ path, text: `wanted ${issue.message}, found ${found}` }];
}

const keysIn = (path: readonly PropertyKey[], keys: readonly string[]): string[] => {
  const prefix = path.map((key) => `${String(key)}.`).join('');
  return keys
    .filter((key) => key.startsWith(prefix))
    .flatMap((key) => {
      const rest = key.slice(prefix.length);
      return rest.includes('.') ? [] : [rest];
    });
};

/** Names the key that was probably meant: of the same section, or where one of that very name stands elsewhere. */
function suggestion(path: readonly PropertyKey[], key: string, keys: readonly string[]): string {
  const plain = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '');
  const here = keysIn(path, keys);
  const nearest = here
    .map((name) => ({ name, distance: editDistance(plain(name), plain(key)) }))
    .sort((a, b) => a.distance - b.distance)[0];
  if (nearest && nearest.distance <= Math.ceil(key.length / 3)) return `did you mean ${nearest.name}?`;
  const elsewhere = keys.find((name) => plain(name.split('.').at(-1) ?? '') === plain(key));
  if (elsewhere) return `did you mean ${elsewhere}?`;
  return `the nearest is ${nearest?.name}; there are ${here.join(', ')}`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}

/** Keys that exclude each other and are both there, or are all missing in a section that needs one. */
export function checkExclusive(given: Given, exclusive: readonly Exclusive[]): Problem[] {
  return exclusive.flatMap(({ section, keys }): Problem[] => {
    const inside = valueAt(given, section);
    if (!isSection(inside)) return [];
    const named = keys.filter((key) => inside[key] !== undefined);
    const wanted = `wanted one of ${keys.join(', ')}, found`;
    if (named.length > 1) return [{ path: [...section, named[1]], text: `${wanted} ${named.join(' and ')}` }];
    return named.length === 0 && section.length > 0 ? [{ path: [...section], text: `${wanted} none` }] : [];
  });
}

/** What several keys of a completion network's training together do not allow. */
export function checkTogether(given: Given): Problem[] {
  const problems: Problem[] = [];
  const at = (...path: string[]) => valueAt(given, path);
  const report = (path: string[], text: string) => problems.push({ path, text });

  for (const part of ['train', 'validation']) {
    if (at('data', part, 'verify') !== undefined && at('data', part, 'shards') === undefined) {
      report(['data', part, 'verify'], 'is for shards alone');
    }
  }

  const identity = at('loss', 'identity') ?? 0.01;
  if (typeof identity === 'number' && identity > 0 && at('identity') === undefined) {
    const keys = 'a section with network (facenet or mobilefacenet) and weights (its file)';
    report(
      ['identity'],
      `wanted ${keys} because loss.identity is ${identity}, found nothing; or set loss.identity to 0`,
    );
  }

  const kind = at('model', 'kind') ?? 'attention-rescunet';
  const uvgan = kind === 'uvgan';
  const [levels, width, input] = [at('model', 'levels'), at('model', 'baseWidth'), at('model', 'input') ?? 'raw'];
  if (levels !== undefined && !uvgan) report(['model', 'levels'], `is for kind uvgan alone, kind is ${shown(kind)}`);
  if (uvgan && INPUT_CHANNELS[input as keyof typeof INPUT_CHANNELS] === 4) {
    report(['model', 'input'], `wanted one of raw, masked, mirror because kind is uvgan, found ${shown(input)}`);
  }
  for (const key of ['inputSkip', 'zeroInitResidual']) {
    if (uvgan && at('model', key) !== undefined) report(['model', key], 'is not for kind uvgan');
  }
  if (!uvgan && typeof width === 'number' && width % 4 !== 0) {
    report(['model', 'baseWidth'], `wanted a multiple of 4, found ${width}`);
  }

  const sides = ['train', 'validation'].map((part) => drawnSide(at('data', part)));
  const unit = uvgan ? 2 ** (typeof levels === 'number' ? levels : 8) : 32;
  for (const [i, part] of ['train', 'validation'].entries()) {
    const side = sides[i];
    if (side && side.size % unit !== 0) {
      const why = uvgan ? `${unit} (model.levels ${Math.log2(unit)})` : `${unit}`;
      report(['data', part, side.kind, 'size'], `wanted a multiple of ${why}, found ${side.size}`);
    } else if (side && side.size < SMALLEST_JUDGED && at('loss', 'local') !== 0) {
      const why = 'for the discriminator of the central half; or set loss.local to 0';
      report(['data', part, side.kind, 'size'], `wanted at least ${SMALLEST_JUDGED}, found ${side.size}, ${why}`);
    }
  }
  if (sides[0] && sides[1] && sides[0].size !== sides[1].size) {
    const path = ['data', 'validation', sides[1].kind, 'size'];
    report(path, `wanted ${sides[0].size} as in data.train, found ${sides[1].size}`);
  }
  return problems;
}

/** A discriminator wants 24 pixels, the local one sees half of a map's side. */
const SMALLEST_JUDGED = 48;

/** Side of maps that are made while training; undefined where that is wrong or only the shards know. */
function drawnSide(spec: unknown): { kind: string; size: number } | undefined {
  for (const kind of ['synthPie', 'textures']) {
    const options = valueAt(spec, [kind]);
    const size = isSection(options) ? (options.size ?? 256) : undefined;
    if (typeof size === 'number') return { kind, size };
  }
  return undefined;
}

/** Where a configuration names a file or folder that is not there. */
export function missingFile(path: PropertyKey[], name: string | undefined, what: 'file' | 'folder'): Problem[] {
  if (name === undefined) return [];
  if (!existsSync(name)) return [{ path, text: `there is no ${what} ${name}` }];
  return statSync(name).isDirectory() === (what === 'folder') ? [] : [{ path, text: `${name} is not a ${what}` }];
}

/** Files and folders that a configuration names and that are not there. Its paths must be absolute. */
export function checkFiles(config: RawConfig): Problem[] {
  const problems = missingFile(['model', 'weights'], config.model.weights, 'file');
  const want = (...of: Parameters<typeof missingFile>) => problems.push(...missingFile(...of));
  if (config.loss.identity > 0) want(['identity', 'weights'], config.identity?.weights, 'file');
  for (const part of ['train', 'validation'] as const) {
    const spec: RawData | undefined = config.data[part];
    for (const [i, name] of (spec?.shards ?? []).entries()) want(['data', part, 'shards', i], name, 'folder');
    want(['data', part, 'textures', 'folder'], spec?.textures?.folder, 'folder');
    want(['data', part, 'textures', 'model'], spec?.textures?.model, 'file');
  }
  return problems;
}
