// The paper's Table 2 (paper-spec 11.4): the recogniser sees faces from completed UV maps and the true map of each person, by the yaw of the
// photo that was completed. Contract: every method is measured on the same pairs and the same drawn negatives.
import type { MorphableModel } from '../../models/morphable.js';
import '../../tensor/methods.js';
import { tensor } from '../../tensor/create.js';
import { tidy } from '../../tensor/scope.js';
import { ShapeError } from '../../tensor/shape.js';
import type { Pair, PairSource } from '../dataset/pairs.js';
import { nominalYaw } from '../evaluate/bins.js';
import { type Completer, composited, PHOTO_KEPT } from '../evaluate/completer.js';
import { metaOf } from '../evaluate/uv.js';
import type { Pixels } from '../image.js';
import { faceMesh } from '../synthesise.js';
import { type BinnedPair, verifyBins } from './by-bin.js';
import { embedCrops, type Recogniser } from './embed.js';
import { frontalCrop, uvCrop } from './frontal.js';
import { embeddingDistance, type VerificationResult } from './verification.js';

/** The paper's bins, in degrees. */
export const POSE_BINS: readonly number[] = [0, 15, 30, 45, 60, 75];

export interface PoseProtocolOptions {
  recogniser: Recogniser;
  /** The face model whose layout the maps have. */
  model: MorphableModel;
  /**
   * What the recogniser sees: the middle of the UV map, aligned like a face, as in the paper; or the map on the model's mean face
   * from the front, since a pair does not tell its person's shape.
   */
  crop?: 'uv' | 'frontal';
  /** Measure networks with the photo's own pixels kept, too: a row `NAME + photo`. */
  composite?: boolean;
  /** What the negatives are drawn from. */
  seed?: number;
  /** Numbers of the pairs that are measured; all without it. Of each person the first pair gives the true map. */
  indices?: readonly number[];
  /** Pairs given to a method at a time. */
  batch?: number;
  onPair?: (done: number, total: number) => void;
}

export interface PoseProtocolResult {
  method: string;
  about: Completer['about'];
  /** One for each of POSE_BINS; undefined where a bin has too few pairs. */
  bins: (VerificationResult | undefined)[];
}

/**
 * Verifies faces of completed maps against the true maps of all people: of each yaw bin all pairs of one person and as many random ones of
 * different people. The true map of a person is that of their first pair, in its own light and expression. Throws ShapeError for a
 * source of fewer than two people.
 */
export async function evaluatePoses(
  methods: readonly Completer[],
  source: PairSource,
  options: PoseProtocolOptions,
): Promise<PoseProtocolResult[]> {
  const { recogniser, composite = false, seed = 1, batch = 8, onPair } = options;
  const all = options.indices ?? Array.from({ length: source.length }, (_, i) => i);
  const metas = Array.from({ length: source.length }, (_, i) => metaOf(source, i));
  const chosen = all.filter((i) => POSE_BINS.includes(nominalYaw(metas[i].yaw)));
  const people = [...new Set(chosen.map((i) => metas[i].subject))];
  if (people.length < 2) throw new ShapeError(`evaluatePoses: wants at least 2 people, got ${people.length}`);
  const draw = cropper(source, options);
  const gallery = new Map<number, Float32Array>();
  for (const person of people) {
    const first = metas.findIndex(({ subject }) => subject === person);
    const [embedding] = await embedCrops(recogniser, [draw(source.pair(first).complete)]);
    gallery.set(person, embedding);
  }
  const found = new Map<string, { about: Completer['about']; pairs: BinnedPair[] }>();
  /** The maps of some pairs against the true ones of all people. */
  const compare = async (name: string, about: Completer['about'], pairs: readonly Pair[], maps: Uint8Array[]) => {
    const row = found.get(name) ?? { about, pairs: [] };
    found.set(name, row);
    const embeddings = await embedCrops(recogniser, maps.map(draw));
    for (const [i, { meta }] of pairs.entries()) {
      const bin = POSE_BINS.indexOf(nominalYaw(meta.yaw));
      for (const [person, truth] of gallery) {
        const distance = embeddingDistance(embeddings[i], truth);
        row.pairs.push({ distance, same: person === meta.subject, bin });
      }
    }
  };
  for (let at = 0; at < chosen.length; at += batch) {
    const part = chosen.slice(at, at + batch);
    const pairs = part.map((i) => source.pair(i));
    for (const method of methods) {
      const maps = (await method.complete(pairs, source)).map(({ map }) => map);
      await compare(method.name, method.about, pairs, maps);
      if (composite && method.redraws) {
        const kept = maps.map((map, i) => composited(pairs[i], map, source));
        await compare(`${method.name} + photo`, { of: method.name, variant: PHOTO_KEPT }, pairs, kept);
      }
    }
    onPair?.(Math.min(chosen.length, at + batch), chosen.length);
    await new Promise(setImmediate); // lets a progress bar draw
  }
  return [...found].map(([method, { about, pairs }]) => ({
    method,
    about,
    bins: verifyBins(pairs, POSE_BINS.length, { seed }),
  }));
}

function cropper(
  { size, footprint }: PairSource,
  { model, recogniser, crop = 'uv' }: PoseProtocolOptions,
): (map: Uint8Array) => Pixels {
  const mean = {
    alpha: new Float32Array(model.identityStd.length),
    beta: new Float32Array(model.expressionStd.length),
  };
  return (map) =>
    tidy(() => {
      const colours = tensor(new Float32Array(map), { shape: [size, size, 3] });
      return crop === 'uv'
        ? uvCrop(colours, model, recogniser.crop)
        : frontalCrop(faceMesh(model, mean, colours, footprint), model, recogniser.crop);
    });
}

const percent = (share: number): string => (100 * share).toFixed(1);

/** Rows of cells: accuracy in % of each bin, its standard deviation over the folds, and the mean over the bins. */
function rowsOf(results: readonly PoseProtocolResult[]): string[][] {
  return [
    ['method', ...POSE_BINS.map((yaw) => `${yaw}°`), 'mean'],
    ...results.map(({ method, bins }) => {
      const known = bins.flatMap((bin) => bin ?? []);
      const mean = known.reduce((sum, { accuracy }) => sum + accuracy, 0) / known.length;
      const cells = bins.map((bin) => (bin ? `${percent(bin.accuracy)} ± ${percent(bin.accuracyStd)}` : '-'));
      return [method, ...cells, known.length > 0 ? percent(mean) : '-'];
    }),
  ];
}

/** Lines of a table for a terminal. */
export function poseTable(results: readonly PoseProtocolResult[]): string[] {
  const rows = rowsOf(results);
  const widths = rows[0].map((_, c) => Math.max(...rows.map((row) => row[c].length)));
  return rows.map((row) =>
    row.map((text, c) => (c === 0 ? text.padEnd(widths[c]) : text.padStart(widths[c]))).join('  '),
  );
}

/** The table as Markdown, with how many pairs each bin has. */
export function poseMarkdown(results: readonly PoseProtocolResult[]): string {
  const line = (row: readonly string[]) => `| ${row.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
  const [head, ...rows] = rowsOf(results);
  const counts = POSE_BINS.map((_, i) => String(results[0]?.bins[i]?.same ?? 0)).join(', ');
  const note =
    'Accuracy in %, mean and population standard deviation over ten folds, each at the threshold that was best on the others; ' +
    `same-person pairs by bin: ${counts}, and as many of different people.`;
  return `${[line(head), line(head.map((_, c) => (c === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')}\n\n${note}\n`;
}
