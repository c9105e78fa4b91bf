// Devices that run the CUDA kernels, and what their results must be: the emulated card in its orders of threads, and cards where the addon has them.
import { expect } from 'vitest';
import { devices } from '../src/tensor/device.js';
import { addon } from '../src/tensor/native.js';
import { asNumbers } from '../src/tensor/tensor.js';
import { expectClose } from './close.js';
import { opened } from './opened.js';
import type { evaluate } from './samples.js';

/** This build has the emulated card. */
export const emulated = addon.devices().includes('sim');

const { RESCUNET_SIM_ORDER } = process.env;
const ORDERS = RESCUNET_SIM_ORDER ? [RESCUNET_SIM_ORDER] : ['ascending', 'descending', 'random'];
/** The emulated card once in every order of threads; in one alone where RESCUNET_SIM_ORDER names it. */
export const inOrders = (variables: Record<string, string> = {}): string[] =>
  ORDERS.map((order) => opened('sim', { ...variables, RESCUNET_SIM_ORDER: order }));

export const tested = [...(emulated ? inOrders() : []), ...devices().filter((name) => name === 'cuda')];

type Evaluated = ReturnType<typeof evaluate>;
type Numbers = Record<string, ArrayLike<number>>;

/** The output and the gradients as numbers; not dataSync, so that the test runner's own messages get through. */
export async function read({ y, gradients }: Evaluated): Promise<Numbers> {
  const numbers: Numbers = { output: asNumbers(await y.data(), y.dtype) };
  for (const [name, dx] of Object.entries(gradients))
    numbers[`gradient of ${name}`] = asNumbers(await dx.data(), dx.dtype);
  return numbers;
}

/** Every result is close to the reference, and they are equal to the bit. */
export function expectAgreement(results: Numbers[], expected: Evaluated, tolerance: number): void {
  for (const actual of results) {
    expectClose(actual.output, expected.y.dataSync(), tolerance, 'output');
    for (const [name, dx] of Object.entries(expected.gradients))
      expectClose(actual[`gradient of ${name}`], dx.dataSync(), tolerance, `gradient of ${name}`);
    expect(actual).toEqual(results[0]);
  }
}
