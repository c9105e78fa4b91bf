// Surfaces seen in weak perspective: which triangle each pixel shows, and vertex attributes there. Pixel centres lie at
// integers, x right, y down, larger z is nearer. Coverage is piecewise constant: nothing is differentiated through it.
import { checkDType, record } from '../record.js';
import { ShapeError, showShape, sizeOf } from '../shape.js';
import type { Tensor } from '../tensor.js';

export interface Fragments {
  /** i32 [h, w]: the triangle seen, -1 where there is none. */
  index: Tensor;
  /** f32 [h, w, 3]: weights of the triangle's vertices, 0 where there is none. */
  barycentric: Tensor;
}

export interface RasterizeOptions {
  /** [h, w] of the image in pixels. */
  size: readonly [number, number];
  /** Leave out triangles that turn clockwise on the screen (the back of a counter-clockwise mesh). */
  cull?: boolean;
}

/**
 * Draws triangles i32 [t, 3] over vertices f32 [n, 3] (pixels; larger z is nearer) with a z-buffer; depth f32 [h, w] is -inf
 * where nothing is drawn. Positions are rounded to 1/4096 of a pixel; an edge belongs to both its triangles; at equal depth
 * the lower triangle wins. Triangles with a vertex that is not finite or beyond 2^17 pixels are left out.
 * Throws ShapeError; a vertex number outside [0, n) surfaces when the result is read.
 */
export function rasterize(
  vertices: Tensor,
  triangles: Tensor,
  { size, cull = false }: RasterizeOptions,
): Fragments & { depth: Tensor } {
  const { points, params } = sceneOf('rasterize', vertices, triangles, { size, cull });
  const [h, w] = size;
  const [index, barycentric, depth, scratch] = record('rasterize', {
    inputs: [vertices, triangles],
    outputs: [
      { shape: [h, w], dtype: 'i32' },
      { shape: [h, w, 3] },
      { shape: [h, w] },
      { shape: [points + 2 * h * w], dtype: 'i32' }, // and a key of 64 bits per pixel
    ],
    params,
  });
  scratch.dispose();
  return { index, barycentric, depth };
}

/** The depth of `rasterize` alone, f32 [h, w], which takes half the time on small triangles. Throws the same. */
export function depthMap(vertices: Tensor, triangles: Tensor, { size, cull = false }: RasterizeOptions): Tensor {
  const { points, params } = sceneOf('depthMap', vertices, triangles, { size, cull });
  const [depth, scratch] = record('depth_map', {
    inputs: [vertices, triangles],
    outputs: [{ shape: [...size] }, { shape: [points], dtype: 'i32' }],
    params,
    op: 'depthMap',
  });
  scratch.dispose();
  return depth;
}

/** What is drawn and where, checked: the kernels' parameters, and how many integers snapped vertices take. */
function sceneOf(op: string, vertices: Tensor, triangles: Tensor, { size, cull }: Required<RasterizeOptions>) {
  checkDType(op, 'vertices', vertices, 'f32');
  checkTriangles(op, triangles);
  const [vertexCount, three] = vertices.shape;
  if (vertices.shape.length !== 2 || three !== 3) {
    throw new ShapeError(`${op}: vertices must be [n, 3], got ${showShape(vertices.shape)}`);
  }
  const [h, w] = size;
  if (size.length !== 2 || !size.every((n) => Number.isInteger(n) && n > 0 && n <= 32768)) {
    throw new ShapeError(`${op}: size [h, w] must be two whole numbers from 1 to 32768, got [${size}]`);
  }
  return {
    points: 2 * vertexCount,
    params: { count: triangles.shape[0], vertex_count: vertexCount, h, w, cull: Number(cull) },
  } as const;
}

/**
 * Vertex attributes f32 [n, c] at the pixels of `rasterize`: [h, w, c], the weighted sum over the triangle's vertices,
 * `background` where no triangle is. Linear and differentiable in the attributes only.
 */
export function interpolate(
  attributes: Tensor,
  triangles: Tensor,
  { index, barycentric }: Fragments,
  { background = 0 }: { background?: number } = {},
): Tensor {
  checkDType('interpolate', 'attributes', attributes, 'f32');
  checkFragments('interpolate', triangles, index, barycentric);
  if (attributes.shape.length !== 2) {
    throw new ShapeError(`interpolate: attributes must be [n, c], got ${showShape(attributes.shape)}`);
  }
  const [vertexCount, c] = attributes.shape;
  return record('interpolate', {
    inputs: [attributes, triangles, index, barycentric],
    outputs: [{ shape: [...index.shape, c] }],
    params: { pixels: index.size, c, count: triangles.shape[0], vertex_count: vertexCount, background },
    grads: [(dy) => interpolateAttributes(dy, triangles, { index, barycentric }, vertexCount)],
  })[0];
}

/** The adjoint of `interpolate`: y [h, w, c] spread over the vertices, [vertexCount, c]. */
export function interpolateAttributes(
  y: Tensor,
  triangles: Tensor,
  { index, barycentric }: Fragments,
  vertexCount: number,
): Tensor {
  checkDType('interpolateAttributes', 'y', y, 'f32');
  checkFragments('interpolateAttributes', triangles, index, barycentric);
  const c = y.shape.at(-1) ?? 0;
  if (sizeOf(y.shape.slice(0, -1)) !== index.size) {
    throw new ShapeError(
      `interpolateAttributes: y ${showShape(y.shape)} does not fit index ${showShape(index.shape)} and a channel axis`,
    );
  }
  return record('interpolate_attributes', {
    inputs: [y, triangles, index, barycentric],
    outputs: [{ shape: [vertexCount, c] }],
    params: { pixels: index.size, c, count: triangles.shape[0], vertex_count: vertexCount },
    grads: [(dx) => interpolate(dx, triangles, { index, barycentric })],
    op: 'interpolateAttributes',
  })[0];
}

function checkTriangles(op: string, triangles: Tensor): void {
  checkDType(op, 'triangles', triangles, 'i32');
  if (triangles.shape.length !== 2 || triangles.shape[1] !== 3) {
    throw new ShapeError(`${op}: triangles must be [t, 3], got ${showShape(triangles.shape)}`);
  }
}

function checkFragments(op: string, triangles: Tensor, index: Tensor, barycentric: Tensor): void {
  checkTriangles(op, triangles);
  checkDType(op, 'index', index, 'i32');
  checkDType(op, 'barycentric', barycentric, 'f32');
  if (barycentric.shape.join() !== [...index.shape, 3].join()) {
    throw new ShapeError(
      `${op}: barycentric must be the shape of index and 3, got index ${showShape(index.shape)}, barycentric ${showShape(barycentric.shape)}`,
    );
  }
}
