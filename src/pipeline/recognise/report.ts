// Results of verification for people and programs: lines of a table, Markdown, plain numbers, and the picture of the ROC.
import sharp from 'sharp';
import type { RocCurve, VerificationResult } from './verification.js';

/** A result and what it is of. */
export interface NamedResult {
  name: string;
  result: VerificationResult;
}

const percent = (share: number, digits = 2): string => (100 * share).toFixed(digits);

const COLUMNS = ['set', 'pairs', 'accuracy %', 'AUC', 'EER %', 'TAR@1e-2 %', 'TAR@1e-3 %', 'VAL@1e-3 %'];

function cells({ name, result }: NamedResult): string[] {
  const tar = (far: number) => result.tarAtFar.find((entry) => entry.far === far)?.tar ?? Number.NaN;
  return [
    name,
    `${result.same} + ${result.different}`,
    `${percent(result.accuracy)} ± ${percent(result.accuracyStd)}`,
    result.auc.toFixed(4),
    percent(result.eer),
    percent(tar(1e-2)),
    percent(tar(1e-3)),
    `${percent(result.valAtFar.val)} ± ${percent(result.valAtFar.valStd)}`,
  ];
}

/** Lines of a table for a terminal. */
export function verificationTable(results: readonly NamedResult[]): string[] {
  const rows = [COLUMNS, ...results.map(cells)];
  const widths = COLUMNS.map((_, c) => Math.max(...rows.map((row) => row[c].length)));
  return rows.map((row) =>
    row.map((text, c) => (c === 0 ? text.padEnd(widths[c]) : text.padStart(widths[c]))).join('  '),
  );
}

/** The table as Markdown, with what its columns mean. */
export function verificationMarkdown(results: readonly NamedResult[]): string {
  const line = (row: readonly string[]) => `| ${row.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
  const head = [line(COLUMNS), line(COLUMNS.map((_, c) => (c === 0 ? '---' : '---:')))];
  const note =
    'Pairs: same + different. Accuracy: mean and population standard deviation over the folds, each at the threshold that was ' +
    'best on the others. TAR@FAR: over the whole set. VAL@FAR: at thresholds from the other folds.';
  return `${[...head, ...results.map((result) => line(cells(result)))].join('\n')}\n\n${note}\n`;
}

const MOST_POINTS = 1000;

/** At most a thousand points of a ROC, ends included, the same steps apart. */
export function thinnedRoc(roc: RocCurve): { far: number[]; tar: number[]; distance: number[] } {
  const last = roc.far.length - 1;
  const count = Math.min(roc.far.length, MOST_POINTS);
  const picks = Array.from({ length: count }, (_, i) => Math.round((i * last) / Math.max(1, count - 1)));
  const [far, tar, distance] = [roc.far, roc.tar, roc.distance].map((values) => picks.map((i) => values[i]));
  return { far, tar, distance };
}

/** A result as plain numbers; the ROC thinned. */
export const verificationRecord = ({ name, result }: NamedResult): Record<string, unknown> => ({
  name,
  ...result,
  roc: thinnedRoc(result.roc),
});

const COLOURS = ['#1b6ca8', '#c8553d', '#3a7d44', '#8e5ea2', '#b8860b', '#444444'];
const SIZE = { width: 720, height: 520, left: 70, right: 30, top: 30, bottom: 60 };
const DECADES = 4;

/** TAR against FAR, which is drawn by decades from 1e-4 to 1, as an SVG document. */
export function rocPicture(results: readonly NamedResult[]): string {
  const { width, height, left, right, top, bottom } = SIZE;
  const x = (far: number) =>
    left + ((width - left - right) * (Math.log10(Math.max(far, 10 ** -DECADES)) + DECADES)) / DECADES;
  const y = (tar: number) => top + (height - top - bottom) * (1 - tar);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    '<g font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="13" fill="#333">',
  ];
  for (let decade = -DECADES; decade <= 0; decade++) {
    const at = x(10 ** decade).toFixed(1);
    parts.push(`<path d="M${at} ${top}V${height - bottom}" stroke="#ddd"/>`);
    parts.push(`<text x="${at}" y="${height - bottom + 20}" text-anchor="middle">${10 ** decade}</text>`);
  }
  for (let tenth = 0; tenth <= 10; tenth += 2) {
    const at = y(tenth / 10).toFixed(1);
    parts.push(`<path d="M${left} ${at}H${width - right}" stroke="#ddd"/>`);
    parts.push(`<text x="${left - 8}" y="${Number(at) + 4}" text-anchor="end">${tenth / 10}</text>`);
  }
  parts.push(`<text x="${(left + width - right) / 2}" y="${height - 18}" text-anchor="middle">false acceptance</text>`);
  parts.push(`<text transform="translate(20 ${height / 2}) rotate(-90)" text-anchor="middle">true acceptance</text>`);
  results.forEach(({ name, result }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    parts.push(`<path d="${stepsOf(result.roc, x, y)}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    const at = height - bottom - 14 - 20 * (results.length - 1 - i);
    parts.push(`<rect x="${width - right - 230}" y="${at - 10}" width="18" height="4" fill="${colour}"/>`);
    parts.push(`<text x="${width - right - 204}" y="${at}">${escaped(name)} (AUC ${result.auc.toFixed(4)})</text>`);
  });
  return `${[...parts, '</g>', '</svg>'].join('\n')}\n`;
}

/** Points nearer to each other than half a pixel are left out. */
function stepsOf(roc: RocCurve, x: (far: number) => number, y: (tar: number) => number): string {
  let path = '';
  let [px, py] = [-1, -1];
  for (let i = 0; i < roc.far.length; i++) {
    const [qx, qy] = [x(roc.far[i]), y(roc.tar[i])];
    if (i > 0 && i < roc.far.length - 1 && Math.abs(qx - px) + Math.abs(qy - py) < 0.5) continue;
    path += `${path === '' ? 'M' : 'L'}${qx.toFixed(1)} ${qy.toFixed(1)}`;
    [px, py] = [qx, qy];
  }
  return path;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** An SVG document as a PNG file's bytes. */
export const svgToPng = (svg: string): Promise<Buffer> => sharp(Buffer.from(svg)).png().toBuffer();
