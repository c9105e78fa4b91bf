// A surface to test with: the front of an egg with a nose, symmetric about x = 0, as a grid of vertices with its own UV.

import type { Tensor } from '../../src/tensor/index.js';
import { memory, tensor } from '../../src/tensor/index.js';

export interface Surface {
  vertices: Float32Array;
  triangles: Int32Array;
  uv: Float32Array;
}

/** Model space: y up, +z out of the face, about 2 units across; `bump` is the height of the nose. */
export function egg(columns = 61, rows = 61, bump = 0): Surface {
  const vertices = new Float32Array(3 * columns * rows);
  const uv = new Float32Array(2 * columns * rows);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const u = c / (columns - 1);
      const v = r / (rows - 1);
      const theta = (u - 0.5) * Math.PI * 0.9;
      const phi = (v - 0.5) * Math.PI * 0.8;
      const nose = bump * Math.exp(-((u - 0.5) ** 2 + (v - 0.5) ** 2) / 0.004);
      const radius = Math.cos(phi) * (1 + nose);
      const at = r * columns + c;
      vertices.set([radius * Math.sin(theta), 1.2 * Math.sin(phi), radius * Math.cos(theta)], 3 * at);
      uv.set([u, v], 2 * at);
    }
  const triangles: number[] = [];
  for (let r = 0; r + 1 < rows; r++)
    for (let c = 0; c + 1 < columns; c++) {
      const a = r * columns + c;
      triangles.push(a, a + 1, a + columns, a + 1, a + columns + 1, a + columns);
    }
  return { vertices, triangles: Int32Array.from(triangles), uv };
}

/** A smooth texture f32 [size, size, 3]; `skew` is the part that is not symmetric. */
export function paint(size: number, skew = 0): Tensor {
  const values = new Float32Array(3 * size * size);
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const side = Math.abs(x - (size - 1) / 2) / size;
      const slant = (skew * (x - (size - 1) / 2)) / size;
      for (let c = 0; c < 3; c++) {
        values[3 * (y * size + x) + c] = 120 + 50 * Math.cos(20 * side + c) * Math.sin((14 * y) / size + c) + slant;
      }
    }
  return tensor(values, { shape: [size, size, 3] });
}

export const u8 = (values: ArrayLike<number>, size: number): Tensor =>
  tensor(Uint8Array.from(values), { shape: [size, size], dtype: 'u8' });

/** Bytes in live tensors, after all that was submitted has run. */
export function settledBytes(): number {
  const probe = tensor([0]);
  probe.dataSync();
  const { bytes } = memory('cpu');
  probe.dispose();
  return bytes;
}
