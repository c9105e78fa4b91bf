// The cylindrical unwrap of paper-spec 2.1: texture coordinates for a face mesh that has none, from its mean shape.
// Contract: a face looks along +z, so the cut is at the back (theta = +-180 degrees), and one vertex has one UV; a mesh
// closed at the back needs its seam vertices twice, which `unwrapWithSeam` does.

export interface Cylinder {
  cx: number;
  cz: number;
  radius: number;
}

/**
 * The vertical cylinder nearest to the vertices [N, 3]: argmin over (cx, cz) of the variance of the horizontal distances
 * (Gauss-Newton from the centroid); the radius is their mean.
 */
export function fitCylinder(vertices: ArrayLike<number>): Cylinder {
  const n = vertices.length / 3;
  let cx = 0;
  let cz = 0;
  for (let i = 0; i < n; i++) {
    cx += vertices[i * 3] / n;
    cz += vertices[i * 3 + 2] / n;
  }
  let radius = 0;
  for (let iteration = 0; iteration < 100; iteration++) {
    radius = 0;
    let mx = 0;
    let mz = 0;
    for (let i = 0; i < n; i++) {
      const dx = vertices[i * 3] - cx;
      const dz = vertices[i * 3 + 2] - cz;
      const r = Math.sqrt(dx * dx + dz * dz) || 1e-12;
      radius += r / n;
      mx -= dx / r / n;
      mz -= dz / r / n;
    }
    // residual_i = r_i - mean(r); its derivative is that of r_i minus the mean derivative.
    let [xx, xz, zz, bx, bz] = [0, 0, 0, 0, 0];
    for (let i = 0; i < n; i++) {
      const dx = vertices[i * 3] - cx;
      const dz = vertices[i * 3 + 2] - cz;
      const r = Math.sqrt(dx * dx + dz * dz) || 1e-12;
      const jx = -dx / r - mx;
      const jz = -dz / r - mz;
      xx += jx * jx;
      xz += jx * jz;
      zz += jz * jz;
      bx -= jx * (r - radius);
      bz -= jz * (r - radius);
    }
    const determinant = xx * zz - xz * xz;
    if (!(determinant > 1e-12 * xx * zz)) break;
    const stepX = (bx * zz - bz * xz) / determinant;
    const stepZ = (bz * xx - bx * xz) / determinant;
    cx += stepX;
    cz += stepZ;
    if (Math.hypot(stepX, stepZ) < 1e-9 * (radius || 1)) break;
  }
  return { cx, cz, radius };
}

/** Angle of each vertex about the cylinder's axis, radians in (-pi, pi], 0 at the front, positive to the subject's left. */
export function cylinderAngles(vertices: ArrayLike<number>, { cx, cz }: Cylinder): Float64Array {
  return Float64Array.from({ length: vertices.length / 3 }, (_, i) =>
    Math.atan2(vertices[i * 3] - cx, vertices[i * 3 + 2] - cz),
  );
}

/** u = scaled angle, v = scaled height, both stretched to [0, 1], v up -> [N, 2]. For meshes open at the back. */
export function cylindricalUnwrap(vertices: ArrayLike<number>): Float32Array {
  return normalise(cylinderAngles(vertices, fitCylinder(vertices)), vertices);
}

/** Numbers of the triangles that span the cut at the back (corners more than half a turn apart). */
export function seamTriangles(angles: ArrayLike<number>, triangles: Int32Array): Int32Array {
  const found: number[] = [];
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [angles[triangles[t]], angles[triangles[t + 1]], angles[triangles[t + 2]]];
    if (Math.max(a, b, c) - Math.min(a, b, c) > Math.PI) found.push(t / 3);
  }
  return Int32Array.from(found);
}

export interface SeamedUnwrap {
  /** [M] vertex of the input that each vertex of the result copies; the first N are 0..N-1. */
  source: Int32Array;
  /** [T, 3] triangles over the M vertices, in the input's order. */
  triangles: Int32Array;
  /** [M, 2] in [0, 1], v up. */
  uv: Float32Array;
}

/**
 * The unwrap for any mesh: where a triangle crosses the cut at the back, its corners on the negative side are copied with
 * their angle advanced by one turn, so that it is no longer smeared across the whole map. Use with `MorphableModel.remap`.
 */
export function unwrapWithSeam(vertices: ArrayLike<number>, triangles: Int32Array): SeamedUnwrap {
  const angles = cylinderAngles(vertices, fitCylinder(vertices));
  const count = angles.length;
  const copied: number[] = [];
  const copies = new Map<number, number>();
  const out = Int32Array.from(triangles);
  for (const t of seamTriangles(angles, triangles)) {
    for (let c = t * 3; c < t * 3 + 3; c++) {
      const vertex = triangles[c];
      if (angles[vertex] >= 0) continue;
      let copy = copies.get(vertex);
      if (copy === undefined) {
        copy = count + copied.length;
        copies.set(vertex, copy);
        copied.push(vertex);
      }
      out[c] = copy;
    }
  }
  const source = new Int32Array(count + copied.length);
  const turned = new Float64Array(source.length);
  const moved = new Float64Array(source.length * 3);
  for (let i = 0; i < source.length; i++) {
    const vertex = i < count ? i : copied[i - count];
    source[i] = vertex;
    turned[i] = i < count ? angles[i] : angles[vertex] + 2 * Math.PI;
    for (let c = 0; c < 3; c++) moved[i * 3 + c] = vertices[vertex * 3 + c];
  }
  return { source, triangles: out, uv: normalise(turned, moved) };
}

function normalise(angles: Float64Array, vertices: ArrayLike<number>): Float32Array {
  let [minA, maxA, minB, maxB] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < angles.length; i++) {
    minA = Math.min(minA, angles[i]);
    maxA = Math.max(maxA, angles[i]);
    minB = Math.min(minB, vertices[i * 3 + 1]);
    maxB = Math.max(maxB, vertices[i * 3 + 1]);
  }
  const uv = new Float32Array(angles.length * 2);
  for (let i = 0; i < angles.length; i++) {
    uv[i * 2] = (angles[i] - minA) / (maxA - minA || 1);
    uv[i * 2 + 1] = (vertices[i * 3 + 1] - minB) / (maxB - minB || 1);
  }
  return uv;
}
