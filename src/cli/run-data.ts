// The work behind data.
import path from 'node:path';
import type { PairSource } from '../pipeline/dataset/pairs.js';
import { writeShards } from '../pipeline/dataset/shards.js';
import { synthPie } from '../pipeline/dataset/synth-pie.js';
import { textureSet } from '../pipeline/dataset/texture-set.js';
import { loadFaceModel } from '../pipeline/face_model.js';
import type { PairOptions, SynthPieOptions, TexturesOptions } from './data.js';
import { EXIT_OK, EXIT_USAGE } from './errors.js';
import { prepareOut } from './output.js';
import type { Reporter } from './reporter.js';

export async function runSynthPie(options: SynthPieOptions, reporter: Reporter): Promise<number> {
  const { identities, firstIdentity, expressions, illuminations, viewpoints, size, seed } = options;
  const fitError = options.fitError ? 1 : 0;
  const people = { identities, firstIdentity, expressions, illuminations, viewpoints };
  const source = synthPie({ ...people, size, seed, fitError });
  await write('data synth-pie', source, options, reporter, {});
  return EXIT_OK;
}

export async function runTextures(options: TexturesOptions, reporter: Reporter): Promise<number> {
  const { textures, model, split, views, size, seed } = options;
  const fitError = options.fitError ? 1 : 0;
  const source = await textureSet(textures, loadFaceModel(model), { split, views, size, seed, fitError });
  for (const problem of source.skipped) reporter.error(problem);
  const { skipped, subjects } = source;
  await write('data textures', source, options, reporter, { people: subjects.length, skipped });
  return skipped.length > 0 ? EXIT_USAGE : EXIT_OK;
}

async function write(
  command: string,
  source: PairSource,
  { out, shard }: PairOptions,
  reporter: Reporter,
  about: Record<string, unknown>,
): Promise<void> {
  prepareOut(out);
  const begin = performance.now();
  const progress = await reporter.start(Math.ceil(source.length / shard), 'shards');
  let made = 0;
  try {
    const { written, kept, manifest } = writeShards(source, out, {
      shardSize: shard,
      onShard: ({ file, count, kept: there }) => {
        if (!there) made += count;
        progress.show(file);
        progress.advance();
      },
    });
    const seconds = Number(((performance.now() - begin) / 1000).toFixed(2));
    const rate = Number((made / seconds).toFixed(1));
    reporter.line(
      `${manifest.pairs} pairs of ${source.size}x${source.size} in ${path.resolve(out)}: ${written} shards written` +
        ` (${seconds} s, ${rate} pairs/s)${kept > 0 ? `, ${kept} kept from an earlier run` : ''}`,
    );
    const { pairs, config } = manifest;
    reporter.document({ command, folder: path.resolve(out), pairs, config, written, kept, seconds, rate, ...about });
  } finally {
    progress.stop();
  }
}
