// The mesh every head shares: a grid of columns over the angle and rows over the height, with rows bent so that they run
// along the lids and lips. Contract: vertex (row, column) is row * columns + column, rows from the top down, columns from the
// subject's right to the left, so that column c mirrors column columns - 1 - c; triangles are counter-clockwise outside.
import { gaussian, smoothstep } from './field.js';
import { skullRadius } from './skull.js';

export interface Template {
  rows: number;
  columns: number;
  /** Angle about the vertical axis, radians, per vertex. */
  theta: Float64Array;
  /** Position on the featureless head, millimetres, per vertex; features are functions of these. */
  x: Float64Array;
  y: Float64Array;
  z: Float64Array;
  triangles: Int32Array;
}

/** Palpebral fissure on the featureless head: centre and corners at y = 0; the lids are curves over |x|. */
export const EYE = { x: 31, inner: 16.5, outer: 46, upper: 5.1, lower: -4.4 };
/** Lips: corner, edges of the red at the middle, and where they meet. */
export const MOUTH = { corner: 26, top: -56.5, upper: -63.6, line: -64, lower: -64.4, bottom: -73.5 };

/** Rows at these heights are kept; between two of them `steps` intervals. */
const ROWS: readonly { y: number; steps: number; grade?: number }[] = [
  { y: 108.5, steps: 18, grade: 1.1 },
  { y: 30, steps: 11, grade: 0.8 },
  { y: EYE.upper, steps: 7 },
  { y: EYE.lower, steps: 10, grade: 1.3 },
  { y: -27, steps: 12 },
  { y: -46, steps: 6 },
  { y: MOUTH.top, steps: 4 },
  { y: MOUTH.upper, steps: 1 },
  { y: MOUTH.line, steps: 1 },
  { y: MOUTH.lower, steps: 5 },
  { y: MOUTH.bottom, steps: 12 },
  { y: -102, steps: 11 },
  { y: -124, steps: 4 },
  { y: -150, steps: 0 },
];

const COLUMNS: readonly { degrees: number; steps: number; grade?: number }[] = [
  { degrees: 0, steps: 11 },
  { degrees: 12.5, steps: 16 },
  { degrees: 35, steps: 10, grade: 1.9 },
  { degrees: 85, steps: 12 },
  { degrees: 120, steps: 1 },
  { degrees: 125, steps: 0 },
];

/** Height of a lid margin over |x|: `edge` at the middle, 0 at the corners; the upper lid peaks nearer the nose. */
export function lidMargin(ax: number, edge: number): number {
  const t = (ax - EYE.inner) / (EYE.outer - EYE.inner);
  if (t <= 0 || t >= 1) return cornerRise(ax);
  const skew = edge > 0 ? 0.86 : 1.12;
  const s = t ** skew;
  return edge * (4 * s * (1 - s)) ** 0.72 + cornerRise(ax);
}

/** The outer corner sits a little above the inner one. */
function cornerRise(ax: number): number {
  return -0.6 + 1.8 * smoothstep(EYE.inner, EYE.outer, ax);
}

/** Heights over |x| of the edges of the red of the lips and of the line between them. */
export function lipCurves(ax: number): { top: number; line: number; bottom: number } {
  const t = Math.min(1, ax / MOUTH.corner);
  const line = MOUTH.line + 0.5 * gaussian(ax, 5) - 0.7 * gaussian(ax - 11, 6) + 0.9 * t ** 4;
  const open = (1 - t ** 2.3) ** 0.9;
  const bow = 1.1 * gaussian(ax - 5, 3.2) - 1.1 * gaussian(ax, 2.4);
  const top = line + (MOUTH.top - MOUTH.line + 0.2) * (1 - t ** 1.75) ** 0.95 + bow * (1 - t);
  const bottom = line + (MOUTH.bottom - MOUTH.line) * open;
  return { top, line, bottom };
}

export function buildTemplate(): Template {
  const heights = graded(ROWS.map((r) => ({ value: r.y, steps: r.steps, grade: r.grade ?? 1 })));
  const half = graded(COLUMNS.map((c) => ({ value: c.degrees, steps: c.steps, grade: c.grade ?? 1 })));
  const angles = [
    ...half
      .slice(1)
      .reverse()
      .map((a) => -a),
    ...half,
  ].map((a) => (a * Math.PI) / 180);
  const rows = heights.length;
  const columns = angles.length;
  const n = rows * columns;
  const template: Template = {
    rows,
    columns,
    theta: new Float64Array(n),
    x: new Float64Array(n),
    y: new Float64Array(n),
    z: new Float64Array(n),
    triangles: new Int32Array((rows - 1) * (columns - 1) * 6),
  };
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < columns; i++) {
      const v = j * columns + i;
      const theta = angles[i];
      const ax = Math.abs(skullRadius(theta, heights[j]) * Math.sin(theta));
      const y = bendRow(Math.abs(theta) < 1.2 ? ax : 99, heights[j]);
      const r = skullRadius(theta, y);
      template.theta[v] = theta;
      template.x[v] = r * Math.sin(theta);
      template.y[v] = y;
      template.z[v] = r * Math.cos(theta);
    }
  }
  let t = 0;
  for (let j = 0; j + 1 < rows; j++) {
    for (let i = 0; i + 1 < columns; i++) {
      const a = j * columns + i;
      const c = a + columns;
      // The diagonal is mirrored at the middle column, so the mesh is symmetric.
      const corners = i < (columns - 1) / 2 ? [a, c, c + 1, a, c + 1, a + 1] : [a, c, a + 1, a + 1, c, c + 1];
      template.triangles.set(corners, t);
      t += 6;
    }
  }
  return template;
}

/** Height of a point of the row of nominal height `y`: rows near eyes and mouth follow lids and lips. */
function bendRow(ax: number, y: number): number {
  return bendMouth(ax, bendEye(ax, y));
}

function bendEye(ax: number, y: number): number {
  // Knots: where the rows at the nominal lid margins go at this x; a gap stays open beyond the corners.
  const within = smoothstep(EYE.inner - 7, EYE.inner + 1, ax) * smoothstep(EYE.outer + 9, EYE.outer - 1, ax);
  const gap = 1;
  const upper = Math.max(lidMargin(ax, EYE.upper), cornerRise(ax) + gap);
  const lower = Math.min(lidMargin(ax, EYE.lower), cornerRise(ax) - gap);
  const bent = throughKnots(y, [
    [30, 30],
    [EYE.upper, upper],
    [EYE.lower, lower],
    [-27, -27],
  ]);
  return y + within * (bent - y);
}

function bendMouth(ax: number, y: number): number {
  const { top, line, bottom } = lipCurves(ax);
  const within = smoothstep(MOUTH.corner + 16, MOUTH.corner - 2, ax);
  const bent = throughKnots(y, [
    [-44, -44],
    [MOUTH.top, Math.max(top, line + 1.5)],
    [MOUTH.upper, line + 0.4],
    [MOUTH.lower, line - 0.4],
    [MOUTH.bottom, Math.min(bottom, line - 1.5)],
    [-98, -98],
  ]);
  return y + within * (bent - y);
}

/** Monotone piecewise curve through (from, to) knots in falling order; the identity outside. */
function throughKnots(y: number, knots: readonly (readonly [number, number])[]): number {
  for (let i = 1; i < knots.length; i++) {
    const [a, fa] = knots[i - 1];
    const [b, fb] = knots[i];
    if (y <= a && y >= b) return fa + ((y - a) / (b - a)) * (fb - fa);
  }
  return y;
}

/** Values from each entry to the next in `steps` intervals; `grade` is the ratio of the last interval to the first. */
function graded(entries: readonly { value: number; steps: number; grade: number }[]): number[] {
  const out: number[] = [];
  for (let e = 0; e + 1 < entries.length; e++) {
    const { value, steps, grade } = entries[e];
    const weights = Array.from({ length: steps }, (_, i) => grade ** (steps > 1 ? i / (steps - 1) : 0));
    const total = weights.reduce((a, b) => a + b, 0);
    let sum = 0;
    for (const w of weights) {
      out.push(value + (sum / total) * (entries[e + 1].value - value));
      sum += w;
    }
  }
  out.push(entries[entries.length - 1].value);
  return out;
}
