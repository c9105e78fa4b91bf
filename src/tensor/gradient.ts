// Reverse-mode differentiation. Only the path between the loss and the targets is walked, so nothing has to be switched
// on, off or zeroed; derivatives are made of ops, so they can be differentiated again.
import { full } from './create.js';
import { add } from './ops/elementwise.js';
import { ShapeError, showShape } from './shape.js';
import { Tensor } from './tensor.js';

/** Nodes between loss and targets, a node before its inputs. */
function path(loss: Tensor, targets: ReadonlySet<Tensor>): Tensor[] {
  const leads = new Map<Tensor, boolean>(); // whether a target can be reached from the node
  const order: Tensor[] = [];
  const stack: { node: Tensor; next: number }[] = [{ node: loss, next: 0 }];
  leads.set(loss, targets.has(loss));
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    const { inputs = [], gradients = [] } = top.node.origin ?? {};
    const input = top.next < inputs.length ? inputs[top.next] : undefined;
    if (top.next >= inputs.length) {
      stack.pop();
      const parent = stack.at(-1)?.node;
      if (leads.get(top.node)) {
        order.push(top.node);
        if (parent) leads.set(parent, true);
      }
    } else {
      top.next++;
      if (!input || !gradients[top.next - 1]) continue;
      const known = leads.get(input);
      if (known === undefined) {
        leads.set(input, targets.has(input));
        stack.push({ node: input, next: 0 });
      } else if (known) leads.set(top.node, true);
    }
  }
  return order.reverse();
}

function gradients(loss: Tensor, targets: readonly Tensor[]): Tensor[] {
  if (!(loss instanceof Tensor) || loss.size !== 1) {
    throw new ShapeError(
      `gradient: the loss must have one element, got ${loss instanceof Tensor ? showShape(loss.shape) : typeof loss}`,
    );
  }
  const order = path(loss, new Set(targets));
  const between = new Set(order);
  const received = new Map<Tensor, Tensor>();
  if (between.has(loss)) received.set(loss, full(loss.shape, 1, { dtype: loss.dtype, device: loss.device }));
  for (const node of order) {
    const dy = received.get(node);
    if (!dy || !node.origin) continue;
    const { op, inputs, gradients, versions } = node.origin;
    inputs.forEach((input, i) => {
      const rule = gradients[i];
      if (!input || !rule || !between.has(input)) return;
      if (inputs.some((x, k) => x && x.version !== versions[k])) {
        throw new Error(`gradient: a variable used by ${op} was assigned since; take the gradient before assigning`);
      }
      const dx = rule(dy);
      if (dx.dtype !== input.dtype) {
        throw new ShapeError(
          `gradient: ${op} gave ${dx.dtype} as the gradient of its input ${i} ${showShape(input.shape)} ${input.dtype}`,
        );
      }
      const sum = received.get(input);
      received.set(input, sum ? add(sum, dx) : dx);
    });
  }
  return targets.map((target) => {
    const { shape, dtype, device } = target;
    return received.get(target) ?? full(shape, 0, { dtype, device });
  });
}

/**
 * Gradients of a one-element loss with respect to the targets: an array in gives an array out, an object an object of the
 * same keys, one tensor one tensor. A target that the loss does not depend on has gradient zero. Throws ShapeError when the
 * loss has more than one element.
 */
export function gradient(loss: Tensor, targets: Tensor): Tensor;
export function gradient(loss: Tensor, targets: readonly Tensor[]): Tensor[];
export function gradient<K extends string>(loss: Tensor, targets: Readonly<Record<K, Tensor>>): Record<K, Tensor>;
export function gradient(loss: Tensor, targets: Tensor | readonly Tensor[] | Readonly<Record<string, Tensor>>) {
  if (targets instanceof Tensor) return gradients(loss, [targets])[0];
  if (Array.isArray(targets)) return gradients(loss, targets);
  const names = Object.keys(targets);
  const values = gradients(loss, Object.values(targets));
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
}
