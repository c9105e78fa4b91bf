// Line charts as SVG documents: one picture for every curve of a report. Contract: a chart depends on its numbers alone.

export interface Series {
  name: string;
  points: readonly (readonly [x: number, y: number])[];
}

export interface ChartOptions {
  title: string;
  x: string;
  y: string;
  /** Marks every point: for a few. */
  dots?: boolean;
}

const COLOURS = ['#1b6ca8', '#c8553d', '#3a7d44', '#8e5ea2', '#b8860b', '#444444'];
const SIZE = { width: 720, height: 420, left: 80, right: 20, top: 44, bottom: 56 };

/** Text as XML and HTML want it. */
export const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** About five round numbers that span a range. */
export function ticks(low: number, high: number): number[] {
  const raw = (high - low || Math.abs(high) || 1) / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999) ?? raw;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Points that are not finite are left out. Throws RangeError where none is left. */
export function lineChart(series: readonly Series[], { title, x, y, dots = false }: ChartOptions): string {
  const { width, height, left, right, top, bottom } = SIZE;
  const known = series.map(({ name, points }) => ({ name, points: points.filter((p) => p.every(Number.isFinite)) }));
  const all = known.flatMap(({ points }) => points);
  if (all.length === 0) throw new RangeError(`lineChart: ${title} has no points`);
  const range = (axis: 0 | 1) =>
    all.reduce(
      ([low, high], p) => [Math.min(low, p[axis]), Math.max(high, p[axis])],
      [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    );
  const [tx, ty] = [ticks(...(range(0) as [number, number])), ticks(...(range(1) as [number, number]))];
  const scale = (list: number[], from: number, to: number) => (v: number) =>
    from + ((to - from) * (v - list[0])) / (list[list.length - 1] - list[0]);
  const [atX, atY] = [scale(tx, left, width - right), scale(ty, height - bottom, top)];
  const middle = (left + width - right) / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    '<g font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="13" fill="#333">',
    `<text x="${middle}" y="20" text-anchor="middle" font-size="15">${escapeXml(title)}</text>`,
    ...tx.flatMap((v) => [
      `<path d="M${atX(v).toFixed(1)} ${top}V${height - bottom}" stroke="#e4e4e4"/>`,
      `<text x="${atX(v).toFixed(1)}" y="${height - bottom + 18}" text-anchor="middle">${v}</text>`,
    ]),
    ...ty.flatMap((v) => [
      `<path d="M${left} ${atY(v).toFixed(1)}H${width - right}" stroke="#e4e4e4"/>`,
      `<text x="${left - 8}" y="${(atY(v) + 4).toFixed(1)}" text-anchor="end">${v}</text>`,
    ]),
    `<text x="${middle}" y="${height - 12}" text-anchor="middle">${escapeXml(x)}</text>`,
    `<text transform="translate(18 ${height / 2}) rotate(-90)" text-anchor="middle">${escapeXml(y)}</text>`,
    ...known.flatMap(({ name, points }, i) => {
      const colour = COLOURS[i % COLOURS.length];
      const places = points.map(([px, py]) => `${atX(px).toFixed(1)} ${atY(py).toFixed(1)}`);
      const marks = places.map((place) => {
        const [cx, cy] = place.split(' ');
        return `<circle cx="${cx}" cy="${cy}" r="4" fill="${colour}"/>`;
      });
      return [
        places.length > 0 ? `<path d="M${places.join('L')}" fill="none" stroke="${colour}" stroke-width="2"/>` : '',
        ...(dots || places.length === 1 ? marks : []),
        `<rect x="${width - right - 210}" y="${top + 8 + 18 * i}" width="18" height="4" fill="${colour}"/>`,
        `<text x="${width - right - 186}" y="${top + 14 + 18 * i}">${escapeXml(name)}</text>`,
      ];
    }),
    '</g>',
    '</svg>\n',
  ].join('\n');
}
