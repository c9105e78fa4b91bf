// Stochastic gradient descent with momentum. Contract: everything that changes between steps (momenta, learning rate) is a
// variable on the parameters' device, so that a captured step keeps counting when it is replayed.
import { tensor, zeros } from '../tensor/create.js';
import { add, mul, sub } from '../tensor/ops/elementwise.js';
import { variable } from '../tensor/record.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor, Variable } from '../tensor/tensor.js';

export interface SgdOptions {
  lr?: number;
  momentum?: number;
  /** Added to the gradient as weightDecay times the parameter. */
  weightDecay?: number;
  nesterov?: boolean;
}

type Collection<T> = readonly T[] | Readonly<Record<string, T>>;

interface Slot {
  parameter: Variable;
  velocity: Variable;
}

function checkRate(lr: number): void {
  if (!(lr >= 0 && Number.isFinite(lr))) throw new RangeError(`SGD: lr must be a number >= 0, got ${lr}`);
}

/**
 * v = momentum v + (g + weightDecay p), p -= lr v (with Nesterov's step g + weightDecay p + momentum v), the form in which the
 * learning rate is outside the momentum. Parameters are a list or a record of f32 variables; gradients come in the same form.
 */
export class SGD {
  private readonly slots: Map<string, Slot>;
  private readonly rate: Variable;
  private readonly settings: Required<Omit<SgdOptions, 'lr'>>;

  /** Throws RangeError for settings that cannot work and ShapeError for a parameter that is not f32. */
  constructor(parameters: Collection<Variable>, options: SgdOptions = {}) {
    const { lr = 0.1, momentum = 0.9, weightDecay = 0, nesterov = false } = options;
    checkRate(lr);
    if (!(momentum >= 0 && momentum < 1)) throw new RangeError(`SGD: momentum must lie in [0, 1), got ${momentum}`);
    if (!(weightDecay >= 0)) throw new RangeError(`SGD: weightDecay must not be negative, got ${weightDecay}`);
    if (nesterov && momentum === 0) throw new RangeError('SGD: nesterov wants a momentum above 0');
    const named = Object.entries(parameters);
    for (const [name, p] of named) {
      if (p.dtype !== 'f32') {
        throw new ShapeError(`SGD: parameter ${name} ${showShape(p.shape)} is ${p.dtype}, wants f32`);
      }
    }
    this.settings = { momentum, weightDecay, nesterov };
    const zerosLike = (x: Tensor): Variable => tidy(() => variable(zeros(x.shape, { device: x.device })));
    this.slots = new Map(named.map(([name, parameter]) => [name, { parameter, velocity: zerosLike(parameter) }]));
    const device = named[0]?.[1].device;
    this.rate = tidy(() => variable(tensor([lr], { device })));
  }

  /** Changes the learning rate, also for captured steps. Call it outside `capture`. */
  setLearningRate(lr: number): void {
    checkRate(lr);
    tidy(() => void this.rate.assign(tensor([lr], { device: this.rate.device })));
  }

  /** One update. Throws ShapeError that lists every missing, extra or misshapen gradient, before any parameter changes. */
  step(gradients: Collection<Tensor>): void {
    const given = new Map(Object.entries(gradients));
    const problems = [...this.slots].flatMap(([name, { parameter }]) => mismatch(name, parameter, given.get(name)));
    for (const name of given.keys()) if (!this.slots.has(name)) problems.push(`${name} has no parameter`);
    if (problems.length > 0) throw new ShapeError(`SGD.step: gradients do not fit: ${problems.join('; ')}`);
    const { momentum, weightDecay, nesterov } = this.settings;
    for (const [name, { parameter, velocity }] of this.slots) {
      tidy(() => {
        const raw = given.get(name) as Tensor;
        const g = weightDecay > 0 ? add(raw, mul(parameter, weightDecay)) : raw;
        velocity.assign(add(mul(velocity, momentum), g));
        const direction = nesterov ? add(g, mul(velocity, momentum)) : velocity;
        parameter.assign(sub(parameter, mul(direction, this.rate)));
      });
    }
  }

  /** Momenta `v.NAME` and `lr` [1]; the variables themselves. */
  stateDict(): Record<string, Tensor> {
    const state: Record<string, Tensor> = { lr: this.rate };
    for (const [name, { velocity }] of this.slots) state[`v.${name}`] = velocity;
    return state;
  }

  /** Copies such a state in; throws ShapeError that lists every missing, extra or misshapen name, before anything changes. */
  loadStateDict(state: Readonly<Record<string, Tensor>>): void {
    const own = this.stateDict();
    const problems = Object.entries(own).flatMap(([name, x]) => mismatch(name, x, state[name]));
    for (const name of Object.keys(state)) if (!(name in own)) problems.push(`${name} is extra`);
    if (problems.length > 0) throw new ShapeError(`SGD.loadStateDict: the state does not fit: ${problems.join('; ')}`);
    for (const [name, x] of Object.entries(own)) (x as Variable).assign(state[name]);
  }

  /** Frees the optimiser's own variables. */
  dispose(): void {
    for (const x of Object.values(this.stateDict())) x.dispose();
  }
}

function mismatch(name: string, own: Tensor, given: Tensor | undefined): string[] {
  if (!given) return [`${name} is missing`];
  if (sameShape(given.shape, own.shape) && given.dtype === 'f32') return [];
  return [`${name} is ${showShape(given.shape)} ${given.dtype}, wants ${showShape(own.shape)} f32`];
}
