// What the names in a torch checkpoint mean: storages, tensors over them, dtypes, devices, numpy scalars, containers.
// Everything else is refused. A tensor found in a pickle is a StoredTensor: checked against its storage, not yet read.
import { FormatError } from './error.js';
import { allocate } from './files.js';
import { countOf, decode, gather, type HostArray, type HostData, STORED_WIDTH, type StoredType } from './host-array.js';
import { PickleFunction } from './pickle.js';

/** A run of elements in the file; `read` returns the bytes of elements [first, first + count) in a fresh buffer. */
export interface TorchStorage {
  key: string;
  type: StoredType;
  count: number;
  read: (first: number, count: number) => Uint8Array;
}

/** As in torch. */
const MAX_RANK = 64;

/** A view of a storage, as torch saves it: any strides >= 0. */
export class StoredTensor {
  readonly size: number;
  private readonly span: number;

  constructor(
    private readonly file: string,
    readonly storage: TorchStorage,
    readonly type: StoredType,
    readonly offset: number,
    readonly shape: number[],
    readonly strides: number[],
  ) {
    const fail = (problem: string) => new FormatError(file, `storage ${storage.key}`, problem);
    if (shape.length > MAX_RANK) throw fail(`a tensor of ${shape.length} dimensions`);
    const size = countOf(shape);
    if (size === undefined) throw fail(`a tensor of shape [${shape}] is too large`);
    if (strides.length !== shape.length) throw fail(`shape [${shape}] with strides [${strides}]`);
    this.size = size;
    this.span = size === 0 ? 0 : 1 + shape.reduce((sum, n, i) => sum + (n - 1) * strides[i], 0);
    const available = Math.floor((storage.count * STORED_WIDTH[storage.type]) / STORED_WIDTH[type]);
    if (offset + this.span > available) {
      throw fail(`a tensor of shape [${shape}] reaches element ${offset + this.span} of ${available}`);
    }
  }

  /** Bytes that reading this tensor takes at most, of memory or of the file. */
  get bytes(): number {
    return Math.max(this.size, this.span) * Math.max(STORED_WIDTH[this.type], 4);
  }

  /** Reads the elements in row-major order; `name` is for messages. */
  read(name: string): HostArray {
    const field = `tensor '${name}'`;
    const fail = (problem: string) => new FormatError(this.file, field, problem);
    // Untyped storages count bytes.
    const scale = STORED_WIDTH[this.type] / STORED_WIDTH[this.storage.type];
    const bytes = this.storage.read(this.offset * scale, this.span * scale);
    const { dtype, data } = decode(bytes, this.type, fail);
    if (this.isContiguous()) return { dtype, shape: this.shape, data };
    const out = viewLike(data, allocate(this.file, field, this.size * data.BYTES_PER_ELEMENT));
    gather(data, out, this.shape, this.strides);
    return { dtype, shape: this.shape, data: out };
  }

  private isContiguous(): boolean {
    let stride = 1;
    for (let i = this.shape.length - 1; i >= 0; i--) {
      if (this.shape[i] !== 1 && this.strides[i] !== stride) return this.size === 0;
      stride *= this.shape[i];
    }
    return true;
  }
}

function viewLike(data: HostData, buffer: ArrayBuffer): HostData {
  if (data instanceof Float32Array) return new Float32Array(buffer);
  if (data instanceof Int32Array) return new Int32Array(buffer);
  return data instanceof Uint16Array ? new Uint16Array(buffer) : new Uint8Array(buffer);
}

/** A class of storages, e.g. torch.FloatStorage. */
export class StorageType {
  constructor(readonly type: StoredType) {}
}

/** torch.float32 and the like. */
export class TorchDType {
  constructor(
    readonly name: string,
    readonly type: StoredType,
  ) {}
}

class NumpyDType {
  bigEndian = false;
  constructor(readonly descr: string) {}
}

const STORAGES: Record<string, StoredType> = {
  FloatStorage: 'f32',
  DoubleStorage: 'f64',
  HalfStorage: 'f16',
  BFloat16Storage: 'bf16',
  LongStorage: 'i64',
  IntStorage: 'i32',
  ShortStorage: 'i16',
  CharStorage: 'i8',
  ByteStorage: 'u8',
  BoolStorage: 'bool',
};

const TORCH_DTYPES: Record<string, StoredType> = {
  float64: 'f64',
  float32: 'f32',
  float16: 'f16',
  bfloat16: 'bf16',
  int64: 'i64',
  int32: 'i32',
  int16: 'i16',
  int8: 'i8',
  uint64: 'u64',
  uint32: 'u32',
  uint16: 'u16',
  uint8: 'u8',
  bool: 'bool',
};

const isStorage = (value: unknown): value is TorchStorage =>
  typeof value === 'object' && value !== null && 'key' in value && 'read' in value;

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);

/** The names that a checkpoint may use, for the unpickler. */
export function torchGlobals(file: string): Map<string, unknown> {
  const globals = new Map<string, unknown>();
  const define = (names: string[], call: (args: unknown[], fail: (problem: string) => FormatError) => unknown) => {
    for (const name of names) {
      const fail = (problem: string) => new FormatError(file, name, problem);
      globals.set(name, new PickleFunction(name, (args) => call(args, fail)));
    }
  };
  for (const [name, type] of Object.entries(STORAGES)) {
    for (const module of ['torch', 'torch.cuda', 'torch.storage'])
      globals.set(`${module}.${name}`, new StorageType(type));
  }
  globals.set('torch.storage.UntypedStorage', new StorageType('u8'));
  for (const [name, type] of Object.entries(TORCH_DTYPES))
    globals.set(`torch.${name}`, new TorchDType(`torch.${name}`, type));

  define(['torch._utils._rebuild_tensor', 'torch._utils._rebuild_tensor_v2'], (args, fail) => {
    const [storage, offset, shape, strides] = args;
    if (!isStorage(storage)) throw fail('the first argument is no storage');
    if (!isSizes([offset]) || !isSizes(shape) || !isSizes(strides)) {
      throw fail('offset, shape and strides must be whole numbers >= 0');
    }
    return new StoredTensor(file, storage, storage.type, offset as number, shape, strides);
  });
  define(['torch._utils._rebuild_tensor_v3'], (args, fail) => {
    const [storage, offset, shape, strides, , , dtype] = args;
    if (!isStorage(storage) || storage.type !== 'u8') throw fail('the first argument is no untyped storage');
    if (!(dtype instanceof TorchDType)) throw fail('the dtype is none that is known');
    if (!isSizes([offset]) || !isSizes(shape) || !isSizes(strides)) {
      throw fail('offset, shape and strides must be whole numbers >= 0');
    }
    return new StoredTensor(file, storage, dtype.type, offset as number, shape, strides);
  });
  define(['torch._utils._rebuild_parameter', 'torch._utils._rebuild_parameter_with_state'], ([data], fail) => {
    if (!(data instanceof StoredTensor)) throw fail('the first argument is no tensor');
    return data;
  });
  define(['torch.Size'], ([sizes], fail) => {
    if (!isSizes(sizes)) throw fail('the argument is no list of sizes');
    return sizes;
  });
  define(['torch.device'], ([type, index], fail) => {
    if (typeof type !== 'string') throw fail('the argument is no text');
    return typeof index === 'number' ? `${type}:${index}` : type;
  });
  define(['collections.OrderedDict', 'collections.Counter'], ([items], fail) => {
    if (items === undefined || items instanceof Map) return new Map(items ?? []);
    if (!Array.isArray(items) || !items.every((item) => Array.isArray(item) && item.length === 2)) {
      throw fail('the argument is no list of pairs');
    }
    return new Map(items as [unknown, unknown][]);
  });
  const both = (name: string) => [`builtins.${name}`, `__builtin__.${name}`];
  define([...both('set'), ...both('frozenset')], ([items], fail) => {
    if (items !== undefined && !Array.isArray(items)) throw fail('the argument is no list');
    return new Set(items);
  });
  define([...both('bytes'), ...both('bytearray')], (args, fail) => {
    if (args.length > 0) throw fail('arguments are not expected');
    return new Uint8Array(0);
  });
  define(['_codecs.encode'], ([text, encoding], fail) => {
    if (typeof text !== 'string' || encoding !== 'latin1') throw fail('only text in latin1 is expected');
    return new Uint8Array(Buffer.from(text, 'latin1'));
  });
  define(['numpy.dtype'], ([descr], fail) => {
    if (typeof descr !== 'string' || !/^(f[248]|[iu][1248]|b1)$/.test(descr))
      throw fail(`'${descr}' is no plain number type`);
    return new NumpyDType(descr);
  });
  define(['numpy.core.multiarray.scalar', 'numpy._core.multiarray.scalar'], ([dtype, bytes], fail) => {
    if (!(dtype instanceof NumpyDType) || !(bytes instanceof Uint8Array) || bytes.length !== Number(dtype.descr[1])) {
      throw fail('the arguments are no number type and its bytes');
    }
    return numpyScalar(dtype, bytes);
  });
  return globals;
}

/** BUILD: a state dict's attributes (`_metadata`) are dropped, numpy's dtype takes its byte order. */
export function buildTorchObject(target: unknown, state: unknown): boolean {
  if (target instanceof Map) return state instanceof Map;
  if (!(target instanceof NumpyDType) || !Array.isArray(state)) return false;
  target.bigEndian = state[1] === '>';
  return true;
}

function numpyScalar({ descr, bigEndian }: NumpyDType, bytes: Uint8Array): number | bigint | boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = !bigEndian;
  const narrow = (value: bigint) => (Number.isSafeInteger(Number(value)) ? Number(value) : value);
  switch (descr) {
    case 'f8':
      return view.getFloat64(0, little);
    case 'f4':
      return view.getFloat32(0, little);
    case 'f2':
      return decode(bytes, 'f16', Error, bigEndian).data[0];
    case 'i8':
      return narrow(view.getBigInt64(0, little));
    case 'u8':
      return narrow(view.getBigUint64(0, little));
    case 'i4':
      return view.getInt32(0, little);
    case 'u4':
      return view.getUint32(0, little);
    case 'i2':
      return view.getInt16(0, little);
    case 'u2':
      return view.getUint16(0, little);
    case 'i1':
      return view.getInt8(0);
    case 'b1':
      return view.getUint8(0) !== 0;
    default:
      return view.getUint8(0);
  }
}
