// Head pose: the un-normalised quaternion vector of 3DDFA (paper-spec 9.1), matrices and angles. Contract: one frame for
// all of them. Model and camera are y up with z towards the viewer; V = R(q) S + t, R(q) = f * rotation with f = ||q||^2.

/** Degrees. yaw > 0: the face turns to image left (its left side comes nearer); pitch > 0: down; roll > 0: counter-clockwise. */
export interface EulerAngles {
  yaw: number;
  pitch: number;
  roll: number;
}

/** q0..q3 with q0 the real part; ||q||^2 is the scale f from model units to pixels. */
export type Quaternion = readonly [number, number, number, number];

/** V = R(q) S + (tx, ty, tz), y up. `tz` moves depth only and is 0 where nothing else is said. */
export interface Pose {
  q: Quaternion;
  t: readonly [number, number, number];
}

const DEGREE = Math.PI / 180;

/** R(q) of paper-spec 9.1, row-major 3x3: f * rotation with f = ||q||^2, for a quaternion of any length. */
export function scaledRotation(q: Quaternion): Float64Array {
  const [a, b, c, d] = q;
  return Float64Array.of(
    a * a + b * b - c * c - d * d,
    2 * (b * c - a * d),
    2 * (a * c + b * d),
    2 * (b * c + a * d),
    a * a - b * b + c * c - d * d,
    2 * (c * d - a * b),
    2 * (b * d - a * c),
    2 * (a * b + c * d),
    a * a - b * b - c * c + d * d,
  );
}

/** The scale f = ||q||^2. */
export function quaternionScale(q: Quaternion): number {
  return q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3];
}

/** Derivatives dR/dq_k, k = 0..3, each row-major 3x3 (R is quadratic in q, so they are linear in it). */
export function scaledRotationDerivatives(q: Quaternion): Float64Array[] {
  const [a, b, c, d] = q.map((x) => 2 * x);
  return [
    Float64Array.of(a, -d, c, d, a, -b, -c, b, a),
    Float64Array.of(b, c, d, c, -b, -a, d, a, -b),
    Float64Array.of(-c, b, a, b, c, d, -a, d, -c),
    Float64Array.of(-d, -a, b, a, -d, c, b, c, d),
  ];
}

/**
 * The quaternion (real part >= 0) of a row-major 3x3 rotation times a positive scale; ||q||^2 is that scale.
 * The largest component is found first, so no rotation is near a division by zero.
 */
export function quaternionFromMatrix(m: ArrayLike<number>): Quaternion {
  const f = Math.cbrt(determinant(m));
  if (!(f > 0))
    throw new RangeError(`quaternionFromMatrix: wanted a rotation times a positive scale, determinant ${f ** 3}`);
  // f = ||q||^2, so trace-like sums give 4 q_i^2.
  const squares = [f + m[0] + m[4] + m[8], f + m[0] - m[4] - m[8], f - m[0] + m[4] - m[8], f - m[0] - m[4] + m[8]];
  const largest = squares.indexOf(Math.max(...squares));
  const root = Math.sqrt(squares[largest]); // 2 |q_largest|
  const q01 = m[7] - m[5]; // 4 q0 q1
  const q02 = m[2] - m[6];
  const q03 = m[3] - m[1];
  const q12 = m[1] + m[3];
  const q13 = m[2] + m[6];
  const q23 = m[5] + m[7];
  const rows = [
    [root * root, q01, q02, q03],
    [q01, root * root, q12, q13],
    [q02, q12, root * root, q23],
    [q03, q13, q23, root * root],
  ];
  const q = rows[largest].map((x) => x / (2 * root));
  const sign = q[0] < 0 ? -1 : 1;
  return [sign * q[0], sign * q[1], sign * q[2], sign * q[3]];
}

/**
 * Row-major rotation Rz(roll) Ry(-yaw) Rx(pitch), so that its third row starts with sin(yaw): the angles that 3DDFA_V2
 * reports for its camera matrix. Angles in degrees.
 */
export function rotationFromEuler({ yaw, pitch, roll }: EulerAngles): Float64Array {
  const sy = Math.sin(yaw * DEGREE);
  const cy = Math.cos(yaw * DEGREE);
  const sp = Math.sin(pitch * DEGREE);
  const cp = Math.cos(pitch * DEGREE);
  const sr = Math.sin(roll * DEGREE);
  const cr = Math.cos(roll * DEGREE);
  return Float64Array.of(
    cr * cy,
    -cr * sy * sp - sr * cp,
    -cr * sy * cp + sr * sp,
    sr * cy,
    -sr * sy * sp + cr * cp,
    -sr * sy * cp - cr * sp,
    sy,
    cy * sp,
    cy * cp,
  );
}

/** Angles in degrees of a rotation (times any positive scale): yaw in [-90, 90]; at yaw = +-90 roll is taken as 0. */
export function eulerFromMatrix(m: ArrayLike<number>): EulerAngles {
  const f = Math.hypot(m[6], m[7], m[8]);
  const sine = Math.max(-1, Math.min(1, m[6] / f));
  if (Math.abs(sine) > 1 - 1e-12) {
    return { yaw: sine > 0 ? 90 : -90, pitch: Math.atan2(-m[5], m[4]) / DEGREE, roll: 0 };
  }
  return {
    yaw: Math.asin(sine) / DEGREE,
    pitch: Math.atan2(m[7], m[8]) / DEGREE,
    roll: Math.atan2(m[3], m[0]) / DEGREE,
  };
}

/** The quaternion vector of angles (degrees) and a scale f > 0 in pixels per model unit; ||q||^2 = f. */
export function quaternionFromEuler(angles: EulerAngles, f = 1): Quaternion {
  return quaternionFromMatrix(rotationFromEuler(angles).map((x) => x * f));
}

/** Angles in degrees of a quaternion of any non-zero length. */
export function eulerFromQuaternion(q: Quaternion): EulerAngles {
  return eulerFromMatrix(scaledRotation(q));
}

/** V = R(q) S + t for every row of S [N, 3] -> [N, 3]; y up, z towards the viewer, pixels. */
export function applyPose(vertices: ArrayLike<number>, { q, t }: Pose): Float32Array {
  return applyAffine(vertices, affineFromPose({ q, t }));
}

/** The row-major 3x4 matrix [R(q) | t]. */
export function affineFromPose({ q, t }: Pose): Float64Array {
  const r = scaledRotation(q);
  return Float64Array.of(r[0], r[1], r[2], t[0], r[3], r[4], r[5], t[1], r[6], r[7], r[8], t[2]);
}

/** V = P S + t for a row-major 3x4 matrix [P | t] and rows S [N, 3] -> [N, 3]. */
export function applyAffine(vertices: ArrayLike<number>, m: ArrayLike<number>): Float32Array {
  const out = new Float32Array(vertices.length);
  for (let i = 0; i < out.length; i += 3) {
    const x = vertices[i];
    const y = vertices[i + 1];
    const z = vertices[i + 2];
    out[i] = m[0] * x + m[1] * y + m[2] * z + m[3];
    out[i + 1] = m[4] * x + m[5] * y + m[6] * z + m[7];
    out[i + 2] = m[8] * x + m[9] * y + m[10] * z + m[11];
  }
  return out;
}

/**
 * The pose nearest to an affine camera [P | t] as 3DDFA_V2 reads it: rows 1 and 2 normalised, the third their cross
 * product, f the mean of the two lengths. The third row is orthogonalised only against the first, so the rotation is
 * exact when P is a scaled rotation and within the 1-2 % by which its singular values differ otherwise.
 */
export function poseFromAffine(m: ArrayLike<number>): {
  f: number;
  rotation: Float64Array;
  angles: EulerAngles;
  pose: Pose;
} {
  const l1 = Math.hypot(m[0], m[1], m[2]);
  const l2 = Math.hypot(m[4], m[5], m[6]);
  const a = [m[0] / l1, m[1] / l1, m[2] / l1];
  const b = [m[4] / l2, m[5] / l2, m[6] / l2];
  const c = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const f = (l1 + l2) / 2;
  const rotation = Float64Array.from([...a, ...b, ...c]);
  // The quaternion needs a true rotation: b is made orthogonal to a, c is a unit vector again.
  const lc = Math.hypot(c[0], c[1], c[2]);
  const n = c.map((x) => x / lc);
  const o = [n[1] * a[2] - n[2] * a[1], n[2] * a[0] - n[0] * a[2], n[0] * a[1] - n[1] * a[0]];
  const q = quaternionFromMatrix([...a, ...o, ...n].map((x) => x * f));
  return { f, rotation, angles: eulerFromMatrix(rotation), pose: { q, t: [m[3], m[7], m[11]] } };
}

function determinant(m: ArrayLike<number>): number {
  return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
}
