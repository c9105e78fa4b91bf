// Capture: a step recorded once per input shape, its memory planned into one arena, replayed without JavaScript.
import { type Device, DeviceError, deviceNamed } from './device.js';
import { bytesPerElement } from './dtype.js';
import { freeze } from './freeze.js';
import { fuse } from './fuse.js';
import { ALLOCATE, FREE, instructions, Program, printProgram, REPLAY, VIEW } from './program.js';
import { collectOutside, emit, empty } from './record.js';
import { persist, walk } from './scope.js';
import type { Storage } from './storage.js';
import { Tensor } from './tensor.js';

const ALIGNMENT = 64;

/** A buffer of the plan: when it is needed and where it lies. */
export interface Placement {
  slot: number;
  bytes: number;
  first: number; // instruction that writes it
  last: number; // last instruction that touches it
  maker: string;
  offset: number;
}

/**
 * Places buffers so that those alive at the same time do not overlap: largest first, each at the lowest offset that is free
 * during its life. Returns the bytes of the arena.
 */
export function place(buffers: Placement[]): number {
  const placed: Placement[] = [];
  let arena = 0;
  for (const buffer of [...buffers].sort((a, b) => b.bytes - a.bytes || a.first - b.first)) {
    const rivals = placed
      .filter((p) => p.first <= buffer.last && buffer.first <= p.last)
      .sort((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const rival of rivals) {
      if (offset + buffer.bytes <= rival.offset) break;
      offset = Math.max(offset, rival.offset + rival.bytes);
    }
    buffer.offset = offset;
    placed.push(buffer);
    arena = Math.max(arena, offset + buffer.bytes);
  }
  return arena;
}

/** One recorded shape of a captured function. */
class Plan<R> {
  readonly inputs: Tensor[];
  readonly arenaBytes: number;
  private readonly result: R;
  private readonly outputs: Tensor[] = [];
  private readonly buffers: Placement[] = [];
  private readonly words: number[];
  private program: number;
  /** What a frozen step replays after its first run. */
  private after: number | undefined;
  private readonly arena: Tensor;
  private readonly kept: Set<Storage>;
  private readonly own: Tensor[] = [];

  constructor(
    private readonly device: Device,
    fn: (...args: Tensor[]) => R,
    args: readonly Tensor[],
    frozen: boolean,
  ) {
    this.inputs = args.map((x) => empty(x.shape, x.dtype, device));
    let recorded = new Program();
    let result!: R;
    this.kept = collectOutside(() => {
      result = device.captureInto(recorded, () => fn(...this.inputs));
    });
    for (const storage of this.kept) storage.retain();
    this.result = result;
    walk(result, (item) => {
      if (item instanceof Tensor) this.outputs.push(item);
    });
    let after: Program | undefined;
    if (frozen) {
      const results = new Set(this.outputs.map(({ storage }) => storage.slot));
      const rewritten = freeze(recorded, this.kept, results);
      recorded = rewritten.first;
      after = rewritten.after;
      this.own = rewritten.own;
    } else if (device.backend.measures) recorded = fuse(recorded);
    this.arenaBytes = this.layOut(recorded);
    this.words = kernelWords(recorded);
    this.arena = empty([Math.max(this.arenaBytes, 1)], 'u8', device);
    for (const { slot, offset, bytes } of this.buffers)
      device.program.control(VIEW, slot, this.arena.storage.slot, offset, bytes);
    this.program = device.define(Float64Array.from(this.words));
    if (after) this.after = device.define(Float64Array.from(kernelWords(after)));
  }

  /** Turns allocations into placements. */
  private layOut(recorded: Program): number {
    const bySlot = new Map<number, Placement>();
    let time = 0;
    for (const instruction of instructions(recorded.words, recorded.length)) {
      const { opcode, operands, buffers, name } = instruction;
      if (opcode === ALLOCATE) {
        const bytes = Math.ceil(Math.max(operands[1], 1) / ALIGNMENT) * ALIGNMENT;
        const buffer = { slot: operands[0], bytes, first: -1, last: -1, maker: '', offset: 0 };
        bySlot.set(buffer.slot, buffer);
        this.buffers.push(buffer);
      } else if (opcode === REPLAY || opcode === VIEW) {
        throw new DeviceError('capture: a captured function cannot be called inside another capture');
      } else if (opcode !== FREE) {
        for (const { slot } of buffers) {
          const buffer = bySlot.get(slot);
          if (!buffer) continue;
          if (buffer.first < 0) {
            buffer.first = time;
            buffer.maker = name;
          }
          buffer.last = time;
        }
        time++;
      }
    }
    for (const output of this.outputs) {
      const buffer = bySlot.get(output.storage.slot);
      if (buffer) buffer.last = time;
    }
    return place(this.buffers);
  }

  run(args: readonly Tensor[]): R {
    args.forEach((x, i) => {
      emit('copy', [x, this.inputs[i]], { size: x.size, width: bytesPerElement(x.dtype) });
    });
    this.device.program.control(REPLAY, this.program);
    if (this.after !== undefined) {
      this.device.forget(this.program);
      this.program = this.after;
      this.after = undefined;
    }
    const fresh = new Map(this.outputs.map((y) => [y, copyOf(y)]));
    return replaceTensors(this.result, fresh) as R;
  }

  describe(): string {
    const words = Float64Array.from(this.words);
    const total = this.buffers.reduce((sum, b) => sum + b.bytes, 0);
    const holders = [...this.buffers].sort((a, b) => b.bytes - a.bytes).slice(0, 10);
    return [
      `arena ${this.arenaBytes} bytes for ${this.buffers.length} buffers of ${total} bytes in all; the largest:`,
      ...holders.map(
        (b) => `  #${b.slot} ${b.bytes} bytes by ${b.maker}, instructions ${b.first}..${b.last}, offset ${b.offset}`,
      ),
      printProgram(words, words.length),
    ].join('\n');
  }

  dispose(): void {
    this.device.forget(this.program);
    if (this.after !== undefined) this.device.forget(this.after);
    for (const { slot } of this.buffers) this.device.free(slot);
    for (const storage of this.kept) storage.release();
    this.arena.dispose();
    for (const tensor of [...this.inputs, ...this.own]) tensor.dispose();
  }
}

/** The kernels word for word, without allocations and releases. */
function kernelWords({ words, length }: Program): number[] {
  return [...instructions(words, length)].flatMap(({ opcode, begin, end }) =>
    opcode >= 0 ? Array.from(words.subarray(begin, end)) : [],
  );
}

function copyOf(x: Tensor): Tensor {
  const y = empty(x.shape, x.dtype, x.owner);
  emit('copy', [x, y], { size: x.size, width: bytesPerElement(x.dtype) });
  return y;
}

function replaceTensors(value: unknown, by: ReadonlyMap<Tensor, Tensor>): unknown {
  if (value instanceof Tensor) return by.get(value) ?? value;
  if (Array.isArray(value)) return value.map((item) => replaceTensors(item, by));
  if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaceTensors(item, by)]));
  }
  return value;
}

export interface Captured<A extends Tensor[], R> {
  (...args: A): R;
  /** Bytes of the arena and who holds them, then the instructions, for each input shape seen so far. */
  describe(): string;
  /** Bytes of the largest arena. */
  readonly arenaBytes: number;
  /** Frees arenas and programs. */
  dispose(): void;
}

/**
 * A function that records fn once per combination of input shapes and then replays the recorded list without running
 * JavaScript. Results are fresh tensors. Whatever should change between calls must be an argument or a variable; numbers and
 * tensors from outside that fn reads keep the value (or memory) of the first call. Reading or uploading inside throws
 * DeviceError. fn takes tensors and returns a tensor, or arrays and plain objects of them.
 *
 * `frozen`: for inference. What fn reads from outside and does not write, weights above all, is constant from the first call on;
 * norms with fixed statistics go into the convolutions before them, and weights are brought into their kernels' order once.
 * `plans`: how many combinations of shapes are kept at most; the one unused for longest goes.
 */
export function capture<A extends Tensor[], R>(
  fn: (...args: A) => R,
  options: { device?: string; frozen?: boolean; plans?: number } = {},
): Captured<A, R> {
  const { plans: most = Number.POSITIVE_INFINITY } = options;
  const plans = new Map<string, Plan<R>>();
  const call = (...args: A): R => {
    const device = args[0]?.owner ?? deviceNamed(options.device);
    const key = `${device.name} ${args.map((x) => `${x.dtype}${x.shape}`).join(' ')}`;
    let plan = plans.get(key);
    if (plan) plans.delete(key);
    else
      plan = persist(() => new Plan(device, fn as unknown as (...args: Tensor[]) => R, args, options.frozen ?? false));
    plans.set(key, plan); // the latest used is the last
    for (const [oldest, unused] of plans) {
      if (plans.size <= most) break;
      unused.dispose();
      plans.delete(oldest);
    }
    return plan.run(args);
  };
  return Object.defineProperties(call, {
    describe: { value: () => [...plans.values()].map((plan) => plan.describe()).join('\n\n') },
    arenaBytes: { get: () => Math.max(0, ...[...plans.values()].map((plan) => plan.arenaBytes)) },
    dispose: {
      value: () => {
        for (const plan of plans.values()) plan.dispose();
        plans.clear();
      },
    },
  }) as Captured<A, R>;
}
