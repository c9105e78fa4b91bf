// Adam. Contract: everything that changes between steps (moments, step count, learning rate) is a variable on the
// parameters' device, so that a captured step keeps counting when it is replayed.
import { tensor, zeros } from '../tensor/create.js';
import { add } from '../tensor/ops/elementwise.js';
import { emit, variable } from '../tensor/record.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor, Variable } from '../tensor/tensor.js';

export interface AdamOptions {
  lr?: number;
  betas?: readonly [number, number];
  eps?: number;
  /** Added to the gradient as weightDecay times the parameter (L2, not decoupled). */
  weightDecay?: number;
}

type Collection<T> = readonly T[] | Readonly<Record<string, T>>;

interface Slot {
  parameter: Variable;
  m: Variable;
  v: Variable;
}

const zerosLike = (x: Tensor): Variable => tidy(() => variable(zeros(x.shape, { device: x.device })));
const scalarOn = (device: string | undefined, value: number): Variable =>
  tidy(() => variable(tensor([value], { device })));

/**
 * Adam with bias correction (Kingma and Ba 2015). Parameters are a list or a record of f32 variables; gradients come in the
 * same form, as `gradient(loss, parameters)` returns them.
 */
export class Adam {
  private readonly slots: Map<string, Slot>;
  private readonly count: Variable;
  private readonly rate: Variable;
  private readonly params: { beta1: number; beta2: number; eps: number; weight_decay: number };

  /** Throws RangeError for settings that cannot work and ShapeError for a parameter that is not f32. */
  constructor(parameters: Collection<Variable>, options: AdamOptions = {}) {
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0 } = options;
    checkRate(lr);
    if (!betas.every((beta) => beta >= 0 && beta < 1))
      throw new RangeError(`Adam: betas must lie in [0, 1), got [${betas}]`);
    if (!(eps >= 0 && weightDecay >= 0)) throw new RangeError('Adam: eps and weightDecay must not be negative');
    const named = Object.entries(parameters);
    for (const [name, p] of named)
      if (p.dtype !== 'f32')
        throw new ShapeError(`Adam: parameter ${name} ${showShape(p.shape)} is ${p.dtype}, wants f32`);
    this.params = { beta1: betas[0], beta2: betas[1], eps, weight_decay: weightDecay };
    this.slots = new Map(named.map(([name, p]) => [name, { parameter: p, m: zerosLike(p), v: zerosLike(p) }]));
    const device = named[0]?.[1].device;
    this.count = scalarOn(device, 0);
    this.rate = scalarOn(device, lr);
  }

  /** Changes the learning rate, also for captured steps. Call it outside `capture`. */
  setLearningRate(lr: number): void {
    checkRate(lr);
    tidy(() => void this.rate.assign(tensor([lr], { device: this.rate.device })));
  }

  /** One update. Throws ShapeError that lists every missing, extra or misshapen gradient, before any parameter changes. */
  step(gradients: Collection<Tensor>): void {
    const given = new Map(Object.entries(gradients));
    const problems = [...this.slots].flatMap(([name, { parameter }]) => {
      const g = given.get(name);
      if (!g) return [`${name} is missing`];
      if (sameShape(g.shape, parameter.shape) && g.dtype === 'f32') return [];
      return [`${name} is ${showShape(g.shape)} ${g.dtype}, the parameter ${showShape(parameter.shape)} f32`];
    });
    for (const name of given.keys()) if (!this.slots.has(name)) problems.push(`${name} has no parameter`);
    if (problems.length > 0) throw new ShapeError(`Adam.step: gradients do not fit: ${problems.join('; ')}`);
    tidy(() => void this.count.assign(add(this.count, 1)));
    const slots = [...this.slots.values()];
    const lists = [slots.map((s) => s.parameter), slots.map((s) => s.m), slots.map((s) => s.v)];
    const ordered = [...this.slots.keys()].map((name) => given.get(name) as Tensor);
    const sizes = slots.map(({ parameter }) => parameter.size);
    emit('adam', [...lists, ordered, this.count, this.rate], { sizes, ...this.params });
  }

  /** Moments `m.NAME` and `v.NAME`, `step` [1] and `lr` [1]; the variables themselves. */
  stateDict(): Record<string, Tensor> {
    const state: Record<string, Tensor> = { step: this.count, lr: this.rate };
    for (const [name, { m, v }] of this.slots) {
      state[`m.${name}`] = m;
      state[`v.${name}`] = v;
    }
    return state;
  }

  /** Copies such a state in; throws ShapeError that lists every missing, extra or misshapen name, before anything changes. */
  loadStateDict(state: Readonly<Record<string, Tensor>>): void {
    const own = this.stateDict();
    const problems = Object.entries(own).flatMap(([name, x]) => {
      const given = state[name];
      if (!given) return [`${name} is missing`];
      if (sameShape(given.shape, x.shape) && given.dtype === 'f32') return [];
      return [`${name} is ${showShape(given.shape)} ${given.dtype}, wants ${showShape(x.shape)} f32`];
    });
    for (const name of Object.keys(state)) if (!(name in own)) problems.push(`${name} is extra`);
    if (problems.length > 0) throw new ShapeError(`Adam.loadStateDict: the state does not fit: ${problems.join('; ')}`);
    for (const [name, x] of Object.entries(own)) (x as Variable).assign(state[name]);
  }

  /** Frees the optimiser's own variables. */
  dispose(): void {
    for (const x of Object.values(this.stateDict())) x.dispose();
  }
}

function checkRate(lr: number): void {
  if (!(lr >= 0 && Number.isFinite(lr))) throw new RangeError(`Adam: lr must be a number >= 0, got ${lr}`);
}
