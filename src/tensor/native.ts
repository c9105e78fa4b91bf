// The compiled addon, loaded once, and the types of what it exports (native/addon.cc).
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { TypedArray } from './dtype.js';

export interface Field {
  kind: 'in' | 'opt' | 'out' | 'inout' | 'int' | 'real' | 'ints' | 'ins' | 'inouts' | 'counts';
  name: string;
  /** 0 for lists: their length comes first in the stream. */
  words: number;
  /** Of a buffer's elements, in C++: what a bf16 buffer may stand for is `float`. */
  type: string;
}

/** One line of native/kernels.def; its position in the table is the opcode. */
export interface KernelInfo {
  name: string;
  fields: Field[];
}

interface Addon {
  kernels(): KernelInfo[];
  /** `cuda`: why there is no card, '' where there is one. */
  info(): { cpu: { instructionSet: string; bf16: boolean; threads: number }; cuda: string };
  /** Names that `open` takes. */
  devices(): string[];
  open(name: string): number;
  submit(device: number, words: Float64Array, count: number): void;
  define(device: number, program: number, words: Float64Array, count: number): void;
  forget(device: number, program: number): void;
  write(device: number, slot: number, data: TypedArray): void;
  read(device: number, slot: number, to: TypedArray): Promise<TypedArray>;
  readSync(device: number, slot: number, to: TypedArray): void;
  memory(device: number): { bytes: number; peak: number; reserved: number };
  resetPeak(device: number): void;
}

function load(): Addon {
  // RESCUNET_ADDON names another build (sanitizers, another vector width); see CONTRIBUTING.md.
  const file =
    process.env.RESCUNET_ADDON ?? fileURLToPath(new URL('../../build/Release/rescunet.node', import.meta.url));
  try {
    return createRequire(import.meta.url)(file) as Addon;
  } catch (cause) {
    throw new Error(
      `the native addon did not load (${file}); run \`npm rebuild @rescunet/core\` or, in a checkout, \`npm run build:native\``,
      {
        cause,
      },
    );
  }
}

export const addon: Addon = load();

/** All kernels by opcode. */
export const kernels: readonly KernelInfo[] = addon.kernels();

export const opcodes: ReadonlyMap<string, number> = new Map(kernels.map((kernel, opcode) => [kernel.name, opcode]));
