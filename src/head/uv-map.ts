// Values per vertex spread over the pixels of the UV map. Contract: the pixel of (u, v) is x = u (size - 1),
// y = (size - 1)(1 - v); pixels outside the mesh's footprint have triangle -1.

export interface UvMap {
  size: number;
  /** [size, size] triangle that covers the pixel's centre, or -1. */
  triangle: Int32Array;
  /** [size, size, 3] barycentric weights of its corners. */
  weights: Float32Array;
  triangles: Int32Array;
}

/** Which triangle covers each pixel of a square UV map. Where triangles overlap the later one wins. */
export function uvMap(uv: Float32Array, triangles: Int32Array, size: number): UvMap {
  const triangle = new Int32Array(size * size).fill(-1);
  const weights = new Float32Array(size * size * 3);
  const s = size - 1;
  for (let t = 0; t < triangles.length; t += 3) {
    const [ax, ay, bx, by, cx, cy] = [0, 1, 2].flatMap((k) => {
      const at = triangles[t + k] * 2;
      return [uv[at] * s, s - uv[at + 1] * s];
    });
    const area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay);
    if (Math.abs(area) < 1e-12) continue;
    const top = Math.max(0, Math.ceil(Math.min(ay, by, cy) - 1e-6));
    const bottom = Math.min(s, Math.floor(Math.max(ay, by, cy) + 1e-6));
    const left = Math.max(0, Math.ceil(Math.min(ax, bx, cx) - 1e-6));
    const right = Math.min(s, Math.floor(Math.max(ax, bx, cx) + 1e-6));
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const wb = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area;
        const wc = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area;
        const wa = 1 - wb - wc;
        if (wa < -1e-6 || wb < -1e-6 || wc < -1e-6) continue;
        const at = y * size + x;
        triangle[at] = t / 3;
        weights[at * 3] = wa;
        weights[at * 3 + 1] = wb;
        weights[at * 3 + 2] = wc;
      }
    }
  }
  return { size, triangle, weights, triangles };
}

/** Values per vertex [N, channels] -> [size, size, channels]; 0 outside the footprint. */
export function spread(map: UvMap, values: ArrayLike<number>, channels: number): Float32Array {
  const out = new Float32Array(map.size * map.size * channels);
  for (let p = 0; p < map.triangle.length; p++) {
    const t = map.triangle[p];
    if (t < 0) continue;
    for (let k = 0; k < 3; k++) {
      const w = map.weights[p * 3 + k];
      const from = map.triangles[t * 3 + k] * channels;
      for (let c = 0; c < channels; c++) out[p * channels + c] += w * values[from + c];
    }
  }
  return out;
}

/** Fills pixels outside the footprint from their covered neighbours, `rings` pixels far, so that sampling finds no black rim. */
export function growRim(image: Float32Array, map: UvMap, channels: number, rings: number): void {
  const { size } = map;
  let known = Uint8Array.from(map.triangle, (t) => (t >= 0 ? 1 : 0));
  for (let ring = 0; ring < rings; ring++) {
    const next = Uint8Array.from(known);
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const at = y * size + x;
        if (known[at]) continue;
        let count = 0;
        const sum = new Float64Array(channels);
        for (let dy = -1; dy <= 1; dy++) {
          for (let dx = -1; dx <= 1; dx++) {
            const [nx, ny] = [x + dx, y + dy];
            if (nx < 0 || ny < 0 || nx >= size || ny >= size || !known[ny * size + nx]) continue;
            count++;
            for (let c = 0; c < channels; c++) sum[c] += image[(ny * size + nx) * channels + c];
          }
        }
        if (count === 0) continue;
        next[at] = 1;
        for (let c = 0; c < channels; c++) image[at * channels + c] = sum[c] / count;
      }
    }
    known = next;
  }
}
