// What a synthetic photo has beside the face: a background, things before the face, and a camera that is not perfect. Contract:
// pictures are f32 [side, side, 3] in 0..255 until `photograph` makes bytes of them; everything is drawn from the Random given.
import type { Random } from '../../head/random.js';

type Colour = [number, number, number];

const colourOf = (random: Random): Colour => {
  const grey = random.uniform(10, 245);
  const tint = () => Math.max(0, Math.min(255, grey + random.uniform(-60, 60)));
  return [tint(), tint(), tint()];
};

/** A shape at any angle: its value is 1 inside and falls to 0 over a pixel or, where it is blurred, many. */
interface Blot {
  x: number;
  y: number;
  across: number;
  down: number;
  cosine: number;
  sine: number;
  square: boolean;
  /** Pixels. */
  edge: number;
}

function blotOf(random: Random, side: number, [low, high]: readonly [number, number]): Blot {
  const angle = random.uniform(0, Math.PI);
  return {
    x: random.uniform(-0.1, 1.1) * side,
    y: random.uniform(-0.1, 1.1) * side,
    across: random.uniform(low, high) * side,
    down: random.uniform(low, high) * side,
    cosine: Math.cos(angle),
    sine: Math.sin(angle),
    square: random.chance(0.5),
    edge: 1,
  };
}

function paint(picture: Float32Array, side: number, blot: Blot, colour: (x: number, y: number) => Colour): void {
  const reach = Math.SQRT2 * Math.max(blot.across, blot.down) + blot.edge;
  const [left, right] = [Math.max(0, Math.floor(blot.x - reach)), Math.min(side, Math.ceil(blot.x + reach))];
  const [top, bottom] = [Math.max(0, Math.floor(blot.y - reach)), Math.min(side, Math.ceil(blot.y + reach))];
  const least = Math.min(blot.across, blot.down);
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const [dx, dy] = [x - blot.x, y - blot.y];
      const u = (dx * blot.cosine + dy * blot.sine) / blot.across;
      const v = (dy * blot.cosine - dx * blot.sine) / blot.down;
      const radius = blot.square ? Math.max(Math.abs(u), Math.abs(v)) : Math.hypot(u, v);
      const cover = Math.max(0, Math.min(1, ((1 - radius) * least) / blot.edge + 0.5));
      if (cover === 0) continue;
      const [r, g, b] = colour(x, y);
      const at = 3 * (y * side + x);
      picture[at] += cover * (r - picture[at]);
      picture[at + 1] += cover * (g - picture[at + 1]);
      picture[at + 2] += cover * (b - picture[at + 2]);
    }
  }
}

/** Stripes between a colour and a shade of it; a plain colour now and then. */
function cloth(random: Random): (x: number, y: number) => Colour {
  const base = colourOf(random);
  const depth = random.chance(0.4) ? 0 : random.uniform(0, 0.35);
  const [a, b] = [random.uniform(-0.7, 0.7), random.uniform(-0.7, 0.7)];
  return (x, y) => {
    const shade = 1 - depth * (0.5 + 0.5 * Math.sin(a * x + b * y));
    return [base[0] * shade, base[1] * shade, base[2] * shade];
  };
}

/** A background: a gradient, up to ten shapes, some of them out of focus, and grain -> [side, side, 3]. */
export function scenery(random: Random, side: number): Float32Array {
  const [from, to] = [colourOf(random), colourOf(random)];
  const angle = random.uniform(0, 2 * Math.PI);
  const [dx, dy] = [Math.cos(angle) / side, Math.sin(angle) / side];
  const picture = new Float32Array(3 * side * side);
  for (let p = 0; p < side * side; p++) {
    const t = Math.max(0, Math.min(1, 0.5 + (((p % side) - side / 2) * dx + (Math.floor(p / side) - side / 2) * dy)));
    for (let c = 0; c < 3; c++) picture[3 * p + c] = from[c] + t * (to[c] - from[c]);
  }
  for (let count = random.below(11); count > 0; count--) {
    const blot = blotOf(random, side, [0.05, 0.5]);
    if (random.chance(0.5)) blot.edge = random.uniform(2, 0.2 * side);
    paint(picture, side, blot, cloth(random));
  }
  const grain = random.uniform(0, 12);
  for (let i = 0; i < picture.length; i++) picture[i] += grain * random.uniform(-1, 1);
  return picture;
}

/** One or two shapes before the face, in place: what hands, hair, glasses, scarves and frames do to a face (our choice). */
export function occlude(picture: Float32Array, random: Random, side: number): void {
  for (let count = 1 + random.below(2); count > 0; count--) {
    paint(picture, side, blotOf(random, side, [0.04, 0.22]), cloth(random));
  }
}

/** The camera: exposure, white balance, contrast, now and then no colour, blur or noise -> bytes [side, side, 3]. */
export function photograph(picture: Float32Array, random: Random, side: number): Uint8Array {
  const gain = random.uniform(0.75, 1.25);
  const balance = [0, 1, 2].map(() => gain * random.uniform(0.93, 1.07));
  const contrast = random.uniform(0.8, 1.15);
  const grey = random.chance(0.08);
  const blurred = random.chance(0.25) ? blur(picture, side) : picture;
  const noise = random.chance(0.5) ? random.uniform(0, 8) : 0;
  const out = new Uint8ClampedArray(picture.length);
  for (let p = 0; p < out.length; p += 3) {
    const [r, g, b] = [0, 1, 2].map((c) => 127.5 + contrast * (balance[c] * blurred[p + c] - 127.5));
    const luma = 0.299 * r + 0.587 * g + 0.114 * b;
    const values = grey ? [luma, luma, luma] : [r, g, b];
    for (let c = 0; c < 3; c++) out[p + c] = values[c] + (noise > 0 ? noise * random.normal() : 0);
  }
  return new Uint8Array(out.buffer);
}

/** The mean of 3x3 pixels, those at the rim repeated. */
function blur(picture: Float32Array, side: number): Float32Array {
  const out = new Float32Array(picture.length);
  const held = (v: number) => Math.max(0, Math.min(side - 1, v));
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = 0; k < 9; k++) {
          const [i, j] = [held(y + Math.floor(k / 3) - 1), held(x + (k % 3) - 1)];
          sum += picture[3 * (i * side + j) + c];
        }
        out[3 * (y * side + x) + c] = sum / 9;
      }
    }
  }
  return out;
}
