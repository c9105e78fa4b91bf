// Pairs from complete UV textures of people with their shape: each is put on its mesh, seen from random poses and unwrapped
// again. Contract: the folder holds NNN.png in the UV layout of the face model, mask.png where they show surface, and
// params.safetensors with `ids` [n], `alpha_shp` [n, k], `alpha_exp` [n, m] in the model's own units; every fifth person, in
// the order of `ids`, is held out.
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { readSafetensors } from '../../formats/safetensors.js';
import { Random } from '../../head/random.js';
import type { MorphableModel } from '../../models/morphable.js';
import '../../tensor/methods.js';
import { tensor } from '../../tensor/create.js';
import { gridSample } from '../../tensor/ops/grid_sample.js';
import { tidy } from '../../tensor/scope.js';
import { type Pixels, readPixels } from '../image.js';
import { uvTableOf } from '../synthesise.js';
import {
  checkIndex,
  type ObserveOptions,
  observe,
  type Pair,
  type PairMeta,
  type PairSource,
  Recent,
  sceneOf,
  seedOf,
  target,
} from './pairs.js';

export interface TextureSetOptions extends ObserveOptions {
  split?: 'train' | 'test' | 'all';
  /** Poses per person. */
  views?: number;
  /** Side of the maps in pixels. */
  size?: number;
  seed?: number;
}

export interface TextureSet extends PairSource {
  /** The people's numbers, as `meta.subject` gives them. */
  readonly subjects: readonly number[];
  /** Files left out, one line each. */
  readonly skipped: readonly string[];
}

interface Person {
  id: number;
  alpha: Float32Array;
  beta: Float32Array;
  pixels: Pixels;
}

/**
 * Reads a texture set for a model of the same layout. Yaw is uniform in +-90 degrees, pitch in -15..20, roll in +-8. Throws FormatError
 * naming what of the folder is missing or does not fit the model; a texture that cannot be read is left out and listed in `skipped`.
 */
export async function textureSet(
  folder: string,
  model: MorphableModel,
  options: TextureSetOptions = {},
): Promise<TextureSet> {
  const { split = 'all', views = 16, size = 128, seed = 1, fitError = 1, photoScale = 2 } = options;
  const file = path.join(folder, 'params.safetensors');
  const tensors = readSafetensors(file);
  for (const [name, modes] of [
    ['alpha_shp', model.identityStd.length],
    ['alpha_exp', model.expressionStd.length],
  ] as const) {
    const shape = tensors[name]?.shape;
    if (shape?.length !== 2 || shape[0] !== tensors.ids?.shape[0] || shape[1] > modes) {
      throw new FormatError(
        file,
        `tensor '${name}'`,
        `wanted [ids, up to ${modes}] as ${model.name} has modes, got ${shape ? `[${shape}]` : 'none'}`,
      );
    }
  }
  const maskFile = path.join(folder, 'mask.png');
  const shown = await readPixels(maskFile);
  checkLayout(maskFile, shown, model);
  const people: Person[] = [];
  const skipped: string[] = [];
  for (const [i, id] of tensors.ids.data.entries()) {
    if (split !== 'all' && (i % 5 === 4) !== (split === 'test')) continue;
    const name = path.join(folder, `${String(id).padStart(3, '0')}.png`);
    try {
      const pixels = await readPixels(name);
      if (pixels.width !== shown.width || pixels.height !== shown.height) {
        const wanted = `mask.png is ${shown.width}x${shown.height}`;
        throw new FormatError(name, 'size', `${pixels.width}x${pixels.height}, ${wanted}`);
      }
      people.push({ id, alpha: row(tensors.alpha_shp, i), beta: row(tensors.alpha_exp, i), pixels });
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      skipped.push(error.message);
    }
  }
  if (people.length === 0) throw new FormatError(folder, 'textures', `none can be read (${skipped[0] ?? 'no ids'})`);
  const footprint = surfaceShown(shown, uvTableOf(model, size).footprint, size);
  const made = new Recent<ReturnType<typeof sceneFor>>(Math.max(4, Math.floor(KEPT / (size * size))));
  const sceneFor = ({ alpha, beta, pixels }: Person) => {
    const texture = resample(pixels, shown, size);
    return { scene: sceneOf(model, { alpha, beta, texture, size }), complete: target(texture, footprint) };
  };
  const length = people.length * views;
  /** What pair `index` is, and its roll. */
  const viewOf = (index: number): PairMeta & { roll: number } => {
    checkIndex('textureSet', index, length);
    const { id } = people[Math.floor(index / views)];
    const own = seedOf(seed, id, index % views);
    const random = new Random(seedOf(own, 77));
    const pose = { yaw: random.uniform(-90, 90), pitch: random.uniform(-15, 20), roll: random.uniform(-8, 8) };
    return { subject: id, ...pose, illumination: 0, expression: 0, seed: own };
  };
  return {
    length,
    size,
    footprint,
    subjects: people.map(({ id }) => id),
    skipped,
    config: {
      kind: 'textures',
      model: model.name,
      people: people.length,
      split,
      views,
      size,
      seed,
      fitError,
      photoScale,
    },
    pair(index): Pair {
      const { roll, ...meta } = viewOf(index);
      const person = people[Math.floor(index / views)];
      const { scene, complete } = made.get(`${person.id}`, () => sceneFor(person));
      const seen = observe(scene, { yaw: meta.yaw, pitch: meta.pitch, roll }, meta.seed, { fitError, photoScale });
      withinFootprint(seen, footprint);
      return { ...seen, complete, meta };
    },
    meta(index) {
      const { roll: _, ...meta } = viewOf(index);
      return meta;
    },
  };
}

/** The mask must show what the model's own layout does, or most of it. */
function checkLayout(file: string, { data, width, height }: Pixels, model: MorphableModel): void {
  if (width !== height) throw new FormatError(file, 'size', `wanted a square, got ${width}x${height}`);
  const { footprint } = uvTableOf(model, width);
  let [both, either] = [0, 0];
  for (let p = 0; p < footprint.length; p++) {
    const shown = data[3 * p] > 127;
    if (shown && footprint[p]) both++;
    if (shown || footprint[p]) either++;
  }
  if (!(both >= SAME_LAYOUT * either)) {
    const share = `${Math.round((100 * both) / either)} %`;
    throw new FormatError(
      file,
      'layout',
      `is not that of the face model '${model.name}': they share ${share} of their area`,
    );
  }
}

/** Pixels of textures that are kept, since a shuffled run comes back to all of them: 256 people at 256 x 256 (0.3 GB). */
const KEPT = 1 << 24;

/** Textures may leave out a part of the mesh (the Basel model's sides, 9 %); another model's layout shares two thirds. */
const SAME_LAYOUT = 0.85;

/** The model's footprint without what the textures do not reach; the mouth and the eyes, which the mesh closes, count as shown. */
function surfaceShown({ data, width, height }: Pixels, footprint: Uint8Array, size: number): Uint8Array {
  const outside = new Uint8Array(width * height);
  const open: number[] = [];
  const visit = (p: number) => {
    if (outside[p] || data[3 * p] > 127) return;
    outside[p] = 1;
    open.push(p);
  };
  for (let k = 0; k < width; k++)
    for (const p of [k, (height - 1) * width + k, k * width, k * width + width - 1]) visit(p);
  for (let p = open.pop(); p !== undefined; p = open.pop()) {
    if (p % width > 0) visit(p - 1);
    if (p % width < width - 1) visit(p + 1);
    if (p >= width) visit(p - width);
    if (p < (height - 1) * width) visit(p + width);
  }
  const step = (width - 1) / (size - 1);
  return footprint.map((inside, p) => {
    const from = Math.round(Math.floor(p / size) * step) * width + Math.round((p % size) * step);
    return inside && !outside[from] ? 1 : 0;
  });
}

function withinFootprint(
  { incomplete, mask }: { incomplete: Uint8Array; mask: Uint8Array },
  footprint: Uint8Array,
): void {
  for (let p = 0; p < footprint.length; p++) {
    if (footprint[p]) continue;
    incomplete.fill(0, 3 * p, 3 * p + 3);
    mask[p] = 0;
  }
}

const row = ({ shape, data }: { shape: number[]; data: ArrayLike<number> }, i: number): Float32Array =>
  Float32Array.from({ length: shape[1] }, (_, k) => data[i * shape[1] + k]);

/**
 * The texture at another size, corners on corners. Where it shows no surface it continues its neighbours' colours: the mouth
 * and the eyes, which the mesh closes, and a rim for sampling.
 */
function resample({ data, width, height }: Pixels, shown: Pixels, size: number): Float32Array {
  const colours = Float32Array.from(data);
  const known = Uint8Array.from({ length: width * height }, (_, p) => (shown.data[3 * p] > 127 ? 1 : 0));
  for (let ring = 0; ring < FILL; ring++) {
    const next = known.slice();
    let grew = false;
    for (let p = 0; p < known.length; p++) {
      if (known[p]) continue;
      const x = p % width;
      const around = [x > 0 ? p - 1 : p, x < width - 1 ? p + 1 : p, p - width, p + width].filter((q) => known[q] === 1);
      if (around.length === 0) continue;
      for (let c = 0; c < 3; c++) {
        colours[3 * p + c] = around.reduce((sum, q) => sum + colours[3 * q + c], 0) / around.length;
      }
      next[p] = 1;
      grew = true;
    }
    known.set(next);
    if (!grew) break;
  }
  if (size === width && size === height) return colours;
  const grid = new Float32Array(2 * size * size);
  for (let y = 0, at = 0; y < size; y++) {
    for (let x = 0; x < size; x++, at += 2) {
      grid[at] = (x * (width - 1)) / (size - 1);
      grid[at + 1] = (y * (height - 1)) / (size - 1);
    }
  }
  return tidy(() => {
    const image = tensor(colours, { shape: [height, width, 3] });
    return Float32Array.from(gridSample(image, tensor(grid, { shape: [size, size, 2] })).dataSync());
  });
}

/** Rings of pixels by which colours grow: more than half the width of an open mouth, and skin beside the face for the photo. */
const FILL = 24;
