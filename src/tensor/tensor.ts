// Tensor: a shape, an element type, a slot on a device, and how it was made. Immutable but for Variable.
import { type Device, DeviceError } from './device.js';
import { type DType, numberFromBf16, type TypedArray } from './dtype.js';
import { track } from './scope.js';
import { type Shape, ShapeError, sameShape, showShape, sizeOf } from './shape.js';
import type { Storage } from './storage.js';

/** Nested arrays of numbers, as deep as the rank; a plain number for rank 0. */
export type NestedArray = number | NestedArray[];

/** d loss / d input, from d loss / d output. */
export type Gradient = (dy: Tensor) => Tensor;

/** How a tensor was made: what `gradient` walks. `versions` are those of the inputs at that time (variables change). */
export interface Origin {
  readonly op: string;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly gradients: readonly (Gradient | undefined)[];
  readonly versions: readonly number[];
}

// The net under scopes and dispose: memory of tensors that were simply dropped.
const dropped = new FinalizationRegistry<Storage>((storage) => storage.release());

export class Tensor {
  readonly size: number;
  origin: Origin | undefined;
  /** Counts writes; only variables are written twice. */
  version = 0;
  private held: Storage | undefined;

  /** Takes over one reference to the storage. Use `tensor`, `zeros`, ... or an op instead. */
  constructor(
    storage: Storage,
    readonly shape: Shape,
  ) {
    this.size = sizeOf(shape);
    this.held = storage;
    dropped.register(this, storage, this);
    // Variables outlive every scope.
    if (!(this instanceof Variable)) track(this);
  }

  get storage(): Storage {
    if (!this.held)
      throw new DeviceError(
        `this tensor ${showShape(this.shape)} was disposed of (dispose, using, or the end of a tidy scope)`,
      );
    return this.held;
  }

  get dtype(): DType {
    return this.storage.dtype;
  }

  /** The name of the device it lies on. */
  get device(): string {
    return this.storage.device.name;
  }

  get owner(): Device {
    return this.storage.device;
  }

  get isDisposed(): boolean {
    return this.held === undefined;
  }

  /**
   * The elements, row-major: Float32Array, Int32Array, Uint8Array, or Uint16Array of bf16 bits. The type is that of f32 unless
   * named: `x.data<Int32Array>()`.
   */
  data<T extends TypedArray = Float32Array>(): Promise<T> {
    const { device, slot, dtype } = this.storage;
    return device.read(slot, dtype, this.size) as Promise<T>;
  }

  /** The same, blocking the event loop until the device is done. */
  dataSync<T extends TypedArray = Float32Array>(): T {
    const { device, slot, dtype } = this.storage;
    return device.readSync(slot, dtype, this.size) as T;
  }

  /** The number of a one-element tensor. Throws ShapeError otherwise. */
  async item(): Promise<number> {
    if (this.size !== 1) throw new ShapeError(`item: one element is wanted, x is ${showShape(this.shape)}`);
    return asNumbers(await this.data(), this.dtype)[0];
  }

  /** Nested arrays as deep as the rank. */
  async toArray(): Promise<NestedArray> {
    const { dtype } = this;
    return nest(asNumbers(await this.data(), dtype), this.shape, 0, { at: 0 });
  }

  /** Frees the memory now. The tensor cannot be used afterwards; doing it twice is allowed. */
  dispose(): void {
    if (!this.held) return;
    dropped.unregister(this);
    this.held.release();
    this.held = undefined;
    this.origin = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return this.held
      ? `Tensor ${showShape(this.shape)} ${this.dtype} ${this.device}`
      : `Tensor ${showShape(this.shape)} (disposed)`;
  }
}

/**
 * The only tensor that is written twice: parameters, optimiser moments, running statistics. Lives until disposed of, outside
 * any scope; a gradient never passes through an assignment.
 */
export class Variable extends Tensor {
  /** Copies x's values in. Throws ShapeError unless shape and dtype agree. */
  assign(x: Tensor): this {
    if (!sameShape(x.shape, this.shape) || x.dtype !== this.dtype) {
      throw new ShapeError(
        `assign: variable ${showShape(this.shape)} ${this.dtype}, x ${showShape(x.shape)} ${x.dtype}`,
      );
    }
    this.copyFrom(x);
    return this;
  }

  /** Set by record.ts, which knows how to append instructions. */
  declare copyFrom: (x: Tensor) => void;
}

/** A typed array's values as numbers (decodes bf16). */
export function asNumbers(values: TypedArray, dtype: DType): ArrayLike<number> {
  return dtype === 'bf16' ? Float32Array.from(values, numberFromBf16) : values;
}

function nest(values: ArrayLike<number>, shape: Shape, axis: number, cursor: { at: number }): NestedArray {
  if (axis === shape.length) return values[cursor.at++];
  return Array.from({ length: shape[axis] }, () => nest(values, shape, axis + 1, cursor));
}
