// Devices: where programs run. A device owns its slots and the program that ops append to; a backend executes.
import { bytesPerElement, type DType, newArray, type TypedArray } from './dtype.js';
import { addon } from './native.js';
import { ALLOCATE, FREE, Program } from './program.js';

/** A device failed (out of memory, an index outside its axis, ...), or something was asked that it cannot do. */
export class DeviceError extends Error {
  override name = 'DeviceError';
}

export interface MemoryInfo {
  /** Bytes in live tensors; the most there ever were; and what the device holds from the system. */
  bytes: number;
  peak: number;
  reserved: number;
}

/** What runs instruction lists. `cpu` and the cards are the addon's; tests bring a float64 one of their own (test/reference.ts). */
export interface Backend {
  /** f32 tensors are held in double precision (the tests' reference device). */
  readonly keepsFloat64?: boolean;
  /** Kernels with STORED (native/kernels.def) read and write bf16 themselves; without it `emit` casts around them. */
  readonly readsBf16?: boolean;
  /** A convolution finds the statistics of its result on the way (fuse.ts). */
  readonly measures?: boolean;
  submit(words: Float64Array, length: number): void;
  define(program: number, words: Float64Array, length: number): void;
  forget(program: number): void;
  write(slot: number, data: TypedArray): void;
  read(slot: number, dtype: DType, size: number): Promise<TypedArray>;
  readSync(slot: number, dtype: DType, size: number): TypedArray;
  memory(): MemoryInfo;
  resetPeak(): void;
}

// Long enough to amortise a submission (0.2 us), short enough that the device starts early.
const SUBMIT_WORDS = 4096;

export class Device {
  /** The list being recorded: the device's own, or that of a `capture` under way. */
  program = new Program();
  capturing = false;
  private readonly own = this.program;
  private nextSlot = 0;
  private readonly freeSlots: number[] = [];
  private nextProgram = 0;

  constructor(
    readonly name: string,
    readonly backend: Backend,
  ) {}

  /** A slot with room for `size` elements. */
  allocate(dtype: DType, size: number): number {
    const slot = this.reserveSlot();
    this.program.control(ALLOCATE, slot, size * bytesPerElement(dtype));
    return slot;
  }

  /** A slot number without memory. */
  reserveSlot(): number {
    return this.freeSlots.pop() ?? this.nextSlot++;
  }

  free(slot: number): void {
    this.program.control(FREE, slot);
    // A captured list is replayed: its slot numbers stay taken until the capture itself is disposed of.
    if (!this.capturing) this.releaseSlot(slot);
  }

  releaseSlot(slot: number): void {
    this.freeSlots.push(slot);
  }

  /**
   * After an instruction that wrote `slot`: submits when the list is long. With RESCUNET_DEBUG=1 every instruction is its
   * own batch and is waited for, so that a failure surfaces at the line that caused it.
   */
  recorded(slot: number): void {
    if (this.capturing) return;
    if (process.env.RESCUNET_DEBUG === '1') this.readSync(slot, 'u8', 0);
    else if (this.program.length >= SUBMIT_WORDS) this.flush();
  }

  /** Sends what was recorded. Does not wait. */
  flush(): void {
    if (this.capturing || this.program.length === 0) return;
    this.backend.submit(this.program.words, this.program.length);
    this.program.clear();
  }

  /** Records into `program` instead of the device's own list while fn runs. */
  captureInto<T>(program: Program, fn: () => T): T {
    if (this.capturing) throw new DeviceError('capture: a capture is already under way on this device');
    this.flush();
    this.program = program;
    this.capturing = true;
    try {
      return fn();
    } finally {
      this.program = this.own;
      this.capturing = false;
    }
  }

  /** Runs fn as if no capture were under way: for state that every replay shares. */
  outsideCapture<T>(fn: () => T): T {
    const { program, capturing } = this;
    this.program = this.own;
    this.capturing = false;
    try {
      return fn();
    } finally {
      this.program = program;
      this.capturing = capturing;
    }
  }

  define(words: Float64Array): number {
    this.flush();
    this.backend.define(this.nextProgram, words, words.length);
    return this.nextProgram++;
  }

  forget(program: number): void {
    this.flush();
    this.backend.forget(program);
  }

  write(slot: number, data: TypedArray): void {
    if (this.capturing)
      throw new DeviceError(
        'capture: data cannot be uploaded inside a captured step; create the tensor outside and pass it in',
      );
    this.flush();
    this.backend.write(slot, data);
  }

  async read(slot: number, dtype: DType, size: number): Promise<TypedArray> {
    this.checkReadable();
    this.flush();
    try {
      return await this.backend.read(slot, dtype, size);
    } catch (cause) {
      throw new DeviceError((cause as Error).message, { cause });
    }
  }

  readSync(slot: number, dtype: DType, size: number): TypedArray {
    this.checkReadable();
    this.flush();
    try {
      return this.backend.readSync(slot, dtype, size);
    } catch (cause) {
      throw new DeviceError((cause as Error).message, { cause });
    }
  }

  private checkReadable(): void {
    if (this.capturing)
      throw new DeviceError(
        'capture: a value cannot be read inside a captured step; return the tensor and read it outside',
      );
  }
}

/**
 * A device of the addon: a thread, slots and, on the cpu, a thread pool of its own. Throws DeviceError where it cannot be opened
 * (a card of an older kind, a driver that failed).
 */
export class AddonBackend implements Backend {
  readonly readsBf16: boolean;
  readonly measures: boolean;
  private readonly handle: number;

  constructor(name: string) {
    this.readsBf16 = name !== 'cpu';
    this.measures = name !== 'cpu';
    try {
      this.handle = addon.open(name);
    } catch (cause) {
      throw new DeviceError((cause as Error).message, { cause });
    }
  }
  submit(words: Float64Array, length: number): void {
    addon.submit(this.handle, words, length);
  }
  define(program: number, words: Float64Array, length: number): void {
    addon.define(this.handle, program, words, length);
  }
  forget(program: number): void {
    addon.forget(this.handle, program);
  }
  write(slot: number, data: TypedArray): void {
    addon.write(this.handle, slot, data);
  }
  read(slot: number, dtype: DType, size: number): Promise<TypedArray> {
    return addon.read(this.handle, slot, newArray(dtype, size));
  }
  readSync(slot: number, dtype: DType, size: number): TypedArray {
    const to = newArray(dtype, size);
    addon.readSync(this.handle, slot, to);
    return to;
  }
  memory(): MemoryInfo {
    return addon.memory(this.handle);
  }
  resetPeak(): void {
    addon.resetPeak(this.handle);
  }
}

const registry = new Map<string, Device>();
let defaultDevice = 'cpu';

/** Adds a device under a name; used by tests to bring the float64 reference. */
export function registerDevice(name: string, backend: Backend): Device {
  const device = new Device(name, backend);
  registry.set(name, device);
  return device;
}

/** The device of that name, or the default one. Throws DeviceError for a name this machine does not have. */
export function deviceNamed(name: string = defaultDevice): Device {
  const opens = name === 'cpu' || (!registry.has(name) && addon.devices().includes(name));
  const device = registry.get(name) ?? (opens ? registerDevice(name, new AddonBackend(name)) : undefined);
  if (!device) {
    const problem = name.startsWith('cuda') ? addon.info().cuda : '';
    throw new DeviceError(
      `there is no device '${name}' here; devices: ${devices().join(', ')}${problem ? ` (${problem})` : ''}`,
    );
  }
  return device;
}

/** Names of the devices that can be used: `cpu`, and `cuda`, `cuda:1`, ... where the addon was built for cards and finds some. */
export function devices(): string[] {
  return [...new Set([...addon.devices(), ...registry.keys()])];
}

/** New tensors are placed there unless told otherwise. Throws DeviceError for an unknown name. */
export function setDefaultDevice(name: string): void {
  deviceNamed(name);
  defaultDevice = name;
}

/** Memory of a device, counted after everything submitted so far has run only if something was read since. */
export function memory(device?: string): MemoryInfo {
  return deviceNamed(device).backend.memory();
}

/** Sends all recorded work of every device. Does not wait. */
export function flush(): void {
  for (const device of registry.values()) device.flush();
}
