// Procedural albedo of a face in UV space. Contract: painted at the positions of the mean face, so the texture fits any face
// of the model; sRGB 0..255 as f32, [size, size, 3], without light.
import { type Appearance, type Colour, mix } from './appearance.js';
import { eyePainter, lipPainter } from './features-paint.js';
import { bump, smoothstep } from './field.js';
import { browCoverage, hairCoverage } from './hair.js';
import { type FaceGeometry, faceLayout } from './layout.js';
import { fractal, noise } from './noise.js';
import { growRim, spread, uvMap } from './uv-map.js';

/** Paints person `look` for a model; `size` pixels square (256 and more). */
export function paintAlbedo(model: FaceGeometry, look: Appearance, size: number): Float32Array {
  const layout = faceLayout(model);
  const map = uvMap(model.uv, model.triangles, size);
  const positions = spread(map, layout.positions, 3);
  const paintEyes = eyePainter(layout, look);
  const paintLips = lipPainter(layout, look);
  const brows = browCoverage(layout, look);
  const out = new Float32Array(size * size * 3);
  for (let p = 0; p < map.triangle.length; p++) {
    if (map.triangle[p] < 0) continue;
    const x = positions[p * 3];
    const y = positions[p * 3 + 1];
    const z = positions[p * 3 + 2];
    let colour = skinColour(x, y, z, look);
    const front = z > -50;
    if (front) {
      colour = nostrils(x, y, layout.noseBase, colour);
      colour = paintLips(x, y, z, colour);
      colour = paintEyes(x, y, colour);
      const brow = brows(x, y);
      if (brow > 0) colour = mix(colour, browColour(look), brow);
    }
    const hair = hairCoverage(x, y, z, look);
    if (hair.cover > 0) colour = mix(colour, hair.colour, hair.cover);
    for (let c = 0; c < 3; c++) out[p * 3 + c] = Math.max(0, Math.min(255, colour[c]));
  }
  growRim(out, map, 3, 3);
  return out;
}

function browColour(look: Appearance): Colour {
  return mix(look.hair, [34, 26, 22], 0.35);
}

function skinColour(x: number, y: number, z: number, look: Appearance): Colour {
  const { seed, skin, melanin } = look;
  const ax = Math.abs(x);
  // Blood under thin skin: cheeks, nose, chin, ears, lids; the two cheeks are not equally red.
  const uneven = 1 + 0.35 * noise(x / 60 + 7, 0.5, 0.5, seed + 3);
  const blood =
    look.redness *
    uneven *
    (0.45 * bump(ax, y, 40, -28, 15, 13) +
      0.5 * bump(ax, y, 0, -33, 13, 9) +
      0.25 * bump(ax, y, 0, -96, 14, 9) +
      0.3 * bump(ax, y, 31, 0, 17, 9) +
      0.35 * smoothstep(-66, -76, z) * bump(y, 0, -18, 0, 28, 1));
  const mottle = fractal(x, y, z, 22, 3, seed + 11);
  const pores = fractal(x, y, z, 2.6, 2, seed + 17);
  let tone = 1 + 0.035 * mottle + (0.03 + 0.02 * look.age) * pores;
  // Under the eyes, beside the nose and under the chin the skin is darker; the forehead lighter.
  tone -= (0.07 + 0.08 * look.age) * bump(ax, y, 28, -11, 11, 4.5, -14);
  tone -= 0.05 * bump(ax, y, 17, 1, 5, 7) + 0.06 * smoothstep(-100, -122, y);
  tone += 0.025 * bump(ax, y, 0, 45, 32, 18);
  tone -= 0.1 * look.age * bump(ax, y, 26 + 0.28 * (-42 - y), -48, 1.6, 11);
  if (look.age > 0.35 && y > 26 && ax < 44) {
    const wrinkle = Math.sin((y - 3 * noise(x / 25, y / 40, 3, seed)) / 1.75);
    tone -= 0.05 * (look.age - 0.35) * Math.max(0, wrinkle) ** 4 * smoothstep(44, 30, ax) * smoothstep(62, 52, y);
  }
  const strength = 0.6 + 0.4 * (1 - melanin);
  let colour: Colour = [
    skin[0] * tone * (1 + 0.02 * blood * strength),
    skin[1] * tone * (1 - 0.17 * blood * strength),
    skin[2] * tone * (1 - 0.15 * blood * strength),
  ];
  if (look.makeUp > 0) colour = mix(colour, [196, 92, 92], 0.16 * look.makeUp * bump(ax, y, 46, -24, 11, 8));
  if (look.freckles > 0) {
    const place = bump(ax, y, 22, -22, 28, 16);
    const speck = place < 0.02 ? 0 : smoothstep(0.42, 0.75, noise(x / 1.9, y / 1.9, z / 1.9, seed + 23));
    const where = place * (0.5 + 0.5 * noise(x / 12, y / 12, 1, seed + 29));
    colour = mix(colour, [150, 92, 62], 0.5 * look.freckles * speck * Math.max(0, where));
  }
  if (look.stubble > 0) colour = beard(x, y, z, look, colour);
  for (const mole of look.moles) {
    if (z < -45) break;
    const d = Math.hypot(x - mole.x, y - mole.y);
    colour = mix(colour, [74, 44, 34], mole.darkness * smoothstep(mole.radius + 0.9, mole.radius - 0.3, d));
  }
  return colour;
}

function beard(x: number, y: number, z: number, look: Appearance, colour: Colour): Colour {
  const ax = Math.abs(x);
  // From the mouth down and up along the jaw to the sideburns.
  const upper = -54 + 34 * smoothstep(-20, -62, z);
  const jaw =
    smoothstep(upper + 5, upper - 13, y + 3 * noise(x / 9, y / 9, z / 9, look.seed + 43)) * smoothstep(-128, -110, y);
  const moustache = bump(ax, y, 9, -51, 14, 5);
  const under = 1 - 0.75 * bump(ax, y, 8, -77, 6, 4);
  if (Math.max(jaw, moustache) < 0.01) return colour;
  const hairs = 0.55 + 0.45 * noise(x / 0.9, y / 1.4, z / 0.9, look.seed + 41);
  const cover = Math.max(jaw * under, moustache) * smoothstep(-78, -68, z) * look.stubble * hairs;
  return mix(colour, mix(look.hair, [52, 50, 54], 0.4), 0.42 * cover);
}

function nostrils(x: number, y: number, base: readonly (readonly [number, number])[], colour: Colour): Colour {
  let dark = 0;
  for (const at of [1, 3]) {
    const [bx, by] = base[at];
    const side = Math.sign(bx);
    dark = Math.max(dark, bump(x, y, bx + side * 0.8, by + 1.3, 2.6, 1.15, side * 16));
  }
  return mix(colour, [42, 20, 18], 0.85 * smoothstep(0.35, 0.8, dark) + 0.12 * dark);
}
