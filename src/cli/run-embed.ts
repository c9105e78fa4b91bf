// The work behind embed.
import { statSync } from 'node:fs';
import path from 'node:path';
import { writeAtomically } from '../formats/files.js';
import { writeSafetensors } from '../formats/safetensors.js';
import { writeImage } from '../pipeline/image.js';
import { fivePoints } from '../pipeline/recognise/align.js';
import {
  cosineSimilarity,
  type EmbedOptions,
  embed,
  type FaceEmbedding,
  loadRecogniser,
} from '../pipeline/recognise/embed.js';
import { runBatch } from './batch.js';
import type { EmbedCommandOptions } from './embed.js';
import { UsageError } from './errors.js';
import { findPhotos } from './inputs.js';
import { readLandmarks } from './landmarks.js';
import { loadFitting, named } from './networks.js';
import { prepareOut } from './output.js';
import type { Reporter } from './reporter.js';
import { readPhoto } from './run-photos.js';
import { findRecogniser, noRecogniser } from './weights.js';

const ENDINGS = ['.json', '.safetensors'];

interface Row {
  file: string;
  face: number;
  found: FaceEmbedding;
}

export async function runEmbed(
  inputs: readonly string[],
  options: EmbedCommandOptions,
  reporter: Reporter,
): Promise<number> {
  const { out, crops, landmarks, box, faces } = options;
  const found = await findPhotos(inputs);
  if (box && found.photos.length > 1) {
    throw new UsageError('--box is for one photo; leave it out to find the faces of many');
  }
  const file = findRecogniser(options);
  if (!file) throw noRecogniser();
  if (out !== undefined) {
    const problem = outProblem(out);
    if (problem) throw new UsageError(`--out ${out}: ${problem}`);
    prepareOut(path.dirname(out));
  }
  if (crops !== undefined) prepareOut(crops);
  const fitting = landmarks ? undefined : loadFitting({ ...options, out: '' }, found.photos.length);
  if (landmarks) readable(landmarks, found.photos.length);
  const recogniser = named('--recogniser', 'give a MobileFaceNet or an IR-18 to 100', () => loadRecogniser(file));
  const rows: Row[] = [];
  const code = await runBatch('embed', found, reporter, async (photo) => {
    const pixels = await readPhoto(photo.file);
    const where: EmbedOptions = fitting
      ? { recogniser, ...fitting, box, faces }
      : { recogniser, points: fivePoints(readLandmarks(landmarks as string, photo.file)) };
    const embeddings = await embed(pixels, where);
    if (embeddings.length === 0) {
      throw new UsageError(`${photo.file}: no face found; name its place with --box or try another --detector`);
    }
    for (const [i, each] of embeddings.entries()) {
      const name = `${photo.name}${i === 0 ? '' : `-face-${i + 1}`}.png`;
      if (crops !== undefined) await writeImage(path.join(crops, name), each.crop);
      rows.push({ file: photo.file, face: i + 1, found: each });
    }
    const cosines = embeddings.map(({ embedding }) => cosineSimilarity(embedding, rows[0].found.embedding));
    const listed = cosines.map((cosine) => cosine.toFixed(3)).join(', ');
    const summary = `${embeddings.length === 1 ? '1 face' : `${embeddings.length} faces`}, cosine to the first ${listed}`;
    return {
      summary,
      record: {
        recogniser: recogniser.name,
        faces: embeddings.map(({ embedding, points, fit }, i) => ({
          ...(fit && { box: fit.box, yaw: fit.yaw, pitch: fit.pitch, roll: fit.roll }),
          points,
          cosineToFirst: cosines[i],
          embedding,
        })),
      },
    };
  });
  if (out !== undefined && rows.length > 0) await write(out, rows, recogniser.name);
  return code;
}

function outProblem(out: string): string | undefined {
  if (!ENDINGS.includes(path.extname(out).toLowerCase())) return `ends in none of ${ENDINGS.join(', ')}`;
  return statSync(out, { throwIfNoEntry: false })?.isDirectory() ? 'is a folder' : undefined;
}

function readable(landmarks: string, photos: number): void {
  const source = statSync(landmarks, { throwIfNoEntry: false });
  if (!source) throw new UsageError(`--landmarks ${landmarks}: does not exist; give a file of 68 points or a folder`);
  if (photos > 1 && !source.isDirectory()) {
    throw new UsageError(`--landmarks ${landmarks}: is for one photo; for many give a folder with a file for each`);
  }
}

/** `embeddings` [n, d] and `points` [n, 5, 2], in the order of the metadata's `faces`; or the same as JSON. */
async function write(out: string, rows: readonly Row[], recogniser: string): Promise<void> {
  const faces = rows.map(({ file, face }) => ({ file, face }));
  const embeddings = rows.map(({ found }) => found.embedding);
  const points = rows.map(({ found }) => found.points);
  if (out.toLowerCase().endsWith('.json')) {
    const list = faces.map((face, i) => ({ ...face, points: [...points[i]], embedding: [...embeddings[i]] }));
    await writeAtomically(out, Buffer.from(JSON.stringify({ recogniser, faces: list })));
    return;
  }
  const flat = (lists: readonly ArrayLike<number>[]) => Float32Array.from(lists.flatMap((list) => Array.from(list)));
  const dimension = embeddings[0].length;
  writeSafetensors(
    out,
    {
      embeddings: { dtype: 'f32', shape: [rows.length, dimension], data: flat(embeddings) },
      points: { dtype: 'f32', shape: [rows.length, 5, 2], data: flat(points) },
    },
    { recogniser, faces: JSON.stringify(faces) },
  );
}
