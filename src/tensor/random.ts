// Random tensors. Counter-based (Philox), so a seed gives the same numbers on every device and thread count, and the counter
// lives on the device, so a captured step draws anew at every replay.

import type { CreateOptions } from './create.js';
import { tensor } from './create.js';
import { type Device, deviceNamed } from './device.js';
import { emit, empty, variable } from './record.js';
import { checkShape, type Shape } from './shape.js';
import type { Tensor, Variable } from './tensor.js';

export interface RandomOptions extends Omit<CreateOptions, 'dtype'> {
  /** The numbers then depend on the seed alone; otherwise on `manualSeed` and the draws since. */
  seed?: number;
}

const states = new WeakMap<Device, Variable>();
let globalSeed = 0;

const keyOf = (seed: number): Int32Array => Int32Array.of(seed >>> 0, Math.floor(seed / 2 ** 32) | 0, 0, 0);

function stateOf(device: Device): Variable {
  let state = states.get(device);
  if (!state) {
    state = device.outsideCapture(() => variable(tensor(keyOf(globalSeed), { dtype: 'i32', device: device.name })));
    states.set(device, state);
  }
  return state;
}

/** The key and counter of a device's random numbers, i32 [4]: saved and assigned again, the numbers go on from there. */
export function randomState(device?: string): Variable {
  const owner = deviceNamed(device);
  seeded.add(owner.name);
  return stateOf(owner);
}

/** Restarts the random numbers of every device. */
export function manualSeed(seed: number): void {
  if (!Number.isSafeInteger(seed)) throw new RangeError(`manualSeed: a whole number is wanted, got ${seed}`);
  globalSeed = seed;
  for (const name of seeded) {
    const device = deviceNamed(name);
    states.get(device)?.assign(tensor(keyOf(seed), { dtype: 'i32', device: name }));
  }
}

const seeded = new Set<string>();

function draw(kernel: string, op: string, shape: Shape, options: RandomOptions): Tensor {
  checkShape(op, shape);
  const device = deviceNamed(options.device);
  const y = empty([...shape], 'f32', device);
  if (options.seed !== undefined) {
    const state = tensor(keyOf(options.seed), { dtype: 'i32', device: device.name });
    emit(kernel, [state, y], { size: y.size });
    state.dispose();
    return y;
  }
  seeded.add(device.name);
  const state = stateOf(device);
  emit(kernel, [state, y], { size: y.size });
  emit('random_advance', [state], { size: y.size });
  return y;
}

/** Uniform in [0, 1), f32. */
export const rand = (shape: Shape, options: RandomOptions = {}): Tensor =>
  draw('random_uniform', 'rand', shape, options);

/** Standard normal, f32. */
export const randn = (shape: Shape, options: RandomOptions = {}): Tensor =>
  draw('random_normal', 'randn', shape, options);
