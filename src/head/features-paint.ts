// Paint of the eyes and lips: sclera, iris, pupil, highlight, lashes; the red of the lips and the line between them.
// Contract: painters take a position in the layout's frame and the colour beneath, and return the colour there.
import { type Appearance, type Colour, mix } from './appearance.js';
import { gaussian, smoothstep } from './field.js';
import { curveThrough, type EyeLayout, type FaceLayout, lidCurve } from './layout.js';
import { fractal, noise } from './noise.js';

export type Painter = (x: number, y: number, beneath: Colour) => Colour;

export function eyePainter(layout: FaceLayout, look: Appearance): Painter {
  const eyes = layout.eyes.map((eye, i) => oneEye(eye, look, i));
  return (x, y, beneath) => (x < 0 ? eyes[0] : eyes[1])(x, y, beneath);
}

const IRIS_RADIUS = 5.9;

function oneEye(eye: EyeLayout, look: Appearance, index: number): Painter {
  const upper = lidCurve(eye, 'upper');
  const lower = lidCurve(eye, 'lower');
  const width = Math.abs(eye.outer[0] - eye.inner[0]);
  const side = Math.sign(eye.outer[0] - eye.inner[0]);
  const seed = look.seed + 101 + 13 * index;
  const middle = 0.49;
  const cx = eye.inner[0] + side * width * middle + look.gaze[0];
  const cy = 0.5 * (upper(middle) + lower(middle)) + 0.9 + look.gaze[1];
  const pupil = 2 + 0.5 * noise(look.seed / 7, 0.3, 0.7, 5);
  return (x, y, beneath) => {
    const along = ((x - eye.inner[0]) * side) / width;
    if (along < -0.25 || along > 1.3) return beneath;
    const t = Math.max(0, Math.min(1, along));
    const beyond = Math.max(0, -along, along - 1) * width;
    const above = y - upper(t);
    const below = lower(t) - y;
    let colour = beneath;
    // Crease and shade of the upper lid, the wet edge of the lower.
    const fade = smoothstep(5, 0, beyond);
    colour = mix(
      colour,
      mix(look.skin, [70, 36, 34], 0.5),
      0.34 * gaussian(above - 4.6, 0.9) * fade * smoothstep(0, 0.3, along + 0.15),
    );
    colour = mix(
      colour,
      [96, 60, 66],
      0.3 * look.makeUp * smoothstep(6, 0.5, above) * smoothstep(-0.5, 0.5, above) * fade,
    );
    colour = mix(colour, mix(look.skin, [190, 96, 90], 0.55), 0.5 * gaussian(below - 0.5, 0.55) * fade);
    const inside = smoothstep(0.35, -0.35, Math.max(above, below)) * smoothstep(0.3, -0.1, beyond);
    if (inside > 0) colour = mix(colour, eyeball(x, y, t, above), inside);
    // Lashes: a dark edge on the upper lid, denser outwards, with hairs that leave it.
    const hairs = 0.6 + 0.4 * noise((x + 0.35 * side * above) * 1.3, 0, 0, seed);
    const reach = 0.9 + (0.9 + look.makeUp) * smoothstep(0.2, 0.9, along) * hairs;
    const lash =
      smoothstep(reach, 0.15, Math.abs(above - 0.15)) * smoothstep(2.2, 0, beyond) * smoothstep(-0.06, 0.12, along);
    const lowerLash =
      0.35 * smoothstep(1, 0.2, Math.abs(below - 0.6)) * smoothstep(0.3, 0.7, along) * smoothstep(1.5, 0, beyond);
    return mix(colour, [26, 18, 17], Math.min(1, 0.92 * lash + lowerLash * hairs));
  };

  function eyeball(x: number, y: number, t: number, above: number): Colour {
    const red = 0.35 * gaussian(t - 1, 0.16) + 0.5 * gaussian(t, 0.16) + 0.08 * fractal(x, y, index, 3, 2, seed);
    let colour = mix([208, 202, 197], [196, 132, 122], Math.max(0, red));
    colour = mix(colour, [206, 116, 108], 0.85 * smoothstep(0.14, 0.05, t)); // caruncle
    const d = Math.hypot(x - cx, y - cy);
    if (d < IRIS_RADIUS + 0.7) {
      const angle = Math.atan2(y - cy, x - cx);
      const ray = fractal(3 * Math.cos(angle), 3 * Math.sin(angle), d * 0.25, 0.8, 2, look.seed + 61);
      let iris = mix(look.iris, [215, 190, 140], 0.22 * smoothstep(4.4, 2.2, d));
      iris = [iris[0] * (1 + 0.28 * ray), iris[1] * (1 + 0.28 * ray), iris[2] * (1 + 0.28 * ray)];
      iris = mix(iris, [18, 16, 18], 0.75 * smoothstep(IRIS_RADIUS - 1.5, IRIS_RADIUS - 0.1, d));
      iris = mix(iris, [10, 9, 10], smoothstep(pupil + 0.4, pupil - 0.3, d));
      colour = mix(colour, iris, smoothstep(IRIS_RADIUS + 0.5, IRIS_RADIUS - 0.3, d));
      const glint = Math.hypot(x - cx + 1.7, y - cy - 1.9);
      colour = mix(colour, [250, 250, 250], 0.95 * smoothstep(1.15, 0.5, glint));
    }
    // The lid and its lashes shade the upper part of the ball.
    const shade = 1 - 0.45 * smoothstep(-3.2, 0, above);
    return [colour[0] * shade, colour[1] * shade, colour[2] * shade];
  }
}

export function lipPainter(
  layout: FaceLayout,
  look: Appearance,
): (x: number, y: number, z: number, beneath: Colour) => Colour {
  const top = curveThrough(layout.lipTop);
  const bottom = curveThrough(layout.lipBottom);
  const line = curveThrough(layout.lipLine);
  const left = layout.lipTop[0][0];
  const right = layout.lipTop[layout.lipTop.length - 1][0];
  return (x, y, z, beneath) => {
    const within = Math.max(left, Math.min(right, x));
    const beyond = Math.abs(x - within);
    if (beyond > 4) return beneath;
    const upperEdge = top(within) ?? 0;
    const lowerEdge = bottom(within) ?? 0;
    const middle = line(within) ?? 0;
    const soft = 0.9;
    const above = y - upperEdge;
    const below = lowerEdge - y;
    const inside = smoothstep(soft, -soft, Math.max(above, below)) * smoothstep(1.5, 0, beyond);
    let colour = beneath;
    if (inside > 0) {
      const grooves = noise(x / 1.1, y / 7, z / 9, look.seed + 71);
      const upper = y > middle ? 0.88 : 1.03;
      const tone = upper * (1 + 0.06 * grooves + 0.05 * fractal(x, y, z, 6, 2, look.seed + 73));
      const lips: Colour = [look.lips[0] * tone, look.lips[1] * tone, look.lips[2] * tone];
      colour = mix(colour, lips, 0.92 * inside);
    }
    // The line between the lips, and the shadow at their corners.
    const away = Math.abs(y - middle);
    const dark = Math.max(0.9 * smoothstep(1, 0.4, away), 0.6 * gaussian(away, 0.9)) * smoothstep(2.5, -1, beyond);
    return mix(colour, [48, 18, 20], dark);
  };
}
