// How people differ: named parameters, each a smooth displacement of the mean head. Contract: a parameter's value is in
// standard deviations; fields are functions of the point on the template, so that every person has the same topology and a
// vertex keeps its meaning. Millimetres.
import { alongPolyline, bump, gaussian, smoothstep } from './field.js';
import { EYE, lipCurves, MOUTH } from './template.js';

/** A point of the template: featureless position (x, y), angle in degrees (absolute), side +1 left / -1 right. */
export interface TemplatePoint {
  x: number;
  ax: number;
  y: number;
  degrees: number;
  side: number;
  /** The mean head's surface point. */
  surface: readonly [number, number, number];
}

export type Displacement = [number, number, number];
type Field = (p: TemplatePoint) => Displacement;

const none: Displacement = [0, 0, 0];
const depth =
  (f: (p: TemplatePoint) => number): Field =>
  (p) => [0, 0, f(p)];
const lift =
  (f: (p: TemplatePoint) => number): Field =>
  (p) => [0, f(p), 0];
const widen =
  (f: (p: TemplatePoint) => number): Field =>
  (p) => [p.side * f(p), 0, 0];
/** Outwards from the vertical axis. */
const outward =
  (f: (p: TemplatePoint) => number): Field =>
  (p) => {
    const [x, , z] = p.surface;
    const r = Math.hypot(x, z);
    const d = f(p);
    return [(d * x) / r, 0, (d * z) / r];
  };
const at =
  (x: number, y: number, sx: number, sy: number, turn = 0) =>
  (p: TemplatePoint) =>
    bump(p.ax, p.y, x, y, sx, sy, turn) * frontal(p);
const around = (degrees: number, y: number, sd: number, sy: number) => (p: TemplatePoint) =>
  bump(p.degrees, p.y, degrees, y, sd, sy);
const frontal = (p: TemplatePoint) => smoothstep(80, 60, p.degrees);
const eye = at(EYE.x, 1, 15, 10);
const mouth = at(0, -65, 22, 13);
const ear = (p: TemplatePoint) => smoothstep(82, 104, p.degrees) * smoothstep(-62, -44, p.y) * smoothstep(26, 10, p.y);
const times = (k: number, f: (p: TemplatePoint) => number) => (p: TemplatePoint) => k * f(p);

/** Symmetric shape parameters; the comment-free names say what grows with a positive value. */
export const IDENTITY: Readonly<Record<string, Field>> = {
  headWidth: widen((p) => 0.032 * Math.abs(p.surface[0])),
  headHeight: lift((p) => 0.028 * p.y),
  headDepth: depth((p) => 0.028 * p.surface[2]),
  lowerFaceLength: lift((p) => -2.6 * smoothstep(-42, -104, p.y)),
  midFaceLength: lift((p) => -1.9 * smoothstep(0, -44, p.y)),
  foreheadSlope: depth((p) => -4 * smoothstep(18, 105, p.y) * frontal(p)),
  foreheadWidth: widen((p) => 2.4 * smoothstep(10, 50, p.y) * smoothstep(10, 45, p.ax)),
  foreheadBulge: depth(times(1.8, at(0, 52, 32, 20))),
  temples: outward(times(1.6, around(55, 22, 13, 16))),
  browRidge: depth((p) => {
    const d = alongPolyline(p.ax, p.y, [
      [-4, 17],
      [20, 19],
      [36, 19],
      [52, 11],
    ]).distance;
    return 1.7 * gaussian(d, 6.5) * frontal(p);
  }),
  browHeight: lift(times(1.7, at(30, 19, 22, 8))),
  eyeSpacing: widen(times(1.5, eye)),
  eyeSize: (p) => {
    const w = 0.075 * eye(p);
    return [p.side * w * (p.ax - EYE.x), w * p.y, 0];
  },
  eyeOpening: lift((p) => 0.55 * Math.tanh(p.y / 4) * at(EYE.x, 0, 11, 8)(p)),
  eyeTilt: lift((p) => 0.055 * (p.ax - EYE.x) * eye(p)),
  eyeDepth: depth(times(-1.5, eye)),
  lidFullness: depth(times(1.1, at(EYE.x + 3, 10.5, 12, 4))),
  lowerLidFullness: depth(times(0.8, at(EYE.x, -11, 11, 4, -10))),
  noseLength: lift(times(-2.2, at(0, -36, 15, 13))),
  noseWidth: widen((p) => 1.5 * smoothstep(0, 9, p.ax) * at(12, -36, 9, 8)(p)),
  bridgeWidth: widen((p) => 0.9 * smoothstep(0, 6, p.ax) * at(7, -8, 6, 14)(p)),
  bridgeHeight: depth(times(1.7, at(0, -2, 7.5, 12))),
  noseProjection: depth(times(2, at(0, -33, 9, 9))),
  tipUp: lift((p) => 1.5 * at(0, -35, 7, 7)(p)),
  tipWidth: widen((p) => 0.8 * smoothstep(0, 4, p.ax) * at(5, -33, 5, 5)(p)),
  hump: depth(times(1.2, at(0, -12, 5.5, 7))),
  wingHeight: lift(times(0.9, at(14, -36, 5, 6))),
  upperLipLength: lift(times(-1.3, at(0, -64, 30, 14))),
  mouthWidth: widen((p) => 2.1 * smoothstep(0, MOUTH.corner, p.ax) * at(MOUTH.corner, -64, 11, 10)(p)),
  upperLipFullness: (p) => {
    const { top, line } = lipCurves(p.ax);
    const u = (p.y - line) / Math.max(1.5, top - line);
    const w = smoothstep(0, 0.1, u) * smoothstep(30, 20, p.ax);
    return [0, 1.1 * w * smoothstep(0, 1, u) * smoothstep(2.6, 1, u), 0.8 * w * gaussian(u - 0.5, 0.5)];
  },
  lowerLipFullness: (p) => {
    const { line, bottom } = lipCurves(p.ax);
    const u = (line - p.y) / Math.max(1.5, line - bottom);
    const w = smoothstep(0, 0.1, u) * smoothstep(30, 20, p.ax);
    return [0, -1.1 * w * smoothstep(0, 1, u) * smoothstep(2.4, 1, u), 0.9 * w * gaussian(u - 0.5, 0.5)];
  },
  lipProtrusion: depth(times(1.6, mouth)),
  mouthCornersUp: lift(times(0.9, at(MOUTH.corner, -64, 7, 6))),
  cupidsBow: lift((p) => 0.55 * (bump(p.ax, p.y, 5.5, -57, 3.5, 3) - bump(p.ax, p.y, 0, -57, 2.2, 3))),
  philtrum: depth((p) => -0.6 * bump(p.ax, p.y, 0, -50, 2.6, 5)),
  cheekbones: outward(times(1.9, around(40, -20, 14, 10))),
  cheekboneArch: outward(times(1.6, around(66, -10, 12, 9))),
  cheeks: outward(times(2.6, around(42, -52, 16, 16))),
  folds: depth((p) => {
    const d = alongPolyline(p.ax, p.y, [
      [20, -34],
      [28, -48],
      [34, -62],
    ]).distance;
    return -0.8 * gaussian(d, 3) + 0.5 * bump(p.ax, p.y, 36, -44, 6, 9);
  }),
  jawWidth: outward(times(2.8, around(66, -76, 18, 17))),
  jawHeight: lift(times(2.2, around(68, -78, 16, 15))),
  chinProjection: depth(times(2.4, at(0, -98, 20, 13))),
  chinWidth: widen((p) => 2 * smoothstep(0, 14, p.ax) * at(17, -100, 13, 11)(p)),
  chinHeight: lift(times(-2, at(0, -108, 26, 12))),
  chinCleft: depth((p) => -0.6 * bump(p.ax, p.y, 0, -98, 2.4, 6)),
  underChin: (p) => {
    const w = 2.4 * bump(p.degrees, p.y, 0, -118, 34, 8);
    return [0, -0.8 * w, w];
  },
  earSize: (p) => {
    const w = 0.06 * ear(p);
    return [0, w * (p.y + 17), w * (p.surface[2] - 4)];
  },
  earsOut: outward(times(2.4, (p) => ear(p) * smoothstep(92, 112, p.degrees))),
  earHeight: lift(times(2.2, ear)),
  neckWidth: outward((p) => 2.2 * smoothstep(-92, -150, p.y)),
  larynx: depth((p) => 1.6 * bump(p.degrees, p.y, 0, -138, 8, 8)),
  weight: outward(
    (p) => 1.9 * around(50, -50, 24, 26)(p) + 1.7 * around(40, -92, 28, 16)(p) + 1.6 * smoothstep(-92, -140, p.y),
  ),
};

/** Left and right differ: each is a displacement of one side, or of both in opposite senses. */
export const ASYMMETRY: Readonly<Record<string, Field>> = {
  noseBend: (p) => [1 * at(0, -32, 10, 11)(p), 0, 0],
  bridgeBend: (p) => [0.6 * at(0, -10, 7, 9)(p), 0, 0],
  chinShift: (p) => [1.2 * at(0, -100, 32, 20)(p), 0, 0],
  mouthShift: (p) => [0.7 * at(0, -65, 26, 11)(p), 0, 0],
  mouthTilt: lift((p) => 0.026 * p.x * at(0, -64, 30, 12)(p)),
  eyeLevel: lift((p) => 0.5 * p.side * eye(p)),
  eyeSizeDifference: (p) => (p.side > 0 ? [0, 0.05 * p.y * eye(p), 0] : none),
  browLevel: lift((p) => 0.9 * p.side * at(32, 19, 20, 7)(p)),
  cheekDifference: outward((p) => 1 * p.side * around(44, -38, 18, 22)(p)),
  jawDifference: outward((p) => 1.2 * p.side * around(62, -78, 20, 16)(p)),
  wingDifference: (p) => [0.4 * at(13, -36, 5, 6)(p), 0.3 * p.side * at(13, -36, 5, 6)(p), 0],
  earDifference: outward((p) => 1.3 * p.side * ear(p) * smoothstep(92, 112, p.degrees)),
};

/** Traits that vary together: a latent factor adds these weights (in standard deviations) to the parameters. */
export const FACTORS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  masculine: {
    browRidge: 0.8,
    browHeight: -0.6,
    jawWidth: 0.7,
    chinWidth: 0.7,
    chinHeight: 0.6,
    lowerFaceLength: 0.6,
    larynx: 0.9,
    neckWidth: 0.7,
    noseWidth: 0.4,
    noseLength: 0.4,
    lidFullness: 0.3,
    eyeSize: -0.5,
    foreheadSlope: 0.6,
    upperLipFullness: -0.4,
    cheekbones: -0.3,
    headWidth: 0.4,
    headHeight: 0.4,
  },
  noseAndLips: {
    noseWidth: 1,
    bridgeHeight: -0.9,
    bridgeWidth: 0.4,
    noseProjection: -0.6,
    tipWidth: 0.7,
    upperLipFullness: 0.9,
    lowerLipFullness: 0.9,
    lipProtrusion: 0.8,
    hump: -0.5,
  },
  eyesAndCheeks: {
    lidFullness: 0.9,
    eyeDepth: -0.8,
    eyeTilt: 0.6,
    cheekbones: 0.7,
    cheekboneArch: 0.7,
    bridgeHeight: -0.6,
    browRidge: -0.4,
  },
  age: {
    folds: 1,
    underChin: 0.7,
    lowerLidFullness: 0.6,
    earSize: 0.5,
    upperLipFullness: -0.5,
    noseLength: 0.4,
    cheeks: -0.3,
  },
};
