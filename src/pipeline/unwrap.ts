// From a photo and the mesh fitted to it to a UV map: which point of the surface each UV pixel shows, its colour in the
// photo, and whether the photo saw it (paper-spec 2.2-2.4). Contract: vertices are image coordinates (x right, y down, pixel
// centres at integers, larger z nearer); triangles turn counter-clockwise as seen from outside.
import '../tensor/methods.js';
import { tensor } from '../tensor/create.js';
import { gridSample } from '../tensor/ops/grid_sample.js';
import { concat } from '../tensor/ops/layout.js';
import { meshNormals } from '../tensor/ops/mesh_normals.js';
import { depthMap, type Fragments, interpolate, rasterize } from '../tensor/ops/rasterize.js';
import { visibility } from '../tensor/ops/visibility.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { depthFrame, type Extent, extentOf } from './depth-buffer.js';
import { crop, type Pixels, toTensor } from './image.js';

/** The UV layout of a mesh at one size: rasterised once, used for every photo. */
export interface UvTable extends Fragments {
  /** Side of the map in pixels. */
  size: number;
  /** i32 [t, 3]. */
  triangles: Tensor;
  /** Vertices of the mesh that the table was made for. */
  vertexCount: number;
  /** 1 where the map shows surface, row-major [size, size]; and the same as f32 [size, size, 3] on the device. */
  footprint: Uint8Array;
  surface: Tensor;
}

/**
 * The table of a UV layout [N, 2] (v up; pixel x = u (size - 1), y = (size - 1)(1 - v)). Where the layout folds over itself
 * the lower triangle wins. Its tensors live until disposed of. Throws ShapeError.
 */
export function uvTable(uv: Float32Array, triangles: Int32Array, size = 256): UvTable {
  const vertexCount = uv.length / 2;
  const flat = new Float32Array(3 * vertexCount);
  for (let i = 0; i < vertexCount; i++) {
    flat[3 * i] = uv[2 * i] * (size - 1);
    flat[3 * i + 1] = (1 - uv[2 * i + 1]) * (size - 1);
  }
  const faces = tensor(triangles, { shape: [triangles.length / 3, 3], dtype: 'i32' });
  const { index, barycentric } = tidy(() => {
    const drawn = rasterize(tensor(flat, { shape: [vertexCount, 3] }), faces, { size: [size, size] });
    return { index: drawn.index, barycentric: drawn.barycentric };
  });
  const footprint = Uint8Array.from(index.dataSync(), (triangle) => (triangle >= 0 ? 1 : 0));
  const surface = tidy(() =>
    tensor(footprint, { shape: [size, size, 1], dtype: 'u8' })
      .cast('f32')
      .expand([size, size, 3]),
  );
  return { size, triangles: faces, vertexCount, index, barycentric, footprint, surface };
}

export interface Unwrapped {
  /** f32 [size, size, 3], 0..255: the photo at every point of the surface, hidden or not; 0 outside the footprint. */
  texture: Tensor;
  /** u8 [size, size]: 1 where the photo saw the surface. */
  mask: Tensor;
  /**
   * f32 [size, size]: mask times the cosine between normal and view, the weight of 2.5, falling to 0 within 3.5 % of the
   * mesh's extent from its outline in the photo, where a small error of the fit shows the background (our choice).
   */
  confidence: Tensor;
}

export interface UnwrapOptions {
  /** Cosine between normal and view below which a point counts as unseen; 0.1 as in paper-spec 2.3. */
  minimumCosine?: number;
  /** Longest side in pixels at which self-occlusion is drawn. */
  depthSize?: number;
}

/**
 * Samples the photo (pixels, or f32 [h, w, 3] in 0..255) at the surface and decides visibility: normal towards the viewer,
 * nothing of the mesh in front (z-buffer), inside the photo and not at the mesh's outline, and one pixel away from anything
 * unseen. Visibility is decided per UV pixel, not per vertex: our choice because it is sharper. Throws ShapeError when vertices
 * and table do not belong together.
 */
export function unwrap(
  photo: Pixels | Tensor,
  vertices: Float32Array,
  table: UvTable,
  { minimumCosine = 0.1, depthSize = 256 }: UnwrapOptions = {},
): Unwrapped {
  if (vertices.length !== 3 * table.vertexCount) {
    throw new ShapeError(`unwrap: ${vertices.length / 3} vertices, the UV table is of ${table.vertexCount}`);
  }
  const { size } = table;
  const extent = extentOf('unwrap', vertices);
  const [photoHeight, photoWidth] = photo instanceof Tensor ? photo.shape : [photo.height, photo.width];
  return tidy(() => {
    const { image, left, top } = partOf(photo, extent);
    const { size: depthShape, shift, ...frame } = depthFrame(extent, depthSize);
    const { inPart, inDepth } = placesOf(vertices, { left, top, scale: frame.scale, shift });
    const mesh = tensor(inPart, { shape: [table.vertexCount, 3] });
    const normals = meshNormals(mesh, table.triangles);
    // y points down here, so the order of the corners turns round, and with it the normals.
    const cosine = normals.slice({ start: [0, 2], size: [table.vertexCount, 1] }).neg();
    const points = interpolate(concat([mesh, cosine], { axis: 1 }), table.triangles, table, {
      background: -1, // a cosine that counts as unseen
    });
    const sampled = gridSample(image, points.slice({ start: [0, 0, 0], size: [size, size, 2] }));
    // Triangles that show their back are left out: what a photo has there (the inside of an open mesh) is not this surface.
    const depth = depthMap(tensor(inDepth, { shape: [table.vertexCount, 3] }), table.triangles, {
      size: depthShape,
      cull: true,
    });
    const { mask, confidence } = visibility(points, depth, {
      ...frame,
      shift: [shift[0] + left * frame.scale, shift[1] + top * frame.scale],
      bounds: [-left, -top, photoWidth - 1 - left, photoHeight - 1 - top],
      minimumCosine,
    });
    return { texture: sampled.mul(table.surface), mask, confidence };
  });
}

/** The part of the photo under the mesh as a tensor, so that a large photo is never converted as a whole. */
function partOf(photo: Pixels | Tensor, { low, high }: Extent): { image: Tensor; left: number; top: number } {
  if (photo instanceof Tensor) {
    return { image: photo.dtype === 'f32' ? photo : photo.cast('f32'), left: 0, top: 0 };
  }
  const between = (v: number, last: number) => Math.max(0, Math.min(last, v));
  const left = between(Math.floor(low[0]), photo.width - 1);
  const top = between(Math.floor(low[1]), photo.height - 1);
  const right = between(Math.floor(high[0]) + 1, photo.width - 1);
  const bottom = between(Math.floor(high[1]) + 1, photo.height - 1);
  const part = crop(photo, left, top, right - left + 1, bottom - top + 1);
  return { image: toTensor(part, 'u8').cast('f32'), left, top };
}

interface Frame {
  /** Of the part of the photo that is sampled, in the photo. */
  left: number;
  top: number;
  /** From the photo into the depth map. */
  scale: number;
  shift: readonly [number, number];
}

/** Each vertex in the part, and in the depth map: [N, 3] both, z as it is. */
function placesOf(vertices: Float32Array, { left, top, scale, shift: [shiftX, shiftY] }: Frame) {
  const inPart = new Float32Array(vertices.length);
  const inDepth = new Float32Array(vertices.length);
  for (let i = 0; i < vertices.length; i += 3) {
    const x = vertices[i];
    const y = vertices[i + 1];
    inPart[i] = x - left;
    inPart[i + 1] = y - top;
    inDepth[i] = x * scale + shiftX;
    inDepth[i + 1] = y * scale + shiftY;
    inPart[i + 2] = inDepth[i + 2] = vertices[i + 2];
  }
  return { inPart, inDepth };
}

/** Keeps a pixel of a 0/1 mask of width `size` only with its eight neighbours; the map's edge does not count as unset. */
export function erode(mask: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(mask.length);
  const rows = new Uint8Array(mask.length);
  const last = mask.length - size; // where the last row starts
  for (let row = 0; row <= last; row += size) {
    for (let x = 0; x < size; x++) {
      const p = row + x;
      rows[p] = mask[p] & (x > 0 ? mask[p - 1] : 1) & (x < size - 1 ? mask[p + 1] : 1);
    }
  }
  for (let p = 0; p < mask.length; p++) {
    out[p] = rows[p] & (p >= size ? rows[p - size] : 1) & (p < last ? rows[p + size] : 1);
  }
  return out;
}
