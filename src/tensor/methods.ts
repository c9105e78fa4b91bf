// Every op whose first argument is a tensor is also a method of the same name: x.conv2d(w) is conv2d(x, w). Importing this
// module installs them; the types follow from the functions.
import * as ops from './ops/index.js';
import { Tensor } from './tensor.js';

type Ops = typeof ops;
type Method<F> = F extends (x: never, ...rest: infer Rest) => infer R ? (...rest: Rest) => R : never;
// The first argument of concat is a list.
type Methods = { [K in Exclude<keyof Ops, 'concat'>]: Method<Ops[K]> };

declare module './tensor.js' {
  interface Tensor extends Methods {}
}

for (const [name, op] of Object.entries(ops as Record<string, unknown>)) {
  if (typeof op !== 'function' || name === 'concat') continue;
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: unknown[]) {
      return op(this, ...rest);
    },
  });
}
