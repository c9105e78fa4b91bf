// How a face moves: action units as displacements of a neutral head. Contract: weight 0 is neutral, 1 the full movement;
// `Left` and `Right` are the subject's. Opening the jaw turns about the hinge and lids slide over the eyeball, so these two
// are not linear in their weight. Millimetres.
import { eyeballDepth } from './features.js';
import { bump, gaussian, smoothstep } from './field.js';
import type { Displacement, TemplatePoint } from './identity.js';
import { EYE, lidMargin, lipCurves, MOUTH } from './template.js';

type Movement = (p: TemplatePoint, w: number) => Displacement;

const HINGE = { y: -12, z: 10 };

/** Share of a point in the movement of the lower jaw: 0 the skull, 1 the chin. */
function mandible(p: TemplatePoint): number {
  const { line } = lipCurves(p.ax);
  // Between the lips the change is a cut, less so towards their corners; elsewhere it spreads over the cheek.
  const cut = Math.sqrt(Math.max(0, 1 - (p.ax / MOUTH.corner) ** 2));
  const near = smoothstep(line + 0.25, line - 0.25, p.y);
  const w = cut * near + (1 - cut) * smoothstep(line + 22, line - 26, p.y);
  const neck = smoothstep(-152, -108, p.y);
  // The skin of the neck follows in front only.
  const besideNeck = smoothstep(-98, -122, p.y) * smoothstep(18, 62, p.degrees);
  return w * neck * (1 - besideNeck) * smoothstep(108, 52, p.degrees);
}

const jawOpen: Movement = (p, w) => {
  const m = mandible(p);
  if (m === 0) return [0, 0, 0];
  const [, y, z] = p.surface;
  const turn = 0.3 * w * m;
  const c = Math.cos(turn);
  const s = Math.sin(turn);
  const dy = y - HINGE.y;
  const dz = z - HINGE.z;
  const ring = bump(p.ax, p.y, MOUTH.corner, -64, 14, 12);
  return [-2.6 * w * p.side * ring, c * dy - s * dz - dy, s * dy + c * dz - dz];
};

/** Moving the jaw to the subject's left. */
const jawLeft: Movement = (p, w) => [6 * w * mandible(p), 0, 0];

const onSide = (side: number, p: TemplatePoint) => (side > 0 ? smoothstep(-7, 7, p.x) : smoothstep(7, -7, p.x));

const smile =
  (side: number): Movement =>
  (p, w) => {
    const k = w * onSide(side, p);
    if (k === 0) return [0, 0, 0];
    const corner = bump(p.ax, p.y, MOUTH.corner + 1, -64, 11, 9);
    const stretch = smoothstep(0, MOUTH.corner, p.ax) * bump(p.ax, p.y, 20, -65, 14, 10);
    const cheek = bump(p.ax, p.y, 38, -32, 12, 11);
    const fold = bump(p.ax, p.y, 31, -50, 3.5, 9, -18);
    const lower = bump(p.ax, p.y, EYE.x + 3, -8, 13, 3.5);
    return [
      p.side * k * (4.2 * corner + 2.6 * stretch + 1.2 * cheek),
      k * (5.6 * corner + 2.4 * cheek + 1.3 * lower),
      k * (-3.4 * corner - 2 * stretch + 3.2 * cheek - 1.4 * fold),
    ];
  };

const frown =
  (side: number): Movement =>
  (p, w) => {
    const k = w * onSide(side, p);
    const corner = bump(p.ax, p.y, MOUTH.corner + 1, -66, 9, 9);
    const chin = bump(p.ax, p.y, 10, -93, 12, 8);
    return [p.side * k * 0.8 * corner, k * (-4.6 * corner + 1.4 * chin), k * (-0.8 * corner + 1.1 * chin)];
  };

const stretch: Movement = (p, w) => {
  const k = w * smoothstep(0, MOUTH.corner, p.ax) * bump(p.ax, p.y, 25, -66, 14, 10);
  return [p.side * 5 * k, -1 * k, -3 * k];
};

const pucker: Movement = (p, w) => {
  const k = w * bump(p.ax, p.y, 0, -65, 24, 12);
  return [-0.36 * p.x * k, 0.1 * (-64 - p.y) * k, 6 * w * bump(p.ax, p.y, 0, -65, 16, 9)];
};

const press: Movement = (p, w) => {
  const { top, line, bottom } = lipCurves(p.ax);
  const half = p.y > line ? Math.max(1.5, top - line) : Math.max(1.5, line - bottom);
  const u = Math.abs(p.y - line) / half;
  const k = w * smoothstep(30, 20, p.ax) * smoothstep(0, 0.15, u);
  return [0, (p.y > line ? -1 : 1) * 2 * k * gaussian(u - 1, 0.8), -1.8 * k * gaussian(u - 0.4, 0.6)];
};

/** Lips apart with the jaw closed; the sign moves the upper lip up or the lower lip down. */
const lipApart =
  (upper: boolean): Movement =>
  (p, w) => {
    const { line } = lipCurves(p.ax);
    const off = upper ? p.y - line : line - p.y;
    const k = w * smoothstep(-0.2, 0.3, off) * gaussian(Math.max(0, off), 8) * smoothstep(25, 8, p.ax);
    return [0, (upper ? 2.6 : -3) * k, -0.4 * k];
  };

const sneer =
  (side: number): Movement =>
  (p, w) => {
    const k = w * onSide(side, p);
    const { line } = lipCurves(p.ax);
    const wing = bump(p.ax, p.y, 14, -35, 6, 8);
    const lip = bump(p.ax, p.y, 14, -54, 9, 9) * smoothstep(line, line + 0.6, p.y);
    const bridge = bump(p.ax, p.y, 10, 2, 6, 9);
    return [p.side * k * 0.7 * wing, k * (2.6 * wing + 3 * lip + 0.6 * bridge), k * (0.5 * wing + 0.4 * bridge)];
  };

const puff: Movement = (p, w) => {
  const d = w * (8 * bump(p.degrees, p.y, 36, -58, 13, 16) + 2 * bump(p.ax, p.y, 0, -66, 20, 12));
  const [x, , z] = p.surface;
  const r = Math.hypot(x, z);
  return [(d * x) / r, 0, (d * z) / r];
};

const browInnerUp: Movement = (p, w) => {
  const k = w * bump(p.ax, p.y, 12, 22, 13, 11);
  return [0, 5.4 * k, 0.8 * k];
};

const browOuterUp =
  (side: number): Movement =>
  (p, w) => {
    const k = w * onSide(side, p) * bump(p.ax, p.y, 40, 20, 14, 10);
    return [0, 5.2 * k, 0.4 * k];
  };

const browDown: Movement = (p, w) => {
  const k = w * bump(p.ax, p.y, 17, 17, 13, 8);
  const between = w * bump(p.ax, p.y, 4, 15, 5, 8);
  return [-p.side * 2.4 * k * smoothstep(0, 8, p.ax), -4 * k, 1.6 * k + 0.6 * between];
};

/** Upper lid: weight 1 closes it over the eyeball, -0.3 opens it wide. */
const blink =
  (side: number): Movement =>
  (p, w) => {
    if (p.side !== side || p.y > 22 || p.y < -16 || p.ax < EYE.inner - 4 || p.ax > EYE.outer + 5) return [0, 0, 0];
    const upper = lidMargin(p.ax, EYE.upper);
    const lower = lidMargin(p.ax, EYE.lower);
    const travel = w * Math.max(0, upper - lower - 0.3) * smoothstep(EYE.inner - 4, EYE.inner + 1, p.ax);
    const target = lower + 0.15;
    if (p.y >= upper - 0.05) {
      const k = gaussian(p.y - upper, 6.5) * smoothstep(22, 14, p.y);
      const dy = -travel * k;
      return [0, dy, slide(p.ax, p.y, dy) * smoothstep(9, 3, p.y - upper)];
    }
    if (p.y > lower) {
      const dy = w * (target - p.y) * 0.97;
      // What was eyeball goes behind the lid that arrives.
      return [0, dy, slide(p.ax, p.y, dy) + 1.5 * Math.max(0, w)];
    }
    const squeeze = 0.8 * w * gaussian(p.y - lower, 4) * smoothstep(-16, -12, p.y);
    return [0, squeeze, slide(p.ax, p.y, squeeze)];
  };

/** Change of the eyeball's depth when a point on it moves by dy. */
function slide(ax: number, y: number, dy: number): number {
  const before = eyeballDepth(ax, y);
  const after = eyeballDepth(ax, y + dy);
  return before === undefined || after === undefined ? 0 : after - before;
}

const squint: Movement = (p, w) => {
  const lower = bump(p.ax, p.y, EYE.x + 2, -8, 13, 4);
  const corner = bump(p.ax, p.y, 50, -4, 7, 8);
  return [-p.side * 0.8 * w * corner, w * (1.7 * lower + 0.8 * corner), w * (0.8 * lower + 0.5 * corner)];
};

export const EXPRESSION: Readonly<Record<string, Movement>> = {
  jawOpen,
  jawLeft,
  smileLeft: smile(1),
  smileRight: smile(-1),
  frownLeft: frown(1),
  frownRight: frown(-1),
  stretch,
  pucker,
  press,
  upperLipUp: lipApart(true),
  lowerLipDown: lipApart(false),
  sneerLeft: sneer(1),
  sneerRight: sneer(-1),
  puff,
  browInnerUp,
  browOuterUpLeft: browOuterUp(1),
  browOuterUpRight: browOuterUp(-1),
  browDown,
  blinkLeft: blink(1),
  blinkRight: blink(-1),
  squint,
};
