// Pickles of numbers: dicts, lists and numpy arrays, as scripts save them (.pkl). Contract: nothing is called but what rebuilds arrays;
// chumpy's arrays and scipy's sparse matrices, which face models carry, become their plain contents, every other class is refused by name.
import { FormatError } from './error.js';
import { readBytes } from './files.js';
import { countOf, decode, gather, type HostArray, NUMPY_TYPES, STORED_WIDTH } from './host-array.js';
import { PickleFunction, unpickle } from './pickle.js';

/** What a pickle holds: dicts as Map, arrays as HostArray (row-major). */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | HostArray
  | PickleValue[]
  | Set<PickleValue>
  | Map<PickleValue, PickleValue>;

class ElementType {
  bigEndian = false;
  constructor(readonly descr: string) {}
}

/** An array or object whose state comes later. */
class Pending {
  state: unknown;
  constructor(readonly kind: 'array' | 'object') {}
}

const CLASSES = [
  'chumpy.ch.Ch',
  ...['csc', 'csr', '_csc', '_csr'].map((m) => `scipy.sparse.${m}.${m.replace('_', '')}_matrix`),
];

/** The value of a pickle file. Throws FormatError for damage and for names that are not allowed. */
export function readPickle(file: string): PickleValue {
  const bytes = readBytes(file);
  // A pickle of protocol 2 and later begins with it; of 0 and 1 with a dict, list or mark.
  if (bytes.length === 0 || !(bytes[0] === 0x80 || '(}]cd'.includes(String.fromCharCode(bytes[0])))) {
    throw new FormatError(file, 'pickle', 'is no pickle');
  }
  const { value } = unpickle(file, bytes, { globals: globals(file), build });
  return plain(file, value, new Map(), 0);
}

function globals(file: string): Map<string, unknown> {
  const known = new Map<string, unknown>();
  const define = (names: string[], call: (args: unknown[], fail: (problem: string) => FormatError) => unknown) => {
    for (const name of names) {
      const fail = (problem: string) => new FormatError(file, name, problem);
      known.set(name, new PickleFunction(name, (args) => call(args, fail)));
    }
  };
  const multiarray = ['numpy.core.multiarray', 'numpy._core.multiarray'];
  define(
    multiarray.map((m) => `${m}._reconstruct`),
    () => new Pending('array'),
  );
  define(['numpy.core.numeric._frombuffer', 'numpy._core.numeric._frombuffer'], ([data, type, shape, order]) => {
    const array = new Pending('array');
    array.state = [1, shape, type, order === 'F', data];
    return array;
  });
  define(['numpy.dtype'], ([descr], fail) => {
    if (typeof descr !== 'string') throw fail('the element type is no text');
    return new ElementType(descr);
  });
  define(
    multiarray.map((m) => `${m}.scalar`),
    ([type, bytes], fail) => {
      const stored = type instanceof ElementType ? NUMPY_TYPES[type.descr] : undefined;
      const data = asBytes(bytes);
      if (!stored || !data || data.length !== STORED_WIDTH[stored]) throw fail('is no plain number');
      return decode(data, stored, fail, (type as ElementType).bigEndian).data[0];
    },
  );
  define(CLASSES, () => new Pending('object'));
  // Instances of old classes: the class, its base, and the base's state.
  define(['copy_reg._reconstructor', 'copyreg._reconstructor'], ([type], fail) => {
    if (!(type instanceof PickleFunction) || !CLASSES.includes(type.name))
      throw fail('makes something other than an array');
    return new Pending('object');
  });
  define(['_codecs.encode'], ([text, encoding], fail) => {
    if (typeof text !== 'string' || encoding !== 'latin1') throw fail('only text in latin1 is expected');
    return new Uint8Array(Buffer.from(text, 'latin1'));
  });
  define(['collections.OrderedDict'], ([items], fail) => {
    if (items === undefined) return new Map();
    if (!Array.isArray(items) || !items.every((i) => Array.isArray(i) && i.length === 2))
      throw fail('is no list of pairs');
    return new Map(items as [unknown, unknown][]);
  });
  for (const module of ['builtins', '__builtin__']) {
    known.set(`${module}.object`, null);
    define([`${module}.bytes`, `${module}.bytearray`], () => new Uint8Array(0));
  }
  known.set('numpy.ndarray', null);
  return known;
}

function build(target: unknown, state: unknown): boolean {
  if (target instanceof Pending) {
    target.state = state;
    return true;
  }
  if (!(target instanceof ElementType) || !Array.isArray(state)) return false;
  target.bigEndian = state[1] === '>';
  return true;
}

/** Python 2 has its bytes as text. */
function asBytes(data: unknown): Uint8Array | undefined {
  if (data instanceof Uint8Array) return data;
  return typeof data === 'string' ? new Uint8Array(Buffer.from(data, 'latin1')) : undefined;
}

const MAX_DEPTH = 60;

function plain(file: string, value: unknown, done: Map<unknown, PickleValue>, depth: number): PickleValue {
  if (value === null || typeof value !== 'object') {
    if (value instanceof PickleFunction)
      throw new FormatError(file, 'pickle', `'${value.name}' where a value is wanted`);
    return (value ?? null) as PickleValue;
  }
  if (value instanceof Uint8Array) return value;
  const known = done.get(value);
  if (known !== undefined) return known;
  if (depth > MAX_DEPTH) throw new FormatError(file, 'pickle', `is nested more than ${MAX_DEPTH} deep`);
  const inner = (item: unknown) => plain(file, item, done, depth + 1);
  let out: PickleValue;
  if (value instanceof Map) out = new Map([...value].map(([k, v]) => [inner(k), inner(v)]));
  else if (value instanceof Set) out = new Set([...value].map(inner));
  else if (Array.isArray(value)) out = value.map(inner);
  else if (value instanceof Pending)
    out = value.kind === 'array' ? arrayOf(file, value.state, inner) : objectOf(value, inner);
  else if (value instanceof ElementType) out = value.descr;
  else throw new FormatError(file, 'pickle', 'holds something that is no plain value');
  done.set(value, out);
  return out;
}

/** chumpy keeps its numbers under `x`; of other objects their attributes. */
function objectOf({ state }: Pending, inner: (item: unknown) => PickleValue): PickleValue {
  if (state instanceof Map && state.has('x')) return inner(state.get('x'));
  return state instanceof Map ? inner(state) : null;
}

function arrayOf(file: string, state: unknown, inner: (item: unknown) => PickleValue): PickleValue {
  const fail = (problem: string) => new FormatError(file, 'numpy array', problem);
  const [, shape, type, fortran, data] = Array.isArray(state) ? state : [];
  if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) throw fail('has no shape');
  if (!(type instanceof ElementType)) throw fail('has no element type');
  const stored = NUMPY_TYPES[type.descr];
  const count = countOf(shape);
  // Arrays of objects: lists of what they hold.
  if (!stored && Array.isArray(data)) return data.map(inner);
  const bytes = asBytes(data);
  if (!stored || !bytes) throw fail(`of '${type.descr}' is not read`);
  if (count === undefined || count * STORED_WIDTH[stored] !== bytes.length) {
    throw fail(`shape [${shape}] of ${type.descr} with ${bytes.length} bytes`);
  }
  const array = decode(bytes, stored, fail, type.bigEndian);
  if (!fortran || shape.length < 2) return { ...array, shape };
  const rows = array.data.slice();
  const strides = shape.map((_, i) => shape.slice(0, i).reduce((product: number, n: number) => product * n, 1));
  gather(array.data, rows, shape, strides);
  return { dtype: array.dtype, shape, data: rows };
}
