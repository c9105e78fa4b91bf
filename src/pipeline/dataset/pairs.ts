// What a training pair is, and how one is made where the truth is known: a textured face is photographed from one pose and
// the photo unwrapped again. Contract: maps are u8, rows from the top, black outside the footprint; the target carries the
// same light as the input (paper-spec 2.5); the same source and index give the same bytes.
import { Random } from '../../head/random.js';
import type { MorphableModel } from '../../models/morphable.js';
import type { EulerAngles } from '../../models/pose.js';
import '../../tensor/methods.js';
import { tensor } from '../../tensor/create.js';
import { tidy } from '../../tensor/scope.js';
import { toPixels } from '../image.js';
import { drawMesh, type Framing, frame, posed } from '../render.js';
import { surfaceOf, uvTableOf } from '../synthesise.js';
import { unwrap } from '../unwrap.js';

export { Recent, seedOf } from './recent.js';

/** Which of the source's pairs it is. */
export interface PairMeta {
  subject: number;
  /** Degrees, as drawn (models/pose.ts). */
  yaw: number;
  pitch: number;
  /** Numbers of the source's lists; 0 where it has none. */
  illumination: number;
  expression: number;
  /** What everything drawn at random for this pair came from. */
  seed: number;
}

export interface Pair {
  /** [size, size, 3]: the photo at every point of the surface, hidden or not. */
  incomplete: Uint8Array;
  /** [size, size, 3]: the whole face in the same light. */
  complete: Uint8Array;
  /** [size, size]: 1 where the photo saw the surface. */
  mask: Uint8Array;
  meta: PairMeta;
}

/** Pairs by number. Neighbouring numbers share work, so they are cheapest in order. */
export interface PairSource {
  readonly length: number;
  /** Side of the maps in pixels. */
  readonly size: number;
  /** [size, size]: 1 where the layout shows surface. */
  readonly footprint: Uint8Array;
  /** What the pairs depend on, as plain JSON: two sources with the same have the same pairs. */
  readonly config: Readonly<Record<string, string | number | boolean | null>>;
  /** Throws RangeError for a number outside 0 .. length - 1. */
  pair(index: number): Pair;
  /** `pair(index).meta` without making the pair, where the source can say it. */
  meta?(index: number): PairMeta;
}

/** A face as it stands before the camera. */
export interface Scene {
  model: MorphableModel;
  /** Model space [N, 3]. */
  vertices: Float32Array;
  framing: Framing;
  /** f32 [size, size, 3], 0..255, lit; its values continue a few pixels beyond the footprint. */
  texture: Float32Array;
  size: number;
}

export function sceneOf(
  model: MorphableModel,
  { alpha, beta, texture, size }: { alpha: Float32Array; beta: Float32Array; texture: Float32Array; size: number },
): Scene {
  const vertices = model.vertices(alpha, beta);
  return { model, vertices, framing: frame(vertices), texture, size };
}

export interface ObserveOptions {
  /**
   * How far the mesh that unwraps is from the one that was photographed, in units of: 1 degree per axis, 0.5 % in scale,
   * 0.4 % of the photo's side in place, 0.12 standard deviations in each of the first modes (normal). 0 is a perfect fit. Our choice: of the
   * order of what landmarks good to 3 % of the face leave, because real photos are fitted, not known.
   */
  fitError?: number;
  /** Side of the photo over that of the map. */
  photoScale?: number;
}

/** Scene seen from `pose` -> the incomplete map and its mask; everything at random (backdrop, fit) is drawn from `seed`. */
export function observe(
  scene: Scene,
  pose: EulerAngles,
  seed: number,
  { fitError = 1, photoScale = 2 }: ObserveOptions = {},
): { incomplete: Uint8Array; mask: Uint8Array } {
  const { model, size, vertices, framing } = scene;
  const table = uvTableOf(model, size);
  const random = new Random(seed);
  const side = Math.round(photoScale * size);
  const grey = random.uniform(20, 235);
  const backdrop = [0, 1, 2].map(() => Math.max(0, Math.min(255, grey + random.uniform(-25, 25))));
  const fitted = fitError === 0 ? undefined : misfit(scene, pose, side, random, fitError);
  return tidy(() => {
    const seen = posed(vertices, pose, side, framing);
    const texture = tensor(scene.texture, { shape: [size, size, 3] });
    const { image } = drawMesh(
      { vertices: seen, triangles: surfaceOf(model), uv: model.uv, texture },
      { size: side, background: [backdrop[0], backdrop[1], backdrop[2]], supersampling: 1 },
    );
    const unwrapped = unwrap(image, fitted ?? seen, table, { depthSize: side });
    return { incomplete: toPixels(unwrapped.texture).data, mask: Uint8Array.from(unwrapped.mask.dataSync()) };
  });
}

/** The first modes carry nearly all of the shape's variance; the rest would only cost time. */
const MISFIT_MODES = { identity: 12, expression: 6 };

/** Image coordinates of the mesh that a fit would have found. */
function misfit(scene: Scene, pose: EulerAngles, side: number, random: Random, error: number): Float32Array {
  const { model, framing } = scene;
  const shape = Float32Array.from(scene.vertices);
  const disturb = (modes: Float32Array, std: Float32Array, count: number) => {
    for (let m = 0; m < Math.min(count, std.length); m++) {
      const weight = 0.12 * error * std[m] * random.truncated(2.5);
      const from = m * shape.length;
      for (let i = 0; i < shape.length; i++) shape[i] += weight * modes[from + i];
    }
  };
  disturb(model.identity, model.identityStd, MISFIT_MODES.identity);
  disturb(model.expression, model.expressionStd, MISFIT_MODES.expression);
  const angle = () => error * random.truncated(2.5);
  const turned = { yaw: pose.yaw + angle(), pitch: pose.pitch + angle(), roll: pose.roll + angle() };
  const radius = framing.radius / (1 + 0.005 * error * random.truncated(2.5));
  const out = posed(shape, turned, side, { ...framing, radius });
  const dx = 0.004 * side * error * random.truncated(2.5);
  const dy = 0.004 * side * error * random.truncated(2.5);
  for (let i = 0; i < out.length; i += 3) {
    out[i] += dx;
    out[i + 1] += dy;
  }
  return out;
}

/** A lit texture as the target: rounded, black outside the footprint. */
export function target(texture: Float32Array, footprint: Uint8Array): Uint8Array {
  const out = Uint8ClampedArray.from(texture);
  for (let p = 0; p < footprint.length; p++) if (!footprint[p]) out.fill(0, 3 * p, 3 * p + 3);
  return new Uint8Array(out.buffer);
}

/** Refuses a number that is no pair of the source. */
export function checkIndex(name: string, index: number, length: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= length) {
    throw new RangeError(`${name}: pair ${index} of ${length}`);
  }
}
