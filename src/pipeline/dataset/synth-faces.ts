// Photos of people who do not exist, with the parameters of the face: what a regressor learns from (paper-spec 9.3). Contract: photo
// k of a seed is the same bytes on every machine and in every order; parameters lie in the crop's own frame (models/face-parameters.ts).
import { drawAppearance } from '../../head/appearance.js';
import { drawLight, fromLinear, type Light, openness, shade, toLinear } from '../../head/light.js';
import { expressionCoefficients } from '../../head/person.js';
import { Random } from '../../head/random.js';
import { paintAlbedo } from '../../head/skin.js';
import { parameterVector } from '../../models/face-parameters.js';
import type { MorphableModel } from '../../models/morphable.js';
import { applyPose, type Pose, quaternionFromEuler, scaledRotation } from '../../models/pose.js';
import { tensor } from '../../tensor/create.js';
import { reshape } from '../../tensor/ops/layout.js';
import { avgPool2d } from '../../tensor/ops/pool2d.js';
import { interpolate, rasterize } from '../../tensor/ops/rasterize.js';
import { tidy } from '../../tensor/scope.js';
import { loadFaceModel } from '../face_model.js';
import { FACE_OFF, FACE_SHARE } from '../fitters.js';
import { surfaceOf } from '../synthesise.js';
import { BLOCKS_AT_HAND, type FaceCrop, type FaceSource } from './faces.js';
import { Recent, seedOf } from './recent.js';
import { occlude, photograph, scenery } from './scenery.js';
import { EXPRESSIONS } from './synth-pie.js';

export interface SynthFacesOptions {
  people: number;
  /** Number of the first person; ranges that do not overlap are people never seen. */
  firstPerson?: number;
  /** Photos of each person, each with an expression, a pose, a light and a place of its own. */
  views?: number;
  /** Side of the crops in pixels. */
  side?: number;
  seed?: number;
  /** Degrees; yaw is uniform up to it on both sides. */
  maxYaw?: number;
  /** Share of the photos with something before the face. */
  occluders?: number;
}

export interface SynthFaces extends FaceSource {
  /** What was asked for, with the defaults. */
  readonly options: Readonly<Required<SynthFacesOptions>>;
  face(index: number): FaceCrop;
}

/** What a person keeps in every photo. */
interface Skin {
  /** [N, 3] linear. */
  albedo: Float32Array;
  /** [N]: share of light that reaches a vertex; that of the neutral face, since it costs as much as the rest of a photo. */
  open: Float32Array;
}

/** The paint needs at least this many pixels. */
const PAINTED = 256;

const bases = new WeakMap<MorphableModel, readonly Float32Array[]>();

/** Coefficients of the expressions of SynthPIE but the neutral one; made once, since each takes a tenth of a second. */
function expressionsOf(model: MorphableModel): readonly Float32Array[] {
  const known = bases.get(model) ?? EXPRESSIONS.slice(1).map(({ units }) => expressionCoefficients(model, units));
  bases.set(model, known);
  return known;
}

/** Throws RangeError for options out of range. */
export function synthFaces(options: SynthFacesOptions): SynthFaces {
  const { people, firstPerson = 0, views = 16, side = 120, seed = 1, maxYaw = 90, occluders = 0.35 } = options;
  const within = (name: string, value: number, low: number, high: number, whole = true) => {
    if ((!whole || Number.isInteger(value)) && value >= low && value <= high) return;
    throw new RangeError(`synthFaces: ${name} must be ${whole ? 'whole, ' : ''}from ${low} to ${high}, got ${value}`);
  };
  within('people', people, 1, 1e6);
  within('firstPerson', firstPerson, 0, 1e6);
  within('views', views, 1, 1e5);
  within('side', side, 16, 1024);
  within('seed', seed, 0, 2 ** 31 - 1);
  within('maxYaw', maxYaw, 0, 90, false);
  within('occluders', occluders, 0, 1, false);
  const model = loadFaceModel();
  const counts = { identity: model.identityCount, expression: model.expressionCount };
  const geometry = { ...model, triangles: surfaceOf(model) };
  const looks = new Recent<Skin>(BLOCKS_AT_HAND);
  const placeOf = (index: number) => {
    if (!Number.isInteger(index) || index < 0 || index >= people * views) {
      throw new RangeError(`synthFaces: photos are 0 to ${people * views - 1}, got ${index}`);
    }
    const person = firstPerson + Math.floor(index / views);
    return { own: seedOf(seed, person), shot: seedOf(seed, person, index % views, 0xface) };
  };

  const skinOf = (own: number, alpha: Float32Array): Skin =>
    looks.get(`${own}`, () => {
      const painted = paintAlbedo(geometry, drawAppearance(own), PAINTED);
      const { uv } = model;
      const albedo = Float32Array.from({ length: model.mean.length }, (_, i) => {
        const vertex = Math.floor(i / 3);
        const x = Math.round(uv[2 * vertex] * (PAINTED - 1));
        const y = Math.round((1 - uv[2 * vertex + 1]) * (PAINTED - 1));
        return toLinear(painted[3 * (y * PAINTED + x) + (i % 3)]);
      });
      const neutral = model.vertices(alpha);
      return { albedo, open: openness(neutral, model.normals(neutral), geometry.triangles) };
    });

  const faceOf = (index: number) => {
    const { own, shot } = placeOf(index);
    const person = new Random(own);
    const alpha = Float32Array.from(model.identityStd, (s) => s * person.truncated(2));
    const random = new Random(shot);
    const beta = new Float32Array(counts.expression);
    for (let part = 0; part < 2; part++) {
      const base = expressionsOf(model)[random.below(EXPRESSIONS.length - 1)];
      const weight = random.chance(0.3) ? 0 : random.uniform(0, part === 0 ? 1 : 0.4);
      for (let m = 0; m < beta.length; m++) beta[m] += weight * base[m];
    }
    for (let m = 0; m < beta.length; m++) beta[m] += 0.15 * model.expressionStd[m] * random.truncated(2);
    const yaw = random.uniform(-maxYaw, maxYaw);
    const angles = { yaw, pitch: 12 * random.truncated(2), roll: 12 * random.truncated(2) };
    const share = random.uniform(...FACE_SHARE);
    const off = [random.uniform(-FACE_OFF, FACE_OFF), random.uniform(-FACE_OFF, FACE_OFF)];
    const turned = applyPose(model.verticesAt(model.landmarks, alpha, beta), {
      q: quaternionFromEuler(angles),
      t: [0, 0, 0],
    });
    const [x, y] = [0, 1].map((c) => extent(turned, c));
    const f = (share * side) / Math.max(x.high - x.low, y.high - y.low);
    const middle = (axis: { low: number; high: number }, shift: number) =>
      (side - 1) / 2 + shift * side - (f * (axis.low + axis.high)) / 2;
    const pose: Pose = { q: quaternionFromEuler(angles, f), t: [middle(x, off[0]), middle(y, off[1]), 0] };
    return { own, random, alpha, beta, pose, yaw, truth: parameterVector({ pose, alpha, beta }, counts) };
  };

  return {
    options: { people, firstPerson, views, side, seed, maxYaw, occluders },
    length: people * views,
    block: views,
    side,
    counts,
    model,
    truth(index) {
      const { truth, yaw } = faceOf(index);
      return { truth, yaw };
    },
    face(index) {
      const { own, random, alpha, beta, pose, truth, yaw } = faceOf(index);
      const vertices = model.vertices(alpha, beta);
      const normals = model.normals(vertices);
      const light = lightOf(random);
      const colours = lit(skinOf(own, alpha), normals, light, viewOf(pose));
      const placed = applyPose(vertices, pose);
      for (let i = 1; i < placed.length; i += 3) placed[i] = side - 1 - placed[i];
      const crop = scenery(random, side);
      drawOver(crop, placed, colours, geometry.triangles, side);
      if (random.chance(occluders)) occlude(crop, random, side);
      return { crop: photograph(crop, random, side), truth, yaw };
    },
  };
}

function extent(points: Float32Array, axis: number): { low: number; high: number } {
  let [low, high] = [Infinity, -Infinity];
  for (let i = axis; i < points.length; i += 3) {
    low = Math.min(low, points[i]);
    high = Math.max(high, points[i]);
  }
  return { low, high };
}

/** `drawLight`, and one time in two a lamp from anywhere before the face, weaker fill, more colour (our choice). */
function lightOf(random: Random): Light {
  const light = drawLight(random);
  if (random.chance(0.5)) return light;
  const side = random.uniform(-100, 100) * (Math.PI / 180);
  const up = random.uniform(-20, 60) * (Math.PI / 180);
  const tint = () => random.uniform(0.8, 1.2);
  const fill = random.uniform(0.4, 1.2);
  const of = (colour: Light['lamp'], by: number): Light['lamp'] => [colour[0] * by, colour[1] * by, colour[2] * by];
  return {
    ...light,
    direction: [Math.sin(side) * Math.cos(up), Math.sin(up), Math.cos(side) * Math.cos(up)],
    lamp: [light.lamp[0] * tint(), light.lamp[1] * tint(), light.lamp[2] * tint()],
    sky: of(light.sky, fill),
    ground: of(light.ground, fill),
  };
}

/** Direction from the face, in its own frame, to the camera. */
function viewOf({ q }: Pose): [number, number, number] {
  const r = scaledRotation(q);
  const length = Math.hypot(r[6], r[7], r[8]);
  return [r[6] / length, r[7] / length, r[8] / length];
}

/** sRGB of each vertex under the light, [N, 3] in 0..255. */
function lit(
  { albedo, open }: Skin,
  normals: Float32Array,
  light: Light,
  view: [number, number, number],
): Float32Array {
  const out = new Float32Array(albedo.length);
  for (let v = 0; v < open.length; v++) {
    const at = 3 * v;
    const [r, g, b, gloss] = shade(normals.subarray(at, at + 3), light, view);
    const diffuse = [r, g, b];
    for (let c = 0; c < 3; c++) {
      out[at + c] = fromLinear(albedo[at + c] * diffuse[c] * open[v] + light.lamp[c] * gloss * open[v]);
    }
  }
  return out;
}

/** The face over the picture [side, side, 3], two samples per pixel and direction. */
function drawOver(
  picture: Float32Array,
  placed: Float32Array,
  colours: Float32Array,
  triangles: Int32Array,
  side: number,
): void {
  const n = placed.length / 3;
  const fine = placed.map((v, i) => (i % 3 === 2 ? v : 2 * v + 0.5));
  const opaque = new Float32Array(4 * n);
  for (let v = 0; v < n; v++) {
    opaque.set(colours.subarray(3 * v, 3 * v + 3), 4 * v);
    opaque[4 * v + 3] = 1;
  }
  const drawn = tidy(() => {
    const faces = tensor(triangles, { shape: [triangles.length / 3, 3], dtype: 'i32', device: 'cpu' });
    const seen = rasterize(tensor(fine, { shape: [n, 3], device: 'cpu' }), faces, {
      size: [2 * side, 2 * side],
      cull: true,
    });
    const image = interpolate(tensor(opaque, { shape: [n, 4], device: 'cpu' }), faces, seen);
    return avgPool2d(reshape(image, [1, 2 * side, 2 * side, 4]), { kernelSize: 2 }).dataSync();
  });
  for (let p = 0; p < side * side; p++) {
    const cover = drawn[4 * p + 3];
    for (let c = 0; c < 3; c++) picture[3 * p + c] = drawn[4 * p + c] + (1 - cover) * picture[3 * p + c];
  }
}
