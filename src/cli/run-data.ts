// The work behind data.
import os from 'node:os';
import path from 'node:path';
import { writeAtomicallySync } from '../formats/files.js';
import { keepFaces } from '../pipeline/dataset/face-store.js';
import type { Recipe } from '../pipeline/dataset/items.js';
import type { FittingFiles } from '../pipeline/dataset/photo-items.js';
import { prepareShards } from '../pipeline/dataset/prepare.js';
import type { Manifest } from '../pipeline/dataset/shards.js';
import { textureSet } from '../pipeline/dataset/texture-set.js';
import { loadFaceModel } from '../pipeline/face_model.js';
import type { PairOptions, PhotoPairOptions, SynthFacesOptions, SynthPieOptions, TexturesOptions } from './data.js';
import { EXIT_OK, EXIT_USAGE, UsageError } from './errors.js';
import { prepareOut } from './output.js';
import type { Progress, Reporter } from './reporter.js';
import { findDetector, findRegressor, noDetector, noRegressor, otherModel } from './weights.js';

export async function runSynthPie(options: SynthPieOptions, reporter: Reporter): Promise<number> {
  const { identities, firstIdentity, expressions, illuminations, viewpoints, size, seed } = options;
  const fitError = options.fitError ? 1 : 0;
  const people = { identities, firstIdentity, expressions, illuminations, viewpoints };
  const recipe: Recipe = { synthPie: { ...people, size, seed, fitError } };
  await write('data synth-pie', recipe, options, reporter, {});
  return EXIT_OK;
}

export async function runTextures(options: TexturesOptions, reporter: Reporter): Promise<number> {
  const { textures, model, split, views, size, seed } = options;
  const settings = { split, views, size, seed, fitError: options.fitError ? 1 : 0 };
  const { skipped, subjects } = await textureSet(textures, loadFaceModel(model), settings);
  for (const problem of skipped) reporter.error(problem);
  const recipe: Recipe = { textures: { folder: textures, model, ...settings } };
  await write('data textures', recipe, options, reporter, { people: subjects.length, skipped });
  return skipped.length > 0 ? EXIT_USAGE : EXIT_OK;
}

export async function runPhotoPairs(
  kind: 'folder' | 'multipie' | 'photos',
  root: string,
  options: PhotoPairOptions,
  reporter: Reporter,
): Promise<number> {
  const { size, frontal, views, seed, out } = options;
  const base = { root, fitting: fittingOf(options), size, frontal };
  const recipe: Recipe =
    kind === 'folder'
      ? { folder: base }
      : kind === 'multipie'
        ? { multipie: base }
        : { photos: { ...base, views, seed, fitError: options.fitError === false ? 0 : 1 } };
  const manifest = await write(`data ${kind}`, recipe, options, reporter, {});
  const { dropped, pairs, items } = manifest;
  const report = path.join(out, 'report.json');
  const text = JSON.stringify({ command: `data ${kind}`, root: path.resolve(root), pairs, items, dropped }, null, 2);
  writeAtomicallySync(report, Buffer.from(`${text}\n`));
  if (dropped.length > 0) reporter.error(`${dropped.length} photos or groups were left out; ${report} has the reasons`);
  if (pairs === 0)
    throw new UsageError(`${root}: no pair came of it (${dropped[0]?.name ?? ''}: ${dropped[0]?.reason})`);
  return EXIT_OK;
}

export async function runSynthFaces(options: SynthFacesOptions, reporter: Reporter): Promise<number> {
  const { out, workers, json: _, quiet: __, ...faces } = options;
  prepareOut(out);
  const begin = performance.now();
  let progress: Progress | undefined;
  try {
    const { written, kept } = await keepFaces(faces, out, {
      workers: workers ?? os.availableParallelism(),
      onStart: async (people, there) => {
        progress = await reporter.start(people, 'people');
        for (let i = 0; i < there; i++) progress?.advance();
      },
      onPerson: () => progress?.advance(),
    });
    const seconds = Number(((performance.now() - begin) / 1000).toFixed(2));
    const rate = Number(((written * faces.views) / seconds).toFixed(1));
    const folder = path.resolve(out);
    reporter.line(
      `${faces.views} photos of ${faces.side}x${faces.side} of each of ${faces.people} people in ${folder}: ${written} people written` +
        ` (${seconds} s, ${rate} photos/s)${kept > 0 ? `, ${kept} kept from an earlier run` : ''}`,
    );
    reporter.document({ command: 'data synth-faces', folder, ...faces, written, kept, seconds, rate });
    return EXIT_OK;
  } finally {
    progress?.stop();
  }
}

/** Files that fitting takes, as absolute paths. Throws UsageError for what is missing. */
function fittingOf(options: PhotoPairOptions): FittingFiles {
  const model = options.model && path.resolve(options.model);
  if (options.landmarks) return { model, landmarks: path.resolve(options.landmarks) };
  const regressor = findRegressor(options);
  if (!regressor) throw noRegressor();
  const weights = findDetector(options);
  if (!weights) throw noDetector(options);
  if (!loadFaceModel(model).parameterMean) throw otherModel(model);
  const detector = { kind: options.detector, weights: weights.length === 1 ? weights[0] : weights };
  return { model, regressor, detector };
}

async function write(
  command: string,
  recipe: Recipe,
  { out, shard, workers }: Pick<PairOptions, 'out' | 'shard' | 'workers'>,
  reporter: Reporter,
  about: Record<string, unknown>,
): Promise<Manifest> {
  prepareOut(out);
  const begin = performance.now();
  let made = 0;
  let progress: Progress | undefined;
  try {
    const { written, kept, manifest } = await prepareShards(recipe, out, {
      shardSize: shard,
      workers: workers ?? os.availableParallelism(),
      onStart: async (shards) => {
        progress = await reporter.start(shards, 'shards');
      },
      onShard: ({ file, pairs, kept: there }) => {
        if (!there) made += pairs;
        progress?.show(file);
        progress?.advance();
      },
    });
    const seconds = Number(((performance.now() - begin) / 1000).toFixed(2));
    const rate = Number((made / seconds).toFixed(1));
    reporter.line(
      `${manifest.pairs} pairs of ${manifest.size}x${manifest.size} in ${path.resolve(out)}: ${written} shards written` +
        ` (${seconds} s, ${rate} pairs/s)${kept > 0 ? `, ${kept} kept from an earlier run` : ''}`,
    );
    const { pairs, config, dropped } = manifest;
    const folder = path.resolve(out);
    reporter.document({ command, folder, pairs, config, written, kept, seconds, rate, dropped, ...about });
    return manifest;
  } finally {
    progress?.stop();
  }
}
