// What turns the featureless head into a face: brow, eye sockets with lids and eyeballs, nose, lips, cheeks, chin, ears.
// Contract: symmetric, everything is a function of |x| and y on the featureless head (or of the angle, for the ears);
// millimetres; displacements are along +z for the front of the face and along the radius for the sides.
import { alongPolyline, bump, gaussian, smoothMax, smoothstep, spline } from './field.js';
import { EYE, lidMargin, lipCurves, MOUTH } from './template.js';

/** Height of the nose's ridge above the featureless face. */
const noseRidge = spline([
  [20, 0],
  [14, 0.6],
  [8, 2.6],
  [3, 5.2],
  [-4, 10],
  [-12, 15.5],
  [-20, 20.3],
  [-26, 23.6],
  [-30, 24.2],
  [-33, 24.2],
  [-36, 22.2],
  [-38.6, 18],
  [-41, 11.6],
  [-43.4, 5.4],
  [-46, 1.8],
  [-49, 0.3],
  [-52, 0],
]);

/** Half width of the nose at half its height. */
const noseWidth = spline([
  [14, 9],
  [4, 7],
  [-6, 7],
  [-16, 8],
  [-25, 8.6],
  [-32, 8.6],
  [-38, 8],
  [-42, 7.2],
  [-48, 7],
]);

function nose(ax: number, y: number): number {
  if (y > 22 || y < -54 || ax > 40) return 0;
  // The lower edge rises from the columella to the sides.
  const ridge = Math.max(0, noseRidge(y - 2.4 * smoothstep(2, 13, ax) * smoothstep(-28, -37, y)));
  const a = ax / noseWidth(y);
  const flank = Math.exp(-Math.LN2 * a ** 2);
  const tip = 2.2 * bump(ax, y, 0, -32, 6.5, 5.5) + 0.8 * bump(ax, y, 3.6, -32.5, 3, 3.5);
  const wing = 8.8 * bump(ax, y, 13.6, -35.4, 4, 4, -10) * smoothstep(-44, -36.5, y);
  const crease = -2.4 * bump(ax, y, 19.4, -33, 2.3, 5.2, -16) - 1.8 * bump(ax, y, 10, -29.5, 2.6, 2.6, -30);
  const nostril = -5 * bump(ax, y, 6.8, -41, 3, 1.5, -14);
  return ridge * flank + tip + wing + crease + nostril;
}

/** Eyeballs: centre and radii; the fissure is longer than the ball is wide, so it is an ellipsoid. */
const BALL = { z: 65.3, rx: 17.5, ry: 13.4, rz: 14 };

/** z of the eyeball's surface, or undefined beside it. */
export function eyeballDepth(ax: number, y: number): number | undefined {
  const dx = ax - EYE.x;
  const s = 1 - (dx / BALL.rx) ** 2 - ((y - 0.4) / BALL.ry) ** 2;
  return s <= 0 ? undefined : BALL.z + BALL.rz * Math.sqrt(s) - 0.02 * dx;
}

/** Depth of the eye region: the surface of the eyeball inside the fissure, lids over it, and the socket around. */
function eyeSurface(ax: number, y: number, face: number): number {
  const dx = ax - EYE.x;
  const socket =
    face -
    7.2 * bump(ax, y, 31, 4.5, 15, 9) -
    5.2 * bump(ax, y, 16, 5, 4.8, 7.5) -
    2.6 * bump(ax, y, 43, -3, 9, 8) -
    1.8 * bump(ax, y, 28, -14, 11, 5, -12);
  const ball = eyeballDepth(ax, y);
  if (ball === undefined) return socket;
  const upper = lidMargin(ax, EYE.upper);
  const lower = lidMargin(ax, EYE.lower);
  const above = y - upper;
  const below = lower - y;
  // The lid stands 2 mm proud of the ball; its edge turns within half a millimetre.
  const open = Math.max(above, below);
  const inFissure = ax > EYE.inner - 1 && ax < EYE.outer + 1;
  const lidThickness = 2.1 * smoothstep(-0.8, 0.3, inFissure ? open : 1);
  const crease =
    -1.5 * gaussian(above - 4.2 - 0.02 * dx, 1.2) * smoothstep(-15, -8, dx) * smoothstep(17, 9, dx) +
    -0.6 * gaussian(below - 4.5, 1.5) * smoothstep(-14, -8, dx) * smoothstep(15, 8, dx);
  const lid = ball + lidThickness + crease;
  return smoothMax(socket, lid, 2.2);
}

function lips(ax: number, y: number): number {
  if (ax > 45 || y > -40 || y < -90) return 0;
  const { top, line, bottom } = lipCurves(ax);
  const t = Math.min(1, ax / MOUTH.corner);
  const fade = (1 - t * t) ** 0.6;
  let z = 4 * bump(ax, y, 0, -65, 22, 13); // the teeth behind the lips
  const above = y - line;
  if (above >= 0) {
    const h = Math.max(1.6, top - line);
    const u = above / h;
    // Red of the upper lip: full near the line, concave towards its edge, then the raised edge.
    z += fade * (5.4 * Math.exp(-0.5 * ((u - 0.3) / 0.5) ** 2) + 0.9 * gaussian(u - 1.04, 0.2));
    z += fade * 1.2 * bump(ax, above, 0, 2.6, 4.5, 2.4);
  } else {
    const h = Math.max(1.6, line - bottom);
    const u = -above / h;
    z += fade * (5.6 * Math.exp(-0.5 * ((u - 0.38) / 0.42) ** 2) + 0.3 * gaussian(u - 1, 0.18));
    z += fade * 0.8 * bump(ax, -above, 7, 3.5, 5, 3);
  }
  const slit = Math.max(0, 1 - (above / 0.3) ** 2) * smoothstep(1.02, 0.85, t);
  z -= 6 * slit + fade * 2.6 * gaussian(above, 0.8);
  const corner = -2.2 * bump(ax, y, MOUTH.corner + 1.5, -63.4, 4, 3.6);
  const philtrum =
    (-0.9 * gaussian(ax, 2.6) + 0.6 * gaussian(ax - 4.8 - 0.03 * (y + 45), 1.8)) *
    smoothstep(-42, -49, y) *
    smoothstep(-59, -55, y);
  const underLip = -3.4 * bump(ax, y, 0, -80.5, 17, 4.4);
  return z + corner + philtrum + underLip;
}

/** Displacement along z of the front of the face outside eyes, nose and lips. */
function front(ax: number, y: number): number {
  const brow = alongPolyline(ax, y, [
    [-3, 16],
    [8, 16],
    [20, 19],
    [36, 19.5],
    [52, 11],
  ]);
  const fold = alongPolyline(ax, y, [
    [20, -33],
    [27, -46],
    [33, -58],
    [35, -69],
  ]);
  return (
    2.6 * gaussian(brow.distance, 6.5) * (1 - 0.45 * brow.at) +
    1.2 * bump(ax, y, 0, 20, 9, 7) +
    1.5 * bump(ax, y, 26, 50, 18, 14) +
    3.4 * bump(ax, y, 45, -21, 13, 9.5, 22) +
    1.6 * bump(ax, y, 30, -30, 9, 9) +
    -2.6 * bump(ax, y, 47, -54, 11, 15, 10) +
    1.1 * bump(ax, y, 37, -56, 5.5, 9) +
    -1.7 * gaussian(fold.distance, 2.6) * smoothstep(0, 0.12, fold.at) * (1 - 0.75 * fold.at) +
    4.2 * bump(ax, y, 0, -96, 13, 8.5) +
    0.9 * bump(ax, y, 11, -97, 7, 7) +
    -1 * bump(ax, y, 22, -90, 6, 9)
  );
}

/** Displacement along the radius at the sides: temples, cheekbone arch, jaw angle. `degrees` is |theta|. */
function sides(degrees: number, y: number): number {
  return (
    -3 * bump(degrees, y, 52, 24, 12, 15) +
    1.8 * bump(degrees, y, 62, -12, 13, 7) +
    -2 * bump(degrees, y, 58, -45, 14, 14) +
    2.6 * bump(degrees, y, 72, -74, 12, 10) +
    -2.2 * bump(degrees, y, 92, -58, 8, 12) +
    1.5 * bump(degrees, y, 0, -138, 9, 8) // larynx
  );
}

const EAR = { front: 90, back: 115, top: 13, bottom: -47 };

/** Radius added by the ear; its upper part leans back. `degrees` is |theta|. */
function ear(degrees: number, y: number): number {
  if (degrees < 78) return 0;
  const d = degrees - 0.11 * (y + 17);
  const middle = (EAR.top + EAR.bottom) / 2;
  const h = (y - middle) / ((EAR.top - EAR.bottom) / 2);
  if (Math.abs(h) >= 1.25) return 0;
  // An egg-shaped outline, the lobe its narrow end; rho is 0 at the attachment's middle and 1 on the rim.
  const halfWidth = h > 0 ? 1 : 1 - 0.34 * smoothstep(0, 1, -h);
  const t = (d - EAR.front) / (EAR.back - EAR.front);
  const across = (t - 0.3) / (0.7 * halfWidth);
  const rho = Math.hypot(Math.max(0, across), h);
  const body = smoothstep(1.3, 0.95, rho) * smoothstep(-0.15, 0.75, t);
  const rim = gaussian(rho - 0.93, 0.1) * smoothstep(0, 0.25, t) * smoothstep(-0.85, -0.35, h);
  const concha = -8.5 * bump(t, h, 0.48, -0.14, 0.18, 0.27);
  const scapha = -3.4 * gaussian(rho - 0.68, 0.1) * smoothstep(-0.2, 0.2, h) * smoothstep(0, 0.25, t);
  const tragus = 2.6 * bump(t, h, 0.12, -0.16, 0.09, 0.13);
  return Math.max(0, 15 * body + 3.8 * rim + concha + scapha + tragus);
}

/** The neutral mean face's surface point for a point (x, y, z) at angle theta of the featureless head. */
export function featurePoint(x: number, y: number, z: number, theta: number): [number, number, number] {
  const ax = Math.abs(x);
  const degrees = (Math.abs(theta) * 180) / Math.PI;
  const frontal = smoothstep(68, 48, degrees);
  let pz = z;
  if (frontal > 0) {
    const relief = front(ax, y) + nose(ax, y) + lips(ax, y);
    pz += frontal * relief;
    if (y > -40 && y < 40) {
      const region = smoothstep(-36, -24, y) * smoothstep(38, 28, y);
      const eye = eyeSurface(ax, y, z + front(ax, y));
      pz += frontal * region * (eye - z - front(ax, y));
    }
  }
  const out = sides(degrees, y) + ear(degrees, y);
  const r = Math.hypot(x, pz);
  const scale = (r + out) / r;
  return [x * scale, y, pz * scale];
}
