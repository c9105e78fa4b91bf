// Where the features of a face model lie: its 68 landmarks on the mean face, in a frame the painter can use.
// Contract: millimetres of the parametric head (92 between the outer eye corners) whatever the model's unit; x to the
// subject's left, y up from the line of the eyes. Index 0 of a pair is the subject's right, 1 the left.

/** The part of a face model that painting and lighting need; a MorphableModel fits. */
export interface FaceGeometry {
  mean: Float32Array;
  triangles: Int32Array;
  landmarks: Int32Array;
  uv: Float32Array;
}

export type Point = readonly [number, number];

export interface EyeLayout {
  inner: Point;
  outer: Point;
  /** Lid margins at a third and two thirds of the way from the inner to the outer corner. */
  upper: readonly [Point, Point];
  lower: readonly [Point, Point];
}

export interface FaceLayout {
  /** Positions of the mean's vertices in this frame, [N, 3]. */
  positions: Float32Array;
  eyes: readonly [EyeLayout, EyeLayout];
  /** Five points each, from the nose outwards. */
  brows: readonly [readonly Point[], readonly Point[]];
  noseTip: Point;
  noseBase: readonly Point[];
  /** Right corner to left corner. */
  lipTop: readonly Point[];
  lipBottom: readonly Point[];
  lipLine: readonly Point[];
  chin: Point;
}

export function faceLayout({ mean, landmarks }: FaceGeometry): FaceLayout {
  const raw = (i: number, c: number) => mean[landmarks[i] * 3 + c];
  const scale = 92 / Math.hypot(raw(45, 0) - raw(36, 0), raw(45, 1) - raw(36, 1), raw(45, 2) - raw(36, 2));
  const [cx, cy, cz] = [0, 1, 2].map((c) => (raw(36, c) + raw(39, c) + raw(42, c) + raw(45, c)) / 4);
  const positions = Float32Array.from(mean, (x, i) => (x - (i % 3 === 0 ? cx : i % 3 === 1 ? cy : cz)) * scale);
  const at = (i: number): Point => [positions[landmarks[i] * 3], positions[landmarks[i] * 3 + 1]];
  const points = (...numbers: number[]) => numbers.map(at);
  const middle = (a: Point, b: Point): Point => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  return {
    positions,
    eyes: [
      { inner: at(39), outer: at(36), upper: [at(38), at(37)], lower: [at(40), at(41)] },
      { inner: at(42), outer: at(45), upper: [at(43), at(44)], lower: [at(47), at(46)] },
    ],
    brows: [points(21, 20, 19, 18, 17), points(22, 23, 24, 25, 26)],
    noseTip: at(30),
    noseBase: points(31, 32, 33, 34, 35),
    lipTop: points(48, 49, 50, 51, 52, 53, 54),
    lipBottom: points(48, 59, 58, 57, 56, 55, 54),
    lipLine: [at(48), at(60), middle(at(61), at(67)), middle(at(62), at(66)), middle(at(63), at(65)), at(64), at(54)],
    chin: at(8),
  };
}

/** y of a smooth curve through points of rising x (Catmull-Rom); undefined outside them. */
export function curveThrough(points: readonly Point[]): (x: number) => number | undefined {
  const n = points.length;
  const slope = points.map((_, i) => {
    const [a, b] = [points[Math.max(0, i - 1)], points[Math.min(n - 1, i + 1)]];
    return (b[1] - a[1]) / (b[0] - a[0]);
  });
  return (x) => {
    if (x < points[0][0] || x > points[n - 1][0]) return undefined;
    let i = 0;
    while (i < n - 2 && x > points[i + 1][0]) i++;
    const h = points[i + 1][0] - points[i][0];
    const t = (x - points[i][0]) / h;
    const [t2, t3] = [t * t, t * t * t];
    return (
      (2 * t3 - 3 * t2 + 1) * points[i][1] +
      (t3 - 2 * t2 + t) * h * slope[i] +
      (3 * t2 - 2 * t3) * points[i + 1][1] +
      (t3 - t2) * h * slope[i + 1]
    );
  };
}

/** Lid margin over the position t in [0, 1] from the inner to the outer corner: the corners' chord plus an arch. */
export function lidCurve(eye: EyeLayout, which: 'upper' | 'lower'): (t: number) => number {
  const chord = (t: number) => eye.inner[1] + t * (eye.outer[1] - eye.inner[1]);
  const [a, b] = eye[which].map(([x, y]) => {
    const t = (x - eye.inner[0]) / (eye.outer[0] - eye.inner[0]);
    return { t, height: (y - chord(t)) / arch(t) };
  });
  const slope = (b.height - a.height) / (b.t - a.t);
  return (t) => chord(t) + arch(t) * (a.height + slope * (t - a.t));
}

const arch = (t: number) => (4 * Math.max(0, t * (1 - t))) ** 0.72;
