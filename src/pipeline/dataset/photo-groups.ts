// Which photos there are and which belong together: folders per subject, Multi-PIE's names, single photos. Contract: sorted by name, so that the same
// files give the same groups and numbers everywhere.
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';

/** Multi-PIE's 15 cameras and the yaw at which they stand, in degrees; 08_1 and 19_1 hang above at 45. */
export const MULTIPIE_CAMERAS: Readonly<Record<string, number>> = {
  '110': -90,
  '120': -75,
  '090': -60,
  '080': -45,
  '130': -30,
  '140': -15,
  '051': 0,
  '050': 15,
  '041': 30,
  '190': 45,
  '200': 60,
  '010': 75,
  '240': 90,
  '081': -45,
  '191': 45,
};

export interface GroupPhoto {
  /** Relative to the root, with slashes. */
  name: string;
  file: string;
  /** What the camera's place says, where it is known. */
  nominalYaw?: number;
}

/** Photos of one face in one light with one expression, as far as names tell. */
export interface PhotoGroup {
  name: string;
  subject: number;
  illumination: number;
  expression: number;
  photos: GroupPhoto[];
}

export interface Groups {
  groups: PhotoGroup[];
  /** Photos whose name means nothing here. */
  ignored: string[];
  /** Of names and sizes. */
  digest: string;
}

const ENDINGS = ['.jpg', '.jpeg', '.png', '.webp', '.gif', '.tif', '.tiff'];

const isPhoto = (name: string): boolean =>
  ENDINGS.includes(path.extname(name).toLowerCase()) && !path.basename(name).startsWith('.');

function photosUnder(root: string): string[] {
  if (!statSync(root, { throwIfNoEntry: false })?.isDirectory()) {
    throw new FormatError(root, 'folder', 'does not exist or is no folder');
  }
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((name) => name.replaceAll(path.sep, '/'));
  return names.filter(isPhoto).sort((a, b) => (a < b ? -1 : Number(a > b)));
}

function digestOf(groups: readonly PhotoGroup[]): string {
  const hash = createHash('sha256');
  for (const { name, photos } of groups) {
    hash.update(`${name}\n`);
    for (const photo of photos) hash.update(`${photo.name} ${statSync(photo.file).size}\n`);
  }
  return hash.digest('hex').slice(0, 32);
}

const result = (root: string, groups: PhotoGroup[], ignored: string[], wanted: string): Groups => {
  if (groups.length === 0) throw new FormatError(root, 'photos', `none found; wanted ${wanted}`);
  return { groups, ignored, digest: digestOf(groups) };
};

/** `ROOT/SUBJECT/.../photo`: all photos below a folder are one group. Throws FormatError. */
export function subjectFolders(root: string): Groups {
  const people = new Map<string, GroupPhoto[]>();
  const ignored: string[] = [];
  for (const name of photosUnder(root)) {
    const [subject, ...rest] = name.split('/');
    if (rest.length === 0) ignored.push(name);
    else people.set(subject, [...(people.get(subject) ?? []), { name, file: path.join(root, name) }]);
  }
  const groups = [...people].map(([name, photos], subject) => ({
    name,
    subject,
    illumination: 0,
    expression: 0,
    photos,
  }));
  return result(root, groups, ignored, 'a folder for each subject with photos in it');
}

const MULTIPIE_NAME = /^(\d{3})_(\d{2})_(\d{2})_(\d{3})_(\d{2})$/;

/** `SSS_NN_RR_CCC_II.png` anywhere below the root: a group per subject, session, recording and illumination. Throws FormatError. */
export function multiPieGroups(root: string): Groups {
  const found = new Map<string, PhotoGroup>();
  const ignored: string[] = [];
  for (const name of photosUnder(root)) {
    const [, subject, session, recording, camera, light] = MULTIPIE_NAME.exec(path.posix.parse(name).name) ?? [];
    const nominalYaw = MULTIPIE_CAMERAS[camera];
    if (nominalYaw === undefined) {
      ignored.push(name);
      continue;
    }
    const key = `${subject}_${session}_${recording}_${light}`;
    const group = found.get(key) ?? {
      name: key,
      subject: Number(subject),
      illumination: Number(light),
      expression: Number(recording),
      photos: [],
    };
    group.photos.push({ name, file: path.join(root, name), nominalYaw });
    found.set(key, group);
  }
  const groups = [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return result(root, groups, ignored, 'SUBJECT_SESSION_RECORDING_CAMERA_ILLUMINATION.png, e.g. 001_01_01_051_07.png');
}

/** Every photo for itself. Throws FormatError. */
export function singlePhotos(root: string): Groups {
  const groups = photosUnder(root).map((name, subject) => ({
    name,
    subject,
    illumination: 0,
    expression: 0,
    photos: [{ name, file: path.join(root, name) }],
  }));
  return result(root, groups, [], 'photos');
}
