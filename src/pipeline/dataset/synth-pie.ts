// SynthPIE: the protocol of Multi-PIE (15 viewpoints, 19 illuminations, six expressions) on drawn people of the embedded
// face model, with exact truth. Contract: person k of seed s is the same at every size and under every choice of the other
// options; the two halves of a face differ (moles, parting, brows, blood), so mirroring is not the answer.
import { type Appearance, drawAppearance } from '../../head/appearance.js';
import type { FaceGeometry } from '../../head/layout.js';
import { fromLinear, type Light, openness, shade, toLinear } from '../../head/light.js';
import { expressionCoefficients } from '../../head/person.js';
import { Random } from '../../head/random.js';
import { paintAlbedo } from '../../head/skin.js';
import { growRim, spread, type UvMap, uvMap } from '../../head/uv-map.js';
import type { EulerAngles } from '../../models/pose.js';
import { loadFaceModel } from '../face_model.js';
import { surfaceOf, uvTableOf } from '../synthesise.js';
import {
  checkIndex,
  type ObserveOptions,
  observe,
  type Pair,
  type PairMeta,
  type PairSource,
  Recent,
  type Scene,
  sceneOf,
  seedOf,
  target,
} from './pairs.js';

/** Multi-PIE's cameras: 13 at head height every 15 degrees, two above (their angles are our choice: +-45, 30 up). */
export const VIEWPOINTS: readonly { yaw: number; pitch: number }[] = [
  ...Array.from({ length: 13 }, (_, i) => ({ yaw: -90 + 15 * i, pitch: 0 })),
  { yaw: -45, pitch: 30 },
  { yaw: 45, pitch: 30 },
];

/** Where the flashes are, in degrees: azimuth towards the subject's left, elevation. One at each camera, three above the front. */
export const FLASHES: readonly { azimuth: number; elevation: number }[] = [
  ...VIEWPOINTS.map(({ yaw, pitch }) => ({ azimuth: yaw, elevation: pitch })),
  { azimuth: -20, elevation: 35 },
  { azimuth: 0, elevation: 35 },
  { azimuth: 20, elevation: 35 },
];

/** Room light alone is illumination 0, flash i is i + 1. */
export const ILLUMINATIONS = FLASHES.length + 1;

/** Multi-PIE's six expressions as action units of the head. */
export const EXPRESSIONS: readonly { name: string; units: Readonly<Record<string, number>> }[] = [
  { name: 'neutral', units: {} },
  { name: 'smile', units: { smileLeft: 0.85, smileRight: 0.8, upperLipUp: 0.35, squint: 0.25 } },
  { name: 'surprise', units: { jawOpen: 0.5, browInnerUp: 0.8, browOuterUpLeft: 0.7, browOuterUpRight: 0.7 } },
  { name: 'squint', units: { squint: 0.9, browDown: 0.5, sneerLeft: 0.2, sneerRight: 0.25 } },
  { name: 'disgust', units: { sneerLeft: 0.8, sneerRight: 0.75, browDown: 0.7, frownLeft: 0.4, frownRight: 0.4 } },
  { name: 'scream', units: { jawOpen: 0.9, stretch: 0.6, squint: 0.5, lowerLipDown: 0.5 } },
];

export interface SynthPieOptions extends ObserveOptions {
  identities: number;
  /** Number of the first person; ranges that do not overlap are people never seen. */
  firstIdentity?: number;
  /** How many of EXPRESSIONS, neutral first. */
  expressions?: number;
  /** How many of the 19 illuminations each expression of a person is seen in, drawn for each. */
  illuminations?: number;
  /** How many of the 15 viewpoints each of these is seen from, drawn for each. */
  viewpoints?: number;
  /** Side of the maps in pixels. */
  size?: number;
  seed?: number;
}

/** The pairs, and the scenes that they are photos of. */
export interface SynthPie extends PairSource {
  /** Pair `index` as it stood before the camera, whose angles are in degrees. Throws RangeError. */
  view(index: number): { scene: Scene; pose: EulerAngles; meta: PairMeta };
}

/** What a person keeps under every light and expression. */
interface Subject {
  alpha: Float32Array;
  look: Appearance;
  /** [size, size, 3], linear 0..1. */
  albedo: Float32Array;
  /** Strength of this person's expressions. */
  vigour: number;
  /** Session: warmth of the room light, its strength, that of the flashes, and the gloss of the skin. */
  warmth: number;
  room: number;
  flash: number;
  gloss: number;
}

interface Moved {
  beta: Float32Array;
  normals: Float32Array;
  open: Float32Array;
}

/** The paint needs at least this many pixels, so smaller maps are reduced from larger ones. */
const PAINTED = 256;

/**
 * identities x expressions x 19 illuminations x 15 viewpoints, or fewer of the last two; the viewpoint varies fastest. Throws
 * RangeError for options out of range.
 */
export function synthPie(options: SynthPieOptions): SynthPie {
  const {
    identities,
    firstIdentity = 0,
    expressions = 3,
    illuminations = ILLUMINATIONS,
    viewpoints = VIEWPOINTS.length,
    size = 128,
    seed = 1,
    fitError = 1,
    photoScale = 2,
  } = options;
  const within = (name: string, value: number, low: number, high: number) => {
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new RangeError(`synthPie: ${name} must be a whole number from ${low} to ${high}, got ${value}`);
    }
  };
  within('identities', identities, 1, 1e6);
  within('firstIdentity', firstIdentity, 0, 1e6);
  within('expressions', expressions, 1, EXPRESSIONS.length);
  within('illuminations', illuminations, 1, ILLUMINATIONS);
  within('viewpoints', viewpoints, 1, VIEWPOINTS.length);
  within('size', size, 32, 1024);
  within('seed', seed, 0, 2 ** 31 - 1);
  const model = loadFaceModel();
  const geometry: FaceGeometry = { ...model, triangles: surfaceOf(model) };
  const { footprint } = uvTableOf(model, size);
  const map = uvMap(geometry.uv, geometry.triangles, size);
  const factor = Math.ceil(PAINTED / size);
  const subjects = new Recent<Subject>(16);
  const moved = new Recent<Moved>(64);
  const scenes = new Recent<{ scene: Scene; complete: Uint8Array }>(4);
  const coefficients = EXPRESSIONS.slice(0, expressions).map(({ units }) => expressionCoefficients(model, units));

  const subjectOf = (identity: number): Subject =>
    subjects.get(`${identity}`, () => {
      const own = seedOf(seed, identity);
      const random = new Random(own);
      const alpha = Float32Array.from(model.identityStd, (s) => s * random.truncated(2));
      const look = drawAppearance(own);
      const painted = paintAlbedo(geometry, look, factor * (size - 1) + 1);
      return {
        alpha,
        look,
        albedo: reduce(painted, size, factor).map(toLinear),
        vigour: random.uniform(0.7, 1.1),
        warmth: 0.06 * random.truncated(2),
        room: random.uniform(0.24, 0.34),
        flash: random.uniform(0.6, 0.85),
        gloss: random.uniform(0.03, 0.09),
      };
    });

  const movedOf = (identity: number, expression: number): Moved =>
    moved.get(`${identity}/${expression}`, () => {
      const { alpha, vigour } = subjectOf(identity);
      const beta = coefficients[expression].map((b) => vigour * b);
      const vertices = model.vertices(alpha, beta);
      const normals = model.normals(vertices);
      const open = spread(map, openness(vertices, normals, geometry.triangles), 1);
      return { beta, normals: unit(spread(map, normals, 3)), open };
    });

  const sceneAt = (identity: number, expression: number, illumination: number) =>
    scenes.get(`${identity}/${expression}/${illumination}`, () => {
      const subject = subjectOf(identity);
      const { beta, normals, open } = movedOf(identity, expression);
      const texture = lit(map, subject.albedo, normals, open, lightOf(subject, illumination));
      const scene = sceneOf(model, { alpha: subject.alpha, beta, texture, size });
      return { scene, complete: target(texture, footprint) };
    });

  const length = identities * expressions * illuminations * viewpoints;
  /** What pair `index` is, and its roll. */
  const viewOf = (index: number): PairMeta & { roll: number } => {
    checkIndex('synthPie', index, length);
    const place = Math.floor(index / viewpoints);
    const scene = Math.floor(place / illuminations);
    const expression = scene % expressions;
    const subject = firstIdentity + Math.floor(scene / expressions);
    const of = [seed, subject, expression];
    const illumination = drawn(ILLUMINATIONS, illuminations, seedOf(...of, 19))[place % illuminations];
    const view = drawn(VIEWPOINTS.length, viewpoints, seedOf(...of, illumination, 15))[index % viewpoints];
    // People do not hold still: a few degrees about the camera's nominal angle, the same in every light (our choice).
    const sway = new Random(seedOf(seed, subject, expression, view, 77));
    const yaw = VIEWPOINTS[view].yaw + 2 * sway.truncated(2);
    const pitch = VIEWPOINTS[view].pitch + 2 * sway.truncated(2);
    const roll = 2 * sway.truncated(2);
    return {
      subject,
      yaw,
      pitch,
      roll,
      illumination,
      expression,
      seed: seedOf(seed, subject, expression, illumination, view),
    };
  };
  return {
    length,
    size,
    footprint,
    config: {
      kind: 'synth-pie',
      identities,
      firstIdentity,
      expressions,
      illuminations,
      viewpoints,
      size,
      seed,
      fitError,
      photoScale,
    },
    pair(index): Pair {
      const { roll, ...meta } = viewOf(index);
      const { scene, complete } = sceneAt(meta.subject, meta.expression, meta.illumination);
      const seen = observe(scene, { yaw: meta.yaw, pitch: meta.pitch, roll }, meta.seed, { fitError, photoScale });
      return { ...seen, complete, meta };
    },
    meta(index) {
      const { roll: _, ...meta } = viewOf(index);
      return meta;
    },
    view(index) {
      const { roll, ...meta } = viewOf(index);
      const { scene } = sceneAt(meta.subject, meta.expression, meta.illumination);
      return { scene, pose: { yaw: meta.yaw, pitch: meta.pitch, roll }, meta };
    },
  };
}

/** `count` of the numbers below `total`, in order; all of them, or drawn from the seed. */
function drawn(total: number, count: number, seed: number): number[] {
  const numbers = Array.from({ length: total }, (_, i) => i);
  if (count === total) return numbers;
  const random = new Random(seed);
  for (let i = 0; i < count; i++) {
    const j = i + random.below(total - i);
    [numbers[i], numbers[j]] = [numbers[j], numbers[i]];
  }
  return numbers.slice(0, count).sort((a, b) => a - b);
}

/** Room light alone, brighter as a longer exposure makes it, or with one flash. */
export function lightOf(
  { warmth, room, flash, gloss }: Pick<Subject, 'warmth' | 'room' | 'flash' | 'gloss'>,
  illumination: number,
): Light {
  const lamp = FLASHES[illumination - 1];
  const fill = lamp ? room : 2.6 * room;
  const azimuth = ((lamp?.azimuth ?? 0) * Math.PI) / 180;
  const elevation = ((lamp?.elevation ?? 60) * Math.PI) / 180;
  const strength = lamp ? flash : 0;
  return {
    direction: [Math.sin(azimuth) * Math.cos(elevation), Math.sin(elevation), Math.cos(azimuth) * Math.cos(elevation)],
    lamp: [strength, strength, strength],
    sky: [fill * (1 + warmth), fill, fill * (1 - warmth)],
    ground: [0.62 * fill * (1 + warmth), 0.58 * fill, 0.55 * fill * (1 - warmth)],
    gloss,
  };
}

/** head/light.ts `bakeLight` with all that does not depend on the light done beforehand. */
function lit(map: UvMap, albedo: Float32Array, normals: Float32Array, open: Float32Array, light: Light): Float32Array {
  const out = new Float32Array(albedo.length);
  const front = [0, 0, 1] as const;
  for (let p = 0; p < map.triangle.length; p++) {
    if (map.triangle[p] < 0) continue;
    const shaded = shade(normals.subarray(3 * p, 3 * p + 3), light, front);
    for (let c = 0; c < 3; c++) {
      out[3 * p + c] = fromLinear((albedo[3 * p + c] * shaded[c] + light.lamp[c] * shaded[3]) * open[p]);
    }
  }
  growRim(out, map, 3, 3);
  return out;
}

function unit(field: Float32Array): Float32Array {
  for (let i = 0; i < field.length; i += 3) {
    const length = Math.hypot(field[i], field[i + 1], field[i + 2]) || 1;
    for (let c = 0; c < 3; c++) field[i + c] /= length;
  }
  return field;
}

/**
 * [f (size - 1) + 1] squared -> [size] squared, a triangle of 2 f - 1 pixels about each: pixel i lies on pixel f i, as
 * both sizes' corners coincide. Black pixels, which show nothing, do not count.
 */
function reduce(image: Float32Array, size: number, factor: number): Float32Array {
  if (factor === 1) return image;
  const side = factor * (size - 1) + 1;
  const out = new Float32Array(3 * size * size);
  for (let y = 0, at = 0; y < size; y++) {
    for (let x = 0; x < size; x++, at += 3) {
      let sum = 0;
      for (let v = Math.max(0, y * factor - factor + 1); v < Math.min(side, y * factor + factor); v++) {
        for (let u = Math.max(0, x * factor - factor + 1); u < Math.min(side, x * factor + factor); u++) {
          const from = 3 * (v * side + u);
          if (image[from] + image[from + 1] + image[from + 2] === 0) continue;
          const weight = (factor - Math.abs(v - y * factor)) * (factor - Math.abs(u - x * factor));
          for (let c = 0; c < 3; c++) out[at + c] += weight * image[from + c];
          sum += weight;
        }
      }
      for (let c = 0; c < 3; c++) out[at + c] /= sum || 1;
    }
  }
  return out;
}
