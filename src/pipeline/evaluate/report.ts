// The tables of an evaluation, for the terminal, for a README and for programs.
import { YAW_BINS } from './bins.js';
import { type Cell, REGIONS, type Region, type Statistic } from './scores.js';
import type { UvEvaluation } from './uv.js';

export const REGION_TITLES: Readonly<Record<Region, string>> = {
  frame: 'Full frame',
  footprint: 'Footprint',
  invisible: 'Invisible region',
};

const METRICS = [
  { key: 'psnr', title: 'PSNR, dB', digits: 2 },
  { key: 'ssim', title: 'SSIM', digits: 4 },
] as const;

/** Bins that hold pairs. */
const filledBins = ({ pairs }: UvEvaluation): { name: string; count: number }[] =>
  YAW_BINS.map(({ name, holds }) => ({ name, count: pairs.filter(({ meta }) => holds(meta.yaw)).length })).filter(
    ({ count }) => count > 0,
  );

const cellOf = (cells: readonly Cell[], method: string, region: Region, bin: string): Cell => {
  const found = cells.find((cell) => cell.method === method && cell.region === region && cell.bin === bin);
  if (!found) throw new RangeError(`no cell ${method}, ${region}, ${bin}`);
  return found;
};

const fixed = (value: number | null, digits: number): string => (value === null ? '-' : value.toFixed(digits));

/** Means by method (rows) and yaw (columns), a table for each region and metric, lines of equal columns. */
export function textTables(evaluation: UvEvaluation): string[] {
  const { methods, cells } = evaluation;
  const bins = filledBins(evaluation);
  const width = Math.max(5, ...methods.map(({ name }) => name.length));
  const line = (head: string, values: readonly string[]) =>
    `  ${head.padEnd(width)}${values.map((value) => value.padStart(8)).join('')}`;
  const lines: string[] = [];
  for (const region of REGIONS) {
    for (const { key, title, digits } of METRICS) {
      lines.push(
        `${REGION_TITLES[region]}, ${title}`,
        line(
          '|yaw|',
          bins.map(({ name }) => name),
        ),
      );
      for (const { name } of methods) {
        lines.push(
          line(
            name,
            bins.map((bin) => fixed(cellOf(cells, name, region, bin.name)[key].mean, digits)),
          ),
        );
      }
    }
  }
  lines.push(
    line(
      'pairs',
      bins.map(({ count }) => String(count)),
    ),
  );
  return lines;
}

const entry = ({ mean, std }: Statistic, digits: number): string =>
  mean === null ? '-' : `${fixed(mean, digits)} ± ${fixed(std, digits)}`;

const row = (values: readonly string[]): string => `| ${values.join(' | ')} |`;

/** Text in a cell of a table. */
const plain = (text: string): string => text.replace(/\|/g, '\\|').replace(/\s+/g, ' ');

/** How the numbers came about; the same words under every table. */
export const NOTES = [
  'PSNR and SSIM are computed per image (8-bit RGB, range 255) and then averaged; ± is the standard deviation over images.',
  'SSIM: Gaussian window 11x11, sigma 1.5, population covariance, mean of the channels; a region has the mean of the full frame’s similarity there.',
  'Full frame counts the black corners, which every method has right, and so flatters all; compare methods by the invisible region.',
  'Yaw is its absolute value: 0, 15, ... 90 are rounded to Multi-PIE’s viewpoints; 20-30, 40-50, 70-80 and >=45 are taken as they are.',
] as const;

/** The same with deviations, as Markdown: what was measured, a table for each region and metric, how to read them. */
export function markdownReport(evaluation: UvEvaluation, about: readonly string[]): string {
  const { methods, cells } = evaluation;
  const bins = filledBins(evaluation);
  const lines = ['# UV completion', '', ...about.map((item) => `- ${item}`)];
  for (const region of REGIONS) {
    for (const { key, title, digits } of METRICS) {
      lines.push('', `## ${REGION_TITLES[region]}, ${title}`, '');
      lines.push(row(['yaw', ...bins.map(({ name }) => name)]), row(['---', ...bins.map(() => '---:')]));
      for (const { name } of methods) {
        const entries = bins.map((bin) => entry(cellOf(cells, name, region, bin.name)[key], digits));
        lines.push(row([plain(name), ...entries]));
      }
      lines.push(row(['images', ...bins.map(({ count }) => String(count))]));
    }
  }
  const left = leftOut(cells);
  lines.push('', ...[...NOTES, ...left].map((note) => `- ${note}`), '');
  return lines.join('\n');
}

/** What the means leave out, one line each; none where they leave out nothing. */
export function leftOut(cells: readonly Cell[]): string[] {
  return cells
    .filter(({ bin, psnr, ssim }) => bin === 'all' && psnr.infinite + psnr.empty + ssim.empty > 0)
    .map(({ method, region, psnr, ssim }) => {
      const counts = [
        psnr.infinite > 0 && `${psnr.infinite} equal to the truth (PSNR infinite)`,
        psnr.empty > 0 && `${psnr.empty} without a pixel of it`,
        ssim.empty > psnr.empty && `${ssim.empty - psnr.empty} without a window inside (SSIM)`,
      ].filter((count) => typeof count === 'string');
      return `Left out of the means of ${plain(method)}, ${REGION_TITLES[region].toLowerCase()}: ${counts.join(', ')}.`;
    });
}
