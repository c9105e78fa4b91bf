// Drawn photos kept in a folder, a file per person. Contract: what is read is what would be drawn; a file that is not there is written when
// its person is first asked for, so that any number of processes can fill the folder and a killed one is taken up.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { readSafetensors, readSafetensorsMetadata, writeSafetensors } from '../../formats/safetensors.js';
import { BLOCKS_AT_HAND } from './faces.js';
import { shareOut } from './processes.js';
import { Recent } from './recent.js';
import { type SynthFaces, type SynthFacesOptions, synthFaces } from './synth-faces.js';

const FORMAT = 'rescunet-faces';

/** The file of person `person` of these photos. */
const fileOf = (folder: string, person: number): string =>
  path.join(folder, `person-${String(person).padStart(6, '0')}.safetensors`);

/** What the photos of a person depend on besides their number. */
function settingsOf({ options: { people: _, firstPerson: __, ...settings } }: SynthFaces): string {
  return JSON.stringify(settings);
}

/**
 * The same photos, read from the folder (made where missing), drawn and written where they are not there yet: reading one takes a fraction of a
 * millisecond, drawing one about 40. Photos throw FormatError where the folder holds others, or a file is damaged.
 */
export function keptFaces(source: SynthFaces, folder: string): SynthFaces {
  mkdirSync(folder, { recursive: true });
  const { views, firstPerson } = source.options;
  const bytes = 3 * source.side * source.side;
  const people = new Recent<Uint8Array>(BLOCKS_AT_HAND);
  return {
    ...source,
    face(index) {
      const about = source.truth(index);
      const person = firstPerson + Math.floor(index / views);
      const crops = people.get(`${person}`, () => cropsOf(source, folder, person));
      const at = (index % views) * bytes;
      return { ...about, crop: crops.subarray(at, at + bytes) };
    },
  };
}

/** [views, side, side, 3] of one person. */
function cropsOf(source: SynthFaces, folder: string, person: number): Uint8Array {
  const file = fileOf(folder, person);
  return existsSync(file) ? readCrops(source, file) : writeCrops(source, file, person);
}

function readCrops(source: SynthFaces, file: string): Uint8Array {
  const { format, settings, sha256 } = readSafetensorsMetadata(file);
  if (format !== FORMAT) throw new FormatError(file, 'format', 'is not a file of drawn photos');
  const wanted = settingsOf(source);
  if (settings !== wanted) {
    throw new FormatError(file, 'settings', `holds photos of ${settings}, not of ${wanted}; name another folder`);
  }
  const { crops } = readSafetensors(file);
  const data = crops?.data as Uint8Array | undefined;
  if (data && digest(data) === sha256) return data;
  throw new FormatError(
    file,
    'sha256',
    'the photos are not those that were written; delete the file, it is made again',
  );
}

function writeCrops(source: SynthFaces, file: string, person: number): Uint8Array {
  const { views, side, firstPerson } = source.options;
  const bytes = 3 * side * side;
  const crops = new Uint8Array(views * bytes);
  for (let k = 0; k < views; k++) crops.set(source.face((person - firstPerson) * views + k).crop, k * bytes);
  const about = { format: FORMAT, settings: settingsOf(source), sha256: digest(crops) };
  writeSafetensors(file, { crops: { dtype: 'u8', shape: [views, side, side, 3], data: crops } }, about);
  return crops;
}

const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** A person whose photos are to be drawn. */
export interface PersonTask {
  person: number;
}

/** What a process that draws is told first. */
export interface Drawing {
  options: SynthFacesOptions;
  folder: string;
}

/** Draws and writes people one by one: the work of a process. */
export function drawPeople({ options, folder }: Drawing): (task: PersonTask) => void {
  const source = synthFaces(options);
  return ({ person }) => {
    writeCrops(source, fileOf(folder, person), person);
  };
}

export interface KeepOptions {
  /** Processes; the number of cores unless told otherwise. 1 works in this process. */
  workers?: number;
  /** Called once it is known how many people are there already, and after each person. */
  onStart?: (people: number, kept: number) => void | Promise<void>;
  onPerson?: (person: number) => void;
}

/**
 * Fills a folder for `keptFaces`. Whole files of the same settings are kept. Throws RangeError for options out of range, FormatError where the
 * folder holds other photos, Error where a process fails; people done by then stay.
 */
export async function keepFaces(
  options: SynthFacesOptions,
  folder: string,
  { workers = os.availableParallelism(), onStart, onPerson }: KeepOptions = {},
): Promise<{ written: number; kept: number }> {
  if (!Number.isInteger(workers) || workers < 1) {
    throw new RangeError(`keepFaces: workers must be a whole number of at least 1, got ${workers}`);
  }
  const source = synthFaces(options);
  mkdirSync(folder, { recursive: true });
  const { firstPerson, people } = source.options;
  const tasks: PersonTask[] = [];
  for (let person = firstPerson; person < firstPerson + people; person++) {
    const file = fileOf(folder, person);
    if (existsSync(file)) readCrops(source, file);
    else tasks.push({ person });
  }
  await onStart?.(people, people - tasks.length);
  const done = ({ person }: PersonTask) => onPerson?.(person);
  const about: Drawing = { options: source.options, folder: path.resolve(folder) };
  if (workers === 1 || tasks.length < 2) {
    const draw = drawPeople(about);
    for (const task of tasks) {
      draw(task);
      done(task);
    }
  } else await shareOut({ worker: new URL('./face-store-worker.js', import.meta.url), about, tasks, workers, done });
  return { written: tasks.length, kept: people - tasks.length };
}
