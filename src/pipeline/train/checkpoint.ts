// Checkpoints of a run: RUN/checkpoints/step-00001000.safetensors, all tensors of a step's state and, as metadata, where the
// run was. Contract: a file is whole or absent; one that is damaged is passed over for the one before it.
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { loadSafetensors, readSafetensorsMetadata, saveSafetensors } from '../../formats/safetensors.js';
import type { Tensor } from '../../tensor/tensor.js';

/** Where a run was. */
export interface Progress {
  /** Steps done. */
  step: number;
  /** The step whose network scored best on the validation pairs, and its score. */
  best?: { step: number; score: number };
}

export interface Checkpoint extends Progress {
  file: string;
  /** What the run was configured to do, as it was given to `saveCheckpoint`. */
  config: unknown;
  /** To be disposed of by the caller. */
  state: Record<string, Tensor>;
}

const FORMAT = 'rescunet-checkpoint';
const NAME = /^step-(\d+)\.safetensors$/;

export const checkpointFolder = (run: string): string => path.join(run, 'checkpoints');

const fileOf = (run: string, step: number): string =>
  path.join(checkpointFolder(run), `step-${String(step).padStart(8, '0')}.safetensors`);

/** Steps that have a checkpoint, newest first. */
export function checkpointSteps(run: string): number[] {
  const folder = checkpointFolder(run);
  if (!existsSync(folder)) return [];
  const steps = readdirSync(folder).flatMap((name) => {
    const number = NAME.exec(name)?.[1];
    return number === undefined ? [] : [Number(number)];
  });
  return steps.sort((a, b) => b - a);
}

/** Writes a checkpoint and removes those beyond the newest `keep`, except the best. Returns its file. Throws FormatError. */
export function saveCheckpoint(
  run: string,
  { step, best }: Progress,
  { state, config, keep }: { state: Readonly<Record<string, Tensor>>; config: unknown; keep: number },
): string {
  const file = fileOf(run, step);
  mkdirSync(checkpointFolder(run), { recursive: true });
  const metadata = {
    format: FORMAT,
    step: String(step),
    config: JSON.stringify(config),
    ...(best && { best: JSON.stringify(best) }),
  };
  saveSafetensors(file, state, metadata);
  for (const old of checkpointSteps(run).slice(keep)) {
    if (old !== best?.step && old !== step) rmSync(fileOf(run, old), { force: true });
  }
  return file;
}

/**
 * The newest checkpoint of a run that is whole; `problems` gets a line for each that is not. Throws FormatError where there
 * is none.
 */
export function loadCheckpoint(run: string, problems: string[] = []): Checkpoint {
  for (const step of checkpointSteps(run)) {
    const file = fileOf(run, step);
    try {
      return readCheckpoint(file);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      problems.push(error.message);
    }
  }
  const why = problems.length > 0 ? `; ${problems.join('; ')}` : '';
  throw new FormatError(checkpointFolder(run), 'checkpoints', `there is none to take the run up from${why}`);
}

function readCheckpoint(file: string): Checkpoint {
  const { format, step, config, best } = readSafetensorsMetadata(file);
  if (format !== FORMAT) throw new FormatError(file, 'format', `wanted '${FORMAT}', got '${format}'`);
  const parsed = (field: string, text: string): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      throw new FormatError(file, `metadata ${field}`, 'cannot be parsed');
    }
  };
  return {
    file,
    step: Number(step),
    config: parsed('config', config),
    best: best === undefined ? undefined : (parsed('best', best) as Progress['best']),
    state: loadSafetensors(file),
  };
}
