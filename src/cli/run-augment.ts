// The work behind augment. Contract: a photo's marker, OUT/IDENTITY/PHOTO.json, is written after its images; the manifest says what the
// markers of all photos say, so that parts may run side by side and the last one to end leaves the whole.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { writeAtomically } from '../formats/files.js';
import { fitPhoto } from '../pipeline/fit.js';
import { writeImage } from '../pipeline/image.js';
import type { Colour } from '../pipeline/overlay.js';
import { augmentFace, type IdentityPhoto, identityPhotos } from '../pipeline/recognise/augment.js';
import type { AugmentCommandOptions } from './augment.js';
import { type Outcome, runBatch } from './batch.js';
import { UsageError } from './errors.js';
import { loadCompletion, loadFitting, named } from './networks.js';
import { describeRun, prepareOut, type Run } from './output.js';
import type { Reporter } from './reporter.js';
import { readPhoto } from './run-photos.js';

const COLOURS: Readonly<Record<'black' | 'grey', Colour>> = { black: [0, 0, 0], grey: [127, 127, 127] };

interface Marker {
  run: Run;
  identity: string;
  files: string[];
  yaw?: number;
  failed?: string;
}

export async function runAugment(folder: string, options: AugmentCommandOptions, reporter: Reporter): Promise<number> {
  const { out, yaw = [], perIdentity, background, part, force, size, box, landmarks } = options;
  if (box || landmarks) throw new UsageError(`--${box ? 'box' : 'landmarks'} is for single photos; leave it out`);
  const most = Math.max(1, Math.round(perIdentity / (yaw.length + 1)));
  const all = named('augment', 'give a folder that holds one folder of photos for each identity', () =>
    identityPhotos(folder, most),
  );
  if (path.resolve(out) === path.resolve(folder)) throw new UsageError(`--out ${out}: is the folder of the photos`);
  prepareOut(out);
  const completion = await loadCompletion(options);
  const fitting = loadFitting(options, all.length);
  const settings = {
    ...Object.fromEntries(Object.entries(options).filter(([name]) => !PLACES.includes(name))),
    ...fitting.files,
  };
  const markerOf = ({ identity, stem }: IdentityPhoto) => path.join(out, identity, `${stem}.json`);
  const mine = all.filter((_, i) => i % part[1] === part[0] - 1);
  const byFile = new Map(mine.map((photo) => [photo.file, photo]));
  const photos = mine.map(({ file, stem }) => ({ file, name: stem }));
  const code = await runBatch('augment', { photos, problems: [] }, reporter, async ({ file }): Promise<Outcome> => {
    const photo = byFile.get(file) as IdentityPhoto;
    const run = describeRun('augment', settings, file);
    const earlier = force ? undefined : finished(markerOf(photo), out, run);
    if (earlier?.failed) throw new UsageError(earlier.failed);
    if (earlier) {
      const { identity, files } = earlier;
      return { skipped: true, summary: `already finished in ${path.join(out, identity)}`, record: { identity, files } };
    }
    mkdirSync(path.join(out, photo.identity), { recursive: true });
    const mark = (marker: Omit<Marker, 'run' | 'identity'>) =>
      writeAtomically(markerOf(photo), Buffer.from(JSON.stringify({ run, identity: photo.identity, ...marker })));
    try {
      const pixels = await readPhoto(file);
      const [fit] = await fitPhoto(pixels, { ...fitting, faces: 'largest' });
      if (!fit) throw new UsageError(`${file}: no face found; try another --detector`);
      const behind = background === 'photo' ? background : COLOURS[background];
      const faces = await augmentFace(pixels, fit, {
        model: fitting.model,
        yaw,
        background: behind,
        size,
        ...completion,
      });
      const files: string[] = [];
      for (const face of faces) {
        const name = path.posix.join(
          photo.identity,
          `${photo.stem}_${face.yaw === undefined ? 'photo' : label(face.yaw)}.png`,
        );
        await writeImage(path.join(out, name), face.crop);
        files.push(name);
      }
      await mark({ files, yaw: fit.yaw });
      return {
        summary: `${files.length} images -> ${path.join(out, photo.identity)}`,
        record: { identity: photo.identity, files, yaw: fit.yaw },
      };
    } catch (error) {
      if (error instanceof UsageError) await mark({ files: [], failed: error.message });
      throw error;
    }
  });
  await writeManifest(out, all, settings, markerOf);
  return code;
}

/** Options that say where results go and who makes them, not what they are. */
const PLACES = ['out', 'force', 'json', 'quiet', 'part', 'perIdentity'];

const label = (yaw: number): string => `yaw${yaw < 0 ? '-' : '+'}${String(Math.abs(yaw)).padStart(2, '0')}`;

function read(file: string): Marker | undefined {
  try {
    const marker: Marker = JSON.parse(readFileSync(file, 'utf8'));
    return Array.isArray(marker.files) ? marker : undefined;
  } catch {
    return undefined;
  }
}

/** The marker of a photo that an equal run finished and whose images are all there. */
function finished(file: string, out: string, run: Run): Marker | undefined {
  const marker = read(file);
  if (!marker || JSON.stringify(marker.run) !== JSON.stringify(run)) return undefined;
  return marker.files.every((name) => existsSync(path.join(out, name))) ? marker : undefined;
}

async function writeManifest(
  out: string,
  all: readonly IdentityPhoto[],
  settings: Record<string, unknown>,
  markerOf: (photo: IdentityPhoto) => string,
): Promise<void> {
  const images: { file: string; identity: string; photo: string; yaw: number | undefined }[] = [];
  const failed: { photo: string; problem: string }[] = [];
  let missing = 0;
  for (const photo of all) {
    const marker = read(markerOf(photo));
    if (!marker) missing++;
    else if (marker.failed) failed.push({ photo: photo.file, problem: marker.failed });
    for (const file of marker?.files ?? []) {
      const angle = /_yaw([+-][\d.]+)\.png$/.exec(file)?.[1];
      images.push({
        file,
        identity: photo.identity,
        photo: photo.file,
        yaw: angle === undefined ? marker?.yaw : Number(angle),
      });
    }
  }
  const identities = [...new Set(images.map(({ identity }) => identity))];
  const manifest = {
    format: 'rescunet-faces',
    version: 1,
    size: [112, 112],
    settings,
    identities,
    images,
    failed,
    complete: missing === 0,
  };
  await writeAtomically(path.join(out, 'manifest.json'), Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`));
}
