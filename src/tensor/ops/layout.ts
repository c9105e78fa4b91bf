// Ops that move elements: reshape, permute, slice, concat, pad, gather and their adjoints, casts and copies.
import { full } from '../create.js';
import { deviceNamed } from '../device.js';
import { bytesPerElement, type DType, dtypeCode, isDType } from '../dtype.js';
import { checkDType, derive, emit, empty, record, share } from '../record.js';
import { checkShape, collapse, normalizeAxis, type Shape, ShapeError, showShape, sizeOf, stridesOf } from '../shape.js';
import type { Tensor } from '../tensor.js';

/** The same elements in another shape; one dimension may be -1. Shares memory with x. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = shape.reduce((product, n) => (n === -1 ? product : product * n), 1);
  const full = shape.map((n) => (n === -1 && known > 0 ? x.size / known : n));
  if (
    shape.filter((n) => n === -1).length > 1 ||
    sizeOf(full) !== x.size ||
    full.some((n) => !Number.isInteger(n) || n < 0)
  ) {
    throw new ShapeError(
      `reshape: x ${showShape(x.shape)} has ${x.size} elements, which do not fill ${showShape(shape)}`,
    );
  }
  return derive('reshape', share(x, full), [x], [(dy) => reshape(dy, x.shape)]);
}

/** x read through strides (in elements; 0 repeats) into a packed tensor of `shape`. No derivative. */
export function readStrided(op: string, x: Tensor, shape: Shape, offset: number, strides: number[]): Tensor {
  const walk = collapse(op, shape, strides);
  const params = { width: bytesPerElement(x.dtype), shape: walk.shape, offset, strides: walk.strides[0] };
  return record('strided_read', { inputs: [x], outputs: [{ shape, dtype: x.dtype }], params })[0];
}

/** Writes x into the window of y that starts at `start`. */
function write(op: string, x: Tensor, y: Tensor, start: readonly number[]): void {
  const strides = stridesOf(y.shape);
  const walk = collapse(op, x.shape, strides);
  const offset = start.reduce((at, n, i) => at + n * strides[i], 0);
  emit('strided_write', [x, y], {
    width: bytesPerElement(x.dtype),
    shape: walk.shape,
    offset,
    strides: walk.strides[0],
  });
}

/** y[i0, i1, ...] = x with its dimensions in the order `dims`: y.shape[k] = x.shape[dims[k]]. */
export function permute(x: Tensor, options: readonly number[] | { dims: readonly number[] }): Tensor {
  const dims = 'dims' in options ? options.dims : options;
  const order = dims.map((d) => normalizeAxis('permute', d, x.shape));
  if (order.length !== x.shape.length || new Set(order).size !== order.length) {
    throw new ShapeError(`permute: dims [${dims}] is no permutation of the dimensions of x ${showShape(x.shape)}`);
  }
  const strides = stridesOf(x.shape);
  const y = readStrided(
    'permute',
    x,
    order.map((d) => x.shape[d]),
    0,
    order.map((d) => strides[d]),
  );
  const inverse = order.map((_, i) => order.indexOf(i));
  return derive('permute', y, [x], [(dy) => permute(dy, inverse)]);
}

/** x with the order of its elements reversed along the axes. */
export function flip(x: Tensor, { axes }: { axes: readonly number[] }): Tensor {
  const reversed = new Set(axes.map((axis) => normalizeAxis('flip', axis, x.shape)));
  const strides = stridesOf(x.shape);
  const offset = strides.reduce((at, step, i) => (reversed.has(i) ? at + step * Math.max(0, x.shape[i] - 1) : at), 0);
  const walk = strides.map((step, i) => (reversed.has(i) ? -step : step));
  return derive('flip', readStrided('flip', x, x.shape, offset, walk), [x], [(dy) => flip(dy, { axes })]);
}

/** The window of x at `start` with `size` elements per dimension. */
export function slice(x: Tensor, { start, size }: { start: readonly number[]; size: readonly number[] }): Tensor {
  const fits =
    start.length === x.shape.length &&
    size.length === x.shape.length &&
    x.shape.every(
      (n, i) =>
        Number.isInteger(start[i]) &&
        Number.isInteger(size[i]) &&
        start[i] >= 0 &&
        size[i] >= 0 &&
        start[i] + size[i] <= n,
    );
  if (!fits) throw new ShapeError(`slice: start [${start}] size [${size}] is no window of x ${showShape(x.shape)}`);
  const strides = stridesOf(x.shape);
  const offset = start.reduce((at, n, i) => at + n * strides[i], 0);
  const padding = x.shape.map((n, i): [number, number] => [start[i], n - start[i] - size[i]]);
  return derive('slice', readStrided('slice', x, [...size], offset, strides), [x], [(dy) => pad(dy, { padding })]);
}

/** x with `value` around it: padding [[before, after], ...], one pair per dimension. */
export function pad(
  x: Tensor,
  { padding, value = 0 }: { padding: readonly (readonly [number, number])[] | readonly number[][]; value?: number },
): Tensor {
  if (
    padding.length !== x.shape.length ||
    padding.some((p) => p.length !== 2 || p.some((n) => !Number.isInteger(n) || n < 0))
  ) {
    throw new ShapeError(
      `pad: wants [before, after] >= 0 for each dimension of x ${showShape(x.shape)}, got ${JSON.stringify(padding)}`,
    );
  }
  const start = padding.map(([before]) => before);
  const y = full(
    x.shape.map((n, i) => n + padding[i][0] + padding[i][1]),
    value,
    { dtype: x.dtype, device: x.device },
  );
  write('pad', x, y, start);
  return derive('pad', y, [x], [(dy) => slice(dy, { start, size: x.shape })]);
}

/** Tensors one after the other along an axis. */
export function concat(tensors: readonly Tensor[], options: { axis?: number } = {}): Tensor {
  if (tensors.length === 0) throw new ShapeError('concat: no tensors');
  const first = tensors[0];
  const axis = normalizeAxis('concat', options.axis ?? -1, first.shape);
  for (const x of tensors) {
    const fits =
      x.dtype === first.dtype &&
      x.shape.length === first.shape.length &&
      x.shape.every((n, i) => i === axis || n === first.shape[i]);
    if (!fits)
      throw new ShapeError(
        `concat: ${tensors.map((t) => `${showShape(t.shape)} ${t.dtype}`).join(', ')} differ outside axis ${axis}`,
      );
  }
  const shape = first.shape.map((n, i) => (i === axis ? tensors.reduce((total, x) => total + x.shape[axis], 0) : n));
  const y = empty(shape, first.dtype, first.owner);
  const starts: number[][] = [];
  let at = 0;
  for (const x of tensors) {
    const start = shape.map((_, i) => (i === axis ? at : 0));
    if (x.size > 0) write('concat', x, y, start);
    starts.push(start);
    at += x.shape[axis];
  }
  return derive(
    'concat',
    y,
    tensors,
    tensors.map((x, i) => (dy: Tensor) => slice(dy, { start: starts[i], size: x.shape })),
  );
}

const isFloat = ({ dtype }: { dtype: DType }): boolean => dtype === 'f32' || dtype === 'bf16';

/** Splits a shape around an axis: elements before, along and after it. */
function around(shape: Shape, axis: number): { outer: number; axis: number; inner: number } {
  return { outer: sizeOf(shape.slice(0, axis)), axis: shape[axis], inner: sizeOf(shape.slice(axis + 1)) };
}

/** The entries of x at `indices` (i32, one dimension) along an axis. An index outside the axis is a DeviceError when read. */
export function gather(x: Tensor, indices: Tensor, options: { axis?: number } = {}): Tensor {
  checkDType('gather', 'indices', indices, 'i32');
  const axis = normalizeAxis('gather', options.axis ?? 0, x.shape);
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  const params = { width: bytesPerElement(x.dtype), ...around(x.shape, axis), count: indices.size };
  const [y] = record('gather', { inputs: [x, indices], outputs: [{ shape, dtype: x.dtype }], params });
  return derive(
    'gather',
    y,
    [x, indices],
    [isFloat(x) ? (dy) => scatterAdd(dy, indices, x.shape, axis) : undefined, undefined],
  );
}

/** The adjoint of `gather`: zeros of `shape` with the entries of y added at `indices`. */
export function scatterAdd(y: Tensor, indices: Tensor, shape: Shape, axis: number): Tensor {
  const params = { ...around(shape, axis), count: indices.size };
  const [x] = record('scatter_add', { inputs: [y, indices], outputs: [{ shape, dtype: y.dtype }], params });
  return derive('scatterAdd', x, [y, indices], [(dx) => gather(dx, indices, { axis }), undefined]);
}

/** For each position off the axis the one element of x that `indices` (i32, the shape of x without the axis) names. */
export function takeAxis(x: Tensor, indices: Tensor, axis: number): Tensor {
  const shape = x.shape.filter((_, i) => i !== axis);
  const outputs = [{ shape, dtype: x.dtype }];
  const [y] = record('take_axis', { inputs: [x, indices], outputs, params: around(x.shape, axis) });
  return derive('takeAxis', y, [x, indices], [(dy) => putAxis(dy, indices, x.shape, axis), undefined]);
}

/** The adjoint of `takeAxis`: zeros of `shape` but for those elements. */
export function putAxis(y: Tensor, indices: Tensor, shape: Shape, axis: number): Tensor {
  const outputs = [{ shape, dtype: y.dtype }];
  const [x] = record('put_axis', { inputs: [y, indices], outputs, params: around(shape, axis) });
  return derive('putAxis', x, [y, indices], [(dx) => takeAxis(dx, indices, axis), undefined]);
}

/** x in another element type: integers truncate, u8 saturates, bf16 rounds to nearest even. Gradients pass between floats. */
export function cast(x: Tensor, dtype: DType): Tensor {
  if (!isDType(dtype)) throw new ShapeError(`cast: dtype '${dtype}' is none of f32, i32, u8, bf16`);
  if (x.dtype === dtype) return x;
  const params = { size: x.size, from: dtypeCode(x.dtype), to: dtypeCode(dtype) };
  const from = x.dtype;
  const [y] = record('cast', { inputs: [x], outputs: [{ shape: x.shape, dtype }], params });
  return derive('cast', y, [x], [isFloat(x) && isFloat({ dtype }) ? (dy) => cast(dy, from) : undefined]);
}

/** A copy of x with memory of its own. */
export function clone(x: Tensor): Tensor {
  const y = detach(x);
  return derive('clone', y, [x], [(dy) => dy]);
}

/** A copy of x through which no gradient passes. */
export function detach(x: Tensor): Tensor {
  return record('copy', {
    inputs: [x],
    outputs: [{ shape: x.shape, dtype: x.dtype }],
    params: { size: x.size, width: bytesPerElement(x.dtype) },
  })[0];
}

/** x on another device: itself when it is there already. Not differentiable. */
export function to(x: Tensor, device: string): Tensor {
  const target = deviceNamed(device);
  if (target === x.owner) return x;
  checkShape('to', x.shape);
  const y = empty(x.shape, x.dtype, target);
  target.write(y.storage.slot, x.dataSync());
  return y;
}
