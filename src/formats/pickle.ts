// A restricted unpickler: builds plain values (null, booleans, numbers, text, bytes, arrays, Map for dict, Set) and
// calls nothing but the globals its caller lists. Every other global is an error that names it, so no file can run
// code. Contract: work and memory are proportional to the bytes read; the result may share parts, and may even contain
// itself.
import { FormatError } from './error.js';

/** What calling a name such as `torch._utils._rebuild_tensor_v2` means. */
export class PickleFunction {
  constructor(
    readonly name: string,
    readonly call: (args: unknown[]) => unknown,
  ) {}
}

export interface PickleOptions {
  /** Where the pickle starts in `bytes`. */
  start?: number;
  /** `module.name` -> a PickleFunction, or the value that the name stands for. */
  globals: ReadonlyMap<string, unknown>;
  /** Resolves a persistent id (torch: a storage). */
  persistent?: (id: unknown) => unknown;
  /** Sets the state of an object; false when it knows no such object. */
  build?: (target: unknown, state: unknown) => boolean;
}

/** The bytes ended within the pickle: a caller that gave only the file's first part may come back with more. */
export class UnexpectedEnd extends FormatError {}

const MARK = Symbol('mark');
/** Longer integers do not occur in checkpoints, and converting them could take forever. */
const MAX_INTEGER_BYTES = 1024;

/** A value, or bigint where a number would not be exact. */
const integer = (value: bigint): number | bigint => {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

/** Reads one pickle; `end` is the position after it. Errors name `file`, the pickle, and the byte. */
export function unpickle(file: string, bytes: Uint8Array, options: PickleOptions): { value: unknown; end: number } {
  return new Machine(file, bytes, options).run();
}

class Machine {
  private readonly data: DataView;
  private readonly stack: unknown[] = [];
  readonly memo = new Map<number, unknown>();
  private at: number;
  private opcodeAt = 0;

  constructor(
    private readonly file: string,
    private readonly bytes: Uint8Array,
    private readonly options: PickleOptions,
  ) {
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = options.start ?? 0;
  }

  run(): { value: unknown; end: number } {
    for (;;) {
      this.opcodeAt = this.at;
      const opcode = this.u8();
      if (opcode === 0x2e) {
        const value = this.pop();
        if (this.stack.length > 0) throw this.fail('values are left over at its end');
        return { value, end: this.at };
      }
      const instruction = INSTRUCTIONS[String.fromCharCode(opcode)];
      if (!instruction) throw this.fail(`the instruction 0x${opcode.toString(16)} is unknown or not allowed`);
      instruction(this);
    }
  }

  fail(problem: string): FormatError {
    return new FormatError(this.file, `pickle at byte ${this.opcodeAt}`, problem);
  }

  take(length: number): Uint8Array {
    if (this.at + length > this.bytes.length) {
      throw new UnexpectedEnd(this.file, `pickle at byte ${this.opcodeAt}`, 'the data end within it');
    }
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  u8(): number {
    return this.take(1)[0];
  }

  u16(): number {
    this.take(2);
    return this.data.getUint16(this.at - 2, true);
  }

  u32(): number {
    this.take(4);
    return this.data.getUint32(this.at - 4, true);
  }

  f64(): number {
    this.take(8);
    return this.data.getFloat64(this.at - 8, false);
  }

  u64(): number {
    this.take(8);
    const value = this.data.getBigUint64(this.at - 8, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.fail(`the length ${value} is out of range`);
    return Number(value);
  }

  line(): string {
    const end = this.bytes.indexOf(10, this.at);
    const text = this.take((end < 0 ? this.bytes.length : end) - this.at);
    this.take(1);
    return String.fromCharCode(...(text.length > 4096 ? this.tooLong() : text));
  }

  private tooLong(): never {
    throw this.fail('a line of more than 4096 characters');
  }

  utf8(length: number): string {
    const bytes = this.take(length);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw this.fail('text that is not UTF-8');
    }
  }

  pop(): unknown {
    if (this.stack.length === 0) throw this.fail('a value is missing');
    const value = this.stack.pop();
    if (value === MARK) throw this.fail('a value is missing');
    return value;
  }

  top(): unknown {
    const value = this.stack[this.stack.length - 1];
    if (this.stack.length === 0 || value === MARK) throw this.fail('a value is missing');
    return value;
  }

  popToMark(): unknown[] {
    const mark = this.stack.lastIndexOf(MARK);
    if (mark < 0) throw this.fail('a mark is missing');
    const values = this.stack.splice(mark);
    values.shift();
    return values;
  }

  push(value: unknown): void {
    this.stack.push(value);
  }

  popCount(count: number): unknown[] {
    const values = Array.from({ length: count }, () => this.pop());
    return values.reverse();
  }

  popPair(): [unknown, unknown] {
    const second = this.pop();
    return [this.pop(), second];
  }

  discard(): void {
    if (this.stack.length === 0) throw this.fail('a value is missing');
    this.stack.pop();
  }

  protocol(version: number): void {
    if (version > 5) throw this.fail('its protocol is newer than 5');
  }

  append(items: unknown[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.fail('appends to something that is no list');
    for (const item of items) list.push(item);
  }

  /** Sets items of the given dict and pushes it, or of the dict on top of the stack. */
  setItems(items: unknown[], created?: Map<unknown, unknown>): void {
    const dict = created ?? this.top();
    if (!(dict instanceof Map)) throw this.fail('sets items of something that is no dict');
    if (items.length % 2) throw this.fail('a key without a value');
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
    if (created) this.push(created);
  }

  addItems(items: unknown[]): void {
    const set = this.top();
    if (!(set instanceof Set)) throw this.fail('adds items to something that is no set');
    for (const item of items) set.add(item);
  }

  recall(index: number): unknown {
    if (!this.memo.has(index)) throw this.fail(`refers to value ${index}, which is not there`);
    return this.memo.get(index);
  }

  global(module: unknown, name: unknown): unknown {
    if (typeof name !== 'string' || typeof module !== 'string') throw this.fail('a global whose name is no text');
    const full = `${module}.${name}`;
    if (!this.options.globals.has(full)) {
      throw this.fail(`'${full}' is not allowed: only tensors and plain containers are read`);
    }
    return this.options.globals.get(full);
  }

  call(callee: unknown, args: unknown): unknown {
    if (!(callee instanceof PickleFunction)) throw this.fail('calls something that is no function');
    if (!Array.isArray(args)) throw this.fail(`the arguments of ${callee.name} are no tuple`);
    return callee.call(args);
  }

  build(state: unknown): void {
    if (!this.options.build?.(this.top(), state)) throw this.fail('sets the state of an object that is not allowed');
  }

  persistent(id: unknown): unknown {
    if (!this.options.persistent) throw this.fail('a persistent id, which only checkpoints have');
    return this.options.persistent(id);
  }

  latin1(length: number): string {
    return Buffer.from(this.take(length)).toString('latin1');
  }

  long(length: number): number | bigint {
    if (length > MAX_INTEGER_BYTES) throw this.fail(`an integer of ${length} bytes`);
    const bytes = this.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    return integer(BigInt.asIntN(8 * length, value));
  }

  decimal(line: string): number | bigint | boolean {
    if (line === '00' || line === '01') return line === '01';
    if (!/^[+-]?\d{1,2400}L?$/.test(line)) throw this.fail(`'${line.slice(0, 40)}' is no integer`);
    return integer(BigInt(line.replace(/^\+|L$/g, '')));
  }

  index(): number {
    const index = this.decimal(this.line());
    if (typeof index !== 'number') throw this.fail('an index that is no number');
    return index;
  }

  float(line: string): number {
    const named: Record<string, number> = { inf: Infinity, '-inf': -Infinity, nan: Number.NaN, '-nan': Number.NaN };
    const value = Object.hasOwn(named, line) ? named[line] : Number(line);
    if (line.trim() === '' || (Number.isNaN(value) && !line.endsWith('nan'))) {
      throw this.fail(`'${line.slice(0, 40)}' is no number`);
    }
    return value;
  }
}

/**
 * What each instruction does; the key is its byte as a character. Absent: protocol-0 text and everything that makes
 * instances.
 */
const INSTRUCTIONS: Readonly<Record<string, (m: Machine) => void>> = {
  // Framing and the stack
  '\x80': (m) => m.protocol(m.u8()),
  '\x95': (m) => m.take(8),
  '(': (m) => m.push(MARK),
  '0': (m) => m.discard(),
  '1': (m) => m.popToMark(),
  '2': (m) => m.push(m.top()),
  // Constants and numbers
  N: (m) => m.push(null),
  '\x88': (m) => m.push(true),
  '\x89': (m) => m.push(false),
  K: (m) => m.push(m.u8()),
  M: (m) => m.push(m.u16()),
  J: (m) => m.push(m.u32() | 0),
  G: (m) => m.push(m.f64()),
  '\x8a': (m) => m.push(m.long(m.u8())),
  '\x8b': (m) => m.push(m.long(m.u32())),
  I: (m) => m.push(m.decimal(m.line())),
  L: (m) => m.push(m.decimal(m.line())),
  F: (m) => m.push(m.float(m.line())),
  // Text and bytes
  '\x8c': (m) => m.push(m.utf8(m.u8())),
  X: (m) => m.push(m.utf8(m.u32())),
  '\x8d': (m) => m.push(m.utf8(m.u64())),
  U: (m) => m.push(m.latin1(m.u8())),
  T: (m) => m.push(m.latin1(m.u32())),
  C: (m) => m.push(m.take(m.u8()).slice()),
  B: (m) => m.push(m.take(m.u32()).slice()),
  '\x8e': (m) => m.push(m.take(m.u64()).slice()),
  '\x96': (m) => m.push(m.take(m.u64()).slice()),
  // Tuples and lists
  ')': (m) => m.push([]),
  ']': (m) => m.push([]),
  t: (m) => m.push(m.popToMark()),
  l: (m) => m.push(m.popToMark()),
  '\x85': (m) => m.push(m.popCount(1)),
  '\x86': (m) => m.push(m.popCount(2)),
  '\x87': (m) => m.push(m.popCount(3)),
  a: (m) => m.append(m.popCount(1)),
  e: (m) => m.append(m.popToMark()),
  // Dicts and sets
  '}': (m) => m.push(new Map()),
  d: (m) => m.setItems(m.popToMark(), new Map()),
  s: (m) => m.setItems(m.popCount(2)),
  u: (m) => m.setItems(m.popToMark()),
  '\x8f': (m) => m.push(new Set()),
  '\x90': (m) => m.addItems(m.popToMark()),
  '\x91': (m) => m.push(new Set(m.popToMark())),
  // The memo
  q: (m) => m.memo.set(m.u8(), m.top()),
  r: (m) => m.memo.set(m.u32(), m.top()),
  p: (m) => m.memo.set(m.index(), m.top()),
  '\x94': (m) => m.memo.set(m.memo.size, m.top()),
  h: (m) => m.push(m.recall(m.u8())),
  j: (m) => m.push(m.recall(m.u32())),
  g: (m) => m.push(m.recall(m.index())),
  // Names, calls, state
  c: (m) => m.push(m.global(m.line(), m.line())),
  '\x93': (m) => m.push(m.global(...m.popPair())),
  R: (m) => m.push(m.call(...m.popPair())),
  '\x81': (m) => m.push(m.call(...m.popPair())),
  b: (m) => m.build(m.pop()),
  Q: (m) => m.push(m.persistent(m.pop())),
};
