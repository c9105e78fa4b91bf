// What a training step reads and changes, by name, so that a checkpoint can hold it.
import { ShapeError, sameShape, showShape } from '../../tensor/shape.js';
import type { Tensor, Variable } from '../../tensor/tensor.js';

export type NamedTensors = Readonly<Record<string, Tensor>>;

/** Copies a saved state into `own`. Throws ShapeError with every name that is missing, extra or misfitting, before anything changes. */
export function loadInto(owner: string, own: NamedTensors, state: NamedTensors): void {
  const problems = Object.keys(state).flatMap((name) => (name in own ? [] : [`${name} is extra`]));
  for (const [name, x] of Object.entries(own)) {
    const given = state[name];
    if (!given) problems.push(`${name} is missing`);
    else if (!sameShape(given.shape, x.shape) || given.dtype !== x.dtype)
      problems.push(`${name} is ${showShape(given.shape)} ${given.dtype}, wants ${showShape(x.shape)} ${x.dtype}`);
  }
  if (problems.length > 0) throw new ShapeError(`${owner}: the state does not fit: ${problems.join('; ')}`);
  for (const [name, x] of Object.entries(own)) (x as Variable).assign(state[name]);
}
