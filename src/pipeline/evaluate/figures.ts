// Pictures of an evaluation: sheets of maps side by side (the paper's Figs. 6-8) and attention maps (its Fig. 13).
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { Pair, PairMeta, PairSource } from '../dataset/pairs.js';
import { type Pixels, resizeBilinear, writeImage } from '../image.js';
import { contactSheet } from '../overlay.js';
import { NOMINAL_YAWS, nominalYaw } from './bins.js';
import { captioned } from './caption.js';
import { type AttentionMap, type Completer, type Completion, NetworkCompleter } from './completer.js';
import { scoreMap } from './scores.js';
import { metaOf } from './uv.js';

/** Maps smaller than this are enlarged, so that captions fit. */
const CELL = 128;

export interface FigureOptions {
  /** How many people, each with a sheet of their own. */
  people?: number;
  /** Called after each picture. */
  onPicture?: (file: string) => void;
}

/** Pictures of one person: a pair for each of Multi-PIE's viewpoints. */
interface Rows {
  subject: number;
  indices: number[];
}

/**
 * Which pairs are shown of each person: for each viewpoint that there is the one that is nearest to it, in the light and with
 * the expression of the person's first pair where there is one. People are taken at equal distances through the source.
 */
export function rowsOf(metas: readonly PairMeta[], people: number): Rows[] {
  const bySubject = new Map<number, number[]>();
  for (const [i, { subject }] of metas.entries()) {
    const known = bySubject.get(subject);
    if (known) known.push(i);
    else bySubject.set(subject, [i]);
  }
  const subjects = [...bySubject.keys()];
  const count = Math.min(people, subjects.length);
  return Array.from({ length: count }, (_, k) => {
    const subject = subjects[Math.floor((k * subjects.length) / count)];
    const own = bySubject.get(subject) ?? [];
    const first = metas[own[0]];
    const cost = (i: number, yaw: number) => {
      const other = metas[i].illumination !== first.illumination || metas[i].expression !== first.expression;
      return Math.abs(Math.abs(metas[i].yaw) - yaw) + Math.abs(metas[i].pitch) / 10 + (other ? 1000 : 0);
    };
    const indices = NOMINAL_YAWS.flatMap((yaw) => {
      const near = own.filter((i) => nominalYaw(metas[i].yaw) === yaw);
      return near.length === 0 ? [] : near.reduce((a, b) => (cost(b, yaw) < cost(a, yaw) ? b : a));
    });
    return { subject, indices };
  });
}

/** A map as a cell of a sheet, enlarged where it is small. */
function cell(data: Uint8Array, size: number, caption: string): Pixels {
  const image = { data, width: size, height: size };
  const side = size < CELL ? size * Math.ceil(CELL / size) : size;
  return captioned(side === size ? image : resizeBilinear(image, side, side), caption);
}

const signed = (yaw: number): string => `${yaw < 0 ? '-' : '+'}${Math.abs(yaw).toFixed(0)}`;

/** Rows: viewpoints; columns: the input, each method (two where it has two U-Nets, the first one's before), the truth. */
export function comparisonSheet(
  rows: readonly { pair: Pair; completions: readonly { name: string; completion: Completion }[] }[],
  { size, footprint }: Pick<PairSource, 'size' | 'footprint'>,
): Pixels {
  const cells = rows.flatMap(({ pair, completions }) => {
    const decibels = (map: Uint8Array) => {
      const { psnr } = scoreMap({ truth: pair.complete, map, mask: pair.mask, footprint, size }).invisible;
      return Number.isFinite(psnr) ? ` ${psnr.toFixed(1)}` : '';
    };
    return [
      cell(pair.incomplete, size, `input yaw ${signed(pair.meta.yaw)}`),
      ...completions.flatMap(({ name, completion: { map, intermediate } }) => [
        ...(intermediate ? [cell(intermediate, size, `first u-net${decibels(intermediate)}`)] : []),
        cell(map, size, `${name}${decibels(map)}`),
      ]),
      cell(pair.complete, size, 'truth'),
    ];
  });
  return contactSheet(cells, { columns: cells.length / rows.length });
}

/** From dark blue over green and yellow to red. */
const RAMP = [
  [0, 0, 96],
  [0, 96, 255],
  [0, 220, 160],
  [255, 220, 0],
  [200, 0, 0],
] as const;

/** Colours of values in 0..255. */
function ramp(grey: Uint8Array): Uint8Array {
  return grey.map((value, i) => {
    const place = (value / 255) * (RAMP.length - 1);
    const low = Math.min(RAMP.length - 2, Math.floor(place));
    const [from, to] = [RAMP[low][i % 3], RAMP[low + 1][i % 3]];
    return Math.round(from + (place - low) * (to - from));
  });
}

/** Coefficients stretched from their least to their greatest, at the size of the map, as colours. */
function coloured({ values, height, width }: AttentionMap, size: number) {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const v of values) [low, high] = [Math.min(low, v), Math.max(high, v)];
  const data = new Uint8Array(3 * values.length);
  for (const [i, v] of values.entries()) data.fill(Math.round((255 * (v - low)) / (high - low || 1)), 3 * i, 3 * i + 3);
  return { colours: ramp(resizeBilinear({ data, height, width }, size, size).data), low, high };
}

/**
 * Two rows for each pair: the input and the completed map under each attention map, deep to shallow; the completed map and the
 * coefficients alone. Captions give the size of the map and its least and greatest coefficient, which the colours span.
 */
export function attentionSheet(
  rows: readonly { pair: Pair; map: Uint8Array; attention: readonly AttentionMap[] }[],
  size: number,
): Pixels {
  const cells = rows.flatMap(({ pair, map, attention }) => {
    const maps = attention.map((one) => ({ ...one, ...coloured(one, size) }));
    const over = (colours: Uint8Array) => map.map((v, i) => Math.round(0.5 * v + 0.5 * colours[i]));
    return [
      cell(pair.incomplete, size, `input yaw ${signed(pair.meta.yaw)}`),
      ...maps.map(({ colours, height, width }) => cell(over(colours), size, `${height}x${width}`)),
      cell(map, size, 'completed'),
      ...maps.map(({ colours, low, high }) => cell(colours, size, `${low.toFixed(3)}-${high.toFixed(3)}`)),
    ];
  });
  return contactSheet(cells, { columns: cells.length / (2 * rows.length) });
}

/**
 * Writes `person-7.png` for each of a few people and, for each network with attention gates, `attention-NAME-person-7.png`, into a
 * folder that is made. Returns the names. Throws FormatError where they cannot be written.
 */
export async function writeFigures(
  folder: string,
  methods: readonly Completer[],
  source: PairSource,
  { people = 3, onPicture }: FigureOptions = {},
): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const metas = Array.from({ length: source.length }, (_, i) => metaOf(source, i));
  const files: string[] = [];
  const write = async (name: string, image: Pixels) => {
    await writeImage(path.join(folder, name), image);
    files.push(name);
    onPicture?.(name);
  };
  for (const { subject, indices } of rowsOf(metas, people)) {
    const pairs = indices.map((i) => source.pair(i));
    const completions: { name: string; made: Completion[] }[] = [];
    for (const method of methods) {
      if (method.about.kind === 'input') continue; // the first column
      completions.push({ name: method.name, made: await method.complete(pairs, source) });
    }
    const rows = pairs.map((pair, i) => ({
      pair,
      completions: completions.map(({ name, made }) => ({ name, completion: made[i] })),
    }));
    await write(`person-${subject}.png`, comparisonSheet(rows, source));
    for (const method of methods) {
      const made = completions.find(({ name }) => name === method.name)?.made;
      if (!(method instanceof NetworkCompleter) || !made) continue;
      const shown = [];
      for (const [i, pair] of pairs.entries()) {
        shown.push({ pair, map: made[i].map, attention: await method.attention(pair, source) });
      }
      if (shown[0].attention.length === 0) continue;
      const name = method.name.replace(/[^\w.-]+/g, '-');
      await write(`attention-${name}-person-${subject}.png`, attentionSheet(shown, source.size));
    }
  }
  return files;
}
