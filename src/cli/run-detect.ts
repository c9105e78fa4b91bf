// The work behind detect.
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { toTensor, writeImage } from '../pipeline/image.js';
import { drawBoxes } from '../pipeline/overlay.js';
import { runBatch } from './batch.js';
import type { DetectOptions } from './detect.js';
import { UsageError } from './errors.js';
import { findPhotos } from './inputs.js';
import { loadNamedDetector } from './networks.js';
import { prepareOut } from './output.js';
import type { Reporter } from './reporter.js';
import { readPhoto } from './run-photos.js';
import { noDetector } from './weights.js';

export async function runDetect(
  inputs: readonly string[],
  options: DetectOptions,
  reporter: Reporter,
): Promise<number> {
  const { out, faces: which } = options;
  const found = await findPhotos(inputs);
  if (out) prepareOut(out);
  const detector = loadNamedDetector(options);
  if (!detector) throw noDetector(options);
  return runBatch('detect', found, reporter, async ({ file, name }) => {
    const pixels = await readPhoto(file);
    const image = toTensor(pixels, 'u8');
    const all = await detector.detect(image);
    image.dispose();
    if (all.length === 0) throw new UsageError(`${file}: no face found; try another --detector or a larger photo`);
    const faces = which === 'largest' ? all.slice(0, 1) : all;
    const boxes = faces.map(({ left, top, right, bottom }) => [left, top, right, bottom] as const);
    if (out) {
      mkdirSync(path.join(out, name), { recursive: true });
      await writeImage(path.join(out, name, 'photo.png'), drawBoxes(pixels, boxes));
    }
    const listed = faces.map(({ score }, i) => `${boxes[i].map((v) => v.toFixed(1)).join(',')} (${score.toFixed(3)})`);
    const record = faces.map(({ score, landmarks5 }, i) => ({ box: boxes[i], score, landmarks5 }));
    return { summary: listed.join(' '), record: { faces: record } };
  });
}
