import { ones, tensor } from '../../src/tensor/create.js';
import { maximum } from '../../src/tensor/ops/elementwise.js';
import { depthMap, interpolate, rasterize } from '../../src/tensor/ops/rasterize.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { between, type Case, type Input, indicesBelow, type Sample } from './case.js';

const snap = (v: number) => Math.trunc(Math.fround(v * 4096 + (v < 0 ? -0.5 : 0.5))) / 4096;

const size = [23, 31] as const;

/** Points over and around a 31 x 23 image, at depths in [0, 10). */
const points: Input = {
  shape: [40, 3],
  value: (random) => 40 * random() - 5,
};

const look = (name: string, what: (drawn: ReturnType<typeof rasterize>) => Tensor, options = {}): Sample => ({
  name,
  inputs: { vertices: points, triangles: indicesBelow(40, [60, 3]) },
  differentiable: [],
  run: (t) => what(rasterize(t.vertices, t.triangles, { size, ...options })),
});

const triangle = () => tensor([[0, 1, 2]], { dtype: 'i32' });

const cases: Case = {
  kernels: {
    rasterize({ vertices, triangles, index, barycentric, depth }, { count, h, w, cull }) {
      index.fill(-1);
      barycentric.fill(0);
      depth.fill(-Infinity);
      for (let t = 0; t < count; t++) {
        const [p, q, r] = [0, 1, 2].map((k) => {
          const [x, y, z] = vertices.subarray(3 * triangles[3 * t + k]);
          const usable = Math.abs(x) < 2 ** 17 && Math.abs(y) < 2 ** 17 && Number.isFinite(z);
          return usable ? { x: snap(x), y: snap(y), z } : undefined;
        });
        if (!p || !q || !r) continue;
        const area = (q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x);
        if (area === 0 || (cull && area > 0)) continue;
        for (let y = 0; y < h; y++)
          for (let x = 0; x < w; x++) {
            const b0 = ((r.x - q.x) * (y - q.y) - (r.y - q.y) * (x - q.x)) / area;
            const b1 = ((p.x - r.x) * (y - r.y) - (p.y - r.y) * (x - r.x)) / area;
            const b2 = ((q.x - p.x) * (y - p.y) - (q.y - p.y) * (x - p.x)) / area;
            if (b0 < 0 || b1 < 0 || b2 < 0) continue;
            const z = b0 * p.z + b1 * q.z + b2 * r.z;
            const at = y * w + x;
            if (!(z > depth[at])) continue;
            depth[at] = z;
            index[at] = t;
            barycentric.set([b0, b1, b2], 3 * at);
          }
      }
    },
    depth_map({ vertices, triangles, depth }, numbers) {
      const [index, barycentric] = [new Float64Array(depth.length), new Float64Array(3 * depth.length)];
      cases.kernels.rasterize({ vertices, triangles, index, barycentric, depth }, numbers, {}, {});
    },
    interpolate({ attributes, triangles, index, barycentric, y }, { pixels, c, background }) {
      for (let p = 0; p < pixels; p++)
        for (let j = 0; j < c; j++) {
          const at = (k: number) => barycentric[3 * p + k] * attributes[triangles[3 * index[p] + k] * c + j];
          y[p * c + j] = index[p] < 0 ? background : at(0) + at(1) + at(2);
        }
    },
    interpolate_attributes({ y, triangles, index, barycentric, attributes }, { pixels, c }) {
      attributes.fill(0);
      for (let p = 0; p < pixels; p++)
        for (let k = 0; k < 3 && index[p] >= 0; k++)
          for (let j = 0; j < c; j++)
            attributes[triangles[3 * index[p] + k] * c + j] += barycentric[3 * p + k] * y[p * c + j];
    },
  },
  samples: [
    look('index', ({ index }) => index),
    look('index without backs', ({ index }) => index, { cull: true }),
    look('barycentric', ({ barycentric }) => barycentric),
    look('depth', ({ depth }) => maximum(depth, -100)),
    {
      name: 'depthMap without backs',
      inputs: { vertices: points, triangles: indicesBelow(40, [60, 3]) },
      differentiable: [],
      run: (t) => maximum(depthMap(t.vertices, t.triangles, { size, cull: true }), -100),
    },
    {
      name: 'interpolate',
      inputs: {
        attributes: [40, 5],
        triangles: indicesBelow(40, [60, 3]),
        index: { shape: size, dtype: 'i32', value: (random) => Math.floor(61 * random()) - 1 },
        barycentric: between(-0.5, 1, [...size, 3]),
      },
      differentiable: ['attributes'],
      run: (t) =>
        interpolate(t.attributes, t.triangles, { index: t.index, barycentric: t.barycentric }, { background: 7 }),
    },
  ],
  errors: [
    {
      name: 'vertices',
      run: () => rasterize(ones([4, 2]), triangle(), { size: [8, 8] }),
      message: 'rasterize: vertices must be [n, 3], got [4,2]',
    },
    {
      name: 'triangles',
      run: () => rasterize(ones([4, 3]), ones([3], { dtype: 'i32' }), { size: [8, 8] }),
      message: 'rasterize: triangles must be [t, 3], got [3]',
    },
    {
      name: 'triangles of floats',
      run: () => rasterize(ones([4, 3]), ones([1, 3]), { size: [8, 8] }),
      message: 'rasterize: triangles [1,3] is f32, wants i32; use cast',
    },
    {
      name: 'size',
      run: () => rasterize(ones([4, 3]), triangle(), { size: [8, 0] }),
      message: 'rasterize: size [h, w] must be two whole numbers from 1 to 32768, got [8,0]',
    },
    {
      name: 'vertices of depthMap',
      run: () => depthMap(ones([4, 2]), triangle(), { size: [8, 8] }),
      message: 'depthMap: vertices must be [n, 3], got [4,2]',
    },
    {
      name: 'attributes',
      run: () =>
        interpolate(ones([4]), triangle(), {
          index: ones([2, 2], { dtype: 'i32' }),
          barycentric: ones([2, 2, 3]),
        }),
      message: 'interpolate: attributes must be [n, c], got [4]',
    },
    {
      name: 'barycentric',
      run: () =>
        interpolate(ones([4, 1]), triangle(), { index: ones([2, 2], { dtype: 'i32' }), barycentric: ones([2, 3]) }),
      message: 'interpolate: barycentric must be the shape of index and 3, got index [2,2], barycentric [2,3]',
    },
  ],
};

export default cases;
