// Sums and maxima along axes, and the adjoint of a sum: repetition.
import type { DType } from '../dtype.js';
import { derive, floatType, record } from '../record.js';
import { broadcastStrides, normalizeAxis, type Shape, ShapeError, sameShape, showShape, sizeOf } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { cast, putAxis, readStrided, reshape } from './layout.js';

export interface ReduceOptions {
  /** Axes to reduce, negative counted from the end; all when left out or null. */
  axes?: readonly number[] | number | null;
  /** Keep them with size 1. */
  keepDims?: boolean;
}

export function axesOf(op: string, x: Tensor, { axes }: ReduceOptions): number[] {
  if (axes === undefined || axes === null) return x.shape.map((_, i) => i);
  const list = (typeof axes === 'number' ? [axes] : axes).map((a) => normalizeAxis(op, a, x.shape));
  if (new Set(list).size !== list.length)
    throw new ShapeError(`${op}: axes [${axes}] name one axis of x ${showShape(x.shape)} twice`);
  return list.sort((a, b) => a - b);
}

const kept = (shape: Shape, axes: readonly number[]): number[] => shape.map((n, i) => (axes.includes(i) ? 1 : n));
const dropped = (shape: Shape, axes: readonly number[]): number[] => shape.filter((_, i) => !axes.includes(i));

/** Neighbouring axes are one axis to the kernels: [[first, last], ...] from the back. */
function runs(axes: readonly number[]): [number, number][] {
  const result: [number, number][] = [];
  for (const axis of axes) {
    const last = result.at(-1);
    if (last && last[1] === axis - 1) last[1] = axis;
    else result.push([axis, axis]);
  }
  return result.reverse();
}

const extents = (shape: Shape, first: number, last: number) => ({
  outer: sizeOf(shape.slice(0, first)),
  axis: sizeOf(shape.slice(first, last + 1)),
  inner: sizeOf(shape.slice(last + 1)),
});

/** Sum over axes, f32. Sums are blocked, in an order that depends on the shape alone. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  floatType('sum', { x });
  const axes = axesOf('sum', x, options);
  let y = x;
  for (const [first, last] of runs(axes)) {
    const shape = y.shape.map((n, i) => (i >= first && i <= last ? 1 : n));
    [y] = record('reduce_sum', { inputs: [y], outputs: [{ shape }], params: extents(y.shape, first, last) });
  }
  y = reshape(cast(y, 'f32'), options.keepDims ? kept(x.shape, axes) : dropped(x.shape, axes));
  return derive('sum', y, [x], [(dy) => expand(reshape(cast(dy, x.dtype), kept(x.shape, axes)), x.shape)]);
}

/** x repeated to a shape it broadcasts to. */
export function expand(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const fits =
    x.shape.length <= shape.length &&
    x.shape.every((n, i) => n === 1 || n === shape[shape.length - x.shape.length + i]);
  if (!fits) throw new ShapeError(`expand: x ${showShape(x.shape)} does not broadcast to ${showShape(shape)}`);
  return derive(
    'expand',
    readStrided('expand', x, shape, 0, broadcastStrides(x.shape, shape)),
    [x],
    [(dy) => sumTo(dy, x.shape)],
  );
}

/** The adjoint of `expand`: x summed over the dimensions along which `shape` repeats, in x's type unless another is given. */
export function sumTo(x: Tensor, shape: Shape, dtype: DType = x.dtype): Tensor {
  if (sameShape(x.shape, shape)) return cast(x, dtype);
  const extra = x.shape.length - shape.length;
  const axes = x.shape.flatMap((n, i) => (i < extra || (shape[i - extra] === 1 && n !== 1) ? [i] : []));
  return reshape(cast(axes.length > 0 ? sum(x, { axes }) : x, dtype), shape);
}

function maximumAlong(op: string, x: Tensor, options: ReduceOptions): { value: Tensor; index: Tensor; axes: number[] } {
  const dtype = floatType(op, { x });
  const axes = axesOf(op, x, options);
  const runsOf = runs(axes);
  if (runsOf.length > 1)
    throw new ShapeError(`${op}: axes [${axes}] of x ${showShape(x.shape)} must be neighbours; permute first`);
  if (x.size === 0) throw new ShapeError(`${op}: x ${showShape(x.shape)} is empty`);
  const [first, last] = runsOf[0] ?? [0, -1];
  const shape = dropped(x.shape, axes);
  const outputs = [
    { shape, dtype },
    { shape, dtype: 'i32' as const },
  ];
  const [value, index] = record('reduce_max', { inputs: [x], outputs, params: extents(x.shape, first, last) });
  return { value, index, axes };
}

/** Largest element over neighbouring axes; NaN wins. The gradient goes to the first of equal maxima. */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  const { value, index, axes } = maximumAlong('max', x, options);
  const shape = options.keepDims ? kept(x.shape, axes) : value.shape;
  const first = axes[0] ?? 0;
  const flat = [...x.shape.slice(0, first), sizeOf(axes.map((i) => x.shape[i])), ...x.shape.slice(first + axes.length)];
  const y = reshape(value, shape);
  return derive('max', y, [x], [(dy) => reshape(putAxis(reshape(dy, value.shape), index, flat, first), x.shape)]);
}

/** Position (i32) of the largest element over neighbouring axes, counted row-major within them; the first of equals. */
export function argmax(x: Tensor, options: ReduceOptions & { axis?: number } = {}): Tensor {
  const { value, index, axes } = maximumAlong(
    'argmax',
    x,
    options.axis === undefined ? options : { ...options, axes: [options.axis] },
  );
  value.dispose();
  return options.keepDims ? reshape(index, kept(x.shape, axes)) : index;
}
