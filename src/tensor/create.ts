// Making tensors from values, and ndarray in and out.
import ndarray, { type NdArray } from 'ndarray';
import { deviceNamed } from './device.js';
import { type DType, dtypeCode, isDType, type TypedArray, toArray } from './dtype.js';
import { emit, empty } from './record.js';
import { checkShape, type Shape, ShapeError, showShape, sizeOf, stridesOf } from './shape.js';
import type { NestedArray, Tensor } from './tensor.js';

export interface CreateOptions {
  dtype?: DType;
  /** Device name; the default device unless given. */
  device?: string;
}

function checkOptions(op: string, { dtype = 'f32' }: CreateOptions): DType {
  if (!isDType(dtype)) throw new ShapeError(`${op}: dtype '${dtype}' is none of f32, i32, u8, bf16`);
  return dtype;
}

/** Uploads values that already lie in row-major order. */
function upload(op: string, values: ArrayLike<number>, shape: Shape, options: CreateOptions): Tensor {
  const dtype = checkOptions(op, options);
  checkShape(op, shape);
  if (values.length !== sizeOf(shape))
    throw new ShapeError(`${op}: ${values.length} values for shape ${showShape(shape)} (${sizeOf(shape)})`);
  const y = empty(shape, dtype, deviceNamed(options.device));
  // The float64 reference device keeps the digits that a Float32Array would drop.
  const exact = dtype === 'f32' && values instanceof Float64Array && y.owner.backend.keepsFloat64 === true;
  y.owner.write(y.storage.slot, exact ? (values as Float64Array) : toArray(dtype, values));
  return y;
}

function flatten(values: NestedArray, depth: number, shape: number[], flat: number[]): void {
  if (typeof values === 'number') {
    if (depth !== shape.length)
      throw new ShapeError(
        `tensor: nested arrays of uneven depth (a number at depth ${depth}, ${shape.length} expected)`,
      );
    flat.push(values);
    return;
  }
  if (!Array.isArray(values)) throw new ShapeError(`tensor: values must be numbers, got ${typeof values}`);
  if (depth === shape.length && flat.length === 0) shape.push(values.length);
  if (values.length !== shape[depth])
    throw new ShapeError(
      `tensor: nested arrays of uneven length (${values.length} against ${shape[depth]} at depth ${depth})`,
    );
  for (const item of values) flatten(item, depth + 1, shape, flat);
}

const isNdarray = (values: object): values is NdArray =>
  'stride' in values && 'offset' in values && 'data' in values && 'shape' in values;

/**
 * A tensor of the given values: a number, nested arrays, a typed array (with `shape`, else one dimension) or an `ndarray`.
 * Throws ShapeError for uneven nesting or a shape that does not hold the values.
 */
export function tensor(
  values: NestedArray | TypedArray | NdArray | Float64Array | Int8Array | Int16Array | Uint32Array | Uint8ClampedArray,
  options: CreateOptions & { shape?: Shape } = {},
): Tensor {
  if (ArrayBuffer.isView(values)) return upload('tensor', values, options.shape ?? [values.length], options);
  if (typeof values === 'object' && !Array.isArray(values) && isNdarray(values)) return fromNdarray(values, options);
  const shape: number[] = [];
  const flat: number[] = [];
  flatten(values as NestedArray, 0, shape, flat);
  return upload(
    'tensor',
    options.dtype === undefined || options.dtype === 'f32' ? Float64Array.from(flat) : flat,
    options.shape ?? shape,
    options,
  );
}

/** A tensor of the shape with every element `value`. */
export function full(shape: Shape, value: number, options: CreateOptions = {}): Tensor {
  const dtype = checkOptions('full', options);
  checkShape('full', shape);
  const y = empty([...shape], dtype, deviceNamed(options.device));
  emit('fill', [y], { size: y.size, dtype: dtypeCode(dtype), value });
  return y;
}

export const zeros = (shape: Shape, options?: CreateOptions): Tensor => full(shape, 0, options);
export const ones = (shape: Shape, options?: CreateOptions): Tensor => full(shape, 1, options);

/** [0, 1, ..., count - 1]; with `start` and `step`, [start, start + step, ...]. */
export function arange(count: number, options: CreateOptions & { start?: number; step?: number } = {}): Tensor {
  checkShape('arange', [count]);
  const { start = 0, step = 1 } = options;
  return upload(
    'arange',
    Float64Array.from({ length: count }, (_, i) => start + i * step),
    [count],
    options,
  );
}

/** The identity matrix [n, n]. */
export function eye(n: number, options: CreateOptions = {}): Tensor {
  checkShape('eye', [n]);
  const values = new Float64Array(n * n);
  for (let i = 0; i < n; i++) values[i * n + i] = 1;
  return upload('eye', values, [n, n], options);
}

/** A tensor with the elements of an ndarray, whatever its strides. */
export function fromNdarray(a: NdArray, options: CreateOptions & { shape?: Shape } = {}): Tensor {
  const { shape } = a;
  const steps = stridesOf(shape);
  const data = a.data as ArrayLike<number> & { get?: (i: number) => number };
  const values = new Float64Array(sizeOf(shape));
  for (let i = 0; i < values.length; i++) {
    let at = a.offset;
    for (let d = 0; d < shape.length; d++) at += (Math.floor(i / steps[d]) % shape[d]) * a.stride[d];
    values[i] = typeof data.get === 'function' ? data.get(at) : data[at];
  }
  return upload('fromNdarray', values, options.shape ?? [...shape], options);
}

/** An ndarray over a copy of the tensor's elements (bf16 as its bit patterns). */
export async function toNdarray(x: Tensor): Promise<NdArray<TypedArray>> {
  return ndarray(await x.data(), [...x.shape]);
}
