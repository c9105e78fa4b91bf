// The work behind render: folders of completed faces are only drawn; photos are taken all the way by what synth does.
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import type { MorphableModel } from '../models/morphable.js';
import { type ConvertOptions, loadFaceModel } from '../pipeline/face_model.js';
import { readPixels, toTensor, writeImage } from '../pipeline/image.js';
import { viewName, viewSheet } from '../pipeline/results.js';
import { faceMesh, faceViews, uvTableOf } from '../pipeline/synthesise.js';
import { type Outcome, runBatch } from './batch.js';
import { UsageError } from './errors.js';
import { findPhotos, folderNames, type Input } from './inputs.js';
import { MARKER, prepareOut, readMarker } from './output.js';
import type { PhotoOptions } from './photo-options.js';
import type { RenderOptions } from './render.js';
import type { Reporter } from './reporter.js';
import { FaceTaker } from './run-photos.js';

export async function runRender(
  inputs: readonly string[],
  options: RenderOptions,
  reporter: Reporter,
): Promise<number> {
  const isFace = (input: string) => existsSync(path.join(input, MARKER));
  const faces = inputs.filter(isFace);
  const found = await findPhotos(inputs.filter((input) => !isFace(input)));
  if (options.out) prepareOut(options.out);
  const names = folderNames(faces);
  const folders = faces.map((file, i): Input => ({ file, name: names[i] }));
  let taker: FaceTaker | undefined;
  if (found.photos.length > 0) {
    const settings: PhotoOptions = { ...options, out: options.out ?? 'out' };
    prepareOut(settings.out);
    taker = await FaceTaker.load('synth', settings, found.photos.length);
  }
  const models = new Map<string, MorphableModel>();
  const modelOf: ModelOf = (file, uv) => {
    const key = `${file} ${uv}`;
    const model = models.get(key) ?? loadFaceModel(file, { uv });
    models.set(key, model);
    return model;
  };
  const all = { photos: [...folders, ...found.photos], problems: found.problems };
  return runBatch('render', all, reporter, async (input, progress) => {
    if (taker && !folders.includes(input)) return taker.take(input, (what) => progress.show(what));
    return drawFolder(input, options, modelOf);
  });
}

type ModelOf = (file: string | undefined, uv: ConvertOptions['uv']) => MorphableModel;

/** What a marker says of the face model. */
interface MadeWith {
  model?: string;
  uv?: ConvertOptions['uv'];
}

/** Draws the face of a folder; the views go into it, or under --out. */
async function drawFolder(
  { file: folder, name }: Input,
  { out, model: named, yaw, pitch, roll, viewSize }: RenderOptions,
  modelOf: ModelOf,
): Promise<Outcome> {
  const marker = readMarker(folder) ?? {};
  const { alpha, beta, vertexCount, run } = marker;
  const { model: made, uv } = (run as { settings?: MadeWith } | undefined)?.settings ?? {};
  const texture = path.join(folder, 'completed.png');
  if (!isNumbers(alpha) || !isNumbers(beta) || !existsSync(texture)) {
    throw new UsageError(
      `${folder}: has no completed face (fit.json, completed.png); run \`rescunet complete\` on the photo`,
    );
  }
  const model = modelOf(named ?? made, uv);
  const fits =
    model.vertexCount === vertexCount && alpha.length <= model.identityCount && beta.length <= model.expressionCount;
  if (!fits) {
    throw new UsageError(
      `${folder}: was fitted with another face model than ${named ?? made ?? 'the default'}; name it with --model`,
    );
  }
  const pixels = await readPixels(texture);
  if (pixels.width !== pixels.height)
    throw new UsageError(`${texture}: is not square, so it is no UV map; complete the photo again`);
  const map = toTensor(pixels);
  const { footprint } = uvTableOf(model, pixels.width);
  const views = faceViews(faceMesh(model, { alpha, beta }, map, footprint), { yaw, pitch, roll, viewSize });
  const target = out ? path.join(out, name) : folder;
  mkdirSync(path.join(target, 'views'), { recursive: true });
  const files = views.map((view) => `views/${viewName(view)}`);
  await Promise.all(views.map(({ image }, i) => writeImage(path.join(target, files[i]), image)));
  await writeImage(path.join(target, 'sheet.png'), viewSheet(views));
  for (const t of [map, ...views.map(({ image }) => image)]) t.dispose();
  const count = `${views.length} ${views.length === 1 ? 'view' : 'views'}`;
  return { summary: `${count} -> ${target}`, record: { folder: target, files: [...files, 'sheet.png'] } };
}

const isNumbers = (value: unknown): value is number[] => Array.isArray(value) && value.every(Number.isFinite);
