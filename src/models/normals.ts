// Normals of a triangle mesh in host memory. Contract: triangles are counter-clockwise seen from outside.
import { tensor } from '../tensor/create.js';
import { meshNormals } from '../tensor/ops/mesh_normals.js';
import { tidy } from '../tensor/scope.js';

/** Area-weighted unit vertex normals of a mesh whose triangles are counter-clockwise seen from outside -> [N, 3]. */
export function vertexNormals(vertices: ArrayLike<number>, triangles: Int32Array): Float32Array {
  const positions = vertices instanceof Float32Array ? vertices : Float32Array.from(vertices);
  return tidy(() => {
    const mesh = tensor(positions, { shape: [positions.length / 3, 3], device: 'cpu' });
    const faces = tensor(triangles, { shape: [triangles.length / 3, 3], dtype: 'i32', device: 'cpu' });
    return meshNormals(mesh, faces).dataSync() as Float32Array;
  });
}
