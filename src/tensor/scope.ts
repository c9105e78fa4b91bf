// Scopes: memory whose owner is a block of code. Every tensor made inside `tidy` is disposed of at its end, unless returned.

/** A tensor, as far as a scope is concerned. */
interface Owned {
  dispose(): void;
}

const scopes: Set<unknown>[] = [];

/** Called for every tensor made that is not a variable. */
export function track(tensor: Owned): void {
  scopes.at(-1)?.add(tensor);
}

/** Runs fn outside every scope: what it makes lives until disposed of. */
export function persist<T>(fn: () => T): T {
  scopes.push(new Set());
  try {
    return fn();
  } finally {
    scopes.pop();
  }
}

/** Calls visit for a value and, where it is an array or a plain object, for everything in it. */
export function walk(value: unknown, visit: (item: unknown) => void): void {
  visit(value);
  if (Array.isArray(value)) for (const item of value) walk(item, visit);
  else if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    for (const item of Object.values(value)) walk(item, visit);
  }
}

/**
 * Runs fn and disposes of every tensor made in it, except variables and the tensors in its result (a tensor, or arrays and
 * plain objects of them), which pass to the enclosing scope. Holds when fn throws. fn must be synchronous.
 */
export function tidy<T>(fn: () => T): T {
  const made = new Set<unknown>();
  scopes.push(made);
  const kept: Owned[] = [];
  try {
    const result = fn();
    if (result instanceof Promise)
      throw new TypeError('tidy: the function must not be async; read values after the scope');
    walk(result, (item) => {
      if (made.delete(item)) kept.push(item as Owned);
    });
    return result;
  } finally {
    scopes.pop();
    kept.forEach(track);
    for (const tensor of made) (tensor as Owned).dispose();
  }
}
