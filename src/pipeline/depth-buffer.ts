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
  const range = (axis: number): [number, number] => {
    let low = Infinity;
    let high = -Infinity;
    let sum = 0; // not finite when one of the values is not
    for (let i = axis; i < vertices.length; i += 3) {
      const v = vertices[i];
      if (v < low) low = v;
      if (v > high) high = v;
      sum += v - v;
    }
    if (sum !== 0 || low > high) throw new ShapeError(`${op}: the vertices are not finite numbers`);
    return [low, high];
  };
  const [x, y, z] = [0, 1, 2].map(range);
  return { low: [x[0], y[0], z[0]], high: [x[1], y[1], z[1]] };
}

/**
 * Radius, in parts of the mesh's extent, within which an outline makes colours doubtful: the error to expect of a fit. Our
 * choice on real photos at yaw 30-50 degrees.
 */
const OUTLINE = 0.035;

export class DepthBuffer {
  /** One pixel of the buffer in pixels of the photo, and its inverse. */
  private readonly pixel: number;
  private readonly scale: number;
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

  /**
   * Draws vertices [N, 3] (image coordinates) at no more than `limit` pixels on the longer side. Triangles that show their back
   * are left out: what a photo has there (the inside of an open mesh) is not this surface.
   */
  constructor(vertices: Float32Array, triangles: Tensor, { low, high }: Extent, limit: number) {
    const longest = Math.max(high[0] - low[0], high[1] - low[1], 1e-6);
    this.pixel = longest / (limit - 1);
    this.scale = 1 / this.pixel;
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
    const { scale, margin, left, top } = this;
    const placed = new Float32Array(vertices.length);
    for (let i = 0; i < vertices.length; i += 3) {
      placed[i] = (vertices[i] - left) * scale + margin;
      placed[i + 1] = (vertices[i + 1] - top) * scale + margin;
      placed[i + 2] = vertices[i + 2];
    }
    const count = vertices.length / 3;
    this.values = tidy(() =>
      rasterize(tensor(placed, { shape: [count, 3] }), triangles, {
        size: [height, this.width],
        cull: true,
      }).depth.dataSync(),
    ) as Float32Array;
  }

  /**
   * How far a point of the surface at depth z is to be believed: -1 where it is hidden (something of the mesh in front by more
   * than 0.5 % of the depth range and 3/4 of a buffer pixel along the slope, or a bilinear sample of the photo there mixes in
   * what lies beyond the mesh); otherwise from 0 on an outline of the mesh to 1 where eight points on a small circle around
   * show the same surface.
   */
  clearance(x: number, y: number, z: number, slope: number): number {
    const { values, step, width, circle } = this;
    const column = Math.floor((x - this.left) * this.scale + 0.5) + this.margin;
    const at = (Math.floor((y - this.top) * this.scale + 0.5) + this.margin) * width + column;
    if (!(z >= values[at] - this.tolerance - 0.75 * this.pixel * slope)) return -1;
    const nothing = Number.NEGATIVE_INFINITY;
    if (values[at - step] === nothing || values[at + step] === nothing) return -1;
    if (values[at - step * width] === nothing || values[at + step * width] === nothing) return -1;
    const behind = z - this.gap - 1.5 * this.reach * slope;
    let off = 0;
    for (let k = 0; k < 8; k++) if (values[at + circle[k]] < behind) off++;
    return off < 4 ? 1 - off / 4 : 0;
  }
}
