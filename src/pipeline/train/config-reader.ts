// A training configuration of any task: YAML text and overrides to checked keys. Contract: a configuration that is returned has every
// default filled in and only absolute paths, and one that is refused is refused once, with all that is wrong with it.
import path from 'node:path';
import { type Document, isMap, isScalar, LineCounter, parse, parseDocument } from 'yaml';
import type { z } from 'zod';
import { FormatError } from '../../formats/error.js';
import { checkExclusive, explainIssue, type Given, isSection, type Problem, shown } from './config-checks.js';
import { type Exclusive, keysOf } from './config-leaves.js';

/** All that is wrong with a configuration: `problems` has one line each, the message them all. */
export class TrainConfigError extends FormatError {
  readonly problems: readonly string[];

  constructor(file: string, problems: readonly string[]) {
    const [first] = problems;
    const colon = first.indexOf(': ');
    const [field, problem] =
      problems.length === 1
        ? [first.slice(0, colon), first.slice(colon + 2)]
        : [`${problems.length} problems`, problems.map((line) => `\n  ${line}`).join('')];
    super(file, field, problem);
    this.problems = problems;
  }
}

/** Folder that a relative path of a key starts at: the file's, or the working folder where an override gave it. */
export type FolderOf = (...at: string[]) => string;

/** What a task's configuration consists of. */
export interface ConfigKeys<R, C> {
  schema: z.ZodType<R>;
  exclusive: readonly Exclusive[];
  /** What several keys together do not allow; looks at the keys as given. */
  together(given: Given): Problem[];
  /** The same with absolute paths. */
  located(raw: R, folderOf: FolderOf): R;
  /** Files and folders that are named and not there. */
  files(raw: R): Problem[];
  finished(raw: R): C;
}

/** Text, its file, overrides `key.path=value`, and whether named files must exist. */
export interface ConfigText {
  text: string;
  file: string;
  overrides?: readonly string[];
  files?: boolean;
}

/** Reads a configuration whose keys the `task` it names decides: `keysFor` gives them, or undefined for a task that is not known. */
export function readConfig<C>(
  { text, file, overrides = [], files = false }: ConfigText,
  keysFor: (task: unknown) => ConfigKeys<unknown, C> | undefined,
  tasks: readonly string[],
): C {
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
  const refuse = () => {
    throw new TrainConfigError(file, told(problems, document, lines, overridden));
  };
  const task = overrides.reduce((last, one) => {
    const value = /^\s*task\s*=\s*(.*?)\s*$/.exec(one)?.[1];
    return value === undefined ? last : value || undefined;
  }, given.task as unknown);
  const keysOfTask = keysFor(task);
  if (!keysOfTask) {
    problems.push({ path: ['task'], text: `wanted one of ${tasks.join(', ')}, found ${shown(task)}` });
    return refuse();
  }
  const { schema, exclusive } = keysOfTask;
  let all: Given = given;
  for (const override of overrides) all = applied(all, override, overridden, problems, exclusive);
  const { task: _, ...keys } = all;

  const parsed = schema.safeParse(keys);
  const known = ['task', ...keysOf(schema)];
  for (const issue of parsed.error?.issues ?? []) problems.push(...explainIssue(issue, keys, known));
  problems.push(...checkExclusive(keys, exclusive), ...keysOfTask.together(keys));
  if (!parsed.success) return refuse();
  const folder = path.dirname(path.resolve(file));
  const raw = keysOfTask.located(parsed.data, (...at) => (isOverridden(at, overridden) ? process.cwd() : folder));
  if (files) problems.push(...keysOfTask.files(raw));
  return problems.length > 0 ? refuse() : keysOfTask.finished(raw);
}

/** A key without a value counts as not given. */
function withoutNulls(value: unknown): unknown {
  if (!isSection(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (inner === null ? [] : [[key, withoutNulls(inner)]])),
  );
}

/** `keys` with `key.path=value`; keys that the new one excludes step back unless they were given by an override too. */
function applied(
  keys: Given,
  override: string,
  overridden: Map<string, string>,
  problems: Problem[],
  exclusive: readonly Exclusive[],
): Given {
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
    const rivals = exclusive.find(({ section: s }) => s.join('.') === at.slice(0, depth).join('.'));
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
