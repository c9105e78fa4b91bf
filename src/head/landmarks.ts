// Where the 68 iBUG / Multi-PIE landmarks lie on the template. Contract: the standard order, from the subject's right
// (x < 0, image left): jaw 0-16, brows 17-26, nose 27-35, right eye 36-41, left eye 42-47, outer lips 48-59, inner 60-67.
import { EYE, lidMargin, lipCurves, MOUTH, type Template } from './template.js';

/** Landmark positions on the subject's left (or on the midline), as [x or degrees, y]. */
const JAW: readonly (readonly [number, number])[] = [
  [0, -109],
  [14, -108],
  [28, -103.5],
  [42, -96],
  [55, -86],
  [66, -75],
  [76, -58],
  [82, -37],
  [85, -14],
];
const BROW: readonly (readonly [number, number])[] = [
  [11, 16.5],
  [21, 20],
  [31, 21.5],
  [41, 19.5],
  [50, 13],
];
const RIDGE = [4, -9, -21, -32.5];
const NOSE_BASE: readonly (readonly [number, number])[] = [
  [0, -43.6],
  [6, -42.4],
  [12, -40.2],
];

/** The 68 vertices of the template, 0-based landmark numbers. */
export function landmarkVertices(template: Template): Int32Array {
  const at = (x: number, y: number) => nearest(template, template.x, x, y);
  const degrees = Float64Array.from(template.theta, (t) => (t * 180) / Math.PI);
  const jaw = (a: number, y: number) => nearest(template, degrees, a, y);
  const out: number[] = [];
  for (let i = 8; i > 0; i--) out.push(jaw(-JAW[i][0], JAW[i][1]));
  for (let i = 0; i <= 8; i++) out.push(jaw(JAW[i][0], JAW[i][1]));
  for (let i = 4; i >= 0; i--) out.push(at(-BROW[i][0], BROW[i][1]));
  for (let i = 0; i < 5; i++) out.push(at(BROW[i][0], BROW[i][1]));
  for (const y of RIDGE) out.push(at(0, y));
  for (let i = 2; i > 0; i--) out.push(at(-NOSE_BASE[i][0], NOSE_BASE[i][1]));
  for (let i = 0; i <= 2; i++) out.push(at(NOSE_BASE[i][0], NOSE_BASE[i][1]));

  // Eyes: right eye from its outer corner over the upper lid; left eye from its inner corner over the upper lid.
  const width = EYE.outer - EYE.inner;
  const third = (k: number) => EYE.inner + (k * width) / 3;
  const lid = (x: number, edge: number): [number, number] => [x, lidMargin(x, edge)];
  const outer = lid(EYE.outer, EYE.upper);
  const inner = lid(EYE.inner, EYE.upper);
  const upper = [lid(third(1), EYE.upper), lid(third(2), EYE.upper)];
  const lower = [lid(third(1), EYE.lower), lid(third(2), EYE.lower)];
  for (const [x, y] of [outer, upper[1], upper[0], inner, lower[0], lower[1]]) out.push(at(-x, y));
  for (const [x, y] of [inner, upper[0], upper[1], outer, lower[1], lower[0]]) out.push(at(x, y));

  const lips = (x: number, edge: 'top' | 'bottom') => at(x, lipCurves(Math.abs(x))[edge]);
  const line = (x: number, off: number) => at(x, lipCurves(Math.abs(x)).line + off);
  const corner = MOUTH.corner;
  out.push(line(-corner, 0), lips(-15, 'top'), lips(-5.5, 'top'), lips(0, 'top'), lips(5.5, 'top'), lips(15, 'top'));
  out.push(line(corner, 0), lips(15, 'bottom'), lips(6.5, 'bottom'), lips(0, 'bottom'), lips(-6.5, 'bottom'));
  out.push(lips(-15, 'bottom'));
  out.push(line(-corner + 3, 0), line(-8, 0.4), line(0, 0.4), line(8, 0.4));
  out.push(line(corner - 3, 0), line(8, -0.4), line(0, -0.4), line(-8, -0.4));
  return Int32Array.from(out);
}

function nearest({ y }: Template, across: Float64Array, a: number, b: number): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let v = 0; v < y.length; v++) {
    const d = (across[v] - a) ** 2 + (y[v] - b) ** 2;
    if (d < least - 1e-9) {
      least = d;
      best = v;
    }
  }
  return best;
}
