// Normals of a triangle mesh. Contract: triangles are counter-clockwise seen from outside.

/** Area-weighted unit vertex normals of a mesh whose triangles are counter-clockwise seen from outside -> [N, 3]. */
export function vertexNormals(vertices: ArrayLike<number>, triangles: Int32Array): Float32Array {
  const sum = new Float64Array(vertices.length);
  for (let t = 0; t < triangles.length; t += 3) {
    const a = triangles[t] * 3;
    const b = triangles[t + 1] * 3;
    const c = triangles[t + 2] * 3;
    const ux = vertices[b] - vertices[a];
    const uy = vertices[b + 1] - vertices[a + 1];
    const uz = vertices[b + 2] - vertices[a + 2];
    const vx = vertices[c] - vertices[a];
    const vy = vertices[c + 1] - vertices[a + 1];
    const vz = vertices[c + 2] - vertices[a + 2];
    const nx = uy * vz - uz * vy;
    const ny = uz * vx - ux * vz;
    const nz = ux * vy - uy * vx;
    sum[a] += nx;
    sum[a + 1] += ny;
    sum[a + 2] += nz;
    sum[b] += nx;
    sum[b + 1] += ny;
    sum[b + 2] += nz;
    sum[c] += nx;
    sum[c + 1] += ny;
    sum[c + 2] += nz;
  }
  const out = new Float32Array(vertices.length);
  for (let i = 0; i < out.length; i += 3) {
    // Math.hypot is ten times slower.
    const scale = 1 / (Math.sqrt(sum[i] * sum[i] + sum[i + 1] * sum[i + 1] + sum[i + 2] * sum[i + 2]) || 1);
    out[i] = sum[i] * scale;
    out[i + 1] = sum[i + 1] * scale;
    out[i + 2] = sum[i + 2] * scale;
  }
  return out;
}
