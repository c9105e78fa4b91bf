// The face model in assets/: what a fitter, an unwrapper and a painter rely on.
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readSafetensors, readSafetensorsMetadata } from '../../src/formats/safetensors.js';
import { faceLayout } from '../../src/head/layout.js';
import { expressionCoefficients } from '../../src/head/person.js';
import { Random } from '../../src/head/random.js';
import { drawExpression, drawIdentity, ParametricHead } from '../../src/head/scans.js';
import { buildDefaultFaceModel } from '../../src/models/default-face.js';
import { FaceModelError, type HostTensor, MorphableModel } from '../../src/models/morphable.js';

const path = fileURLToPath(new URL('../../assets/face.safetensors', import.meta.url));
const tensors = readSafetensors(path);
const model = MorphableModel.fromTensors(tensors, readSafetensorsMetadata(path));
const n = model.vertexCount;
const bytes = (a: Float32Array) => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
/** Bitwise; comparing element by element in the test library takes seconds at this size. */
const same = (a: Float32Array, b: Float32Array) => Buffer.compare(bytes(a), bytes(b)) === 0;
const mark = (i: number) => Array.from(model.mean.subarray(model.landmarks[i] * 3, model.landmarks[i] * 3 + 3));

describe('modes', () => {
  test.each(['identity', 'expression'] as const)('%s modes are orthonormal within half precision', (name) => {
    const modes = model[name];
    const count = modes.length / (3 * n);
    for (let a = 0; a < count; a += 3) {
      for (let b = a; b < count; b += 2) {
        let sum = 0;
        for (let i = 0; i < 3 * n; i++) sum += modes[a * 3 * n + i] * modes[b * 3 * n + i];
        expect(Math.abs(sum - (a === b ? 1 : 0))).toBeLessThan(2e-3);
      }
    }
  });

  test('standard deviations fall, and are millimetres summed over the head', () => {
    for (const std of [model.identityStd, model.expressionStd]) {
      for (let i = 1; i < std.length; i++) expect(std[i]).toBeLessThanOrEqual(std[i - 1]);
    }
    const rms = Math.sqrt(model.identityStd.reduce((a, s) => a + s * s, 0) / n);
    expect(rms).toBeGreaterThan(2);
    expect(rms).toBeLessThan(9);
  });

  test('people and expressions that were not in the scans lie in the span', () => {
    const head = new ParametricHead();
    const random = new Random(987);
    const project = (modes: Float32Array, count: number, d: Float64Array) => {
      const rest = Float64Array.from(d);
      for (let m = 0; m < count; m++) {
        let c = 0;
        for (let i = 0; i < d.length; i++) c += modes[m * d.length + i] * d[i];
        for (let i = 0; i < d.length; i++) rest[i] -= c * modes[m * d.length + i];
      }
      const rms = (x: Float64Array) => Math.sqrt(x.reduce((a, v) => a + v * v, 0) / n);
      return { before: rms(d), after: rms(rest) };
    };
    for (let k = 0; k < 4; k++) {
      const neutral = head.neutral(drawIdentity(random));
      const away = Float64Array.from(neutral, (x, i) => x - model.mean[i]);
      const identity = project(model.identity, model.identityCount, away);
      expect(identity.before).toBeGreaterThan(2);
      expect(identity.after).toBeLessThan(0.6);
      const moved = head.expressive(neutral, drawExpression(random));
      const difference = Float64Array.from(moved, (x, i) => x - neutral[i]);
      const expression = project(model.expression, model.expressionCount, difference);
      expect(expression.after).toBeLessThan(Math.max(0.12, 0.2 * expression.before));
    }
  });

  test('opening the jaw parts the inner lips by more than a centimetre', () => {
    const beta = expressionCoefficients(model, { jawOpen: 1 });
    const gap = (vertices: Float32Array) => {
      const marks = model.landmarksOf(vertices);
      return marks[62 * 3 + 1] - marks[66 * 3 + 1];
    };
    expect(gap(model.mean)).toBeLessThan(2);
    expect(gap(model.vertices([], beta))).toBeGreaterThan(12);
  });
});

describe('landmarks', () => {
  test('the order is Multi-PIE: from the subject right to the left, pairs mirrored', () => {
    const pairs: [number, number][] = [];
    for (let i = 0; i < 8; i++) pairs.push([i, 16 - i]);
    for (let i = 0; i < 5; i++) pairs.push([17 + i, 26 - i]);
    pairs.push([31, 35], [32, 34], [36, 45], [37, 44], [38, 43], [39, 42], [40, 47], [41, 46]);
    pairs.push([48, 54], [49, 53], [50, 52], [59, 55], [58, 56], [60, 64], [61, 63], [67, 65]);
    for (const [right, left] of pairs) {
      const [a, b] = [mark(right), mark(left)];
      expect(a[0]).toBeLessThan(-1);
      expect(Math.abs(a[0] + b[0])).toBeLessThan(0.8);
      expect(Math.abs(a[1] - b[1])).toBeLessThan(0.8);
      expect(Math.abs(a[2] - b[2])).toBeLessThan(1.2);
    }
    for (const i of [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]) expect(Math.abs(mark(i)[0])).toBeLessThan(0.8);
  });

  test('features are where faces have them', () => {
    expect(new Set(model.landmarks).size).toBe(68);
    const y = (i: number) => mark(i)[1];
    const falling = [19, 27, 28, 29, 30, 33, 51, 62, 66, 57, 8];
    for (let i = 1; i < falling.length; i++) expect(y(falling[i])).toBeLessThan(y(falling[i - 1]));
    const front = Math.max(...Array.from({ length: n }, (_, v) => model.mean[v * 3 + 2]));
    expect(front - mark(30)[2]).toBeLessThan(1);
    for (let i = 1; i < 17; i++) expect(mark(i)[0]).toBeGreaterThan(mark(i - 1)[0]);
    expect(y(37)).toBeGreaterThan(y(41) + 5);
  });

  test('the layout for painting is in millimetres of the parametric head', () => {
    const layout = faceLayout(model);
    expect(Math.abs(layout.eyes[1].outer[0] - 46)).toBeLessThan(2);
    expect(Math.abs(layout.eyes[0].outer[0] + 46)).toBeLessThan(2);
    expect(layout.chin[1]).toBeLessThan(-95);
  });
});

describe('mesh', () => {
  test('every edge has at most two triangles, in opposite directions', () => {
    const edges = new Set<number>();
    for (let t = 0; t < model.triangles.length; t += 3) {
      for (let k = 0; k < 3; k++) {
        const key = model.triangles[t + k] * n + model.triangles[t + ((k + 1) % 3)];
        expect(edges.has(key)).toBe(false);
        edges.add(key);
      }
    }
  });

  test('normals point outwards', () => {
    const normals = model.normals(model.mean);
    let out = 0;
    for (let v = 0; v < n; v++) {
      const [x, z] = [model.mean[v * 3], model.mean[v * 3 + 2]];
      out += normals[v * 3] * x + normals[v * 3 + 2] * z > 0 ? 1 : 0;
      expect(Math.hypot(normals[v * 3], normals[v * 3 + 1], normals[v * 3 + 2])).toBeCloseTo(1, 4);
    }
    expect(out / n).toBeGreaterThan(0.97);
    expect(normals[model.landmarks[30] * 3 + 2]).toBeGreaterThan(0.5);
  });

  test('the UV map is one-to-one but for a few triangles, and upright', () => {
    let flipped = 0;
    const { uv, triangles } = model;
    for (let t = 0; t < triangles.length; t += 3) {
      const [a, b, c] = [triangles[t] * 2, triangles[t + 1] * 2, triangles[t + 2] * 2];
      const area = (uv[b] - uv[a]) * (uv[c + 1] - uv[a + 1]) - (uv[c] - uv[a]) * (uv[b + 1] - uv[a + 1]);
      if (area <= 0) flipped++;
    }
    expect(flipped / (triangles.length / 3)).toBeLessThan(0.005);
    expect(Math.min(...uv)).toBe(0);
    expect(Math.max(...uv)).toBe(1);
    const at = (i: number) => [uv[model.landmarks[i] * 2], uv[model.landmarks[i] * 2 + 1]];
    expect(at(30)[0]).toBeCloseTo(0.5, 2);
    expect(at(36)[0]).toBeLessThan(at(45)[0]);
    expect(at(27)[1]).toBeGreaterThan(at(8)[1]);
  });
});

describe('building and reading', () => {
  const small = { people: 16, expressivePeople: 4, expressionsEach: 3, identityModes: 8, expressionModes: 4 };

  test('the same seed builds the same model, another seed another', () => {
    const a = buildDefaultFaceModel(small).model;
    const b = buildDefaultFaceModel(small).model;
    expect(same(a.mean, b.mean) && same(a.identity, b.identity) && same(a.expression, b.expression)).toBe(true);
    expect(same(a.mean, buildDefaultFaceModel({ ...small, seed: 1 }).model.mean)).toBe(false);
  });

  test('the file holds the head that the code describes', () => {
    const head = new ParametricHead();
    expect(n).toBe(head.vertexCount);
    expect(Array.from(model.landmarks)).toEqual(Array.from(head.landmarks));
    const mean = head.neutral();
    let worst = 0;
    for (let i = 0; i < mean.length; i++) worst = Math.max(worst, Math.abs(mean[i] - model.mean[i]));
    expect(worst).toBeLessThan(2.5);
  });

  test('the plain layout round-trips, and damage is named', () => {
    const { tensors: out, metadata } = model.toTensors();
    const again = MorphableModel.fromTensors(out, metadata);
    expect(same(again.identity, model.identity)).toBe(true);
    expect([again.name, again.licence, again.units]).toEqual([model.name, 'MIT', 'mm']);
    const damaged = (field: string, change: Partial<HostTensor>) => () =>
      MorphableModel.fromTensors({ ...out, [field]: { ...out[field], ...change } });
    expect(damaged('uv', { shape: [n, 3] })).toThrow(/face model: uv: wanted shape/);
    expect(damaged('landmarks', { shape: [5], data: Int32Array.of(1, 2, 3, 4, 5) })).toThrow(/landmarks/);
    const triangles = Int32Array.from(model.triangles);
    triangles[7] = n;
    expect(damaged('triangles', { data: triangles })).toThrow(new RegExp(`triangles: vertex ${n} .number 7.`));
    const mean = Float32Array.from(model.mean);
    mean[5] = Number.NaN;
    expect(damaged('mean', { data: mean })).toThrow(/mean: number 5 is NaN/);
    const { identity_std: gone, ...rest } = out;
    expect(gone.shape).toEqual([40]);
    expect(() => MorphableModel.fromTensors(rest)).toThrow(FaceModelError);
    expect(() => model.vertices(new Float32Array(41))).toThrow(/alpha/);
  });

  test('some vertices equal those of all', () => {
    const alpha = model.identityStd.map((s, i) => (i % 2 ? s : -s));
    const beta = model.expressionStd.map((s) => 0.5 * s);
    const all = model.vertices(alpha, beta);
    expect(model.verticesAt(model.landmarks, alpha, beta)).toEqual(model.landmarksOf(all));
  });
});
