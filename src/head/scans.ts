// Synthetic scans: neutral heads with drawn identities and the same people with drawn expressions, all in one topology.
// Contract: everything follows from the seed; a neutral scan and an expressive scan of one person differ by movement only.
import { EXPRESSION } from './expression.js';
import { featurePoint } from './features.js';
import { ASYMMETRY, FACTORS, IDENTITY, type TemplatePoint } from './identity.js';
import { landmarkVertices } from './landmarks.js';
import type { Random } from './random.js';
import { buildTemplate, type Template } from './template.js';

/** Values of named parameters; a missing name is 0. */
export type Parameters = Readonly<Record<string, number>>;

/** The head that scans are drawn from. */
export class ParametricHead {
  readonly template: Template = buildTemplate();
  readonly landmarks = landmarkVertices(this.template);
  readonly points: readonly TemplatePoint[];
  private readonly fields = new Map<string, Float32Array>();

  constructor() {
    const { x, y, z, theta } = this.template;
    this.points = Array.from(x, (_, i) => ({
      x: x[i],
      ax: Math.abs(x[i]),
      y: y[i],
      degrees: (Math.abs(theta[i]) * 180) / Math.PI,
      side: Math.sign(theta[i]),
      surface: featurePoint(x[i], y[i], z[i], theta[i]),
    }));
  }

  get vertexCount(): number {
    return this.points.length;
  }

  /** Neutral head of a person: identity and asymmetry parameters in standard deviations -> [N, 3] mm. */
  neutral(identity: Parameters = {}): Float32Array {
    const out = new Float64Array(this.vertexCount * 3);
    this.points.forEach((p, i) => {
      out.set(p.surface, i * 3);
    });
    let size = 1;
    for (const [name, value] of Object.entries(identity)) {
      if (name === 'size') {
        size = 1 + 0.03 * value;
        continue;
      }
      const field = this.field(name);
      for (let i = 0; i < out.length; i++) out[i] += value * field[i];
    }
    return Float32Array.from(out, (x) => x * size);
  }

  /** A neutral head with action units moved (weights 0..1) -> [N, 3] mm. */
  expressive(neutral: Float32Array, expression: Parameters): Float32Array {
    const out = Float32Array.from(neutral);
    for (const [name, weight] of Object.entries(expression)) {
      const movement = EXPRESSION[name];
      if (!movement) throw new RangeError(`expression: there is no action unit '${name}'`);
      if (weight === 0) continue;
      this.points.forEach((p, i) => {
        const d = movement(p, weight);
        for (let c = 0; c < 3; c++) out[i * 3 + c] += d[c];
      });
    }
    return out;
  }

  private field(name: string): Float32Array {
    let field = this.fields.get(name);
    if (!field) {
      const source = IDENTITY[name] ?? ASYMMETRY[name];
      if (!source) throw new RangeError(`identity: there is no parameter '${name}'`);
      field = new Float32Array(this.vertexCount * 3);
      for (let i = 0; i < this.points.length; i++) field.set(source(this.points[i]), i * 3);
      this.fields.set(name, field);
    }
    return field;
  }
}

/** A person's identity parameters: latent factors that make traits vary together, then each parameter on its own. */
export function drawIdentity(random: Random): Record<string, number> {
  const out: Record<string, number> = { size: random.truncated(2.2) };
  for (const name of Object.keys(IDENTITY)) out[name] = 0.9 * random.truncated(2.2);
  for (const weights of Object.values(FACTORS)) {
    const value = random.truncated(2);
    for (const [name, weight] of Object.entries(weights)) out[name] += 0.85 * weight * value;
  }
  for (const name of Object.keys(ASYMMETRY)) out[name] = 0.8 * random.truncated(2.2);
  return out;
}

/** An expression: a few of the usual ones with their variation, each somewhat different left and right. */
export function drawExpression(random: Random): Record<string, number> {
  const out: Record<string, number> = {};
  const add = (name: string, weight: number) => {
    out[name] = Math.max(0, Math.min(1.1, (out[name] ?? 0) + weight));
  };
  const pair = (name: string, weight: number) => {
    const tilt = 0.2 * random.normal();
    add(`${name}Left`, weight * (1 + tilt));
    add(`${name}Right`, weight * (1 - tilt));
  };
  const strength = random.uniform(0.3, 1);
  const kinds: (() => void)[] = [
    () => {
      pair('smile', strength);
      add('squint', 0.5 * strength);
      if (random.chance(0.5)) add('upperLipUp', 0.8 * strength);
      if (random.chance(0.5)) add('lowerLipDown', 0.6 * strength);
    },
    () => {
      pair('frown', strength);
      add('browInnerUp', 0.8 * strength);
    },
    () => {
      add('browDown', strength);
      add('press', random.uniform() * strength);
      pair('sneer', 0.5 * strength * random.uniform());
    },
    () => {
      add('jawOpen', strength);
      add('browInnerUp', 0.7 * strength);
      pair('browOuterUp', 0.8 * strength);
      pair('blink', -0.25 * strength);
    },
    () => add('jawOpen', strength),
    () => {
      pair('sneer', strength);
      add('squint', 0.7 * strength);
      add('browDown', 0.6 * strength);
    },
    () => add('pucker', strength),
    () => add('puff', strength),
    () => {
      const blink = random.uniform(0.5, 1);
      pair('blink', blink);
    },
    () => {
      add('stretch', strength);
      add('lowerLipDown', 0.8 * strength);
      add('jawOpen', 0.25 * strength);
    },
    () => add(random.chance(0.5) ? 'smileLeft' : 'smileRight', strength),
    () => add(random.chance(0.5) ? 'browOuterUpLeft' : 'browOuterUpRight', strength),
    () => {
      add('jawLeft', random.uniform(-1, 1));
    },
    () => {
      pair('smile', 0.8 * strength);
      add('jawOpen', 0.7 * strength);
      add('squint', 0.6 * strength);
    },
  ];
  kinds[random.below(kinds.length)]();
  if (random.chance(0.5)) add('jawOpen', 0.15 * random.uniform());
  if (random.chance(0.4)) pair('browOuterUp', 0.3 * random.uniform());
  return out;
}
