// The quaternion vector and its decoder, against plain loops in float64 that share nothing with the ops.
import { describe, expect, it } from 'vitest';
import {
  costVertices,
  FaceDecoder,
  FaceModelError,
  initialVector,
  parameterStatistics,
  parameterVector,
  quaternionFromEuler,
  resizeVector,
  scaledRotation,
  splitParameters,
  standardise,
  unstandardise,
  vectorFrom62,
  vectorTo62,
} from '../src/models/index.js';
import { gradient, mul, ShapeError, sum, tensor } from '../src/tensor/index.js';
import { expectClose } from './close.js';
import { faceOf, projectionOf, smallModel, vectors } from './faces.js';
import './cases/index.js';

const model = smallModel();
const counts = { identity: 4, expression: 3 };
const d = 13;
const picked = Int32Array.of(0, 5, 17, 30, 41);
const p = vectors(3, counts, 7);
const rows = [0, 1, 2].map((i) => p.slice(i * d, (i + 1) * d));
const decoder = new FaceDecoder(model, { ...counts, vertices: picked, device: 'reference' });
const given = () => tensor(p, { shape: [3, d], device: 'reference' });

describe('vector', () => {
  it('to the face and back', () => {
    const pose = { q: quaternionFromEuler({ yaw: 30, pitch: -10, roll: 5 }, 0.4), t: [60, 58, 0] as const };
    const vector = parameterVector({ pose, alpha: [1, 2], beta: [3] }, counts);
    expect(vector.length).toBe(d);
    const face = splitParameters(vector, counts);
    expect(face.pose).toEqual({ q: [...pose.q], t: [60, 58, 0] });
    expect([...face.alpha]).toEqual([1, 2, 0, 0]);
    expect([...face.beta]).toEqual([3, 0, 0]);
    expect(() => parameterVector({ pose, alpha: new Array(5).fill(0), beta: [] }, counts)).toThrow(FaceModelError);
    expect(() => splitParameters(vector.slice(1), counts)).toThrow('wanted 13 numbers, got 12');
  });

  it('to 62 parameters and back; a pixel counted from 1 moves', () => {
    const pose = { q: quaternionFromEuler({ yaw: -50, pitch: 12, roll: 3 }, 4e-4), t: [61, 57, 0] as const };
    const vector = parameterVector(
      { pose, alpha: Array.from({ length: 40 }, (_, i) => i * 100), beta: [1, -1] },
      { identity: 40, expression: 10 },
    );
    const param = vectorTo62(vector);
    expect(param.length).toBe(62);
    expect([param[3], param[7], param[11]]).toEqual([62, 58, 0]);
    expect(param[12 + 39]).toBe(3900);
    const back = vectorFrom62(param);
    expect(Math.max(...vector.map((x, i) => Math.abs(x - back[i])))).toBeLessThan(1e-9);
  });

  it('in a crop of another side the face stays where it is', () => {
    const small = resizeVector(rows[0], 120, 60);
    const at = projectionOf(model, counts, picked);
    const [a, b] = [at(rows[0]), at(small)];
    a.forEach((v, i) => {
      expect(b[i]).toBeCloseTo((v + 0.5) / 2 - 0.5, 9);
    });
  });

  it('p0 is frontal, centred, and fills its share', () => {
    const start = initialVector(model, counts, { side: 100, share: 0.5 });
    const seen = projectionOf(model, counts, model.landmarks)(start);
    const count = model.landmarks.length;
    const extent = [seen.slice(0, count), seen.slice(count)].map((v) => [Math.min(...v), Math.max(...v)]);
    expect(Math.max(...extent.map(([low, high]) => high - low))).toBeCloseTo(50, 4);
    for (const [low, high] of extent) expect((low + high) / 2).toBeCloseTo(49.5, 4);
    expect([...start.slice(1, 4)]).toEqual([0, 0, 0]);
  });

  it('statistics standardise, and a number that does not vary stays finite', () => {
    const data = [1, 10, 5, 3, 30, 5];
    const statistics = parameterStatistics(data, 3);
    expect([...statistics.mean]).toEqual([2, 20, 5]);
    expect(statistics.std[0]).toBeCloseTo(1);
    expect(statistics.std[2]).toBeCloseTo(1e-5, 9);
    const z = standardise(data, statistics);
    expect([...z]).toEqual([-1, -1, 0, 1, 1, 0]);
    expect([...unstandardise(z, statistics)]).toEqual(data);
    expect(() => parameterStatistics([1, 2], 3)).toThrow(FaceModelError);
  });
});

describe('decoder', () => {
  it('R(q) is that of the quaternion', () => {
    const expected = rows.flatMap((row) => [...scaledRotation([row[0], row[1], row[2], row[3]])]);
    expectClose(decoder.rotation(given()), Float64Array.from(expected), 1e-12, 'R');
  });

  it('vertices and projection are those of the model', () => {
    const m = picked.length;
    const planes = rows.flatMap((row) => {
      const face = faceOf(model, counts, picked, row);
      return [0, 1, 2].flatMap((c) => Array.from({ length: m }, (_, i) => face[3 * i + c]));
    });
    expectClose(decoder.vertices(given()), Float64Array.from(planes), 1e-12, 'vertices');
    const seen = rows.flatMap((row) => projectionOf(model, counts, picked)(row));
    expectClose(decoder.project(given()), Float64Array.from(seen), 1e-12, 'projection');
  });

  it('on the cpu as well, with all vertices', () => {
    const all = new FaceDecoder(model);
    const counts = { identity: model.identityCount, expression: model.expressionCount };
    const vector = vectors(1, counts, 3);
    const every = Int32Array.from({ length: model.vertexCount }, (_, i) => i);
    const seen = projectionOf(model, counts, every)(vector);
    expectClose(all.project(tensor(vector, { shape: [1, all.size] })), Float64Array.from(seen), 1e-5, 'projection');
    all.dispose();
  });

  it('Jacobian: against differences, alone and z-scored', () => {
    const m = 2 * picked.length;
    const seen = projectionOf(model, counts, picked);
    const statistics = { mean: Float64Array.from(rows[0]), std: Float64Array.from({ length: d }, (_, i) => 0.5 + i) };
    const slopes = rows.flatMap((row) =>
      Array.from({ length: d }, (_, k) => {
        const h = 1e-5 * Math.max(1, Math.abs(row[k]));
        const moved = (by: number) => seen(row.map((x, i) => (i === k ? x + by : x)));
        const [up, down] = [moved(h), moved(-h)];
        return up.map((v, i) => (v - down[i]) / (2 * h));
      }).flat(),
    );
    expectClose(decoder.jacobian(given()), Float64Array.from(slopes), 1e-7, 'J');
    const face = decoder.standardised(statistics);
    const z = tensor(standardise(p, statistics), { shape: [3, d], device: 'reference' });
    const scaled = slopes.map((v, i) => v * statistics.std[Math.floor(i / m) % d]);
    expectClose(face.jacobian(z), Float64Array.from(scaled), 1e-7, 'J, z-scored');
    expectClose(face.project(z), decoder.project(given()), 1e-12, 'projection, z-scored');
    face.dispose();
  });

  it('gradient of a projection is the Jacobian, whatever computes it', () => {
    const x = given();
    const weights = tensor(
      Float64Array.from({ length: 30 }, (_, i) => Math.sin(i)),
      { shape: [3, 10], device: 'reference' },
    );
    const slope = gradient(sum(mul(decoder.project(x), weights)), x);
    const j = decoder.jacobian(x).dataSync();
    const expected = Float64Array.from({ length: 3 * d }, (_, at) => {
      const [row, k] = [Math.floor(at / d), at % d];
      let total = 0;
      for (let i = 0; i < 10; i++) total += j[(row * d + k) * 10 + i] * Math.sin(row * 10 + i);
      return total;
    });
    expectClose(slope, expected, 1e-10, 'gradient');
  });

  it('refuses what does not fit', () => {
    expect(() => decoder.project(tensor([[1, 2]]))).toThrow(
      new ShapeError('FaceDecoder.project: p must be [n, 13], got [1,2]'),
    );
    expect(() => new FaceDecoder(model, { identity: 99 })).toThrow('wants 99 and 3 modes');
  });
});

it('costs are measured at the landmarks and at others, drawn from a seed', () => {
  const vertices = costVertices(model, { random: 9, seed: 4 });
  expect([...vertices.slice(0, 68)]).toEqual([...model.landmarks]);
  const others = vertices.slice(68);
  expect(others.length).toBe(9);
  expect(new Set(others).size).toBe(9);
  for (const v of others) expect(model.landmarks.includes(v)).toBe(false);
  expect([...costVertices(model, { random: 9, seed: 4 })]).toEqual([...vertices]);
  expect([...costVertices(model, { random: 9, seed: 5 })]).not.toEqual([...vertices]);
});
