// Smooth functions of one or two coordinates from which the head is composed. Millimetres in, dimensionless weights out
// unless said otherwise.

/** 0 below a, 1 above b, with zero first and second derivative at both ends; a > b reverses it. */
export function smoothstep(a: number, b: number, x: number): number {
  const t = Math.max(0, Math.min(1, (x - a) / (b - a)));
  return t * t * t * (t * (6 * t - 15) + 10);
}

/** exp(-x^2 / 2 s^2). */
export function gaussian(x: number, s: number): number {
  return Math.exp((-0.5 * x * x) / (s * s));
}

/** Anisotropic Gaussian centred at (cx, cy); `turn` rotates its first axis counter-clockwise, in degrees. */
export function bump(x: number, y: number, cx: number, cy: number, sx: number, sy: number, turn = 0): number {
  const dx = x - cx;
  const dy = y - cy;
  if (turn === 0) return Math.exp(-0.5 * ((dx * dx) / (sx * sx) + (dy * dy) / (sy * sy)));
  const c = Math.cos((turn * Math.PI) / 180);
  const s = Math.sin((turn * Math.PI) / 180);
  const a = (c * dx + s * dy) / sx;
  const b = (c * dy - s * dx) / sy;
  return Math.exp(-0.5 * (a * a + b * b));
}

/** max(a, b) with the corner rounded over about k. */
export function smoothMax(a: number, b: number, k: number): number {
  const d = a - b;
  return 0.5 * (a + b + Math.sqrt(d * d + k * k) - k);
}

/** log(1 + exp(x)) rounded over k: a ramp that starts at 0. */
export function ramp(x: number, k: number): number {
  return 0.5 * (x + Math.sqrt(x * x + k * k));
}

/** A polyline's nearest point: distance to it, signed side (> 0 left of its direction) and position along it in [0, 1]. */
export function alongPolyline(
  x: number,
  y: number,
  points: readonly (readonly [number, number])[],
): { distance: number; side: number; at: number } {
  let best = { distance: Number.POSITIVE_INFINITY, side: 1, at: 0 };
  let length = 0;
  const lengths = [0];
  for (let i = 1; i < points.length; i++) {
    length += Math.hypot(points[i][0] - points[i - 1][0], points[i][1] - points[i - 1][1]);
    lengths.push(length);
  }
  for (let i = 1; i < points.length; i++) {
    const [ax, ay] = points[i - 1];
    const ux = points[i][0] - ax;
    const uy = points[i][1] - ay;
    const t = Math.max(0, Math.min(1, ((x - ax) * ux + (y - ay) * uy) / (ux * ux + uy * uy)));
    const dx = x - ax - t * ux;
    const dy = y - ay - t * uy;
    const distance = Math.hypot(dx, dy);
    if (distance < best.distance) {
      const at = (lengths[i - 1] + t * (lengths[i] - lengths[i - 1])) / length;
      best = { distance, side: ux * dy - uy * dx >= 0 ? 1 : -1, at };
    }
  }
  return best;
}

/** Natural cubic spline through knots [x, value] in either order; constant slope outside them. */
export function spline(knots: readonly (readonly [number, number])[]): (x: number) => number {
  const sorted = [...knots].sort((a, b) => a[0] - b[0]);
  const n = sorted.length;
  const second = new Float64Array(n);
  const work = new Float64Array(n);
  for (let i = 1; i < n - 1; i++) {
    const h0 = sorted[i][0] - sorted[i - 1][0];
    const h1 = sorted[i + 1][0] - sorted[i][0];
    const p = h0 * second[i - 1] + 2 * (h0 + h1);
    second[i] = -h1 / p;
    const slope = (sorted[i + 1][1] - sorted[i][1]) / h1 - (sorted[i][1] - sorted[i - 1][1]) / h0;
    work[i] = (6 * slope - h0 * work[i - 1]) / p;
  }
  second[n - 1] = 0;
  for (let i = n - 2; i >= 0; i--) second[i] = second[i] * second[i + 1] + work[i];
  return (x) => {
    let i = 0;
    while (i < n - 2 && x > sorted[i + 1][0]) i++;
    const [x0, y0] = sorted[i];
    const [x1, y1] = sorted[i + 1];
    const h = x1 - x0;
    const inside = Math.max(x0, Math.min(x1, x));
    const b = (inside - x0) / h;
    const a = 1 - b;
    const curve = a * y0 + b * y1 + ((a * a * a - a) * second[i] + (b * b * b - b) * second[i + 1]) * ((h * h) / 6);
    if (x === inside) return curve;
    const slope = (y1 - y0) / h + (h / 6) * ((1 - 3 * a * a) * second[i] + (3 * b * b - 1) * second[i + 1]);
    return curve + slope * (x - inside);
  };
}
