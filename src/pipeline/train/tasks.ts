// What can be trained: the tasks that the key `task` of a configuration names.
import { existsSync } from 'node:fs';
import { readBytes } from '../../formats/files.js';
import { COMPLETION } from './completion.js';
import { COMPLETION_KEYS, type TrainConfig } from './config.js';
import { type ConfigKeys, readConfig } from './config-reader.js';
import { defaultConfigText } from './config-text.js';
import { FITTER } from './fitter.js';
import { FITTER_KEYS, FITTER_TEXT, type FitterConfig } from './fitter-config.js';
import type { RunConfig, TrainTask } from './job.js';
import { RECOGNISER } from './recogniser.js';
import { RECOGNISER_KEYS, type RecogniserConfig, recogniserConfigText } from './recogniser-config.js';

/** Every kind of configuration; `task` tells them apart. */
export type AnyTrainConfig = TrainConfig | FitterConfig | RecogniserConfig;

interface Entry {
  task: TrainTask<RunConfig>;
  keys: ConfigKeys<unknown, AnyTrainConfig>;
  /** A configuration with every key, for --init. */
  text(): string;
}

/** Widens a task to what the loop and the reader know of it; `name` guarantees that it gets its own configurations alone. */
const entry = <R, C extends AnyTrainConfig>(
  task: TrainTask<C>,
  keys: ConfigKeys<R, C>,
  text: () => string,
): [string, Entry] => [
  task.name,
  {
    task: task as unknown as TrainTask<RunConfig>,
    keys: keys as unknown as ConfigKeys<unknown, AnyTrainConfig>,
    text,
  },
];

const TASKS: ReadonlyMap<unknown, Entry> = new Map([
  entry(COMPLETION, COMPLETION_KEYS, defaultConfigText),
  entry(RECOGNISER, RECOGNISER_KEYS, recogniserConfigText),
  entry(FITTER, FITTER_KEYS, () => FITTER_TEXT),
]);

export const TASK_NAMES = [...TASKS.keys()] as readonly string[];

const entryOf = (task: unknown): Entry | undefined => TASKS.get(task ?? COMPLETION.name);

/** Throws RangeError for a task that is not known. */
export function taskOf({ task }: Pick<RunConfig, 'task'>): TrainTask<RunConfig> {
  const found = entryOf(task);
  if (!found) throw new RangeError(`train: task is one of ${TASK_NAMES.join(', ')}, got ${task}`);
  return found.task;
}

/** A configuration with every key of a task, commented. */
export const defaultConfigOf = (task?: string): string | undefined => entryOf(task)?.text();

/** Reads YAML text of any task; `file` names it in messages, and relative paths start at its folder. Throws TrainConfigError. */
export function parseTrainConfigOf(text: string, file: string): AnyTrainConfig {
  return readConfig({ text, file }, (task) => entryOf(task)?.keys, TASK_NAMES);
}

/**
 * Reads the configuration file of any task, with overrides `key.path=value` whose relative paths start at the working folder. The name of
 * a task, where there is no such file, stands for that task's defaults. Throws TrainConfigError, FormatError for the file itself.
 */
export function readAnyTrainConfig(file: string, overrides: readonly string[] = []): AnyTrainConfig {
  const text =
    TASK_NAMES.includes(file) && !existsSync(file) ? `task: ${file}\n` : Buffer.from(readBytes(file)).toString('utf8');
  return readConfig({ text, file, overrides, files: true }, (task) => entryOf(task)?.keys, TASK_NAMES);
}
