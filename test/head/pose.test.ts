import { describe, expect, test } from 'vitest';
import { Random } from '../../src/head/random.js';
import {
  affineFromPose,
  applyAffine,
  applyPose,
  eulerFromMatrix,
  eulerFromQuaternion,
  poseFromAffine,
  type Quaternion,
  quaternionFromEuler,
  quaternionFromMatrix,
  quaternionScale,
  rotationFromEuler,
  scaledRotation,
  scaledRotationDerivatives,
} from '../../src/models/pose.js';

const random = new Random(11);
const draw = (): Quaternion => [random.normal(), random.normal(), random.normal(), random.normal()];
const multiply = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Float64Array.from({ length: 9 }, (_, i) =>
    [0, 1, 2].reduce((s, k) => s + a[3 * Math.floor(i / 3) + k] * b[3 * k + (i % 3)], 0),
  );
const transposed = (m: ArrayLike<number>) =>
  Float64Array.from({ length: 9 }, (_, i) => m[3 * (i % 3) + Math.floor(i / 3)]);
const worst = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  expect(a.length).toBe(b.length);
  return Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));
};

describe('quaternion vector', () => {
  test('R(q) is ||q||^2 times a rotation, and sandwiches a vector as q v q*', () => {
    for (let i = 0; i < 20; i++) {
      const q = draw();
      const f = quaternionScale(q);
      const r = scaledRotation(q).map((x) => x / f);
      expect(worst(multiply(r, transposed(r)), [1, 0, 0, 0, 1, 0, 0, 0, 1])).toBeLessThan(1e-12);
      const v = [random.normal(), random.normal(), random.normal()];
      const [a, b, c, d] = q;
      // q (0, v) q*, written with cross products: (a^2 - |u|^2) v + 2 (u.v) u + 2 a u x v
      const u = [b, c, d];
      const dot = u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
      const cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      const expected = v.map((x, k) => (a * a - b * b - c * c - d * d) * x + 2 * dot * u[k] + 2 * a * cross[k]);
      const got = applyPose(Float64Array.from(v), { q, t: [0, 0, 0] });
      expect(worst(got, expected)).toBeLessThan(1e-4 * f);
    }
  });

  test('to a matrix and back, also for half turns', () => {
    const half: Quaternion[] = [
      [0, 1, 0, 0],
      [0, 0, 2, 0],
      [1e-9, 0, 0, -1],
    ];
    for (const q of [...half, ...Array.from({ length: 50 }, draw)]) {
      const back = quaternionFromMatrix(scaledRotation(q));
      const same = worst(back, q);
      const opposite = worst(
        back,
        q.map((x) => -x),
      );
      expect(Math.min(same, opposite)).toBeLessThan(1e-8);
    }
    expect(() => quaternionFromMatrix([1, 0, 0, 0, 1, 0, 0, 0, -1])).toThrow(/quaternionFromMatrix/);
  });

  test('derivatives agree with central differences', () => {
    const q = draw();
    const analytic = scaledRotationDerivatives(q);
    for (let k = 0; k < 4; k++) {
      const step = (h: number) => scaledRotation(q.map((x, i) => (i === k ? x + h : x)) as unknown as Quaternion);
      const numeric = step(1e-4).map((x, i) => (x - step(-1e-4)[i]) / 2e-4);
      expect(worst(analytic[k], numeric)).toBeLessThan(1e-9);
    }
  });
});

describe('angles', () => {
  test('round trips through matrix and quaternion', () => {
    for (let i = 0; i < 50; i++) {
      const angles = {
        yaw: random.uniform(-89, 89),
        pitch: random.uniform(-170, 170),
        roll: random.uniform(-170, 170),
      };
      for (const back of [
        eulerFromMatrix(rotationFromEuler(angles)),
        eulerFromQuaternion(quaternionFromEuler(angles, 3.5)),
      ]) {
        expect(worst(Object.values(back), Object.values(angles))).toBeLessThan(1e-8);
      }
    }
  });

  test('at yaw 90 the matrix comes back although roll and pitch cannot be told apart', () => {
    for (const yaw of [90, -90]) {
      const m = rotationFromEuler({ yaw, pitch: 20, roll: 35 });
      expect(worst(rotationFromEuler(eulerFromMatrix(m)), m)).toBeLessThan(1e-9);
    }
  });

  test('signs: yaw to image left, pitch down, roll counter-clockwise', () => {
    const nose = Float64Array.of(0, 0, 1);
    expect(
      applyAffine(nose, affineFromPose({ q: quaternionFromEuler({ yaw: 30, pitch: 0, roll: 0 }), t: [0, 0, 0] }))[0],
    ).toBeCloseTo(-0.5);
    expect(
      applyAffine(nose, affineFromPose({ q: quaternionFromEuler({ yaw: 0, pitch: 30, roll: 0 }), t: [0, 0, 0] }))[1],
    ).toBeCloseTo(-0.5);
    const left = Float64Array.of(1, 0, 0);
    expect(
      applyAffine(left, affineFromPose({ q: quaternionFromEuler({ yaw: 0, pitch: 0, roll: 30 }), t: [0, 0, 0] }))[1],
    ).toBeCloseTo(0.5);
  });

  test('an affine camera gives back the pose it was made from', () => {
    const q = quaternionFromEuler({ yaw: 31, pitch: -12, roll: 8 }, 0.73);
    const { f, angles, pose } = poseFromAffine(affineFromPose({ q, t: [5, -6, 7] }));
    expect(f).toBeCloseTo(0.73, 10);
    expect([angles.yaw, angles.pitch, angles.roll].map((x) => Math.round(x * 1e6) / 1e6)).toEqual([31, -12, 8]);
    expect(worst(pose.q, q)).toBeLessThan(1e-10);
    expect(pose.t).toEqual([5, -6, 7]);
  });
});
