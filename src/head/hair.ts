// Hair painted on the head: brows of single strokes, and a cap of hair with a hairline and a parting on one side.
// Contract: a coverage in [0, 1] over positions in the layout's frame; strokes are millimetres wide.
import { type Appearance, type Colour, mix } from './appearance.js';
import { alongPolyline, smoothstep } from './field.js';
import type { FaceLayout, Point } from './layout.js';
import { fractal, noise } from './noise.js';

/** Share of brow hair over skin. */
export function browCoverage(layout: FaceLayout, look: Appearance): (x: number, y: number) => number {
  const brows = layout.brows.map((points, i) => points.map(([x, y]): Point => [x, y + look.browLift[i]]));
  return (x, y) => {
    const index = x < 0 ? 0 : 1;
    const points = brows[index];
    if (y < points[4][1] - 14 || y > points[2][1] + 14) return 0;
    const { distance, side, at } = alongPolyline(x, y, points);
    const up = side * (index === 0 ? -1 : 1) * distance; // above the middle of the brow
    const half = (look.browThickness / 2) * smoothstep(-0.12, 0.22, at) * (1 - 0.72 * smoothstep(0.45, 1.02, at));
    // Hairs stand up near the nose and lie down towards the tail.
    const angle = 1.2 - 1.75 * at;
    const out = Math.abs(x);
    const across = Math.cos(angle) * y - Math.sin(angle) * out;
    const along = Math.sin(angle) * y + Math.cos(angle) * out;
    const hairs = noise(across / 0.6, along / 6, index, look.seed + 83);
    const ragged = 0.9 * hairs + 0.5 * noise(x / 3, y / 3, index, look.seed + 89);
    const body = smoothstep(half + 0.9 + ragged, half - 1.6 + ragged, Math.abs(up));
    return Math.min(0.95, body * look.browDensity * (0.72 + 0.42 * hairs));
  };
}

/** Hair of the head: how much of it covers the skin, and its colour with strands and the parting. */
export function hairCoverage(x: number, y: number, z: number, look: Appearance): { cover: number; colour: Colour } {
  const ax = Math.abs(x);
  // Distances behind the eyes' plane: the ear lies about 85 mm behind it.
  const degrees = (Math.atan2(ax, z + 78) * 180) / Math.PI;
  const temple = look.recession * Math.exp(-(((ax - 38) / 16) ** 2));
  const front = look.hairline + temple - 0.006 * ax * ax;
  const sideburn = 2 + 9 * noise(Math.sign(x) * 2, look.seed % 97, 0, 3);
  // In front of the ear a sideburn, above it hair, behind it hair down to the nape.
  let edge = front;
  edge += (24 - edge) * smoothstep(56, 68, degrees);
  edge += (sideburn - edge) * smoothstep(66, 77, degrees) * (1 - smoothstep(85, 89, degrees));
  edge += (21 - edge) * smoothstep(85, 89, degrees);
  edge += (-72 - edge) * smoothstep(116, 121, degrees);
  if (y < edge - 9) return { cover: 0, colour: look.hair };
  const ragged = 2.2 * fractal(x, y, z, 7, 2, look.seed + 91);
  const cover = smoothstep(edge - 4, edge + 5, y + ragged) * look.hairDensity;
  if (cover <= 0) return { cover: 0, colour: look.hair };
  // Strands run away from the parting.
  const away = x - look.parting;
  const strand = fractal(z / 2.2 + y / 9, away / 26, y / 14, 1, 3, look.seed + 97);
  const sheen = 0.1 * Math.sin(away / 17 + 2 * noise(x / 40, y / 40, z / 40, look.seed + 99));
  const tone = 1 + 0.34 * strand + sheen;
  let colour: Colour = [look.hair[0] * tone, look.hair[1] * tone, look.hair[2] * tone];
  const parting =
    smoothstep(1.6, 0.3, Math.abs(away + 1.2 * noise(y / 9, z / 9, 0, look.seed))) * smoothstep(front, front + 8, y);
  colour = mix(colour, look.skin, 0.4 * parting);
  return { cover, colour };
}
