// The work behind eval uv.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { readBytes, writeAtomically } from '../formats/files.js';
import type { PairSource } from '../pipeline/dataset/pairs.js';
import { MANIFEST, readShards } from '../pipeline/dataset/shards.js';
import { synthPie } from '../pipeline/dataset/synth-pie.js';
import { textureSet } from '../pipeline/dataset/texture-set.js';
import { type Completer, inputCompleter, mirrorCompleter, NetworkCompleter } from '../pipeline/evaluate/completer.js';
import { writeFigures } from '../pipeline/evaluate/figures.js';
import { leftOut, markdownReport, NOTES, textTables } from '../pipeline/evaluate/report.js';
import { joinSources } from '../pipeline/evaluate/sources.js';
import { evaluateUv } from '../pipeline/evaluate/uv.js';
import { loadFaceModel } from '../pipeline/face_model.js';
import { loadGenerator } from '../pipeline/generators.js';
import { ShapeError } from '../tensor/shape.js';
import { packageVersion } from './command.js';
import { EXIT_OK, EXIT_USAGE, UsageError } from './errors.js';
import type { EvalUvOptions } from './eval.js';
import { prepareOut } from './output.js';
import type { Reporter } from './reporter.js';

const DEFAULT_SIZE = 128;
const FIGURES = 'figures';
/** Names that an earlier run may have left among the figures. */
const FIGURE = /^(person|attention)-[\w.-]+\.png$/;

export async function runEvalUv(options: EvalUvOptions, reporter: Reporter): Promise<number> {
  const { out, samples, seed, batch, composite, intermediate, figures } = options;
  checkOptions(options);
  prepareOut(out);
  const { source, problems } = await openPairs(options);
  for (const problem of problems) reporter.error(problem);
  const methods = await loadMethods(options, source);
  const begin = performance.now();
  const total = Math.min(samples ?? source.length, source.length);
  const progress = await reporter.start(total, 'pairs');
  try {
    progress.show(methods.map(({ name }) => name).join(', '));
    const onPair = () => progress.advance();
    const evaluation = await evaluateUv(methods, source, { samples, seed, batch, composite, intermediate, onPair });
    const seconds = Number(((performance.now() - begin) / 1000).toFixed(1));
    const { cells, pairs, measured, available } = evaluation;
    const cpu = cpus();
    const machine = `${cpu[0]?.model.trim() ?? 'unknown processor'}, ${cpu.length} threads, node ${process.version}`;
    const sampled = measured < available;
    const sentences = [
      `${measured} pairs of ${source.size}x${source.size}${sampled ? ` of ${available}, balanced over yaw, seed ${seed}` : ''}: ${describe(source.config)}`,
      ...evaluation.methods.map(({ name, about }) => `${name}: ${describe(about)}`),
      `${seconds} s on ${machine}; rescunet ${packageVersion()}`,
    ];
    const results = {
      format: 'rescunet-evaluation',
      version: 1,
      task: 'uv',
      source: source.config,
      size: evaluation.size,
      measured,
      available,
      seed: sampled ? seed : undefined,
      methods: evaluation.methods,
      cells,
      notes: NOTES,
      problems,
      seconds,
      machine,
      rescunet: packageVersion(),
    };
    const save = (name: string, text: string) => writeAtomically(path.join(out, name), Buffer.from(text));
    await save('pairs.jsonl', pairs.map((pair) => `${JSON.stringify(pair)}\n`).join(''));
    await save('results.md', markdownReport(evaluation, sentences));
    await save('results.json', `${JSON.stringify(results, null, 1)}\n`);
    const pictures =
      figures === undefined ? [] : await draw(out, methods, source, figures, (file) => progress.show(file));
    progress.stop();
    for (const line of [...sentences, '', ...textTables(evaluation), ...leftOut(cells)]) reporter.line(line);
    const files = ['results.json', 'results.md', 'pairs.jsonl', ...pictures];
    reporter.line(`files in ${path.resolve(out)}: ${files.join(', ')}`);
    reporter.document({ command: 'eval uv', folder: path.resolve(out), files, ...results });
  } finally {
    progress.stop();
    for (const method of methods) method.dispose();
  }
  return problems.length > 0 ? EXIT_USAGE : EXIT_OK;
}

async function draw(
  out: string,
  methods: readonly Completer[],
  source: PairSource,
  people: number | true,
  onPicture: (file: string) => void,
): Promise<string[]> {
  const folder = path.join(out, FIGURES);
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) if (FIGURE.test(name)) rmSync(path.join(folder, name));
  const files = await writeFigures(folder, methods, source, {
    people: people === true ? undefined : people,
    onPicture,
  });
  return files.map((name) => path.posix.join(FIGURES, name));
}

/** `kind uvgan, channels 3, ...`, without what is not set. */
export const describe = (about: Readonly<Record<string, unknown>>): string =>
  Object.entries(about)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key} ${value}`)
    .join(', ');

/** Refuses, before any work, what cannot work. */
export function checkOptions({ data, synthPie: drawn, textures, model, size, method, weights }: EvalUvOptions): void {
  const places = Object.entries({ '--data': data, '--synth-pie': drawn, '--textures': textures }).filter(([, v]) => v);
  if (places.length !== 1) {
    const given = places.length === 0 ? 'none is given' : `${places.map(([name]) => name).join(' and ')} are given`;
    throw new UsageError(`eval: one of --data, --synth-pie and --textures says where the pairs come from; ${given}`);
  }
  if (data && size !== undefined) {
    throw new UsageError(`--size ${size}: pairs on disk have the size they were made with; leave it out with --data`);
  }
  if (textures && !model) {
    throw new UsageError(`--textures ${textures}: wants the face model of its layout; name it with --model`);
  }
  if (model && !textures) throw new UsageError(`--model ${model}: is for --textures; leave it out`);
  const files = weights ?? [];
  for (const { file } of files) {
    if (statSync(file, { throwIfNoEntry: false })?.isFile()) continue;
    throw new UsageError(`--weights ${file}: there is no such file; give the .safetensors of a generator`);
  }
  const names = [...(method ?? ['input', 'mirror']), ...files.map(({ name }) => name)];
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new UsageError(`eval: two methods are called '${twice}'; name weights with --weights other=FILE`);
  }
}

/** The pairs, and a line for each part of them that is damaged. */
export async function openPairs(options: EvalUvOptions): Promise<{ source: PairSource; problems: string[] }> {
  const { data, synthPie: drawn, textures, model, split, views, size = DEFAULT_SIZE, dataSeed: seed } = options;
  const fitError = options.fitError ? 1 : 0;
  if (drawn) {
    const { identities, first: firstIdentity, expressions } = drawn;
    return { source: synthPie({ identities, firstIdentity, expressions, size, seed, fitError }), problems: [] };
  }
  if (textures) {
    const source = await textureSet(textures, loadFaceModel(model), { split, views, size, seed, fitError });
    return { source, problems: [...source.skipped] };
  }
  const parts = (data ?? []).map((name) => {
    if (!statSync(path.join(name, MANIFEST), { throwIfNoEntry: false })?.isFile()) {
      throw new UsageError(`--data ${name}: has no ${MANIFEST}; give a folder that \`rescunet data\` made`);
    }
    return { name, source: readShards(name) };
  });
  return { source: joinSources(parts), problems: parts.flatMap(({ source }) => [...source.problems]) };
}

export async function loadMethods(
  { method: names = ['input', 'mirror'], weights = [] }: EvalUvOptions,
  source: PairSource,
): Promise<Completer[]> {
  const methods = names.map((name): Completer => (name === 'mirror' ? mirrorCompleter() : inputCompleter()));
  const { size } = source;
  const blank = { incomplete: new Uint8Array(3 * size * size), mask: new Uint8Array(size * size) };
  for (const { name, file } of weights) {
    const network = loadGenerator(file);
    const sha256 = createHash('sha256').update(readBytes(file)).digest('hex');
    const method = new NetworkCompleter(name, network, { file: path.basename(file), sha256 });
    methods.push(method);
    try {
      await method.attention(blank, source); // refuses maps that do not suit it
    } catch (error) {
      if (!(error instanceof ShapeError)) throw error;
      throw new UsageError(`--weights ${file}: does not take maps of ${size}x${size} (${error.message})`);
    }
  }
  return methods;
}
