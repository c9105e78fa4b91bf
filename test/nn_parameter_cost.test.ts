// PDC, VDC, WPDC, OWPDC (specification 9.4, paper Eq. 6): values and gradients against plain loops in float64, the weights of
// Eq. 6 against every way of choosing which unknowns are at a bound.
import { describe, expect, it } from 'vitest';
import { Random } from '../src/head/random.js';
import { FaceDecoder, standardise } from '../src/models/index.js';
import {
  fastWpdcWeights,
  optimisedWeightedParameterDistanceCost,
  owpdcWeights,
  parameterDistanceCost,
  vertexDistanceCost,
  weightedParameterDistance,
  weightedParameterDistanceCost,
  wpdcWeights,
} from '../src/nn/index.js';
import { boxQuadratic, gradient, type Tensor, tensor } from '../src/tensor/index.js';
import { expectClose } from './close.js';
import { projectionOf, smallModel, vectors } from './faces.js';
import './cases/index.js';

const device = 'reference';
const model = smallModel();
const counts = { identity: 4, expression: 3 };
const d = 13;
const n = 3;
const vertices = Int32Array.of(3, 14, 25, 60, 77, 90, 131);
const decoder = new FaceDecoder(model, { ...counts, vertices, device });
const statistics = {
  mean: Float64Array.of(0.75, 0, 0, 0, 60, 60, 0, 0, 0, 0, 0, 0, 0),
  std: Float64Array.of(0.05, 0.2, 0.2, 0.1, 5, 5, 8, 8, 8, 8, 8, 8, 8),
};
const face = decoder.standardised(statistics);
const zc = standardise(vectors(n, counts, 11), statistics);
const zg = standardise(vectors(n, counts, 12), statistics);
const rowsOf = (z: Float64Array) => Array.from({ length: n }, (_, i) => Array.from(z.slice(i * d, (i + 1) * d)));
const rows = (z: Float64Array): Tensor => tensor(z, { shape: [n, d], device });
const seenAt = projectionOf(model, counts, vertices);
const seen = (z: readonly number[]) => seenAt(z.map((x, i) => statistics.mean[i] + statistics.std[i] * x));
const distance2 = (a: readonly number[], b: readonly number[]) => a.reduce((s, x, i) => s + (x - b[i]) ** 2, 0);
const average = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const [current, truth] = [rowsOf(zc), rowsOf(zg)];

/** d cost / d current by central differences. */
function differences(cost: (z: number[][]) => number): Float64Array {
  const h = 1e-5;
  return Float64Array.from({ length: n * d }, (_, at) => {
    const moved = (by: number) => cost(current.map((row, i) => row.map((x, k) => (i * d + k === at ? x + by : x))));
    return (moved(h) - moved(-h)) / (2 * h);
  });
}

const weighted = (z: number[][], w: number[][]) =>
  average(z.map((row, i) => row.reduce((s, x, k) => s + w[i][k] * (x - truth[i][k]) ** 2, 0)));

async function expectCost(cost: (x: Tensor) => Tensor, byHand: (z: number[][]) => number, what: string) {
  const x = rows(zc);
  const loss = cost(x);
  expect(loss.shape).toEqual([]);
  const expected = byHand(current);
  expect(Math.abs((await loss.item()) - expected) / Math.abs(expected), what).toBeLessThan(1e-6);
  expectClose(gradient(loss, x), differences(byHand), 1e-6, `gradient of ${what}`);
}

describe('costs and their gradients', () => {
  it('PDC', () =>
    expectCost(
      (x) => parameterDistanceCost(x, rows(zg)),
      (z) => average(z.map((row, i) => distance2(row, truth[i]))),
      'PDC',
    ));

  it('VDC', () =>
    expectCost(
      (x) => vertexDistanceCost(x, rows(zg), face),
      (z) => average(z.map((row, i) => distance2(seen(row), seen(truth[i])))),
      'VDC',
    ));

  const byHand = (scale: 'max' | 'sum') =>
    current.map((row, i) => {
      const w = row.map((_, k) => {
        const degraded = truth[i].map((x, j) => (j === k ? row[j] : x));
        return Math.sqrt(distance2(seen(degraded), seen(truth[i])));
      });
      const z = scale === 'max' ? Math.max(...w) : w.reduce((a, b) => a + b);
      return w.map((x) => x / z);
    });

  it.each(['max', 'sum'] as const)('WPDC, weights divided by their %s', async (scale) => {
    const weights = byHand(scale);
    expectClose(wpdcWeights(rows(zc), rows(zg), face, { scale }), Float64Array.from(weights.flat()), 1e-9, 'weights');
    // The weights of this very point are constants of the gradient.
    const cost = (x: Tensor) => weightedParameterDistanceCost(x, rows(zg), face, { scale });
    await expectCost(cost, (z) => weighted(z, weights), 'WPDC');
  });

  it('OWPDC: weights are constants of the gradient', async () => {
    const found = Array.from(owpdcWeights(rows(zc), rows(zg), face).dataSync());
    const weights = Array.from({ length: n }, (_, i) => found.slice(i * d, (i + 1) * d));
    const cost = (x: Tensor) => optimisedWeightedParameterDistanceCost(x, rows(zg), face);
    await expectCost(cost, (z) => weighted(z, weights), 'OWPDC');
  });

  it('a face that is right already costs nothing and is not pushed', async () => {
    for (const cost of [weightedParameterDistanceCost, optimisedWeightedParameterDistanceCost]) {
      const x = rows(zg);
      const loss = cost(x, rows(zg), face);
      expect(await loss.item()).toBe(0);
      expect(Array.from(gradient(loss, x).dataSync()).every((v) => v === 0)).toBe(true);
    }
  });

  it('refuses rows that differ', () => {
    const two = tensor([[1, 2]]);
    expect(() => parameterDistanceCost(two, tensor([[1, 2, 3]]))).toThrow(
      'parameterDistanceCost: wants current and truth [n, d], got [1,2] and [1,3]',
    );
    expect(() => weightedParameterDistance(two, two, tensor([1, 2]))).toThrow('weightedParameterDistance');
  });
});

/** The minimum of 1/2 w^T Q w - b^T w on [0, 1]^d: of all choices of unknowns at 0, at 1 and free, the best that is feasible. */
function bruteForce(q: number[][], b: number[]): number[] {
  const size = b.length;
  let best: { value: number; w: number[] } = { value: Infinity, w: [] };
  for (let code = 0; code < 3 ** size; code++) {
    const state = b.map((_, i) => Math.floor(code / 3 ** i) % 3); // 0 at 0, 1 at 1, 2 free
    const free = state.flatMap((s, i) => (s === 2 ? [i] : []));
    const right = free.map((i) => b[i] - state.reduce((s, at, j) => s + (at === 1 ? q[i][j] : 0), 0));
    const x = solve(
      free.map((i) => free.map((j) => q[i][j])),
      right,
    );
    if (!x?.every((v) => v >= -1e-12 && v <= 1 + 1e-12)) continue;
    const w: number[] = state.map((s) => (s === 1 ? 1 : 0));
    free.forEach((i, k) => {
      w[i] = x[k];
    });
    const value = w.reduce((s, wi, i) => s + wi * (q[i].reduce((t, v, j) => t + (v * w[j]) / 2, 0) - b[i]), 0);
    if (value < best.value) best = { value, w };
  }
  return best.w;
}

/** Gauss elimination with pivoting; undefined where singular. */
function solve(a: number[][], b: number[]): number[] | undefined {
  const m = a.map((row, i) => [...row, b[i]]);
  for (let c = 0; c < b.length; c++) {
    const pivot = m.reduce((p, row, i) => (i >= c && Math.abs(row[c]) > Math.abs(m[p][c]) ? i : p), c);
    [m[c], m[pivot]] = [m[pivot], m[c]];
    if (Math.abs(m[c][c]) < 1e-12) return undefined;
    for (let i = 0; i < b.length; i++) {
      if (i === c) continue;
      const factor = m[i][c] / m[c][c];
      for (let k = c; k <= b.length; k++) m[i][k] -= factor * m[c][k];
    }
  }
  return m.map((row, i) => row[b.length] / row[i]);
}

describe('the box-constrained problem', () => {
  const problems = [1, 2, 4, 6].map((size) => {
    const random = new Random(100 + size);
    const a = Array.from({ length: size + 2 }, () => Array.from({ length: size }, () => random.normal()));
    const q = Array.from({ length: size }, (_, i) =>
      Array.from({ length: size }, (_, j) => a.reduce((s, row) => s + row[i] * row[j], 0)),
    );
    return { size, q, b: Array.from({ length: size }, () => 3 * random.normal()) };
  });

  it.each(problems)('boxQuadratic of $size unknowns is the best of all choices', ({ size, q, b }) => {
    for (const where of ['cpu', device]) {
      const w = boxQuadratic(tensor([q], { device: where }), tensor([b], { device: where }));
      expect(w.shape).toEqual([1, size]);
      expectClose(w, Float64Array.from(bruteForce(q, b)), 1e-5, `w on ${where}`);
    }
  });

  it('OWPDC solves Eq. 6 to first order', () => {
    // Nine parameters of one face, so that every choice can be tried.
    const small = { identity: 2, expression: 1 };
    const columns = [0, 1, 2, 3, 4, 5, 6, 7, 10];
    const narrow = {
      mean: Float64Array.from(columns, (c) => statistics.mean[c]),
      std: Float64Array.from(columns, (c) => statistics.std[c]),
    };
    const few = new FaceDecoder(model, { ...small, vertices, device });
    const projection = few.standardised(narrow);
    const at = projectionOf(model, small, vertices);
    const shown = (z: readonly number[]) => at(z.map((x, i) => narrow.mean[i] + narrow.std[i] * x));
    const pick = (row: number[]) => columns.map((c) => row[c]);
    for (const regularisation of [0.17, 0.02]) {
      for (let i = 0; i < n; i++) {
        const [pc, pg] = [pick(current[i]), pick(truth[i])];
        const step = pg.map((x, k) => x - pc[k]);
        const h = 1e-6;
        const moves = step.map((s, k) => {
          const by = (e: number) => shown(pc.map((x, j) => (j === k ? x + e : x)));
          const [up, down] = [by(h), by(-h)];
          return up.map((v, j) => (s * (v - down[j])) / (2 * h));
        });
        const gram = moves.map((a) => moves.map((b) => a.reduce((s, v, j) => s + v * b[j], 0)));
        const lambda = (regularisation * distance2(shown(pc), shown(pg))) / step.reduce((s, x) => s + x * x, 0);
        const q = gram.map((row, a) => row.map((v, b) => v + (a === b ? lambda * step[a] ** 2 : 0)));
        const expected = bruteForce(
          q,
          gram.map((row) => row.reduce((a, b) => a + b)),
        );
        const row = (z: number[]) => tensor([z], { device });
        const w = owpdcWeights(row(pc), row(pg), projection, { regularisation });
        expectClose(w, Float64Array.from(expected), 1e-4, `face ${i}, lambda ${lambda}`);
      }
    }
    projection.dispose();
    few.dispose();
  });

  it('without regularisation every weight is 1: PDC', () => {
    const w = owpdcWeights(rows(zc), rows(zg), face, { regularisation: 0 });
    expectClose(w, new Float64Array(n * d).fill(1), 1e-3, 'w');
  });

  it('a wrong yaw comes before a wrong shape, which comes when the pose is right', () => {
    const turned = Float64Array.from(truth[0]);
    turned[2] += 1.5;
    const off = (from: Float64Array) => from.map((x, k) => (k >= 6 ? x + 0.5 * Math.cos(k) : x));
    const weights = (z: Float64Array) =>
      Array.from(owpdcWeights(tensor([Array.from(z)], { device }), tensor([truth[0]], { device }), face).dataSync());
    const wrongPose = weights(off(turned));
    const rightPose = weights(off(Float64Array.from(truth[0])));
    const shape = (w: number[]) => average(w.slice(6));
    expect(wrongPose[2]).toBeGreaterThan(0.8);
    expect(shape(wrongPose)).toBeLessThan(0.6 * wrongPose[2]);
    expect(shape(rightPose)).toBeGreaterThan(shape(wrongPose));
  });
});

it('fWPDC, the weights of the public code on 62 parameters', () => {
  const random = new Random(5);
  const m = 4;
  const normal = (count: number) => Float64Array.from({ length: count }, () => random.normal());
  const [pc, pg, shape] = [normal(2 * 62), normal(2 * 62), normal(2 * 3 * m).map((x) => 1e4 * x)];
  const lengths = normal(50).map((x) => Math.abs(x));
  const std = normal(62).map((x) => Math.abs(x));
  const t = (data: Float64Array, shape: number[]) => tensor(data, { shape, device });
  const found = fastWpdcWeights(t(pc, [2, 62]), t(pg, [2, 62]), {
    shape: t(shape, [2, 3, m]),
    modeLengths: t(lengths, [50]),
    std: t(std, [62]),
    f: 0.01,
  });
  const expected = [0, 1].flatMap((i) => {
    const w = Array.from({ length: 62 }, (_, k) => {
      const error = Math.abs(pc[62 * i + k] - pg[62 * i + k]) * std[k];
      if (k >= 12) return error * 0.01 * lengths[k - 12] + 1e-6;
      if (k === 11) return 1e-6;
      if (k % 4 === 3) return error * Math.sqrt(m) + 1e-6;
      const row = shape.slice((3 * i + (k % 4)) * m, (3 * i + (k % 4) + 1) * m);
      return error * Math.hypot(...row) + 1e-6;
    });
    return w.map((x) => x / Math.max(...w));
  });
  expectClose(found, Float64Array.from(expected), 1e-9, 'weights');
});
