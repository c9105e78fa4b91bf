// Checkpoints of torch.save (.pt .pth .ckpt .tar), zip and legacy. Tensors and plain values only; no code is ever run,
// whatever the file says. Everything is read and checked before the first tensor is made, so a failure leaves nothing
// behind.
import type { Tensor } from '../tensor/tensor.js';
import { FormatError } from './error.js';
import { InputFile } from './files.js';
import { type HostArray, toTensor, toTensors, widened } from './host-array.js';
import type { LoadOptions } from './safetensors.js';
import { readSavedObject } from './torch-container.js';
import { StorageType, StoredTensor, TorchDType } from './torch-objects.js';

/**
 * A saved object: dicts with text or whole-number keys as objects, other dicts as Map, lists, tuples and sets as
 * arrays.
 */
export type TorchValue<T = Tensor> =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | T
  | TorchValue<T>[]
  | { [key: string]: TorchValue<T> }
  | Map<TorchValue<T>, TorchValue<T>>;

/** Where training scripts put the weights beside epoch, optimiser and so on; the first that holds tensors is taken. */
const CONTAINERS = ['state_dict', 'model_state_dict', 'model', 'params_ema', 'params', 'net', 'network', 'weights'];

const MAX_DEPTH = 100;
const MAX_NAMES = 1_000_000;

/**
 * The state dict of a checkpoint: the root when its values are tensors, or the dict under `state_dict`, `model`,
 * `params`, ...; dicts within it are flattened with '.', values that are no tensors are left out, and a `module.` that
 * begins every name is removed. f64 and f16 become f32, 64-bit and short integers i32, bool u8; bf16 stays bf16 unless
 * `dtype` is 'f32'. Layout is PyTorch's. Throws FormatError for damaged files, names that are not allowed, and integers
 * outside i32.
 */
export const loadTorch = (path: string, options: LoadOptions = {}): Record<string, Tensor> =>
  toTensors(readTorchStateDict(path, options));

/** The same in host memory. */
export function readTorchStateDict(path: string, { dtype }: LoadOptions = {}): Record<string, HostArray> {
  return InputFile.with(path, (file) => {
    const fail = (problem: string) => new FormatError(path, 'state_dict', problem);
    const root = readSavedObject(file);
    if (!(root instanceof Map)) throw fail('the file holds no dict of tensors; readTorch returns what it holds');
    const found = flatten(findStateDict(root), fail);
    if (found.size === 0) throw fail('the file holds no tensors; readTorch returns what it holds');
    const prefixed = [...found.keys()].every((name) => name.startsWith('module.') && name !== 'module.');
    const budget = new Budget(file);
    const arrays = [...found].map(([name, stored]): [string, HostArray] => {
      const key = prefixed ? name.slice('module.'.length) : name;
      if (key === '__proto__') throw fail("a tensor cannot be called '__proto__'");
      const array = budget.read(stored, key);
      return [key, dtype === 'f32' ? widened(array) : array];
    });
    return Object.fromEntries(arrays);
  });
}

function findStateDict(root: Map<unknown, unknown>): Map<unknown, unknown> {
  let dict = root;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const inner = CONTAINERS.map((key) => dict.get(key)).find((value) => holdsTensors(value, new Set()));
    if (!(inner instanceof Map)) break;
    dict = inner;
  }
  return dict;
}

/** Whether a dict has tensors, or dicts that have; `seen` because dicts may share dicts. */
function holdsTensors(dict: unknown, seen: Set<unknown>): boolean {
  if (!(dict instanceof Map) || seen.has(dict) || seen.size > MAX_DEPTH) return false;
  seen.add(dict);
  return [...dict.values()].some((value) => value instanceof StoredTensor || holdsTensors(value, seen));
}

function flatten(root: Map<unknown, unknown>, fail: (problem: string) => FormatError): Map<string, StoredTensor> {
  const found = new Map<string, StoredTensor>();
  let visited = 0;
  const visit = (dict: Map<unknown, unknown>, prefix: string, depth: number): void => {
    if (depth > MAX_DEPTH) throw fail(`dicts are nested more than ${MAX_DEPTH} deep`);
    for (const [key, value] of dict) {
      // Shared dicts multiply: a small file could spell out names without end.
      if (++visited > MAX_NAMES) throw fail(`more than ${MAX_NAMES} entries`);
      if (!(value instanceof StoredTensor || value instanceof Map)) continue;
      if (typeof key !== 'string' && typeof key !== 'number') throw fail(`a name under '${prefix}' is no text`);
      const name = prefix + key;
      if (value instanceof Map) visit(value, `${name}.`, depth + 1);
      else if (found.has(name)) throw fail(`the name '${name}' occurs twice`);
      else found.set(name, value);
    }
  };
  visit(root, '', 0);
  return found;
}

/** Tensors may share a storage or repeat elements (stride 0), so a small file could ask for any amount of memory. */
class Budget {
  private left: number;
  constructor(private readonly file: InputFile) {
    this.left = 16 * file.size + 2 ** 26;
  }

  read(stored: StoredTensor, name: string): HostArray {
    this.left -= stored.bytes;
    if (this.left >= 0) return stored.read(name);
    const problem = `shape [${stored.shape}]: the tensors take far more memory than the file has data`;
    throw new FormatError(this.file.path, `tensor '${name}'`, problem);
  }
}

/**
 * The whole object of a checkpoint, tensors at their places. Throws FormatError as `loadTorch`, and where the object
 * contains itself.
 */
export function readTorch(path: string): TorchValue {
  const read = InputFile.with(path, (file) => new TreeReader(file).convert(readSavedObject(file), 'root', 0));
  return withTensors(read, new Map());
}

/** Holds a place until every array has been read. */
class Leaf {
  constructor(readonly array: HostArray) {}
}

type Tree = TorchValue<Leaf>;

class TreeReader {
  private readonly done = new Map<object, Tree>();
  private readonly open = new Set<object>();
  private readonly budget: Budget;

  constructor(private readonly file: InputFile) {
    this.budget = new Budget(file);
  }

  convert(value: unknown, name: string, depth: number): Tree {
    if (typeof value !== 'object' || value === null) return this.scalar(value, name);
    const known = this.done.get(value);
    if (known !== undefined) return known;
    if (this.open.has(value)) throw this.fail(name, 'contains itself');
    if (depth > MAX_DEPTH) throw this.fail(name, `is nested more than ${MAX_DEPTH} deep`);
    this.open.add(value);
    const tree = this.object(value, name, depth + 1);
    this.open.delete(value);
    this.done.set(value, tree);
    return tree;
  }

  private fail(name: string, problem: string): FormatError {
    return new FormatError(this.file.path, name, problem);
  }

  private scalar(value: unknown, name: string): Tree {
    if (value === null || ['boolean', 'number', 'bigint', 'string'].includes(typeof value)) return value as Tree;
    throw this.fail(name, 'is no plain value');
  }

  private object(value: object, name: string, depth: number): Tree {
    if (value instanceof StoredTensor) return new Leaf(this.budget.read(value, name));
    if (value instanceof TorchDType) return value.name;
    if (value instanceof Uint8Array) return value;
    if (Array.isArray(value)) return value.map((item, i) => this.convert(item, `${name}.${i}`, depth));
    if (value instanceof Set) return [...value].map((item, i) => this.convert(item, `${name}.${i}`, depth));
    if (!(value instanceof Map)) {
      throw this.fail(name, value instanceof StorageType ? 'is a class, not a value' : 'is no plain value');
    }
    const plain = [...value.keys()].every((key) => typeof key === 'string' || Number.isInteger(key));
    const items = [...value].map(([key, item]): [Tree, Tree] => {
      const field = typeof key === 'object' ? `${name}.?` : `${name}.${String(key)}`;
      return [this.convert(key, field, depth), this.convert(item, field, depth)];
    });
    if (!plain) return new Map(items);
    const object: { [key: string]: Tree } = {};
    for (const [key, item] of items) {
      const text = String(key);
      if (text === '__proto__' || Object.hasOwn(object, text))
        throw this.fail(name, `the key '${text}' is not allowed`);
      object[text] = item;
    }
    return object;
  }
}

function withTensors(tree: Tree, done: Map<object, TorchValue>): TorchValue {
  if (typeof tree !== 'object' || tree === null || tree instanceof Uint8Array) return tree;
  const known = done.get(tree);
  if (known !== undefined) return known;
  let value: TorchValue;
  if (tree instanceof Leaf) value = toTensor(tree.array);
  else if (Array.isArray(tree)) value = tree.map((item) => withTensors(item, done));
  else if (tree instanceof Map) {
    value = new Map([...tree].map(([key, item]) => [withTensors(key, done), withTensors(item, done)]));
  } else value = Object.fromEntries(Object.entries(tree).map(([key, item]) => [key, withTensors(item, done)]));
  done.set(tree, value);
  return value;
}
