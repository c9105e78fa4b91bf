// Fits to landmarks of known faces: what comes back must be what went in.
import { describe, expect, test } from 'vitest';
import { Random } from '../../src/head/random.js';
import { solveCholesky } from '../../src/models/cholesky.js';
import { FitError, fitLandmarks } from '../../src/models/fitter.js';
import {
  applyPose,
  type EulerAngles,
  eulerFromQuaternion,
  type Pose,
  quaternionFromEuler,
} from '../../src/models/pose.js';
import { loadFaceModel } from '../../src/pipeline/face_model.js';

const model = loadFaceModel();

/** Landmarks of a shape in a photo, [68, 2], y down. */
function project(shape: Float32Array, pose: Pose): Float64Array {
  const turned = applyPose(shape, pose);
  return Float64Array.from({ length: 136 }, (_, i) => (i % 2 ? -1 : 1) * turned[3 * (i >> 1) + (i % 2)]);
}

/** A drawn face about 200 pixels high; `noise` in pixels. */
function photographed(seed: number, angles: EulerAngles, noise = 0) {
  const random = new Random(seed);
  const alpha = model.identityStd.map((s) => s * random.truncated(2));
  const beta = model.expressionStd.map((s) => s * random.truncated(2));
  const shape = model.verticesAt(model.landmarks, alpha, beta);
  const exact = project(shape, { q: quaternionFromEuler(angles, 1.3), t: [300, -250, 0] });
  return { exact, points: exact.map((v) => v + noise * random.normal()) };
}

const worstAngle = (a: EulerAngles, b: EulerAngles) =>
  Math.max(Math.abs(a.yaw - b.yaw), Math.abs(a.pitch - b.pitch), Math.abs(a.roll - b.roll));

/** Largest distance between landmarks [68, 3] and [68, 2]. */
function worstDistance(fitted: Float32Array, exact: Float64Array): number {
  let worst = 0;
  for (let i = 0; i < 68; i++) {
    worst = Math.max(worst, Math.hypot(fitted[3 * i] - exact[2 * i], fitted[3 * i + 1] - exact[2 * i + 1]));
  }
  return worst;
}

const yaws = [-60, -40, -20, 0, 20, 40, 60];

describe('fitLandmarks', () => {
  test.each(yaws)('the mean face at yaw %i comes back', (yaw) => {
    const angles = { yaw, pitch: 8, roll: -6 };
    const pose: Pose = { q: quaternionFromEuler(angles, 0.7), t: [90, -80, 0] };
    const points = project(model.verticesAt(model.landmarks), pose);
    const fit = fitLandmarks(model, points);
    expect(worstAngle(eulerFromQuaternion(fit.pose.q), angles)).toBeLessThan(0.02);
    expect(fit.rmse).toBeLessThan(1e-2);
    expect(fit.scale).toBeCloseTo(0.7, 3);
    expect(fit.pose.t[0]).toBeCloseTo(90, 1);
    expect(fit.pose.t[1]).toBeCloseTo(-80, 1);
    expect(fit.pose.t[2]).toBe(0);
    const again = project(model.verticesAt(model.landmarks, fit.alpha, fit.beta), fit.pose);
    expect(worstDistance(fit.landmarks, again)).toBeLessThan(1e-3);
  });

  test.each(yaws)(
    'faces with shape and expression at yaw %i: pose within half a degree, landmarks within 0.2 pixels',
    (yaw) => {
      for (let seed = 0; seed < 4; seed++) {
        const angles = { yaw, pitch: 5, roll: -4 };
        const { points, exact } = photographed(seed, angles);
        const fit = fitLandmarks(model, points);
        expect(worstAngle(eulerFromQuaternion(fit.pose.q), angles)).toBeLessThan(0.5);
        expect(worstDistance(fit.landmarks, exact)).toBeLessThan(0.2);
        for (let k = 0; k < fit.alpha.length; k++)
          expect(Math.abs(fit.alpha[k])).toBeLessThan(4 * model.identityStd[k]);
      }
    },
  );

  test('landmarks off by a pixel move the fit by less than they are off', () => {
    for (const yaw of [-60, -15, 30, 60]) {
      const angles = { yaw, pitch: -5, roll: 10 };
      const { points, exact } = photographed(11 + yaw, angles, 1);
      const fit = fitLandmarks(model, points);
      expect(worstAngle(eulerFromQuaternion(fit.pose.q), angles)).toBeLessThan(3);
      let sum = 0;
      for (let i = 0; i < 136; i++) sum += (fit.landmarks[3 * (i >> 1) + (i % 2)] - exact[i]) ** 2;
      expect(Math.sqrt(sum / 68)).toBeLessThan(1.1);
      expect(fit.rmse).toBeGreaterThan(0.7);
      expect(fit.rmse).toBeLessThan(2);
    }
  });

  test('a landmark of weight 0 is not looked at', () => {
    const { points, exact } = photographed(3, { yaw: 25, pitch: 0, roll: 0 });
    const weights = new Float64Array(68).fill(1);
    weights[30] = 0;
    points[60] += 500;
    const fit = fitLandmarks(model, points, { weights });
    expect(fit.rmse).toBeLessThan(0.2);
    expect(Math.hypot(fit.landmarks[90] - exact[60], fit.landmarks[91] - exact[61])).toBeLessThan(5);
  });

  test('without shape the coefficients stay 0', () => {
    const { points } = photographed(5, { yaw: 10, pitch: 0, roll: 0 });
    const fit = fitLandmarks(model, points, { shape: false });
    expect([...fit.alpha, ...fit.beta].every((v) => v === 0)).toBe(true);
    expect(fit.alpha.length).toBe(model.identityCount);
    expect(Math.abs(eulerFromQuaternion(fit.pose.q).yaw - 10)).toBeLessThan(10);
  });

  test('the result does not depend on the unit of the photo', () => {
    const { points } = photographed(8, { yaw: 35, pitch: 4, roll: 3 }, 0.5);
    const a = fitLandmarks(model, points);
    const b = fitLandmarks(
      model,
      points.map((v) => 10 * v),
    );
    expect(b.rmse / a.rmse).toBeCloseTo(10, 3);
    expect(b.scale / a.scale).toBeCloseTo(10, 3);
    a.alpha.forEach((v, k) => {
      expect(Math.abs(v - b.alpha[k])).toBeLessThan(1e-4 * model.identityStd[0]);
    });
  });

  test('what cannot be a face is refused', () => {
    const { points } = photographed(1, { yaw: 0, pitch: 0, roll: 0 });
    expect(() => fitLandmarks(model, points.slice(2))).toThrow(FitError);
    expect(() => fitLandmarks(model, points.slice(2))).toThrow('wanted 68 landmarks [68, 2], got 134 numbers');
    const broken = Float64Array.from(points);
    broken[9] = Number.NaN;
    expect(() => fitLandmarks(model, broken)).toThrow('landmark 5 has the coordinate NaN');
    expect(() => fitLandmarks(model, new Float64Array(136).fill(7))).toThrow('one point');
    expect(() =>
      fitLandmarks(
        model,
        points.map((v, i) => (i % 2 ? 2 * points[i - 1] : v)),
      ),
    ).toThrow('on a line');
    expect(() => fitLandmarks(model, points, { weights: [1, 2] })).toThrow('wanted 68 weights, got 2');
    expect(() => fitLandmarks(model, points, { weights: new Float64Array(68) })).toThrow('at least 6 landmarks');
    expect(() => fitLandmarks(model, points, { noise: 0 })).toThrow('noise must be > 0');
  });
});

describe('solveCholesky', () => {
  test('solves, and refuses what is not positive definite', () => {
    const random = new Random(4);
    const n = 7;
    const j = Float64Array.from({ length: 3 * n * n }, () => random.normal());
    const a = new Float64Array(n * n);
    for (let r = 0; r < 3 * n; r++) {
      for (let p = 0; p < n; p++) for (let q = 0; q < n; q++) a[p * n + q] += j[r * n + p] * j[r * n + q];
    }
    const x = Float64Array.from({ length: n }, (_, i) => i - 2.5);
    const b = Float64Array.from({ length: n }, (_, p) => x.reduce((sum, v, q) => sum + a[p * n + q] * v, 0));
    solveCholesky(a, b)?.forEach((v, i) => {
      expect(v).toBeCloseTo(x[i], 10);
    });
    expect(solveCholesky(a, b)).toBeDefined();
    expect(solveCholesky(Float64Array.of(1, 0, 0, -1), Float64Array.of(1, 1))).toBeUndefined();
    expect(solveCholesky(Float64Array.of(1, 1, 1, 1), Float64Array.of(1, 1))).toBeUndefined();
    expect(() => solveCholesky(Float64Array.of(1, 2), Float64Array.of(1, 1))).toThrow(RangeError);
  });
});
