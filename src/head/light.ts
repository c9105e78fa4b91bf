// Light on a face: a lamp from one side, sky and ground, a weak gloss. Contract: colours are sRGB 0..255; light is added up
// in linear light; directions are in the face's own frame (+x the subject's left, +y up, +z out of the face), so a lit
// texture is the truth for every pose of the same "photo".
import type { FaceGeometry } from './layout.js';
import type { Random } from './random.js';
import { growRim, spread, uvMap } from './uv-map.js';

export interface Light {
  /** Unit vector towards the lamp. */
  direction: readonly [number, number, number];
  /** Linear RGB intensities: lamp, sky (from above) and ground (from below). */
  lamp: readonly [number, number, number];
  sky: readonly [number, number, number];
  ground: readonly [number, number, number];
  /** Strength of the gloss of skin, 0..1. */
  gloss: number;
}

/** A lamp 25 to 60 degrees to one side and up to 35 above, somewhat warm or cold. */
export function drawLight(random: Random): Light {
  const side = (random.chance(0.5) ? 1 : -1) * random.uniform(25, 60) * (Math.PI / 180);
  const up = random.uniform(5, 35) * (Math.PI / 180);
  const warm = 0.06 * random.truncated(2);
  const strength = random.uniform(0.75, 0.95);
  const fill = random.uniform(0.34, 0.48);
  return {
    direction: [Math.sin(side) * Math.cos(up), Math.sin(up), Math.cos(side) * Math.cos(up)],
    lamp: [strength * (1 + warm), strength, strength * (1 - warm)],
    sky: [fill * (1 - 0.4 * warm), fill, fill * (1 + 0.6 * warm)],
    ground: [0.62 * fill, 0.56 * fill, 0.52 * fill],
    gloss: random.uniform(0.03, 0.09),
  };
}

/** sRGB 0..255 to linear 0..1. */
export function toLinear(value: number): number {
  const s = value / 255;
  return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
}

/** Linear 0..1 to sRGB 0..255, clipped. */
export function fromLinear(value: number): number {
  const v = Math.max(0, Math.min(1, value));
  return 255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055);
}

/** Diffuse RGB and gloss that reach a surface with unit normal n, seen from direction `view` (unit). */
export function shade(
  n: ArrayLike<number>,
  light: Light,
  view: readonly [number, number, number],
): [number, number, number, number] {
  const [lx, ly, lz] = light.direction;
  // Light wraps a little round the terminator: skin is translucent.
  const cosine = Math.max(0, (n[0] * lx + n[1] * ly + n[2] * lz + 0.12) / 1.12);
  const sky = 0.5 + 0.5 * n[1];
  const h = [lx + view[0], ly + view[1], lz + view[2]];
  const length = Math.hypot(h[0], h[1], h[2]) || 1;
  const mirror = Math.max(0, (n[0] * h[0] + n[1] * h[1] + n[2] * h[2]) / length);
  const channel = (c: number) => light.lamp[c] * cosine + light.sky[c] * sky + light.ground[c] * (1 - sky);
  return [channel(0), channel(1), channel(2), light.gloss * mirror ** 18];
}

/**
 * Share of light that reaches the hollows of a surface, per vertex in (0, 1]: how deep the vertex lies under the surface
 * smoothed over some neighbours, relative to how far apart they are. An estimate of ambient occlusion that needs no rays.
 */
export function openness(vertices: ArrayLike<number>, normals: Float32Array, triangles: Int32Array): Float32Array {
  const n = vertices.length / 3;
  let smooth = Float64Array.from({ length: vertices.length }, (_, i) => vertices[i]);
  const weight = new Float64Array(n);
  for (const v of triangles) weight[v] += 2;
  let spacing = 0;
  for (let round = 0; round < 14; round++) {
    const sum = new Float64Array(vertices.length);
    for (let t = 0; t < triangles.length; t += 3) {
      const [a, b, c] = [triangles[t] * 3, triangles[t + 1] * 3, triangles[t + 2] * 3];
      for (let k = 0; k < 3; k++) {
        sum[a + k] += smooth[b + k] + smooth[c + k];
        sum[b + k] += smooth[a + k] + smooth[c + k];
        sum[c + k] += smooth[a + k] + smooth[b + k];
      }
      if (round === 0)
        spacing += Math.hypot(smooth[a] - smooth[b], smooth[a + 1] - smooth[b + 1], smooth[a + 2] - smooth[b + 2]);
    }
    smooth = sum.map((x, i) => x / (weight[Math.floor(i / 3)] || 1));
  }
  spacing /= triangles.length / 3;
  return Float32Array.from({ length: n }, (_, i) => {
    let depth = 0;
    for (let k = 0; k < 3; k++) depth += normals[i * 3 + k] * (smooth[i * 3 + k] - vertices[i * 3 + k]);
    return 1 / (1 + 0.8 * Math.max(0, depth / spacing - 0.05));
  });
}

/**
 * Bakes light into a texture: albedo [size, size, 3] and the face as it is (vertices and unit normals [N, 3]) -> lit texture of the
 * same size, sRGB 0..255. The gloss is that seen from `view` (the front unless told).
 */
export function bakeLight(
  model: FaceGeometry,
  albedo: Float32Array,
  size: number,
  surface: { vertices: ArrayLike<number>; normals: Float32Array },
  light: Light,
  view: readonly [number, number, number] = [0, 0, 1],
): Float32Array {
  const map = uvMap(model.uv, model.triangles, size);
  const field = spread(map, surface.normals, 3);
  const open = spread(map, openness(surface.vertices, surface.normals, model.triangles), 1);
  const out = Float32Array.from(albedo);
  for (let p = 0; p < map.triangle.length; p++) {
    if (map.triangle[p] < 0) continue;
    const n = field.subarray(p * 3, p * 3 + 3);
    const length = Math.hypot(n[0], n[1], n[2]) || 1;
    const lit = shade([n[0] / length, n[1] / length, n[2] / length], light, view);
    for (let c = 0; c < 3; c++) {
      out[p * 3 + c] = fromLinear(toLinear(albedo[p * 3 + c]) * lit[c] * open[p] + light.lamp[c] * lit[3] * open[p]);
    }
  }
  growRim(out, map, 3, 3);
  return out;
}
