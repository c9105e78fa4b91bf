// The plain layout of a face model file: names, shapes and element types, and the error that names what is wrong.
// Contract: a reader has widened f16 and checked the file itself; here only the arrays are judged.

/** What a tensor file holds, in host memory: the shape of a row-major typed array. `f16` must be widened by the reader. */
export interface HostTensor {
  dtype: string;
  shape: readonly number[];
  data: ArrayLike<number>;
}

/** What `toTensors` gives to a writer. */
export interface ModelTensor extends HostTensor {
  dtype: 'f32' | 'i32';
  shape: number[];
  data: Float32Array | Int32Array;
}

/** Names of the plain layout that `fromTensors` reads and `toTensors` writes. */
export const FACE_MODEL_TENSORS = [
  'mean',
  'identity',
  'identity_std',
  'expression',
  'expression_std',
  'triangles',
  'landmarks',
  'uv',
  'parameter_mean',
  'parameter_std',
  'source',
  'source_count',
] as const;

/** A face model whose arrays do not fit together; the message names the field. */
export class FaceModelError extends Error {
  override readonly name = 'FaceModelError';
  constructor(
    readonly field: string,
    message: string,
  ) {
    super(`face model: ${field}: ${message}`);
  }
}

/** Shape of tensor `field`; throws unless it is there and fits `wanted` (-1: any length). */
export function need(
  tensors: Readonly<Record<string, HostTensor>>,
  field: string,
  wanted: number[],
): readonly number[] {
  const tensor = tensors[field];
  const want = `[${wanted.map((d) => (d < 0 ? '*' : d)).join(', ')}]`;
  if (!tensor) throw new FaceModelError(field, `wanted a tensor ${want}, there is none`);
  const { shape, data } = tensor;
  const fits = shape.length === wanted.length && wanted.every((d, i) => d < 0 || d === shape[i]);
  if (!fits) throw new FaceModelError(field, `wanted shape ${want}, got [${shape.join(', ')}]`);
  const size = shape.reduce((a, b) => a * b, 1);
  if (data.length !== size) {
    throw new FaceModelError(field, `shape [${shape.join(', ')}] needs ${size} numbers, got ${data.length}`);
  }
  return shape;
}

export function floats(tensor: HostTensor): Float32Array {
  return tensor.data instanceof Float32Array ? tensor.data : Float32Array.from(tensor.data);
}

export function integers(field: string, tensor: HostTensor): Int32Array {
  if (tensor.data instanceof Int32Array) return tensor.data;
  const out = Int32Array.from(tensor.data);
  const bad = out.findIndex((x, i) => x !== Number(tensor.data[i]));
  if (bad >= 0) throw new FaceModelError(field, `wanted 32-bit integers, number ${bad} is ${tensor.data[bad]}`);
  return out;
}
