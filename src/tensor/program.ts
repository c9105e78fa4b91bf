// A program: the flat list of instructions that ops append to and a device runs. The encoding is that of
// native/program.h: one double per word; an instruction is its opcode, then its fields in the order of native/kernels.def.
import { kernels } from './native.js';

export const ALLOCATE = -1; // slot, bytes
export const FREE = -2; // slot
export const VIEW = -3; // slot, base slot, byte offset, bytes
export const REPLAY = -4; // program number
const CONTROL_WORDS = { [ALLOCATE]: 2, [FREE]: 1, [VIEW]: 4, [REPLAY]: 1 } as const;
const CONTROL_NAMES = { [ALLOCATE]: 'allocate', [FREE]: 'free', [VIEW]: 'view', [REPLAY]: 'replay' } as const;
type Control = keyof typeof CONTROL_WORDS;

/** A buffer's slot, or the slots of a list of buffers. */
export type Slots = number | readonly number[];

export class Program {
  words = new Float64Array(1024);
  length = 0;
  kernelCount = 0;

  /** Appends one word. */
  push(word: number): void {
    if (this.length === this.words.length) {
      const grown = new Float64Array(this.length * 2);
      grown.set(this.words);
      this.words = grown;
    }
    this.words[this.length++] = word;
  }

  control(code: Control, ...operands: number[]): void {
    this.push(code);
    for (const operand of operands) this.push(operand);
  }

  /** Appends a kernel; slots are those of its buffers in field order, numbers come by name. */
  kernel(opcode: number, slots: readonly Slots[], params: Readonly<Record<string, number | readonly number[]>>): void {
    const begin = this.length;
    try {
      this.encode(opcode, slots, params);
    } catch (error) {
      this.length = begin; // half an instruction would be read on into the next one
      throw error;
    }
    this.kernelCount++;
  }

  private encode(
    opcode: number,
    slots: readonly Slots[],
    params: Readonly<Record<string, number | readonly number[]>>,
  ) {
    const { name, fields } = kernels[opcode];
    this.push(opcode);
    let next = 0;
    for (const field of fields) {
      if (field.kind === 'int' || field.kind === 'real') {
        const value = params[field.name] ?? (field.kind === 'real' ? 0 : undefined);
        if (typeof value !== 'number') throw new TypeError(`${name}: parameter ${field.name} is missing`);
        this.push(value);
      } else if (field.kind === 'ints') {
        const value = params[field.name];
        if (!Array.isArray(value) || value.length !== field.words)
          throw new TypeError(`${name}: parameter ${field.name} wants ${field.words} numbers`);
        for (const word of value) this.push(word);
      } else if (field.kind === 'counts') {
        const value = params[field.name];
        if (!Array.isArray(value)) throw new TypeError(`${name}: parameter ${field.name} wants numbers`);
        this.push(value.length);
        for (const word of value) this.push(word);
      } else {
        const slot = slots[next++];
        if (slot === undefined) throw new TypeError(`${name}: buffer ${field.name} is missing`);
        if (typeof slot === 'number') this.push(slot);
        else {
          this.push(slot.length);
          for (const word of slot) this.push(word);
        }
      }
    }
    if (next !== slots.length) throw new TypeError(`${name}: takes ${next} buffers, got ${slots.length}`);
  }

  clear(): void {
    this.length = 0;
    this.kernelCount = 0;
  }
}

/** One decoded instruction; `buffers` and `numbers` by field name. The buffers of a list carry the list's name. */
export interface Instruction {
  opcode: number;
  name: string;
  buffers: { name: string; kind: string; slot: number; word: number }[];
  numbers: Record<string, number | number[]>;
  operands: number[];
  /** Its words in the list. */
  begin: number;
  end: number;
}

/** Walks a list of words. `word` of a buffer is the position of its slot in the list. */
export function* instructions(words: Float64Array, length: number): Generator<Instruction> {
  for (let at = 0; at < length; ) {
    const begin = at;
    const opcode = words[at++];
    const instruction: Instruction = { opcode, name: '', buffers: [], numbers: {}, operands: [], begin, end: at };
    if (opcode < 0) {
      const count = CONTROL_WORDS[opcode as Control];
      instruction.name = CONTROL_NAMES[opcode as Control];
      instruction.operands = Array.from(words.subarray(at, at + count));
      at += count;
    } else {
      instruction.name = kernels[opcode].name;
      for (const { kind, name, words: fixed } of kernels[opcode].fields) {
        const count = fixed || words[at++];
        if (kind === 'int' || kind === 'real') instruction.numbers[name] = words[at];
        else if (kind === 'ints' || kind === 'counts')
          instruction.numbers[name] = Array.from(words.subarray(at, at + count));
        else for (let i = at; i < at + count; i++) instruction.buffers.push({ name, kind, slot: words[i], word: i });
        at += count;
      }
    }
    instruction.end = at;
    yield instruction;
  }
}

/** The list as text, one instruction a line: `matmul a=#3 b=#4 c=#5 m=2 n=3 k=4`. */
export function printProgram(words: Float64Array, length: number): string {
  const lines: string[] = [];
  for (const { name, buffers, numbers, operands } of instructions(words, length)) {
    const slots = buffers.filter((b) => b.slot >= 0).map((b) => `${b.name}=#${b.slot}`);
    const values = Object.entries(numbers).map(
      ([key, value]) => `${key}=${Array.isArray(value) ? value.join('x') : value}`,
    );
    lines.push([name, ...operands.map(String), ...slots, ...values].join(' '));
  }
  return lines.join('\n');
}
