// Drawing a textured mesh in weak perspective: z-buffer, and per pixel a bilinear look into the texture (paper-spec 10).
// Contract: the texture already carries the light, so nothing is shaded.
import { type EulerAngles, rotationFromEuler } from '../models/pose.js';
import '../tensor/methods.js';
import { tensor } from '../tensor/create.js';
import { gridSample } from '../tensor/ops/grid_sample.js';
import { avgPool2d } from '../tensor/ops/pool2d.js';
import { interpolate, rasterize } from '../tensor/ops/rasterize.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import type { Colour } from './overlay.js';

/** A mesh and its texture. */
export interface TexturedMesh {
  /** [N, 3] */
  vertices: Float32Array;
  /** [T, 3], counter-clockwise seen from outside. */
  triangles: Int32Array;
  /** [N, 2], v up. */
  uv: Float32Array;
  /** f32 [h, w, 3], 0..255; black outside the surface's footprint is not mixed in where `footprint` is given. */
  texture: Tensor;
  /** 1 where the texture shows surface, h * w. */
  footprint?: Uint8Array;
}

export interface DrawOptions {
  /** Side of the square picture, or [h, w], in pixels. */
  size: number | readonly [number, number];
  /** Behind the face: a colour, or an image f32 [h, w, 3] of the picture's size. */
  background?: Colour | Tensor;
  /** Samples per pixel side; 2 gives smooth outlines. */
  supersampling?: 1 | 2 | 3 | 4;
}

export interface Rendered {
  /** f32 [h, w, 3], 0..255 */
  image: Tensor;
  /** f32 [h, w]: share of the pixel that the mesh covers, 0..1. */
  coverage: Tensor;
}

/** What all pictures of one mesh share, on the device. */
interface Prepared {
  triangles: Tensor;
  /** f32 [N, 2]: where each vertex lies in the texture, in pixels. */
  places: Tensor;
  /** f32 [h, w, 4]: colours grown beyond the footprint, and 1. */
  texture: Tensor;
}

/** Where a sample that shows no surface looks: far outside the texture, which reads as zeros. */
const NOWHERE = -1000;

function prepare({ vertices, triangles, uv, texture, footprint }: TexturedMesh): Prepared {
  const [h, w, channels] = texture.shape;
  const n = vertices.length / 3;
  if (texture.shape.length !== 3 || channels !== 3 || texture.dtype !== 'f32') {
    throw new ShapeError(`drawMesh: texture must be f32 [h, w, 3], got ${texture.dtype} ${showShape(texture.shape)}`);
  }
  if (uv.length !== 2 * n) throw new ShapeError(`drawMesh: ${n} vertices and ${uv.length / 2} texture coordinates`);
  if (footprint && footprint.length !== h * w) {
    throw new ShapeError(`drawMesh: footprint of ${footprint.length} for texture ${showShape(texture.shape)}`);
  }
  const places = new Float32Array(2 * n);
  for (let i = 0; i < places.length; i += 2) {
    places[i] = uv[i] * (w - 1);
    places[i + 1] = (1 - uv[i + 1]) * (h - 1);
  }
  return {
    triangles: tensor(triangles, { shape: [triangles.length / 3, 3], dtype: 'i32' }),
    places: tensor(places, { shape: [n, 2] }),
    texture: tensor(opaque(texture, footprint), { shape: [h, w, 4] }),
  };
}

const RIM = 3;

/** Colours and opacity 1; where there is a footprint, it grows by 3 pixels of its neighbours' mean, so that its rim sees no black. */
function opaque(texture: Tensor, footprint: Uint8Array | undefined): Float32Array {
  const [h, w] = texture.shape;
  const colours = texture.dataSync();
  const map = new Float32Array(4 * h * w);
  for (let p = 0; p < h * w; p++) {
    for (let c = 0; c < 3; c++) map[4 * p + c] = colours[3 * p + c];
    map[4 * p + 3] = 1;
  }
  let covered = footprint;
  for (let step = 0; covered && step < RIM; step++) {
    const next = covered.slice();
    for (let p = 0; p < h * w; p++) if (!covered[p] && growInto(map, covered, p, h, w)) next[p] = 1;
    covered = next;
  }
  return map;
}

/** Gives pixel p the mean of its covered neighbours; false where there is none. */
function growInto(map: Float32Array, covered: Uint8Array, p: number, h: number, w: number): boolean {
  const x = p % w;
  let count = 0;
  let [red, green, blue] = [0, 0, 0];
  for (let q0 = p - w; q0 <= p + w; q0 += w) {
    if (q0 < 0 || q0 >= h * w) continue;
    for (let q = x > 0 ? q0 - 1 : q0; q <= (x < w - 1 ? q0 + 1 : q0); q++) {
      if (!covered[q]) continue;
      count++;
      red += map[4 * q];
      green += map[4 * q + 1];
      blue += map[4 * q + 2];
    }
  }
  if (count === 0) return false;
  map[4 * p] = red / count;
  map[4 * p + 1] = green / count;
  map[4 * p + 2] = blue / count;
  return true;
}

/** `drawMesh` for vertices that change over a mesh that does not. */
function draw(prepared: Prepared, vertices: Float32Array, options: DrawOptions): Rendered {
  const { size, background = [0, 0, 0], supersampling: s = 1 } = options;
  const [h, w] = typeof size === 'number' ? [size, size] : size;
  if (background instanceof Tensor && background.shape.join() !== `${h},${w},3`) {
    throw new ShapeError(`drawMesh: background must be [${h},${w},3], got ${showShape(background.shape)}`);
  }
  return tidy(() => {
    const place = new Float32Array(vertices.length);
    const shift = (s - 1) / 2; // sample k of pixel x lies at x + (k + 1/2) / s - 1/2
    for (let i = 0; i < place.length; i += 3) {
      place[i] = s * vertices[i] + shift;
      place[i + 1] = s * vertices[i + 1] + shift;
      place[i + 2] = vertices[i + 2];
    }
    const { triangles, places, texture } = prepared;
    const seen = rasterize(tensor(place, { shape: [place.length / 3, 3] }), triangles, {
      size: [s * h, s * w],
      cull: true,
    });
    const grid = interpolate(places, triangles, seen, { background: NOWHERE }); // [s h, s w, 2]
    let colours = gridSample(texture, grid, { border: 'zeros' }); // [s h, s w, 4]
    if (s > 1) colours = avgPool2d(colours.reshape([1, s * h, s * w, 4]), { kernelSize: s, stride: s }); // [1, h, w, 4]
    const premultiplied = colours.reshape([h, w, 4]);
    const coverage = premultiplied.slice({ start: [0, 0, 3], size: [h, w, 1] });
    const behind = background instanceof Tensor ? background : tensor([...background]);
    const image = premultiplied.slice({ start: [0, 0, 0], size: [h, w, 3] }).add(coverage.neg().add(1).mul(behind));
    return { image, coverage: coverage.reshape([h, w]) };
  });
}

/**
 * Draws a mesh whose vertices already are image coordinates (x right, y down, pixel centres at integers, larger z nearer).
 * Back faces are left out. Throws ShapeError.
 */
export function drawMesh(mesh: TexturedMesh, options: DrawOptions): Rendered {
  return tidy(() => draw(prepare(mesh), mesh.vertices, options));
}

/** How model space is laid into a picture; the same for all poses, so that a turntable does not jump. */
export interface Framing {
  /** Point of the model at the middle of the picture. */
  centre: readonly [number, number, number];
  /** Radius around it that fits into the picture at any pose. */
  radius: number;
}

/** Frames a mesh: middle of its bounding box, and the distance of its farthest vertex. */
export function frame(vertices: ArrayLike<number>): Framing {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < vertices.length; i += 3) {
    for (let c = 0; c < 3; c++) {
      low[c] = Math.min(low[c], vertices[i + c]);
      high[c] = Math.max(high[c], vertices[i + c]);
    }
  }
  const centre = low.map((v, c) => (v + high[c]) / 2) as [number, number, number];
  let radius = 0;
  for (let i = 0; i < vertices.length; i += 3) {
    const x = vertices[i] - centre[0];
    const y = vertices[i + 1] - centre[1];
    const z = vertices[i + 2] - centre[2];
    radius = Math.max(radius, x * x + y * y + z * z);
  }
  return { centre, radius: Math.sqrt(radius) };
}

/**
 * Model vertices [N, 3] (y up, +z out of the face) turned to a pose and placed in a picture of `size` pixels with a margin:
 * image coordinates for `drawMesh`. Angles as in models/pose.ts: yaw > 0 turns the face to image left.
 */
export function posed(
  vertices: Float32Array,
  { yaw = 0, pitch = 0, roll = 0 }: Partial<EulerAngles>,
  size: number,
  framing: Framing = frame(vertices),
  margin = 0.05,
): Float32Array {
  const r = rotationFromEuler({ yaw, pitch, roll });
  const [cx, cy, cz] = framing.centre;
  const scale = ((0.5 - margin) * size) / framing.radius;
  const middle = (size - 1) / 2;
  const out = new Float32Array(vertices.length);
  for (let i = 0; i < vertices.length; i += 3) {
    const x = vertices[i] - cx;
    const y = vertices[i + 1] - cy;
    const z = vertices[i + 2] - cz;
    out[i] = middle + scale * (r[0] * x + r[1] * y + r[2] * z);
    out[i + 1] = middle - scale * (r[3] * x + r[4] * y + r[5] * z);
    out[i + 2] = scale * (r[6] * x + r[7] * y + r[8] * z);
  }
  return out;
}

export interface RenderOptions extends Omit<DrawOptions, 'size'> {
  size?: number;
  framing?: Framing;
}

/** Renders a mesh in model space (y up, +z out of the face) at a pose; 256 x 256, 2 x 2 samples unless told otherwise. */
export function render(mesh: TexturedMesh, pose: Partial<EulerAngles>, options: RenderOptions = {}): Rendered {
  return renderPoses(mesh, [pose], options)[0];
}

/** Renders one mesh at several poses, all framed alike. */
export function renderPoses(
  mesh: TexturedMesh,
  poses: readonly Partial<EulerAngles>[],
  options: RenderOptions = {},
): Rendered[] {
  const { size = 256, framing = frame(mesh.vertices), supersampling = 2, background } = options;
  return tidy(() => {
    const prepared = prepare(mesh);
    return poses.map((pose) =>
      draw(prepared, posed(mesh.vertices, pose, size, framing), { size, background, supersampling }),
    );
  });
}

/** One picture per yaw (degrees) at a fixed pitch and roll. */
export function turntable(
  mesh: TexturedMesh,
  yaws: readonly number[],
  { pitch = 0, roll = 0, ...options }: RenderOptions & { pitch?: number; roll?: number } = {},
): Rendered[] {
  return renderPoses(
    mesh,
    yaws.map((yaw) => ({ yaw, pitch, roll })),
    options,
  );
}
