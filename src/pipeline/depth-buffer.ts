// What of a mesh the viewer sees at all: its z-buffer, drawn once per photo at a resolution of its own, with a margin so that
// questions about the surroundings of a point need no bounds. Contract: ask only about points within the mesh's extent.

import { tensor } from '../tensor/create.js';
import { rasterize } from '../tensor/ops/rasterize.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** Bounding box in x, y, z. */
export interface Extent {
  low: [number, number, number];
  high: [number, number, number];
}

/** The extent of vertices [N, 3]. Throws ShapeError when one is not finite. */
export function extentOf(op: string, vertices: Float32Array): Extent {
  const low: Extent['low'] = [Infinity, Infinity, Infinity];
  const high: Extent['high'] = [-Infinity, -Infinity, -Infinity];
  let usable = true;
  for (let i = 0; i < vertices.length; i += 3) {
    for (let c = 0; c < 3; c++) {
      const v = vertices[i + c];
      if (v < low[c]) low[c] = v;
      if (v > high[c]) high[c] = v;
      usable &&= Number.isFinite(v);
    }
  }
  if (!usable || vertices.length === 0) throw new ShapeError(`${op}: the vertices are not finite numbers`);
  return { low, high };
}

/**
 * Radius, in parts of the mesh's extent, within which an outline makes colours doubtful: the error to expect of a fit. Our
 * choice on real photos at yaw 30-50 degrees.
 */
const OUTLINE = 0.035;

export class DepthBuffer {
  /** One pixel of the buffer in pixels of the photo. */
  readonly pixel: number;
  private readonly values: Float32Array;
  private readonly width: number;
  private readonly margin: number;
  private readonly left: number;
  private readonly top: number;
  /** Depth by which a neighbour must lie behind to be another surface. */
  private readonly gap: number;
  private readonly tolerance: number;
  private readonly reach: number;
  /** Eight places on a small circle, as differences of position in the buffer. */
  private readonly circle: Int32Array;
  /** One pixel of the photo, in pixels of the buffer. */
  private readonly step: number;

  /** Draws vertices [N, 3] (image coordinates) at no more than `limit` pixels on the longer side. */
  constructor(vertices: Float32Array, triangles: Tensor, { low, high }: Extent, limit: number) {
    const longest = Math.max(high[0] - low[0], high[1] - low[1], 1e-6);
    this.pixel = longest / (limit - 1);
    this.reach = OUTLINE * longest;
    this.step = Math.max(1, Math.min(Math.round(1 / this.pixel), limit >> 2));
    this.margin = Math.max(Math.ceil(this.reach / this.pixel), this.step) + 1;
    this.width = Math.ceil((high[0] - low[0]) / this.pixel) + 1 + 2 * this.margin;
    const height = Math.ceil((high[1] - low[1]) / this.pixel) + 1 + 2 * this.margin;
    this.left = low[0];
    this.top = low[1];
    this.gap = 0.1 * (high[2] - low[2]);
    this.tolerance = 0.005 * (high[2] - low[2]);
    this.circle = Int32Array.from({ length: 8 }, (_, k) => {
      const [x, y] = [Math.cos((k * Math.PI) / 4), Math.sin((k * Math.PI) / 4)];
      const radius = this.reach / this.pixel;
      return Math.round(radius * y) * this.width + Math.round(radius * x);
    });
    const placed = new Float32Array(vertices.length);
    for (let i = 0; i < vertices.length; i += 3) {
      placed[i] = (vertices[i] - low[0]) / this.pixel + this.margin;
      placed[i + 1] = (vertices[i + 1] - low[1]) / this.pixel + this.margin;
      placed[i + 2] = vertices[i + 2];
    }
    const count = vertices.length / 3;
    this.values = tidy(() =>
      rasterize(tensor(placed, { shape: [count, 3] }), triangles, { size: [height, this.width] }).depth.dataSync(),
    ) as Float32Array;
  }

  private position(x: number, y: number): number {
    const column = Math.floor((x - this.left) / this.pixel + 0.5) + this.margin;
    const row = Math.floor((y - this.top) / this.pixel + 0.5) + this.margin;
    return row * this.width + column;
  }

  /**
   * Whether a point of the surface at depth z is in front there (tolerance 0.5 % of the depth range, and 3/4 of a buffer
   * pixel along the slope), and a bilinear sample of the photo does not mix in what lies beyond the mesh.
   */
  shows(x: number, y: number, z: number, slope: number): boolean {
    const { values, step, width } = this;
    const at = this.position(x, y);
    if (!(z >= values[at] - this.tolerance - 0.75 * this.pixel * slope)) return false;
    const nothing = Number.NEGATIVE_INFINITY;
    return (
      values[at - step] !== nothing &&
      values[at + step] !== nothing &&
      values[at - step * width] !== nothing &&
      values[at + step * width] !== nothing
    );
  }

  /** 0 on an outline of the mesh, 1 where eight points on a small circle around show the same surface. */
  clearance(x: number, y: number, z: number, slope: number): number {
    const { values, circle } = this;
    const at = this.position(x, y);
    const behind = z - this.gap - 1.5 * this.reach * slope;
    let off = 0;
    for (let k = 0; k < 8; k++) if (values[at + circle[k]] < behind) off++;
    return off < 4 ? 1 - off / 4 : 0;
  }
}
