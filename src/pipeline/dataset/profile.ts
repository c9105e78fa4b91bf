// Face profiling (Zhu et al. 2016, section 5; paper-spec 9.5): a photo whose face is fitted is turned out of the image plane, background included,
// which makes photos at large poses of those at small ones. Contract: what the photo shows of the face is what the turned one is drawn from;
// what only the turned one shows is stretched, as in the published data.
import Delaunator from 'delaunator';
import { rotationFromEuler } from '../../models/pose.js';
import { tensor } from '../../tensor/create.js';
import { gridSample } from '../../tensor/ops/grid_sample.js';
import { interpolate, rasterize } from '../../tensor/ops/rasterize.js';
import { tidy } from '../../tensor/scope.js';
import { type Pixels, toPixels, toTensor } from '../image.js';

/** A fitted face: vertices [N, 3] in the photo (x right, y down, larger z is nearer), triangles counter-clockwise from outside. */
export interface PlacedFace {
  vertices: Float32Array;
  triangles: Int32Array;
}

/** Directions around the face that anchors lie in, and how far out, in distances of its outline (our choice). */
const DIRECTIONS = 48;
const RINGS = [1, 1.15, 1.4] as const;
/** Anchors along each side of the photo, which stay where they are. */
const ALONG = 6;
/** The background lies behind everything. */
const BEHIND = 1e5;

/**
 * The photo with its face turned by `yaw` degrees about the upright axis through `centre` (x, y, z, in the photo as the vertices are). Anchors around the face move with its outline,
 * those at the photo's border not at all; between them the background is stretched.
 */
export function turnedPhoto(
  photo: Pixels,
  { vertices, triangles }: PlacedFace,
  { yaw, centre }: { yaw: number; centre: readonly number[] },
): Pixels {
  const { width, height } = photo;
  const turned = rotateAbout(vertices, yaw, centre);
  const [before, after] = [outline(vertices, centre), outline(turned, centre)];
  const anchors = { from: border(width, height), to: border(width, height) };
  const inside = (x: number, y: number) => x > 1 && y > 1 && x < width - 2 && y < height - 2;
  for (const ring of RINGS) {
    for (let d = 0; d < DIRECTIONS; d++) {
      const [from, to] = [before, after].map((reach) => {
        const angle = (2 * Math.PI * d) / DIRECTIONS;
        return [centre[0] + ring * reach[d] * Math.cos(angle), centre[1] + ring * reach[d] * Math.sin(angle)];
      });
      if (!inside(from[0], from[1]) || !inside(to[0], to[1])) continue;
      anchors.from.push(...from);
      anchors.to.push(...to);
    }
  }
  const mesh = Int32Array.from(new Delaunator(anchors.to).triangles);
  return drawn(photo, [
    { vertices: flat(anchors.to, -BEHIND), places: anchors.from, triangles: mesh },
    { vertices: turned, places: vertices.filter((_, i) => i % 3 !== 2), triangles },
  ]);
}

/** Points turned about the upright axis through a point. Their y points down: a turn by yaw is the same as in y up. */
function rotateAbout(points: Float32Array, yaw: number, [x, , z]: readonly number[]): Float32Array {
  const r = rotationFromEuler({ yaw, pitch: 0, roll: 0 });
  const out = new Float32Array(points.length);
  for (let i = 0; i < points.length; i += 3) {
    const [dx, dz] = [points[i] - x, points[i + 2] - z];
    out[i] = r[0] * dx + r[2] * dz + x;
    out[i + 1] = points[i + 1];
    out[i + 2] = r[6] * dx + r[8] * dz + z;
  }
  return out;
}

/** How far the face reaches from a point in each direction. */
function outline(vertices: Float32Array, [x, y]: readonly number[]): Float64Array {
  const reach = new Float64Array(DIRECTIONS);
  for (let i = 0; i < vertices.length; i += 3) {
    const [dx, dy] = [vertices[i] - x, vertices[i + 1] - y];
    const turn = Math.atan2(dy, dx) / (2 * Math.PI);
    const d = Math.round((turn < 0 ? turn + 1 : turn) * DIRECTIONS) % DIRECTIONS;
    reach[d] = Math.max(reach[d], Math.hypot(dx, dy));
  }
  return reach;
}

/** Points along the border of a photo, x and y in turn. */
function border(width: number, height: number): number[] {
  const [right, bottom] = [width - 1, height - 1];
  return Array.from({ length: ALONG }, (_, i) => i / ALONG).flatMap((share) => [
    ...[share * right, 0],
    ...[right, share * bottom],
    ...[right - share * right, bottom],
    ...[0, bottom - share * bottom],
  ]);
}

/** [n, 3] of points [n, 2]. */
const flat = (points: readonly number[], z: number): Float32Array =>
  Float32Array.from({ length: (points.length / 2) * 3 }, (_, i) =>
    i % 3 === 2 ? z : points[2 * Math.floor(i / 3) + (i % 3)],
  );

interface Layer {
  /** [n, 3] in the new photo. */
  vertices: Float32Array;
  /** [n, 2]: where in the old photo each vertex was. */
  places: ArrayLike<number>;
  triangles: Int32Array;
}

/** The photo drawn on meshes; the nearer one is seen. */
function drawn(photo: Pixels, layers: readonly Layer[]): Pixels {
  const { width, height } = photo;
  const vertices = joined(layers.map((layer) => layer.vertices));
  const places = joined(layers.map((layer) => layer.places));
  let first = 0;
  const triangles = layers.flatMap((layer) => {
    const own = Array.from(layer.triangles, (v) => v + first);
    first += layer.vertices.length / 3;
    return own;
  });
  const n = vertices.length / 3;
  return tidy(() => {
    const faces = tensor(Int32Array.from(triangles), { shape: [triangles.length / 3, 3], dtype: 'i32', device: 'cpu' });
    const seen = rasterize(tensor(vertices, { shape: [n, 3], device: 'cpu' }), faces, { size: [height, width] });
    const grid = interpolate(tensor(places, { shape: [n, 2], device: 'cpu' }), faces, seen); // [height, width, 2]
    return toPixels(gridSample(toTensor(photo), grid));
  });
}

function joined(parts: readonly ArrayLike<number>[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
