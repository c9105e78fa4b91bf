// Scopes: memory whose owner is a block of code. Every tensor made inside `tidy` is disposed of at its end, unless returned.
import { Tensor, Variable } from './tensor.js';

const scopes: Tensor[][] = [];

/** Called by the Tensor constructor. */
export function track(tensor: Tensor): void {
  scopes.at(-1)?.push(tensor);
}

/** Runs fn outside every scope: what it makes lives until disposed of. */
export function persist<T>(fn: () => T): T {
  scopes.push([]);
  try {
    return fn();
  } finally {
    scopes.pop();
  }
}

/** Every tensor in a value: a tensor, or arrays and plain objects of them. */
export function tensorsIn(value: unknown, found: Tensor[] = []): Tensor[] {
  if (value instanceof Tensor) found.push(value);
  else if (Array.isArray(value)) for (const item of value) tensorsIn(item, found);
  else if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    for (const item of Object.values(value)) tensorsIn(item, found);
  }
  return found;
}

/**
 * Runs fn and disposes of every tensor made in it, except variables and the tensors in its result (a tensor, or arrays and
 * plain objects of them), which pass to the enclosing scope. Holds when fn throws. fn must be synchronous.
 */
export function tidy<T>(fn: () => T): T {
  const made: Tensor[] = [];
  scopes.push(made);
  let kept = new Set<Tensor>();
  try {
    const result = fn();
    if (result instanceof Promise)
      throw new TypeError('tidy: the function must not be async; read values after the scope');
    kept = new Set(tensorsIn(result));
    return result;
  } finally {
    scopes.pop();
    for (const tensor of made) {
      if (kept.has(tensor)) track(tensor);
      else if (!(tensor instanceof Variable)) tensor.dispose();
    }
  }
}
