// The losses of paper Eq. 7-12, each against numbers worked out in float64 by plain loops that share nothing with the library.
import { describe, expect, it } from 'vitest';
import {
  adversarialLoss,
  centralFace,
  discriminatorLoss,
  discriminatorLosses,
  finalLoss,
  identityCrop,
  identityLoss,
  reconstructionLoss,
  totalLoss,
} from '../src/nn/losses.js';
import {
  gradient,
  matmul,
  mean,
  mul,
  rand,
  reshape,
  type Tensor,
  tensor,
  variable,
  zeros,
} from '../src/tensor/index.js';

type Numbers = ArrayLike<number>;

const map = (shape: number[], seed: number): Tensor => rand(shape, { seed }).mul(2).sub(1);
const numbers = (x: Tensor): number[] => Array.from(x.dataSync());
const average = (values: number[]): number => values.reduce((total, v) => total + v, 0) / values.length;

/** -log of the probability that the target 0 or 1 has under the logit. */
const bce = (logits: number[], target: 0 | 1): number =>
  average(logits.map((v) => Math.log1p(Math.exp(-Math.abs(v))) + Math.max(target === 1 ? -v : v, 0)));

const l1 = (a: Tensor, b: Tensor): number => {
  const other = numbers(b);
  return average(numbers(a).map((v, i) => Math.abs(v - other[i])));
};

async function expectNumber(actual: Tensor | undefined, expected: number, what: string): Promise<void> {
  expect(actual?.shape, what).toEqual([]);
  const value = actual ? await actual.item() : Number.NaN;
  expect(Math.abs(value - expected) / Math.max(1, Math.abs(expected)), what).toBeLessThanOrEqual(2e-6);
}

/** Windows by their definition: [top, left, height, width]. */
const windows: Record<number, [number, number, number, number]> = { 256: [43, 64, 128, 128], 64: [11, 16, 32, 32] };

function windowOf(values: Numbers, [n, h, w, c]: readonly number[]): number[] {
  const [top, left, height, width] = windows[h];
  const out: number[] = [];
  for (let b = 0; b < n; b++) {
    for (let y = top; y < top + height; y++) {
      for (let x = left; x < left + width; x++) {
        for (let k = 0; k < c; k++) out.push(values[((b * h + y) * w + x) * c + k]);
      }
    }
  }
  return out;
}

/** Bilinear with half-pixel centres, clamped at the rim, of square images [n, s, s, 3] to [n, 160, 160, 3]. */
function enlarge(values: Numbers, n: number, s: number): number[] {
  const out: number[] = [];
  const taps = (o: number): [number, number, number] => {
    const at = Math.max(((o + 0.5) * s) / 160 - 0.5, 0);
    const low = Math.floor(at);
    return [low, Math.min(low + 1, s - 1), at - low];
  };
  for (let b = 0; b < n; b++) {
    for (let y = 0; y < 160; y++) {
      const [y0, y1, fy] = taps(y);
      for (let x = 0; x < 160; x++) {
        const [x0, x1, fx] = taps(x);
        for (let k = 0; k < 3; k++) {
          const v = (yy: number, xx: number) => values[((b * s + yy) * s + xx) * 3 + k];
          const above = v(y0, x0) * (1 - fx) + v(y0, x1) * fx;
          out.push(above * (1 - fy) + (v(y1, x0) * (1 - fx) + v(y1, x1) * fx) * fy);
        }
      }
    }
  }
  return out;
}

const faceOf = (x: Tensor): number[] =>
  enlarge(windowOf(numbers(x), x.shape), x.shape[0], windows[x.shape[1]][2]).map((v) => (v * 127.5) / 128);

// A linear identity network of five numbers, and critics that give three logits per map: mean value of channels by weights.
const FACE = 160 * 160 * 3;
const identityWeight = rand([FACE, 5], { seed: 90 }).sub(0.5);
const identityNetwork = (faces: Tensor): Tensor => matmul(reshape(faces, [faces.shape[0], FACE]), identityWeight);

function embeddings(x: Tensor): number[][] {
  const face = faceOf(x);
  const w = numbers(identityWeight);
  return Array.from({ length: x.shape[0] }, (_, b) => {
    const sums = [0, 0, 0, 0, 0];
    for (let i = 0; i < FACE; i++) for (let k = 0; k < 5; k++) sums[k] += face[b * FACE + i] * w[i * 5 + k];
    return sums;
  });
}

function identityByHand(a: Tensor, b: Tensor, idNorm: boolean): number {
  const unit = (v: number[]) => (idNorm ? v.map((x) => x / Math.hypot(...v)) : v);
  const [fa, fb] = [embeddings(a).map(unit), embeddings(b).map(unit)];
  return average(fa.map((row, i) => row.reduce((total, v, k) => total + (v - fb[i][k]) ** 2, 0)));
}

const criticWeight = (channels: number, seed: number): Tensor => rand([channels, 3], { seed }).sub(0.5).mul(40);
const criticOf = (weight: Tensor) => (maps: Tensor) => matmul(mean(maps, { axes: [1, 2] }), weight);

/** The logits of `criticOf`, from the maps side by side, seen whole or through the window. */
function logitsByHand(maps: Tensor[], weight: Tensor, windowed: boolean): number[] {
  const w = numbers(weight);
  const n = maps[0].shape[0];
  const channels = maps.reduce((count, m) => count + m.shape[3], 0);
  const means = Array.from({ length: n }, () => [] as number[]);
  for (const m of maps) {
    const values = windowed ? windowOf(numbers(m), m.shape) : numbers(m);
    const c = m.shape[3];
    const perImage = values.length / n;
    for (let b = 0; b < n; b++) {
      const image = values.slice(b * perImage, (b + 1) * perImage);
      for (let k = 0; k < c; k++) means[b].push(average(image.filter((_, i) => i % c === k)));
    }
  }
  expect(means[0].length).toBe(channels);
  return means.flatMap((row) => [0, 1, 2].map((j) => row.reduce((total, v, k) => total + v * w[k * 3 + j], 0)));
}

describe('single terms', () => {
  it('L_rec (Eq. 7): hand-worked, and over a map', async () => {
    const o = tensor([0.5, -1, 0.25], { shape: [1, 1, 1, 3] });
    const y = tensor([1, 0, 0.25], { shape: [1, 1, 1, 3] });
    await expectNumber(reconstructionLoss(o, y), 0.5, 'three channels'); // (0.5 + 1 + 0) / 3
    const [a, b] = [map([2, 16, 16, 3], 1), map([2, 16, 16, 3], 2)];
    await expectNumber(reconstructionLoss(a, b), l1(a, b), 'maps');
  });

  it('L_adv is -log D, L_D half the sum; large logits stay finite', async () => {
    await expectNumber(adversarialLoss(tensor([0])), Math.LN2, 'undecided');
    await expectNumber(adversarialLoss(tensor([-200, 200])), 100, 'certain');
    const [real, fake, aux] = [
      [1.5, -0.25],
      [0.75, -3],
      [2, 0.5],
    ];
    const t = (values: number[]) => tensor(values);
    await expectNumber(adversarialLoss(t(fake)), bce(fake, 1), 'L_adv');
    await expectNumber(discriminatorLoss(t(real), t(fake)), (bce(real, 1) + bce(fake, 0)) / 2, 'L_D');
    for (const eta of [0.3, 1]) {
      const generated = (bce(fake, 0) + eta * bce(aux, 0)) / (1 + eta);
      const loss = discriminatorLoss(t(real), t(fake), { auxiliary: t(aux), eta });
      await expectNumber(loss, (bce(real, 1) + generated) / 2, `L_D with the auxiliary output, eta ${eta}`);
    }
  });

  it.each([256, 64])('c() of a %i map', (s) => {
    const x = map([1, s, s, 3], 3);
    const [, , height, width] = windows[s];
    const window = centralFace(x);
    expect(window.shape).toEqual([1, height, width, 3]);
    expect(numbers(window)).toEqual(windowOf(numbers(x), x.shape));
    const face = identityCrop(x);
    expect(face.shape).toEqual([1, 160, 160, 3]);
    const [actual, expected] = [numbers(face), faceOf(x)];
    expect(expected.length).toBe(actual.length);
    expect(Math.max(...actual.map((v, i) => Math.abs(v - expected[i])))).toBeLessThanOrEqual(2e-6);
  });

  it.each([true, false])('L_id (Eq. 10), idNorm %s', async (idNorm) => {
    const [o, y] = [map([2, 64, 64, 3], 4), map([2, 64, 64, 3], 5)];
    const expected = identityByHand(o, y, idNorm);
    const loss = await identityLoss(o, y, identityNetwork, { idNorm }).item();
    expect(Math.abs(loss - expected) / expected).toBeLessThanOrEqual(1e-4); // f32 sums of 76,800 products
    await expectNumber(identityLoss(y, y, identityNetwork, { idNorm }), 0, 'of a map with itself');
    if (idNorm) {
      await expectNumber(identityLoss(o, y, identityNetwork), loss, 'normalised unless told');
      expect(loss).toBeLessThanOrEqual(4);
      await expectNumber(
        identityLoss(o, y, (faces) => mul(identityNetwork(faces), 7)),
        loss,
        'blind to length',
      );
    } else {
      expect(loss).toBeGreaterThan(4);
    }
  });
});

describe('L_tot, L_final and L_D of a completion', () => {
  const [x, y] = [map([2, 64, 64, 3], 10), map([2, 64, 64, 3], 11)];
  const [final, aux] = [map([2, 64, 64, 3], 12), map([2, 64, 64, 3], 13)];
  const [wl, wg] = [criticWeight(6, 14), criticWeight(6, 15)];
  const critics = { local: criticOf(wl), global: criticOf(wg), identity: identityNetwork };

  const parts = (o: Tensor) => ({
    rec: l1(o, y),
    local: bce(logitsByHand([x, o], wl, true), 1),
    global: bce(logitsByHand([x, o], wg, false), 1),
    id: identityByHand(o, y, true),
  });
  const totalOf = ({ rec, local, global, id }: ReturnType<typeof parts>, a = 0.5, b = 0.5, c = 0.01): number =>
    rec + a * local + b * global + c * id;

  it("L_tot (Eq. 11): terms, the paper's weights, others", async () => {
    const hand = parts(final);
    const terms = totalLoss(x, final, y, critics);
    await expectNumber(terms.reconstruction, hand.rec, 'reconstruction');
    await expectNumber(terms.local, hand.local, 'local');
    await expectNumber(terms.global, hand.global, 'global');
    expect(Math.abs((await (terms.identity ?? zeros([])).item()) - hand.id) / hand.id).toBeLessThanOrEqual(1e-4);
    await expectNumber(terms.total, totalOf(hand), 'total');
    const weights = { localWeight: 0.2, globalWeight: 2, identityWeight: 0 };
    await expectNumber(totalLoss(x, final, y, critics, weights).total, totalOf(hand, 0.2, 2, 0), 'other weights');
  });

  it('L_tot without critics, unconditional, raw embeddings', async () => {
    const bare = totalLoss(x, final, y, {});
    await expectNumber(bare.total, l1(final, y), 'reconstruction alone');
    expect([bare.local, bare.global, bare.identity]).toEqual([undefined, undefined, undefined]);
    const w3 = criticWeight(3, 16);
    const alone = totalLoss(x, final, y, { global: criticOf(w3) }, { conditional: false });
    await expectNumber(alone.global, bce(logitsByHand([final], w3, false), 1), 'unconditional');
    const raw = totalLoss(x, final, y, { identity: identityNetwork }, { idNorm: false });
    const expected = identityByHand(final, y, false);
    expect(Math.abs((await (raw.identity ?? zeros([])).item()) - expected) / expected).toBeLessThanOrEqual(1e-4);
  });

  it('L_final (Eq. 12): eta, and no auxiliary output', async () => {
    const [a, b] = [totalOf(parts(final)), totalOf(parts(aux))];
    const { total, aux: auxiliary } = finalLoss(x, { final, aux }, y, critics);
    await expectNumber(total, a + 0.3 * b, 'eta 0.3');
    await expectNumber(auxiliary?.total, b, 'auxiliary');
    await expectNumber(finalLoss(x, { final, aux }, y, critics, { eta: 1 }).total, a + b, 'eta 1');
    for (const one of [
      finalLoss(x, { final, aux }, y, critics, { eta: 0 }),
      finalLoss(x, { final, aux: final }, y, critics),
    ]) {
      await expectNumber(one.total, a, 'final alone');
      expect(one.aux).toBeUndefined();
    }
  });

  it('L_D of both discriminators', async () => {
    const byHand = (w: Tensor, windowed: boolean, eta: number): number => {
      const term = (m: Tensor, target: 0 | 1) => bce(logitsByHand([x, m], w, windowed), target);
      return (term(y, 1) + (term(final, 0) + eta * term(aux, 0)) / (1 + eta)) / 2;
    };
    const both = discriminatorLosses(x, { final, aux }, y, critics);
    await expectNumber(both.local, byHand(wl, true, 0.3), 'local');
    await expectNumber(both.global, byHand(wg, false, 0.3), 'global');
    const without = discriminatorLosses(x, { final, aux }, y, { global: critics.global }, { eta: 0 });
    await expectNumber(without.global, byHand(wg, false, 0), 'without the auxiliary output');
    expect(without.local).toBeUndefined();
  });

  it('critics see the first three channels of a six-channel input', async () => {
    const wider = numbers(x).flatMap((v, i) => (i % 3 === 2 ? [v, 9, 9, 9] : [v]));
    const six = tensor(wider, { shape: [2, 64, 64, 6] });
    const seen = finalLoss(six, { final, aux }, y, critics);
    await expectNumber(seen.total, totalOf(parts(final)) + 0.3 * totalOf(parts(aux)), 'L_final');
  });

  it('gradients reach the generator through L_final only', () => {
    const o = variable(final);
    const slope = (loss: Tensor): number[] => numbers(gradient(loss, { o }).o);
    const outputs = { final: o, aux };
    expect(slope(finalLoss(x, outputs, y, critics).total).filter((v) => v !== 0).length).toBeGreaterThan(20_000);
    const { global } = discriminatorLosses(x, outputs, y, critics);
    if (!global) throw new Error('the global term is missing');
    expect(new Set(slope(global).map(Math.abs))).toEqual(new Set([0]));
    // d L_rec / d o is the sign of the difference over the count.
    const [oo, yy] = [numbers(o), numbers(y)];
    const rec = slope(reconstructionLoss(o, y));
    for (const i of [0, 777, 24_000]) expect(rec[i] * rec.length).toBeCloseTo(Math.sign(oo[i] - yy[i]), 5);
  });

  it('refuses maps that do not fit, and weights that are none', () => {
    const small = map([2, 32, 32, 3], 17);
    expect(() => totalLoss(x, small, y, {})).toThrow(/totalLoss: wants x .* got \[2,64,64,3\] and \[2,32,32,3\]/);
    expect(() => identityLoss(small, y, identityNetwork)).toThrow(/identityLoss: output \[2,32,32,3\] and target/);
    expect(() => centralFace(tensor([1, 2]))).toThrow(/centralFace: map must be/);
    expect(() => totalLoss(x, final, y, {}, { localWeight: Number.NaN })).toThrow(/localWeight must be a number >= 0/);
    expect(() => finalLoss(x, { final, aux }, y, {}, { eta: -1 })).toThrow(/eta must be a number >= 0, got -1/);
  });
});
