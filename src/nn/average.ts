// Exponential moving average of a module's weights: a smoother network than any single step leaves, at no cost to training.

import { emit } from '../tensor/record.js';
import { ShapeError } from '../tensor/shape.js';
import { Variable } from '../tensor/tensor.js';
import type { Module } from './module.js';

/**
 * Moves every variable of `average`, running statistics too, towards that of the same name in `source`:
 * average = decay average + (1 - decay) source. Throws ShapeError for modules of different parts.
 */
export function follow(average: Module, source: Module, decay: number): void {
  const own = average.stateDict();
  for (const [name, x] of Object.entries(source.stateDict())) {
    const v = own[name];
    if (!(v instanceof Variable) || v.size !== x.size) {
      throw new ShapeError(`follow: ${name} of ${source.constructor.name} has no counterpart in the average`);
    }
    emit('lerp', [v, x], { size: v.size, t: 1 - decay, scale: 1 });
  }
}
