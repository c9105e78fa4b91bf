// Fusing: in a captured step the statistics of a batch norm are found as the convolution before it writes, so that its result is not read again for them.
// On devices that have the two as one kernel (`measures`): a card's memory is what such a step waits for, the cpu finds the result in its cache.
import { opcodes } from './native.js';
import { ALLOCATE, FREE, type Instruction, instructions, Program, REPLAY, VIEW } from './program.js';

const CONVOLUTIONS = ['conv2d', 'winograd', 'winograd_up'];

const slotOf = ({ buffers }: Instruction, name: string): number =>
  buffers.find((buffer) => buffer.name === name)?.slot ?? -1;

/** Rewrites a recorded step: a `batch_norm_stats` of what a convolution wrote goes into it, `conv2d_stats` and the like. */
export function fuse(recorded: Program): Program {
  const kernels: Instruction[] = [];
  const touched = new Set<number>();
  const written = new Map<number, Instruction | undefined>(); // by the kernel whose y it is
  const statistics = new Map<Instruction, Instruction>();
  const program = new Program();
  for (const instruction of instructions(recorded.words, recorded.length)) {
    const { opcode, operands, name, buffers, numbers } = instruction;
    // All allocations come first, since some buffers are now written earlier.
    if (opcode === ALLOCATE) program.control(ALLOCATE, operands[0], operands[1]);
    if (opcode === ALLOCATE || opcode === FREE) continue;
    if (opcode === REPLAY || opcode === VIEW) return recorded; // which is refused as it is laid out
    const before = name === 'batch_norm_stats' ? written.get(slotOf(instruction, 'x')) : undefined;
    const unused = ['mean', 'variance'].every((part) => !touched.has(slotOf(instruction, part)));
    if (before && unused && !statistics.has(before) && isConvolution(before, numbers))
      statistics.set(before, instruction);
    else kernels.push(instruction);
    for (const { slot, kind, name: field } of buffers) {
      touched.add(slot);
      if (kind !== 'in' && kind !== 'opt' && kind !== 'ins') written.set(slot, field === 'y' ? instruction : undefined);
    }
  }
  for (const kernel of kernels) write(program, recorded, kernel, statistics.get(kernel));
  return program;
}

/** Whether it is one whose y those are the rows of; `winograd` also takes gradients. */
function isConvolution({ name, numbers }: Instruction, { rows, c }: Instruction['numbers']): boolean {
  const { n, oh, ow, oc, turned, halved } = numbers as Record<string, number>;
  return CONVOLUTIONS.includes(name) && !turned && !halved && n * oh * ow === rows && oc === c;
}

/** A line with STATS (kernels.def) is the plain one, with two buffers before its last word. */
function write(program: Program, recorded: Program, kernel: Instruction, statistics: Instruction | undefined): void {
  const words = Array.from(recorded.words.subarray(kernel.begin, kernel.end));
  if (statistics) {
    words[0] = opcodes.get(`${kernel.name}_stats`) as number;
    words.splice(-1, 0, slotOf(statistics, 'mean'), slotOf(statistics, 'variance'));
  }
  for (const word of words) program.push(word);
  program.kernelCount++;
}
