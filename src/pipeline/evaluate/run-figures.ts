// All pictures of a run: curves of its training, sheets and attention of its network, and charts of every evaluation in its folder, as PNG
// files and one HTML page that needs nothing else. Contract: numbers are those that the run and its evaluations wrote; nothing is measured anew.
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { writeAtomically } from '../../formats/files.js';
import type { PairSource } from '../dataset/pairs.js';
import type { DataSpec } from '../dataset/reader.js';
import { readShards } from '../dataset/shards.js';
import { synthPie } from '../dataset/synth-pie.js';
import { textureSet } from '../dataset/texture-set.js';
import { loadFaceModel } from '../face_model.js';
import { loadGenerator } from '../generators.js';
import { rocPicture, svgToPng } from '../recognise/report.js';
import type { VerificationResult } from '../recognise/verification.js';
import { escapeXml, lineChart, type Series } from './chart.js';
import { mirrorCompleter, NetworkCompleter } from './completer.js';
import { writeFigures } from './figures.js';
import { joinSources } from './sources.js';

export interface RunFigureOptions {
  /** Where PNG files and report.html go; RUN/figures unless told otherwise. */
  out?: string;
  /** How many people have a sheet of their own; 0 draws none. */
  people?: number;
  onPicture?: (file: string) => void;
}

/** A part of the page: pictures by the names of their files, and text. */
interface Section {
  title: string;
  lines: string[];
  pictures: string[];
}

type Json = Readonly<Record<string, unknown>>;

function readJson(file: string): Json {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Json;
  } catch {
    throw new FormatError(file, 'JSON', 'cannot be parsed');
  }
}

/**
 * Draws what there is of a folder: a training run (config.json, metrics.jsonl), an evaluation (results.json), or evaluations in its
 * subfolders. Returns the files' names in `out`, report.html first. Throws FormatError for a folder that holds neither.
 */
export async function writeRunFigures(run: string, options: RunFigureOptions = {}): Promise<string[]> {
  const { out = path.join(run, 'figures'), people = 3, onPicture } = options;
  const evaluations = evaluationsOf(run);
  const trained = existsSync(path.join(run, 'config.json'));
  if (!trained && evaluations.length === 0) {
    throw new FormatError(run, 'run', 'holds no config.json of a training and no results.json of an evaluation');
  }
  mkdirSync(out, { recursive: true });
  const page = new Page(out, onPicture);
  if (trained) {
    await page.training(run);
    if (people > 0) await page.sheets(run, people);
  }
  for (const file of evaluations) await page.evaluation(run, file);
  return page.finish(path.basename(path.resolve(run)));
}

/** results.json of the folder and of those below it, two levels down. */
function evaluationsOf(run: string): string[] {
  if (!existsSync(run)) throw new FormatError(run, 'run', 'does not exist');
  const found = (folder: string, depth: number): string[] => {
    const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const own = path.join(folder, 'results.json');
    const deeper = depth > 0 ? below.flatMap(({ name }) => found(path.join(folder, name), depth - 1)) : [];
    return [...(existsSync(own) ? [own] : []), ...deeper];
  };
  return found(run, 2);
}

class Page {
  private readonly sections: Section[] = [];
  private readonly files: string[] = [];

  constructor(
    private readonly out: string,
    private readonly onPicture: RunFigureOptions['onPicture'],
  ) {}

  private async chart(section: Section, name: string, svg: string): Promise<void> {
    await writeAtomically(path.join(this.out, name), await svgToPng(svg));
    section.pictures.push(name);
    this.files.push(name);
    this.onPicture?.(name);
  }

  private section(title: string): Section {
    const section: Section = { title, lines: [], pictures: [] };
    this.sections.push(section);
    return section;
  }

  /** Losses and scores over the steps, one chart for each part of the names. */
  async training(run: string): Promise<void> {
    const file = path.join(run, 'metrics.jsonl');
    if (!existsSync(file)) return;
    const section = this.section('Training');
    const rows = readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, number | null>);
    const groups = new Map<string, Map<string, [number, number][]>>();
    for (const { step, time: _, ...values } of rows) {
      for (const [name, value] of Object.entries(values)) {
        const [part, rest] = name.includes('/') ? name.split('/') : [name, name];
        if (['epoch', 'imagesPerSecond'].includes(part) || value === null || step === null) continue;
        const group = groups.get(part) ?? new Map<string, [number, number][]>();
        group.set(rest, [...(group.get(rest) ?? []), [step, value]]);
        groups.set(part, group);
      }
    }
    for (const [part, series] of groups) {
      const lines = [...series].map(([name, points]): Series => ({ name, points: thinned(points) }));
      const svg = lineChart(lines, { title: part, x: 'step', y: part, dots: rows.length < 12 });
      await this.chart(section, `training-${part}.png`, svg);
    }
    section.lines.push(`${rows.at(-1)?.step ?? 0} steps, ${path.resolve(run)}`);
  }

  /** Sheets of the best network, or the newest, on the pairs that it was validated on. */
  async sheets(run: string, people: number): Promise<void> {
    const weights = ['best.safetensors', 'generator.safetensors'].map((name) => path.join(run, name)).find(existsSync);
    const { data, task } = readJson(path.join(run, 'config.json')) as {
      task?: string;
      data?: { train: DataSpec; validation?: DataSpec };
    };
    if (!weights || !data || task !== undefined) return;
    const section = this.section('Completed maps and attention');
    const source = await sourceOf(data.validation ?? data.train);
    const network = new NetworkCompleter('network', loadGenerator(weights));
    const mirror = mirrorCompleter();
    try {
      const onPicture = this.onPicture;
      const names = await writeFigures(this.out, [mirror, network], source, { people, onPicture });
      section.pictures.push(...names);
      this.files.push(...names);
      const which = data.validation ? 'validation' : 'training (there is no validation set)';
      section.lines.push(`${path.basename(weights)} on ${which} pairs; numbers are the PSNR over hidden pixels in dB`);
    } finally {
      network.dispose();
      mirror.dispose();
    }
  }

  async evaluation(run: string, file: string): Promise<void> {
    const results = readJson(file);
    const place = path.relative(run, path.dirname(file)) || path.basename(path.resolve(run));
    const stem = place.replace(/[^\w.-]+/g, '-');
    if (results.task === 'uv') await this.uv(results, place, stem);
    else if (results.task === 'pose') await this.pose(results, place, stem);
    else if (Array.isArray(results.sets)) {
      const section = this.section(`Verification: ${place}`);
      const sets = results.sets as (VerificationResult & { name: string })[];
      await this.roc(section, `${stem}-roc.png`, sets);
    } else return;
    const text = file.replace(/json$/, 'md');
    if (existsSync(text)) this.sections.at(-1)?.lines.push(readFileSync(text, 'utf8'));
  }

  private async roc(section: Section, name: string, sets: readonly (VerificationResult & { name: string })[]) {
    if (sets.length > 0)
      await this.chart(section, name, rocPicture(sets.map((result) => ({ name: result.name, result }))));
  }

  /** PSNR and SSIM by yaw, for the region that photos do not show and for the whole footprint. */
  private async uv(results: Json, place: string, stem: string): Promise<void> {
    const section = this.section(`UV completion: ${place}`);
    const cells = results.cells as { method: string; region: string; bin: string; [metric: string]: unknown }[];
    for (const region of ['invisible', 'footprint']) {
      for (const metric of ['psnr', 'ssim']) {
        const series = new Map<string, [number, number][]>();
        for (const cell of cells) {
          const yaw = Number(cell.bin);
          const mean = (cell[metric] as { mean: number | null }).mean;
          if (cell.region !== region || !Number.isFinite(yaw) || mean === null) continue;
          series.set(cell.method, [...(series.get(cell.method) ?? []), [yaw, mean]]);
        }
        if (series.size === 0) continue;
        const lines = [...series].map(([name, points]) => ({ name, points }));
        const y = metric === 'psnr' ? 'PSNR (dB)' : 'SSIM';
        const svg = lineChart(lines, { title: `${y}, ${region}`, x: 'yaw (degrees)', y, dots: true });
        await this.chart(section, `${stem}-${metric}-${region}.png`, svg);
      }
    }
  }

  /** Accuracy by yaw, and the ROC of each method's widest bin. */
  private async pose(results: Json, place: string, stem: string): Promise<void> {
    const section = this.section(`Verification by pose: ${place}`);
    const yaws = results.yaw as number[];
    const methods = results.methods as { method: string; bins: ((VerificationResult & { name: string }) | null)[] }[];
    const series = methods.map(({ method, bins }) => ({
      name: method,
      points: bins.flatMap((bin, i): [number, number][] => (bin ? [[yaws[i], 100 * bin.accuracy]] : [])),
    }));
    if (series.some(({ points }) => points.length > 0)) {
      const options = { title: 'Accuracy by pose', x: 'yaw (degrees)', y: 'accuracy (%)', dots: true };
      await this.chart(section, `${stem}-accuracy.png`, lineChart(series, options));
    }
    const widest = yaws.findLastIndex((_, i) => methods.every(({ bins }) => bins[i]));
    if (widest < 0) return;
    const sets = methods.flatMap(({ bins }) => bins[widest] ?? []);
    await this.roc(section, `${stem}-roc-${yaws[widest]}.png`, sets);
  }

  async finish(title: string): Promise<string[]> {
    const html = htmlOf(title, this.sections, (name) => readFileSync(path.join(this.out, name)));
    await writeAtomically(path.join(this.out, 'report.html'), Buffer.from(html));
    return ['report.html', ...this.files];
  }
}

const MOST_POINTS = 400;

/** Means of equal runs of points, so that a long run stays a curve. */
function thinned(points: [number, number][]): [number, number][] {
  const each = Math.ceil(points.length / MOST_POINTS);
  return Array.from({ length: Math.ceil(points.length / each) }, (_, k): [number, number] => {
    const part = points.slice(k * each, (k + 1) * each);
    return [part[part.length - 1][0], part.reduce((sum, [, y]) => sum + y, 0) / part.length];
  });
}

async function sourceOf(spec: DataSpec): Promise<PairSource> {
  if ('synthPie' in spec) return synthPie(spec.synthPie);
  if ('shards' in spec) return joinSources(spec.shards.map((name) => ({ name, source: readShards(name) })));
  const { folder, model, ...options } = spec.textures;
  return textureSet(folder, loadFaceModel(model), options);
}

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:1100px;padding:0 1em;color:#222}
img{max-width:100%;margin:.5em 0;border:1px solid #ddd}pre{overflow-x:auto;background:#f6f6f6;padding:.8em;font-size:13px}`;

function htmlOf(title: string, sections: readonly Section[], read: (name: string) => Buffer): string {
  const body = sections.flatMap((section) => [
    `<h2>${escapeXml(section.title)}</h2>`,
    ...section.lines.map((line) =>
      line.includes('\n') ? `<pre>${escapeXml(line)}</pre>` : `<p>${escapeXml(line)}</p>`,
    ),
    ...section.pictures.map((name) => {
      const data = read(name).toString('base64');
      return `<figure><img alt="${escapeXml(name)}" src="data:image/png;base64,${data}"></figure>`;
    }),
  ]);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeXml(title)}</title><style>${STYLE}</style></head>
<body><h1>${escapeXml(title)}</h1>
${body.join('\n')}
</body></html>
`;
}
