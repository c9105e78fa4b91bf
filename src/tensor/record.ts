// Recording: how an op becomes an instruction, a new tensor and a derivative.
import { type Device, DeviceError, deviceNamed } from './device.js';
import { bytesPerElement, type DType, dtypeCode } from './dtype.js';
import { type Field, kernels, opcodes } from './native.js';
import { type Shape, ShapeError, showShape, sizeOf } from './shape.js';
import { Storage } from './storage.js';
import { type Gradient, Tensor, Variable } from './tensor.js';

export type Params = Readonly<Record<string, number | readonly number[]>>;

export interface Output {
  shape: Shape;
  dtype?: DType;
}

export interface Recorded {
  /** The IN, OPT and INOUT buffers in the order of the def line; undefined for an absent OPT. */
  inputs: readonly (Tensor | undefined)[];
  /** The OUT buffers in their order. */
  outputs: readonly Output[];
  /** Numbers by name; REAL parameters default to 0. */
  params?: Params;
  /** One per input, from the gradient of outputs[0]; undefined where not differentiable. */
  grads?: readonly (Gradient | undefined)[];
  /** The op's name for messages, where it is not the kernel's. */
  op?: string;
  /** Needed when there are no inputs. */
  device?: Device;
}

// Slots that a capture under way uses but does not own; it must keep them alive.
let outside: Set<Storage> | undefined;

/** Runs fn and returns the storages from outside the capture that its instructions touch. */
export function collectOutside(fn: () => void): Set<Storage> {
  const collected = new Set<Storage>();
  outside = collected;
  try {
    fn();
  } finally {
    outside = undefined;
  }
  return collected;
}

/** A new tensor without values. */
export function empty(shape: Shape, dtype: DType = 'f32', device: Device = deviceNamed()): Tensor {
  return new Tensor(new Storage(device, dtype, sizeOf(shape)), shape);
}

/** What fills one buffer field: a tensor, nothing (OPT), or the tensors of a list. */
export type Buffers = Tensor | undefined | readonly Tensor[];

const NUMBERS: readonly string[] = ['int', 'real', 'ints', 'counts'];
/** The buffer fields of each kernel. */
const places: readonly Field[][] = kernels.map(({ fields }) => fields.filter(({ kind }) => !NUMBERS.includes(kind)));
const readsStored: readonly boolean[] = kernels.map(({ fields }) => fields.some(({ name }) => name === 'stored'));

/** The value of STORED (kernels.def) for an opcode: one bit per buffer that is bf16 where the line says float. */
export function storedBits(opcode: number, types: readonly (DType | undefined)[]): number {
  return places[opcode].reduce((bits, { type }, i) => bits | (Number(type === 'float' && types[i] === 'bf16') << i), 0);
}

/**
 * Appends one instruction over existing buffers, in the field order of the def line. Buffers of bf16 may stand where it says float: a device that does not
 * read them gets f32 copies.
 */
export function emit(kernel: string, buffers: readonly Buffers[], params: Params = {}): void {
  const opcode = opcodes.get(kernel);
  if (opcode === undefined) throw new DeviceError(`there is no kernel '${kernel}'`);
  const device = buffers.flat().find((b) => b !== undefined)?.owner;
  if (!device) throw new DeviceError(`${kernel}: no buffers`);
  const slotOf = (buffer: Tensor | undefined): number => {
    if (!buffer) return -1;
    const { storage } = buffer;
    if (storage.device !== device) {
      throw new DeviceError(
        `${kernel}: tensors on different devices (${device.name} and ${storage.device.name}); move one with .to()`,
      );
    }
    if (outside && !storage.captured) outside.add(storage);
    return storage.slot;
  };
  const slots = buffers.map((buffer) => (Array.isArray(buffer) ? buffer.map(slotOf) : slotOf(buffer as Tensor)));
  const types = buffers.map((buffer) => (buffer instanceof Tensor ? buffer.dtype : undefined));
  const stored = storedBits(opcode, types);
  if (stored !== 0 && !(readsStored[opcode] && device.backend.readsBf16)) {
    emitWidened(opcode, buffers, stored, params);
    return;
  }
  device.program.kernel(opcode, slots, readsStored[opcode] ? { ...params, stored } : params);
  let last = -1;
  places[opcode].forEach(({ kind }, i) => {
    if (kind === 'inout' || kind === 'inouts') for (const buffer of [buffers[i]].flat()) if (buffer) buffer.version++;
    if (kind !== 'in' && kind !== 'opt' && kind !== 'ins') last = [slots[i]].flat()[0] ?? last;
  });
  device.recorded(last);
}

/** The instruction over f32 copies of its bf16 buffers; results are rounded once, into the buffers themselves. */
function emitWidened(opcode: number, buffers: readonly Buffers[], stored: number, params: Params): void {
  const { name } = kernels[opcode];
  const convert = (from: Tensor, to: Tensor): void =>
    emit('cast', [from, to], { size: from.size, from: dtypeCode(from.dtype), to: dtypeCode(to.dtype) });
  const read = new Map<Storage, Tensor>(); // one copy of what stands in two places
  const made: [from: Tensor, to: Tensor][] = [];
  const wide = buffers.map((buffer, i) => {
    if (!(stored & (1 << i))) return buffer;
    const { kind, name: field } = places[opcode][i];
    const x = buffer as Tensor;
    if (kind === 'inout')
      throw new DeviceError(`${name}: ${field} ${showShape(x.shape)} is bf16, a variable of f32 is wanted`);
    const copy = (kind === 'out' ? undefined : read.get(x.storage)) ?? empty([x.size], 'f32', x.owner);
    if (kind === 'out') made.push([copy, x]);
    else if (!read.has(x.storage)) {
      read.set(x.storage, copy);
      convert(x, copy);
    }
    return copy;
  });
  emit(name, wide, params);
  for (const copy of read.values()) copy.dispose();
  for (const [copy, x] of made) {
    convert(copy, x);
    copy.dispose();
  }
}

/** Makes y the result of an op that `gradient` can walk through. */
export function derive(
  op: string,
  y: Tensor,
  inputs: readonly (Tensor | undefined)[],
  gradients: readonly (Gradient | undefined)[],
): Tensor {
  y.origin = { op, inputs, gradients, versions: inputs.map((x) => x?.version ?? 0) };
  return y;
}

/** Runs one kernel: allocates the outputs, appends the instruction, attaches the derivative to outputs[0]. */
export function record(kernel: string, { inputs, outputs, params, grads, op, device }: Recorded): Tensor[] {
  const place = inputs.find((x) => x !== undefined)?.owner ?? device ?? deviceNamed();
  const made = outputs.map(({ shape, dtype }) => empty(shape, dtype ?? 'f32', place));
  const opcode = opcodes.get(kernel);
  const fields = opcode === undefined ? [] : kernels[opcode].fields;
  let nextInput = 0;
  let nextOutput = 0;
  const buffers: (Tensor | undefined)[] = [];
  for (const { kind } of fields) {
    if (kind === 'out') buffers.push(made[nextOutput++]);
    else if (kind === 'in' || kind === 'opt' || kind === 'inout') buffers.push(inputs[nextInput++]);
  }
  if (nextInput < inputs.length || nextOutput < made.length) {
    throw new DeviceError(
      `${kernel}: the addon knows ${nextInput} inputs and ${nextOutput} outputs, got ${inputs.length} and ${made.length}; it is of another version: npm run build:native`,
    );
  }
  emit(kernel, buffers, params);
  if (grads) derive(op ?? kernel, made[0], inputs, grads);
  return made;
}

/** Throws ShapeError unless x holds that type. */
export function checkDType(op: string, name: string, x: Tensor, dtype: DType): void {
  if (!(x instanceof Tensor)) throw new ShapeError(`${op}: ${name} is not a tensor`);
  if (x.dtype !== dtype)
    throw new ShapeError(`${op}: ${name} ${showShape(x.shape)} is ${x.dtype}, wants ${dtype}; use cast`);
}

/**
 * The type of an op's maps, f32 or bf16, which is that of its result: it computes in f32 and rounds once. Throws ShapeError where one holds no floats, or
 * where two differ.
 */
export function floatType(op: string, maps: Readonly<Record<string, Tensor | undefined>>): DType {
  let first: [name: string, x: Tensor] | undefined;
  for (const [name, x] of Object.entries(maps)) {
    if (x === undefined) continue;
    if (!(x instanceof Tensor)) throw new ShapeError(`${op}: ${name} is not a tensor`);
    if (x.dtype !== 'f32' && x.dtype !== 'bf16')
      throw new ShapeError(`${op}: ${name} ${showShape(x.shape)} is ${x.dtype}, wants f32 or bf16; use cast`);
    first ??= [name, x];
    if (x.dtype !== first[1].dtype) {
      throw new ShapeError(
        `${op}: wants maps of one type, ${first[0]} ${showShape(first[1].shape)} is ${first[1].dtype} and ${name} ${showShape(x.shape)} ${x.dtype}; use cast`,
      );
    }
  }
  return first?.[1].dtype ?? 'f32';
}

/** A tensor over the same memory with another shape. The caller sees to it that sizes agree. */
export function share(x: Tensor, shape: Shape): Tensor {
  return new Tensor(x.storage.retain(), shape);
}

/** A variable that starts as a copy of x. Inside `capture` it throws DeviceError: its memory must outlive the step. */
export function variable(x: Tensor): Variable {
  if (x.owner.capturing) throw new DeviceError('variable: create variables before the captured step');
  const v = new Variable(new Storage(x.owner, x.dtype, x.size), x.shape);
  v.assign(x);
  return v;
}

Variable.prototype.copyFrom = function (this: Variable, x: Tensor): void {
  emit('copy', [x, this], { size: this.size, width: bytesPerElement(this.dtype) });
  this.version++; // the def line says OUT, so emit does not count it
};
