import { ones } from '../../src/tensor/create.js';
import { bf16FromNumber, numberFromBf16 } from '../../src/tensor/dtype.js';
import * as ops from '../../src/tensor/ops/layout.js';
import { expand, sumTo } from '../../src/tensor/ops/reduce.js';
import { type Case, indicesBelow } from './case.js';

/** Calls f(packed index, strided index) for every element of a strided walk. */
function walk(shape: number[], offset: number, strides: number[], f: (packed: number, at: number) => void): void {
  const size = shape.reduce((product, n) => product * n, 1);
  for (let i = 0; i < size; i++) {
    let rest = i;
    let at = offset;
    for (let d = 5; d >= 0; d--) {
      at += (rest % shape[d]) * strides[d];
      rest = Math.floor(rest / shape[d]);
    }
    f(i, at);
  }
}

const convert: ((v: number) => number)[] = [
  (v) => v,
  (v) => Math.trunc(v),
  (v) => Math.min(255, Math.max(0, Math.trunc(v))),
  (v) => numberFromBf16(bf16FromNumber(v)),
];

const cases: Case = {
  kernels: {
    fill({ y }, { size, dtype, value }) {
      y.fill(convert[dtype](value), 0, size);
    },
    cast({ x, y }, { size, to }) {
      for (let i = 0; i < size; i++) y[i] = convert[to](x[i]);
    },
    copy({ x, y }, { size }) {
      y.set(x.subarray(0, size));
    },
    strided_read({ x, y }, { offset }, { shape, strides }) {
      walk(shape, offset, strides, (i, at) => {
        y[i] = x[at];
      });
    },
    strided_write({ x, y }, { offset }, { shape, strides }) {
      walk(shape, offset, strides, (i, at) => {
        y[at] = x[i];
      });
    },
    gather({ x, indices, y }, { outer, axis, count, inner }) {
      for (let o = 0; o < outer; o++)
        for (let i = 0; i < count; i++)
          for (let j = 0; j < inner; j++) y[(o * count + i) * inner + j] = x[(o * axis + indices[i]) * inner + j];
    },
    scatter_add({ y, indices, x }, { outer, axis, count, inner }) {
      x.fill(0, 0, outer * axis * inner);
      for (let o = 0; o < outer; o++)
        for (let i = 0; i < count; i++)
          for (let j = 0; j < inner; j++) x[(o * axis + indices[i]) * inner + j] += y[(o * count + i) * inner + j];
    },
    take_axis({ x, indices, y }, { outer, axis, inner }) {
      for (let i = 0; i < outer * inner; i++)
        y[i] = x[(Math.floor(i / inner) * axis + indices[i]) * inner + (i % inner)];
    },
    put_axis({ y, indices, x }, { outer, axis, inner }) {
      x.fill(0, 0, outer * axis * inner);
      for (let i = 0; i < outer * inner; i++)
        x[(Math.floor(i / inner) * axis + indices[i]) * inner + (i % inner)] = y[i];
    },
  },
  maps: ['x', 'y', 'z'],
  samples: [
    { name: 'reshape', inputs: { x: [3, 4, 5] }, run: (t) => ops.reshape(t.x, [5, -1]) },
    { name: 'permute', inputs: { x: [2, 3, 4, 5] }, run: (t) => ops.permute(t.x, [0, 3, 1, 2]) },
    { name: 'permute by negative dims', inputs: { x: [2, 3, 4] }, run: (t) => ops.permute(t.x, { dims: [-1, 0, 1] }) },
    { name: 'flip', inputs: { x: [2, 3, 4, 5] }, run: (t) => ops.flip(t.x, { axes: [2, 0] }) },
    { name: 'flip of the last axis', inputs: { x: [3, 7] }, run: (t) => ops.flip(t.x, { axes: [-1] }) },
    { name: 'expand', inputs: { x: [3, 1, 5] }, run: (t) => expand(t.x, [2, 3, 4, 5]) },
    { name: 'sumTo', inputs: { x: [2, 3, 4, 5] }, run: (t) => sumTo(t.x, [3, 1, 5]) },
    { name: 'slice', inputs: { x: [4, 5, 6] }, run: (t) => ops.slice(t.x, { start: [1, 0, 2], size: [2, 5, 3] }) },
    {
      name: 'pad',
      inputs: { x: [2, 3, 4] },
      run: (t) =>
        ops.pad(t.x, {
          padding: [
            [0, 0],
            [1, 2],
            [3, 0],
          ],
          value: 0.5,
        }),
    },
    {
      name: 'concat last',
      inputs: { x: [2, 3, 4], y: [2, 3, 1], z: [2, 3, 5] },
      run: (t) => ops.concat([t.x, t.y, t.z]),
    },
    { name: 'concat first', inputs: { x: [2, 3], y: [4, 3] }, run: (t) => ops.concat([t.x, t.y], { axis: 0 }) },
    { name: 'concat of one tensor twice', inputs: { x: [2, 3] }, run: (t) => ops.concat([t.x, t.x], { axis: -2 }) },
    { name: 'gather', inputs: { x: [7, 5], i: indicesBelow(7, [11]) }, run: (t) => ops.gather(t.x, t.i) },
    {
      name: 'gather inside',
      inputs: { x: [2, 7, 3], i: indicesBelow(7, [4]) },
      run: (t) => ops.gather(t.x, t.i, { axis: 1 }),
    },
    {
      name: 'scatterAdd',
      inputs: { y: [2, 11, 70], i: indicesBelow(5, [11]) },
      run: (t) => ops.scatterAdd(t.y, t.i, [2, 5, 70], 1),
    },
    { name: 'takeAxis', inputs: { x: [3, 6, 4], i: indicesBelow(6, [3, 4]) }, run: (t) => ops.takeAxis(t.x, t.i, 1) },
    {
      name: 'putAxis',
      inputs: { y: [3, 4], i: indicesBelow(6, [3, 4]) },
      run: (t) => ops.putAxis(t.y, t.i, [3, 6, 4], 1),
    },
    { name: 'clone', inputs: { x: [13] }, run: (t) => ops.clone(t.x) },
    { name: 'cast to i32', inputs: { x: [65] }, run: (t) => ops.cast(t.x, 'i32'), differentiable: [] },
    {
      name: 'cast to u8',
      inputs: { x: { shape: [65], value: (r) => 600 * r() - 150 } },
      run: (t) => ops.cast(t.x, 'u8'),
      differentiable: [],
    },
    {
      name: 'cast through bf16',
      inputs: { x: [65] },
      run: (t) => ops.cast(ops.cast(t.x, 'bf16'), 'f32'),
      differentiable: [],
    },
  ],
  benchmarks: [
    {
      name: 'concat 192 @128',
      inputs: { x: [1, 128, 128, 128], y: [1, 128, 128, 64] },
      run: (t) => ops.concat([t.x, t.y]),
    },
    { name: 'permute to NCHW 64 @128', inputs: { x: [1, 128, 128, 64] }, run: (t) => ops.permute(t.x, [0, 3, 1, 2]) },
  ],
  errors: [
    {
      name: 'flip of an axis that is not there',
      run: () => ops.flip(ones([2, 3]), { axes: [2] }),
      message: /^flip: axis 2 /,
    },
    {
      name: 'reshape',
      run: () => ops.reshape(ones([2, 3]), [4]),
      message: 'reshape: x [2,3] has 6 elements, which do not fill [4]',
    },
    {
      name: 'permute',
      run: () => ops.permute(ones([2, 3]), [0, 0]),
      message: 'permute: dims [0,0] is no permutation of the dimensions of x [2,3]',
    },
    { name: 'expand', run: () => expand(ones([2]), [3]), message: 'expand: x [2] does not broadcast to [3]' },
    {
      name: 'slice',
      run: () => ops.slice(ones([2, 3]), { start: [0, 2], size: [2, 2] }),
      message: 'slice: start [0,2] size [2,2] is no window of x [2,3]',
    },
    {
      name: 'pad',
      run: () => ops.pad(ones([2]), { padding: [[-1, 0]] }),
      message: 'pad: wants [before, after] >= 0 for each dimension of x [2], got [[-1,0]]',
    },
    {
      name: 'concat',
      run: () => ops.concat([ones([2, 3]), ones([3, 3])]),
      message: 'concat: [2,3] f32, [3,3] f32 differ outside axis 1',
    },
    { name: 'concat of nothing', run: () => ops.concat([]), message: 'concat: no tensors' },
    {
      name: 'gather',
      run: () => ops.gather(ones([2]), ones([1])),
      message: 'gather: indices [1] is f32, wants i32; use cast',
    },
    {
      name: 'gather axis',
      run: () => ops.gather(ones([2]), ones([1], { dtype: 'i32' }), { axis: 1 }),
      message: 'gather: axis 1 is outside x [2]',
    },
  ],
};

export default cases;
