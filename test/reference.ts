// The reference device: runs the same instruction lists in float64 with the naive kernels of test/cases. It is the
// definition the native kernels are held against, and exact enough for finite differences. Every slot is a Float64Array,
// whatever the element type: all values of i32, u8 and bf16 are exact in it.
import { type Backend, type Device, registerDevice } from '../src/tensor/device.js';
import { bf16FromNumber, type DType, numberFromBf16, type TypedArray } from '../src/tensor/dtype.js';
import { ALLOCATE, FREE, instructions } from '../src/tensor/program.js';

/** A naive kernel: buffers, numbers, lists of numbers and lists of buffers by their names in kernels.def. Loops and nothing else. */
export type ReferenceKernel = (
  buffers: Record<string, Float64Array>,
  numbers: Record<string, number>,
  lists: Record<string, number[]>,
  groups: Record<string, Float64Array[]>,
) => void;

class ReferenceBackend implements Backend {
  readonly keepsFloat64 = true;
  private readonly slots = new Map<number, Float64Array>();

  constructor(private readonly kernels: Record<string, ReferenceKernel>) {}

  submit(words: Float64Array, length: number): void {
    for (const { opcode, name, buffers, numbers, operands } of instructions(words, length)) {
      if (opcode === ALLOCATE) this.slots.set(operands[0], new Float64Array(operands[1]).fill(Number.NaN));
      else if (opcode === FREE) this.slots.delete(operands[0]);
      else if (opcode < 0) throw new Error(`the reference device has no ${name}`);
      else {
        const kernel = this.kernels[name];
        if (!kernel) throw new Error(`no case file has a reference kernel '${name}'`);
        const named: Record<string, Float64Array> = {};
        const groups: Record<string, Float64Array[]> = {};
        for (const b of buffers) {
          if (b.slot < 0) continue;
          named[b.name] = this.slots.get(b.slot) as Float64Array;
          groups[b.name] = [...(groups[b.name] ?? []), named[b.name]];
        }
        kernel(named, numbers as Record<string, number>, numbers as Record<string, number[]>, groups);
      }
    }
  }
  write(slot: number, data: TypedArray): void {
    const decode = data instanceof Uint16Array ? numberFromBf16 : Number;
    this.slots.get(slot)?.set(Float64Array.from(data, decode));
  }
  readSync(slot: number, dtype: DType, size: number): TypedArray {
    const values = (this.slots.get(slot) as Float64Array).slice(0, size);
    if (dtype === 'i32') return Int32Array.from(values);
    if (dtype === 'u8') return Uint8Array.from(values);
    if (dtype === 'bf16') return Uint16Array.from(values, bf16FromNumber);
    return values;
  }
  async read(slot: number, dtype: DType, size: number): Promise<TypedArray> {
    return this.readSync(slot, dtype, size);
  }
  define(): void {
    throw new Error('the reference device does not replay');
  }
  forget(): void {}
  memory() {
    return { bytes: 0, peak: 0, reserved: 0 };
  }
  resetPeak(): void {}
}

export function registerReference(kernels: Record<string, ReferenceKernel>): Device {
  return registerDevice('reference', new ReferenceBackend(kernels));
}
