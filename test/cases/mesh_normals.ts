import { ones, tensor } from '../../src/tensor/create.js';
import { meshNormals } from '../../src/tensor/ops/mesh_normals.js';
import { type Case, indicesBelow } from './case.js';

const cases: Case = {
  kernels: {
    mesh_normals({ vertices, triangles, normals }, { count, vertex_count }) {
      normals.fill(0);
      for (let t = 0; t < count; t++) {
        const corners = Array.from(triangles.subarray(3 * t, 3 * t + 3));
        const [p, q, r] = corners.map((i) => vertices.subarray(3 * i, 3 * i + 3));
        const [u, v] = [q, r].map((end) => end.map((value, d) => value - p[d]));
        for (const i of corners)
          for (let d = 0; d < 3; d++) {
            const [e, f] = [(d + 1) % 3, (d + 2) % 3];
            normals[3 * i + d] += u[e] * v[f] - u[f] * v[e];
          }
      }
      for (let i = 0; i < vertex_count; i++) {
        const length = Math.hypot(...normals.subarray(3 * i, 3 * i + 3));
        for (let d = 0; d < 3; d++) normals[3 * i + d] /= length || 1;
      }
    },
  },
  samples: [
    {
      name: 'a mesh with vertices that no triangle has',
      inputs: { vertices: [50, 3], triangles: indicesBelow(45, [70, 3]) },
      differentiable: [],
      run: (t) => meshNormals(t.vertices, t.triangles),
    },
  ],
  errors: [
    {
      name: 'vertices',
      run: () => meshNormals(ones([4, 2]), tensor([[0, 1, 2]], { dtype: 'i32' })),
      message: 'meshNormals: vertices must be [n, 3], got [4,2]',
    },
    {
      name: 'triangles',
      run: () => meshNormals(ones([4, 3]), ones([3], { dtype: 'i32' })),
      message: 'meshNormals: triangles must be [n, 3], got [3]',
    },
    {
      name: 'triangles of floats',
      run: () => meshNormals(ones([4, 3]), ones([1, 3])),
      message: 'meshNormals: triangles [1,3] is f32, wants i32; use cast',
    },
  ],
};

export default cases;
