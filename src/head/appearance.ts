// What a person looks like apart from shape: colours of skin, eyes, hair and lips, and what makes the two sides differ.
// Contract: drawn from one seed; colours are sRGB 0..255.
import { Random } from './random.js';

export type Colour = readonly [number, number, number];

export interface Mole {
  x: number;
  y: number;
  radius: number;
  darkness: number;
}

export interface Appearance {
  seed: number;
  skin: Colour;
  /** 0 fair .. 1 dark. */
  melanin: number;
  redness: number;
  freckles: number;
  stubble: number;
  /** Lines and shadows of age, 0..1. */
  age: number;
  lips: Colour;
  iris: Colour;
  /** Gaze, millimetres. */
  gaze: readonly [number, number];
  hair: Colour;
  /** Height of the hairline over the eyes in millimetres, and how far it recedes at the temples. */
  hairline: number;
  recession: number;
  /** x of the parting in millimetres; its side is the person's. */
  parting: number;
  /** 0 shaven .. 1 full. */
  hairDensity: number;
  browThickness: number;
  browDensity: number;
  /** Millimetres by which each brow is raised: right, left. */
  browLift: readonly [number, number];
  makeUp: number;
  moles: readonly Mole[];
}

/** Skin from fair to dark (Fitzpatrick types I to VI). */
const SKIN: readonly Colour[] = [
  [240, 208, 190],
  [230, 190, 167],
  [214, 168, 138],
  [187, 136, 103],
  [146, 102, 76],
  [104, 72, 57],
];
const HAIR: readonly { colour: Colour; fair: boolean }[] = [
  { colour: [28, 22, 20], fair: false },
  { colour: [46, 33, 25], fair: false },
  { colour: [74, 50, 34], fair: true },
  { colour: [108, 76, 48], fair: true },
  { colour: [168, 128, 78], fair: true },
  { colour: [132, 66, 36], fair: true },
  { colour: [150, 146, 142], fair: true },
];
const IRIS: readonly { colour: Colour; fair: boolean }[] = [
  { colour: [66, 40, 24], fair: false },
  { colour: [88, 56, 32], fair: false },
  { colour: [112, 90, 50], fair: true },
  { colour: [92, 112, 78], fair: true },
  { colour: [92, 124, 152], fair: true },
  { colour: [118, 130, 138], fair: true },
];

export function mix(a: Colour, b: Colour, t: number): Colour {
  return [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])];
}

/** Draws the appearance of person `seed`; the same integer gives the same person. */
export function drawAppearance(seed: number): Appearance {
  const random = new Random(seed);
  const melanin = random.uniform();
  const tone = melanin * (SKIN.length - 1);
  const i = Math.min(SKIN.length - 2, Math.floor(tone));
  const warmth = 5 * random.normal();
  const base = mix(SKIN[i], SKIN[i + 1], tone - i);
  const skin: Colour = [base[0] + 0.4 * warmth, base[1], base[2] - warmth];
  const pick = <T extends { fair: boolean }>(list: readonly T[]): T => {
    const usable = list.filter((entry) => melanin < 0.5 || !entry.fair);
    return usable[random.below(usable.length)];
  };
  const masculine = random.chance(0.5);
  const age = random.uniform() ** 1.3;
  let hair = pick(HAIR).colour;
  if (age > 0.75 && random.chance(0.5)) hair = mix(hair, [165, 162, 158], random.uniform(0.4, 0.9));
  const lips = mix(skin, mix([176, 84, 80], [84, 44, 44], melanin), 0.62 + 0.12 * random.normal());
  const makeUp = !masculine && random.chance(0.6) ? random.uniform(0.3, 1) : 0;
  return {
    seed,
    skin,
    melanin,
    redness: random.uniform(0.4, 1.2),
    freckles: melanin < 0.4 && random.chance(0.35) ? random.uniform(0.3, 1) : 0,
    stubble: masculine && random.chance(0.65) ? random.uniform(0.2, 1) : 0,
    age,
    lips: mix(lips, [172, 44, 56], 0.4 * makeUp),
    iris: pick(IRIS).colour,
    gaze: [0.8 * random.truncated(2), 0.35 * random.truncated(2)],
    hair,
    hairline: random.uniform(56, 70) + (masculine ? 8 * age * random.uniform() : 0),
    recession: masculine ? random.uniform(4, 10 + 12 * age) : random.uniform(0, 7),
    parting: (random.chance(0.5) ? 1 : -1) * random.uniform(12, 34),
    hairDensity: masculine && random.chance(0.25) ? random.uniform(0.15, 0.6) : random.uniform(0.85, 1),
    browThickness: masculine ? random.uniform(6.5, 9.5) : random.uniform(4.5, 7),
    browDensity: random.uniform(0.6, 1),
    browLift: [0.7 * random.truncated(2), 0.7 * random.truncated(2)],
    makeUp,
    moles: Array.from({ length: 1 + random.below(5) }, () => ({
      x: random.uniform(-55, 55),
      y: random.uniform(-95, 45),
      radius: 0.6 + 1.2 * random.uniform() ** 2,
      darkness: random.uniform(0.25, 0.75),
    })),
  };
}
