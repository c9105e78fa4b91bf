// Optimisers. Everything that changes from step to step lies on the device, so that a captured step can be replayed.
import { full, zeros } from '../tensor/create.js';
import { add } from '../tensor/ops/elementwise.js';
import { emit, variable } from '../tensor/record.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor, Variable } from '../tensor/tensor.js';
import type { StateDict } from './module.js';

export interface AdamOptions {
  lr?: number;
  betas?: readonly [number, number];
  eps?: number;
  /** L2 penalty, added to the gradient (as in PyTorch's Adam). */
  weightDecay?: number;
}

type Named<T> = Readonly<Record<string, T>>;
const named = <T>(list: Named<T> | readonly T[]): Named<T> =>
  Array.isArray(list) ? Object.fromEntries(list.map((item, i) => [String(i), item])) : (list as Named<T>);

/** Adam (Kingma and Ba 2015). The paper names no optimiser; with betas (0.5, 0.999) this is our choice, pix2pix's. */
export class Adam {
  private readonly parameters: Named<Variable>;
  private readonly moments: Record<string, { m: Variable; v: Variable }> = {};
  private readonly rate: Variable;
  private readonly count: Variable;
  private readonly params: Record<'beta1' | 'beta2' | 'eps' | 'weight_decay', number>;

  constructor(parameters: Named<Variable> | readonly Variable[], options: AdamOptions = {}) {
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0 } = options;
    if (!(lr >= 0) || !betas.every((b) => b >= 0 && b < 1) || !(eps >= 0) || !(weightDecay >= 0)) {
      throw new RangeError(`Adam: lr ${lr}, betas ${betas}, eps ${eps}, weightDecay ${weightDecay} are out of range`);
    }
    this.parameters = named(parameters);
    const device = Object.values(this.parameters)[0]?.device;
    const keep = (x: Tensor): Variable => {
      const v = variable(x);
      x.dispose();
      return v;
    };
    for (const [name, p] of Object.entries(this.parameters)) {
      this.moments[name] = { m: keep(zeros(p.shape, { device })), v: keep(zeros(p.shape, { device })) };
    }
    this.rate = keep(full([1], lr, { device }));
    this.count = keep(zeros([1], { device }));
    this.params = { beta1: betas[0], beta2: betas[1], eps, weight_decay: weightDecay };
  }

  /** Changes the learning rate, also of steps captured before. */
  setLearningRate(lr: number): void {
    tidy(() => this.rate.assign(full([1], lr, { device: this.rate.device })));
  }

  /** One step. Gradients come in the form of the parameters: an object of the same names, or an array in the same order. */
  step(gradients: Named<Tensor> | readonly Tensor[]): void {
    const given = named(gradients);
    for (const [name, p] of Object.entries(this.parameters)) {
      const g = given[name];
      if (!g || !sameShape(g.shape, p.shape)) {
        throw new ShapeError(
          `Adam: the gradient of ${name} must be ${showShape(p.shape)}, got ${g ? showShape(g.shape) : 'none'}`,
        );
      }
    }
    tidy(() => this.count.assign(add(this.count, 1)));
    for (const [name, p] of Object.entries(this.parameters)) {
      const { m, v } = this.moments[name];
      emit('adam', [p, m, v, given[name], this.count, this.rate], { size: p.size, ...this.params });
    }
  }

  /** Moments, step count and learning rate by name. */
  stateDict(): Record<string, Variable> {
    const state: Record<string, Variable> = { step: this.count, lr: this.rate };
    for (const [name, { m, v }] of Object.entries(this.moments)) {
      state[`m.${name}`] = m;
      state[`v.${name}`] = v;
    }
    return state;
  }

  /** Takes over what `stateDict` gave. Throws when a name is missing. */
  loadStateDict(state: StateDict): void {
    const own = this.stateDict();
    const missing = Object.keys(own).filter((name) => !Object.hasOwn(state, name));
    if (missing.length > 0) throw new Error(`Adam: the state lacks ${missing.join(', ')}`);
    for (const [name, v] of Object.entries(own)) v.assign(state[name]);
  }
}
