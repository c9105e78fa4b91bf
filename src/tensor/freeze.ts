// Freezing: a recorded step whose weights are constants is rewritten to do less. A norm with fixed statistics is a scale per channel,
// so it goes into the convolution before it, with the residual and the activation behind it; and a convolution keeps its weights in the
// order its kernel reads them in. Contract: what a step reads from outside and does not write keeps, from then on, the values of the first call.

import { winogradWeights } from './ops/conv2d_forms.js';
import { add, div, mul, sqrt, sub } from './ops/elementwise.js';
import { reshape } from './ops/layout.js';
import { ALLOCATE, FREE, type Instruction, instructions, Program } from './program.js';
import { empty } from './record.js';
import { tidy } from './scope.js';
import type { Storage } from './storage.js';
import { Tensor } from './tensor.js';

/** A kernel of the step, its fields by name. */
interface Step {
  instruction: Instruction;
  slots: Record<string, number>;
  numbers: Record<string, number>;
}

export interface Frozen {
  /** Run once: it leaves the weights in their order. */
  first: Program;
  /** Run ever after, with the buffers of the first. */
  after: Program;
  /** What they read beside what they were recorded with. */
  own: Tensor[];
}

const ACTIVATIONS: Readonly<Record<string, number>> = { relu: 1, leaky_relu: 2 };

const isConvolution = ({ instruction: { name }, numbers }: Step): boolean =>
  name === 'conv2d' || name === 'winograd_up' || (name === 'winograd' && numbers.turned === 0);

/** Rewrites a recorded step. `outside`: storages that it uses and does not own; `results`: slots that are read after it. */
export function freeze(recorded: Program, outside: ReadonlySet<Storage>, results: ReadonlySet<number>): Frozen {
  const { steps, bytes } = decoded(recorded);
  const constants = new Map([...outside].map((storage) => [storage.slot, storage]));
  const writers = new Map<number, Step>();
  const readers = new Map<number, number>();
  for (const step of steps) {
    for (const { slot, kind } of step.instruction.buffers) {
      if (kind === 'in' || kind === 'opt' || kind === 'ins') readers.set(slot, (readers.get(slot) ?? 0) + 1);
      else {
        constants.delete(slot);
        writers.set(slot, step);
      }
    }
  }
  const own: Tensor[] = [];
  const fixed = (slot: number): boolean => slot < 0 || constants.has(slot);
  /** The convolution whose only reader takes `slot`, with nothing behind it yet. */
  const before = (slot: number): Step | undefined => {
    const step = writers.get(slot);
    if (!step || !isConvolution(step) || readers.get(slot) !== 1 || results.has(slot)) return undefined;
    const { residual, w, bias } = step.slots;
    return residual < 0 && step.numbers.activation === 0 && fixed(w) && fixed(bias) ? step : undefined;
  };
  const kept: Step[] = [];
  for (const step of steps) {
    const { name } = step.instruction;
    const { slots, numbers } = step;
    const convolution = before(slots.x);
    const foldable = ['mean', 'variance', 'weight', 'bias'].every((part) => fixed(slots[part]));
    if (convolution && name === 'batch_norm_apply' && foldable) {
      const [weights, bias] = folded(convolution, step, constants);
      own.push(weights, bias);
      for (const { storage } of [weights, bias]) constants.set(storage.slot, storage);
      Object.assign(convolution.slots, { w: weights.storage.slot, bias: bias.storage.slot });
      take(convolution, step, numbers.activation, numbers.slope);
    } else if (convolution && name in ACTIVATIONS) {
      take(convolution, step, ACTIVATIONS[name], numbers.a);
    } else {
      kept.push(step);
      continue;
    }
    // Where its reader stood, the residual is there.
    kept.splice(kept.indexOf(convolution), 1);
    kept.push(convolution);
    writers.set(slots.y, convolution);
  }
  for (const step of kept) {
    const { scratch, w } = step.slots;
    const one =
      step.numbers.groups === undefined || step.numbers.groups === 1 || step.numbers.groups === step.numbers.ic;
    if (!isConvolution(step) || !one || !fixed(w)) continue;
    const size = step.numbers.tile ? 4 * winogradWeights(step.numbers as never) : (bytes.get(scratch) ?? 1);
    const order = empty([size], 'u8', [...outside][0].device);
    own.push(order);
    bytes.delete(scratch);
    step.slots.scratch = order.storage.slot;
    Object.assign(step.numbers, { packed: 1, kept: 1 });
  }
  const used = new Set(
    kept.flatMap((step) =>
      isConvolution(step) ? Object.values(step.slots) : step.instruction.buffers.map(({ slot }) => slot),
    ),
  );
  const written = (packed: boolean): Program => {
    const program = new Program();
    for (const [slot, size] of bytes) if (used.has(slot)) program.control(ALLOCATE, slot, size);
    for (const step of kept) write(program, recorded, step, packed);
    return program;
  };
  return { first: written(false), after: written(true), own };
}

function decoded(recorded: Program): { steps: Step[]; bytes: Map<number, number> } {
  const steps: Step[] = [];
  const bytes = new Map<number, number>();
  for (const instruction of instructions(recorded.words, recorded.length)) {
    const { opcode, operands, buffers, numbers } = instruction;
    if (opcode === ALLOCATE) bytes.set(operands[0], operands[1]);
    else if (opcode !== FREE) {
      const slots = Object.fromEntries(buffers.map(({ name, slot }) => [name, slot]));
      steps.push({ instruction, slots, numbers: { ...numbers } as Record<string, number> });
    }
  }
  return { steps, bytes };
}

/** The convolution does what stood behind it, into a map of that one's type. */
function take(convolution: Step, behind: Step, activation: number, slope: number): void {
  Object.assign(convolution.slots, { y: behind.slots.y, residual: behind.slots.residual ?? -1 });
  Object.assign(convolution.numbers, { activation, slope });
  if (convolution.numbers.stored === undefined) return; // reads and writes f32, as then does what stands behind it
  for (const name of ['y', 'residual']) {
    const bit = bitOf(convolution, name);
    const set = (behind.numbers.stored ?? 0) & bitOf(behind, name);
    convolution.numbers.stored = (convolution.numbers.stored & ~bit) | (set ? bit : 0);
  }
}

/** Of a buffer in `stored` (kernels.def); 0 where the kernel has none of the name. */
const bitOf = ({ instruction: { buffers } }: Step, name: string): number => {
  const at = buffers.findIndex((buffer) => buffer.name === name);
  return at < 0 ? 0 : 1 << at;
};

/** Weights [oc, k] and bias [oc] of a convolution with the norm after it. */
function folded({ slots, numbers }: Step, norm: Step, constants: ReadonlyMap<number, Storage>): [Tensor, Tensor] {
  const c = norm.numbers.c;
  const of = (slot: number, shape: number[]): Tensor => new Tensor((constants.get(slot) as Storage).retain(), shape);
  return tidy(() => {
    const { groups = 1, kh = 3, kw = 3, ic, sc = slots.beside >= 0 ? ic : 0 } = numbers;
    const [mean, variance, weight, bias] = ['mean', 'variance', 'weight', 'bias'].map((part) =>
      of(norm.slots[part], [c]),
    );
    const scale = div(weight, sqrt(add(variance, norm.numbers.eps))); // [c]
    const weights = mul(of(slots.w, [c, (kh * kw * (ic + sc)) / groups]), reshape(scale, [c, 1]));
    const centred = slots.bias < 0 ? mul(mean, -1) : sub(of(slots.bias, [c]), mean);
    return [weights, add(mul(centred, scale), bias)] as [Tensor, Tensor];
  });
}

function write(program: Program, recorded: Program, step: Step, packed: boolean): void {
  const { instruction, slots, numbers } = step;
  const { opcode, buffers, begin, end } = instruction;
  if (isConvolution(step)) {
    const order = buffers.map(({ name }) => slots[name]);
    program.kernel(opcode, order, { ...numbers, packed: packed ? numbers.packed : 0 });
  } else for (let at = begin; at < end; at++) program.push(recorded.words[at]);
}
