// Shapes: their checks, strides and broadcasting. Every message names the op first.

export type Shape = readonly number[];

/** An op was given shapes, types or options that do not fit; the message starts with the op's name and shows every shape. */
export class ShapeError extends Error {
  override name = 'ShapeError';
}

export const showShape = (shape: Shape): string => `[${shape.join(',')}]`;

export const sizeOf = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);

/** The next multiple of `step`. */
export const roundUp = (n: number, step: number): number => Math.ceil(n / step) * step;

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

/** Throws unless every dimension is a whole number >= 0. */
export function checkShape(op: string, shape: Shape): void {
  if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new ShapeError(`${op}: a shape is a list of whole numbers >= 0, got [${shape}]`);
  }
}

/** The axis counted from the front. */
export function normalizeAxis(op: string, axis: number, shape: Shape): number {
  if (!Number.isInteger(axis) || axis < -shape.length || axis >= shape.length) {
    throw new ShapeError(`${op}: axis ${axis} is outside x ${showShape(shape)}`);
  }
  return axis < 0 ? axis + shape.length : axis;
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  for (let i = shape.length - 1, stride = 1; i >= 0; stride *= shape[i--]) strides[i] = stride;
  return strides;
}

/** The common shape of two operands under broadcasting. */
export function broadcastShape(op: string, x: Shape, y: Shape): number[] {
  const rank = Math.max(x.length, y.length);
  const shape = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const a = x[x.length - i] ?? 1;
    const b = y[y.length - i] ?? 1;
    if (a !== b && a !== 1 && b !== 1) {
      throw new ShapeError(`${op}: x ${showShape(x)} and y ${showShape(y)} do not broadcast (${a} against ${b})`);
    }
    shape[rank - i] = a === 1 ? b : a;
  }
  return shape;
}

/** Strides that read x as if it had the (broadcast) shape: 0 where x repeats. */
export function broadcastStrides(x: Shape, shape: Shape): number[] {
  const own = stridesOf(x);
  const offset = shape.length - x.length;
  return shape.map((n, i) => (i < offset || (x[i - offset] === 1 && n !== 1) ? 0 : own[i - offset]));
}

/** Most dimensions a strided kernel can walk (kernels.def). */
export const MAX_RANK = 6;

/**
 * Merges neighbouring dimensions that every operand walks evenly, then pads to MAX_RANK at the front. Kernels get the
 * longest possible last axis. Throws where more than MAX_RANK dimensions remain.
 */
export function collapse(op: string, shape: Shape, ...operands: number[][]): { shape: number[]; strides: number[][] } {
  const dims: number[] = [];
  const strides: number[][] = operands.map(() => []);
  shape.forEach((n, i) => {
    if (n === 1) return;
    const last = dims.length - 1;
    const merges = last >= 0 && operands.every((operand, k) => strides[k][last] === operand[i] * n);
    if (merges) {
      dims[last] *= n;
      operands.forEach((operand, k) => {
        strides[k][last] = operand[i];
      });
    } else {
      dims.push(n);
      operands.forEach((operand, k) => {
        strides[k].push(operand[i]);
      });
    }
  });
  if (dims.length === 0) {
    dims.push(sizeOf(shape));
    for (const s of strides) s.push(1);
  }
  if (dims.length > MAX_RANK) {
    throw new ShapeError(`${op}: at most ${MAX_RANK} separate dimensions, got ${showShape(shape)}`);
  }
  const padding = MAX_RANK - dims.length;
  return {
    shape: [...new Array<number>(padding).fill(1), ...dims],
    strides: strides.map((s) => [...new Array<number>(padding).fill(0), ...s]),
  };
}
