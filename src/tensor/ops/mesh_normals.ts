// Normals of triangle meshes.
import { checkDType, record } from '../record.js';
import { ShapeError, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';

/**
 * Unit normals at the vertices f32 [n, 3] of triangles i32 [t, 3] that are counter-clockwise seen from outside: [n, 3], the sum
 * of the triangles' normals weighted by their areas; 0 where it vanishes. Not differentiable. Throws ShapeError; a vertex
 * number outside [0, n) surfaces when the result is read.
 */
export function meshNormals(vertices: Tensor, triangles: Tensor): Tensor {
  checkDType('meshNormals', 'vertices', vertices, 'f32');
  checkDType('meshNormals', 'triangles', triangles, 'i32');
  for (const [name, { shape }] of Object.entries({ vertices, triangles })) {
    if (shape.length !== 2 || shape[1] !== 3) {
      throw new ShapeError(`meshNormals: ${name} must be [n, 3], got ${showShape(shape)}`);
    }
  }
  const [vertexCount] = vertices.shape;
  const [normals, scratch] = record('mesh_normals', {
    inputs: [vertices, triangles],
    outputs: [{ shape: vertices.shape }, { shape: [6 * vertexCount] }],
    params: { count: triangles.shape[0], vertex_count: vertexCount },
    op: 'meshNormals',
  });
  scratch.dispose();
  return normals;
}
