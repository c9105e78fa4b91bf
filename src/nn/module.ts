// Module: a piece of a network that finds its own parts. Contract: a field that holds a Variable, a Module, or an array of
// Modules is a part, and its name in snake case (array positions as numbers) is its name in a checkpoint; private (#) fields
// are not looked at.
import { cast, permute, reshape } from '../tensor/ops/layout.js';
import { tidy } from '../tensor/scope.js';
import { type Shape, ShapeError, sameShape, showShape, sizeOf } from '../tensor/shape.js';
import { type Tensor, Variable } from '../tensor/tensor.js';

/** How PyTorch stores a variable: viewed as `view`, permuted by `dims`, it has our order of elements. */
export interface TorchLayout {
  shape: Shape;
  view: Shape;
  dims: readonly number[];
}

export interface LoadStateOptions {
  /** 'torch': weights are in PyTorch's layout (convolutions [o, i, h, w]) and are permuted to ours. */
  from?: 'torch';
  /** Throw for missing and extra names too (misshapen ones always throw). */
  strict?: boolean;
  /** Leading parts of names that the state may hold and the model has no use for, such as a head used in training only. */
  ignore?: readonly string[];
}

/** Names that did not match; both empty when loading strictly. */
export interface LoadReport {
  missing: string[];
  extra: string[];
}

interface Entry {
  name: string;
  variable: Variable;
  trainable: boolean;
  layout?: TorchLayout;
}

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

export abstract class Module {
  /** Batch statistics are used and running ones updated; set by train() and eval() for all parts. Starts true. */
  training = true;

  /** Fields that hold state but are not trained. */
  protected get buffers(): readonly string[] {
    return [];
  }

  /** PyTorch's layout of one of the module's own variables; undefined where it is ours. */
  protected torchLayout(_field: string): TorchLayout | undefined {
    return undefined;
  }

  train(): this {
    return this.setTraining(true);
  }

  eval(): this {
    return this.setTraining(false);
  }

  private setTraining(training: boolean): this {
    this.training = training;
    for (const [, part] of this.parts()) if (part instanceof Module) part.setTraining(training);
    return this;
  }

  /** The trainable variables under their checkpoint names. */
  parameters(): Record<string, Variable> {
    return Object.fromEntries(
      this.entries()
        .filter(({ trainable }) => trainable)
        .map(({ name, variable }) => [name, variable]),
    );
  }

  /** How many numbers are trained. */
  parameterCount(): number {
    return Object.values(this.parameters()).reduce((count, { size }) => count + size, 0);
  }

  /** Parameters and buffers by name: the variables themselves, or with `to: 'torch'` copies in PyTorch's layout. */
  stateDict({ to }: { to?: 'torch' } = {}): Record<string, Tensor> {
    return Object.fromEntries(
      this.entries().map(({ name, variable, layout }) => [
        name,
        to === 'torch' && layout ? toTorch(variable, layout) : variable,
      ]),
    );
  }

  /**
   * Copies a state's values in. Everything is checked before anything is written: missing, extra and misshapen names are
   * thrown in one ShapeError that lists all of them. `num_batches_tracked` is ignored, and so is the prefix `module.` when
   * every name has it (networks saved from a parallel wrapper).
   */
  loadStateDict(state: Readonly<Record<string, Tensor>>, options: LoadStateOptions = {}): LoadReport {
    const { from, strict = true, ignore = [] } = options;
    const given = new Map(Object.entries(withoutWrapper(state)).filter(([name]) => !isIgnored(name, ignore)));
    const entries = this.entries();
    const known = new Set(entries.map(({ name }) => name));
    const missing = entries.filter(({ name }) => !given.has(name)).map(({ name }) => name);
    const extra = [...given.keys()].filter((name) => !known.has(name));
    const misshapen = entries.flatMap(({ name, variable, layout }) => {
      const x = given.get(name);
      if (!x) return [];
      const wanted = from === 'torch' && layout ? layout.shape : variable.shape;
      if (sameShape(x.shape, wanted) && (x.dtype === 'f32' || x.dtype === 'bf16')) return [];
      return [`${name}: ${showShape(x.shape)} ${x.dtype}, wants ${showShape(wanted)} f32`];
    });
    const problems = [
      ...(strict && missing.length > 0 ? [`missing ${missing.join(', ')}`] : []),
      ...(strict && extra.length > 0 ? [`extra ${extra.join(', ')}`] : []),
      ...(misshapen.length > 0 ? [`misshapen ${misshapen.join('; ')}`] : []),
    ];
    if (problems.length > 0)
      throw new ShapeError(`loadStateDict: the state does not fit ${this.constructor.name}: ${problems.join(' | ')}`);
    for (const { name, variable, layout } of entries) {
      const x = given.get(name);
      if (x)
        tidy(() => void variable.assign(from === 'torch' && layout ? fromTorch(f32(x), variable, layout) : f32(x)));
    }
    return { missing, extra };
  }

  /** Frees every variable; the module cannot be used afterwards. */
  dispose(): void {
    for (const { variable } of this.entries()) variable.dispose();
  }

  /** Brings parameters back into their range after an optimiser's step, all parts'. */
  constrain(): void {
    for (const [, part] of this.parts()) if (part instanceof Module) part.constrain();
  }

  /** Own and nested variables in the order of the fields. */
  private entries(): Entry[] {
    return this.parts().flatMap(([field, part]) => {
      const name = snakeCase(field);
      if (part instanceof Variable) {
        return [{ name, variable: part, trainable: !this.buffers.includes(field), layout: this.torchLayout(field) }];
      }
      return part.entries().map((entry) => ({ ...entry, name: `${name}.${entry.name}` }));
    });
  }

  private parts(): [string, Variable | Module][] {
    return Object.entries(this).flatMap(([field, value]: [string, unknown]): [string, Variable | Module][] => {
      if (value instanceof Variable || value instanceof Module) return [[field, value]];
      if (!Array.isArray(value)) return [];
      return value.flatMap((item, i): [string, Module][] => (item instanceof Module ? [[`${field}.${i}`, item]] : []));
    });
  }
}

const WRAPPER = 'module.';

function withoutWrapper(state: Readonly<Record<string, Tensor>>): Readonly<Record<string, Tensor>> {
  const names = Object.keys(state);
  if (names.length === 0 || !names.every((name) => name.startsWith(WRAPPER))) return state;
  return Object.fromEntries(names.map((name) => [name.slice(WRAPPER.length), state[name]]));
}

const isIgnored = (name: string, ignore: readonly string[]): boolean =>
  name.endsWith('num_batches_tracked') || ignore.some((part) => name === part || name.startsWith(`${part}.`));

const f32 = (x: Tensor): Tensor => (x.dtype === 'f32' ? x : cast(x, 'f32'));

const fromTorch = (x: Tensor, variable: Variable, { view, dims }: TorchLayout): Tensor =>
  reshape(permute(reshape(x, view), dims), variable.shape);

function toTorch(variable: Variable, { shape, view, dims }: TorchLayout): Tensor {
  const back = dims.map((_, i) => dims.indexOf(i));
  const permuted = dims.map((d) => view[d]);
  if (sizeOf(permuted) !== variable.size) throw new ShapeError(`stateDict: layout ${showShape(view)} does not fit`);
  return tidy(() => reshape(permute(reshape(variable, permuted), back), shape));
}
