// The head without features: a radius over angle and height about the vertical axis through the ear canals. Contract:
// millimetres, y = 0 at the pupils, z = 0 at the ear canals; theta is 0 at the front and positive to the subject's left.
import { smoothstep, spline } from './field.js';

/** Midline of the face without nose and lips. */
const front = spline([
  [114, 8],
  [108, 36],
  [100, 54],
  [90, 68.5],
  [78, 80],
  [62, 89.5],
  [45, 95],
  [28, 97.5],
  [16, 96],
  [6, 91.5],
  [-6, 88.5],
  [-20, 88],
  [-32, 90],
  [-42, 92.5],
  [-54, 94.5],
  [-64, 94],
  [-74, 91.5],
  [-83, 90],
  [-92, 91.5],
  [-100, 91],
  [-107, 87],
  [-125, 74],
  [-150, 60],
]);

/** Half width at the ears' plane (without the ears). */
const side = spline([
  [114, 12],
  [108, 33],
  [100, 47],
  [90, 58],
  [78, 66],
  [62, 71.5],
  [45, 74],
  [25, 74],
  [5, 71.5],
  [-15, 69],
  [-35, 66],
  [-55, 62],
  [-75, 57],
  [-95, 51],
  [-120, 46],
  [-150, 44],
]);

/** Depth behind the ears' plane. */
const back = spline([
  [114, 14],
  [108, 40],
  [95, 65],
  [75, 84],
  [45, 92],
  [15, 88],
  [-20, 76],
  [-60, 64],
  [-150, 60],
]);

/** Exponent of a superellipse as boxy as the cross-section: 2 an ellipse, more is boxier. */
const boxiness = spline([
  [114, 2],
  [90, 2.1],
  [50, 2.3],
  [20, 2.4],
  [0, 2.35],
  [-25, 2.25],
  [-50, 2.05],
  [-75, 1.92],
  [-95, 1.8],
  [-115, 1.8],
  [-150, 2],
]);

/** Lower edge of the jaw over |theta| in degrees. */
const jawEdge = spline([
  [0, -110],
  [15, -109],
  [30, -104.5],
  [45, -97],
  [60, -88],
  [72, -78],
  [82, -66],
  [92, -54],
  [110, -46],
  [130, -44],
]);

/** Half width of the turn under the jaw over |theta| in degrees. */
const jawTurn = spline([
  [0, 7],
  [20, 7.5],
  [45, 9],
  [70, 12],
  [90, 15],
  [130, 18],
]);

/** Distance from the axis to the head without features. `theta` in radians. */
export function skullRadius(theta: number, y: number): number {
  const c = Math.cos(theta);
  const n = boxiness(y);
  const depth = c >= 0 ? front(y) : back(y);
  // An ellipse pushed out at 45 degrees as far as the superellipse; the latter itself has a cusp of curvature at the front.
  const corner = 2 ** (0.5 - 1 / n) - 1;
  const face = (1 + corner * Math.sin(2 * theta) ** 2) / Math.hypot(Math.sin(theta) / side(y), c / depth);
  const degrees = (Math.abs(theta) * 180) / Math.PI;
  const edge = jawEdge(degrees);
  const turn = jawTurn(degrees);
  const under = smoothstep(edge + 0.75 * turn, edge - 1.25 * turn, y);
  return face + under * (neckRadius(theta, y) - face);
}

function neckRadius(theta: number, y: number): number {
  // An ellipse about (0, centre): the ray from the axis meets it at the positive root.
  const rx = 52.5 + 0.0006 * (y + 125) ** 2;
  const rz = 52;
  const centre = -19 + 0.12 * (y + 150);
  const s = Math.sin(theta) / rx;
  const c = Math.cos(theta) / rz;
  const a = s * s + c * c;
  const b = (-c * centre) / rz;
  return (-b + Math.sqrt(b * b - a * ((centre / rz) ** 2 - 1))) / a;
}
