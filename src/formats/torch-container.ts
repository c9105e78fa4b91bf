// The two layouts of torch.save: a zip archive (torch >= 1.6), and the older row of pickles followed by raw storages.
// Both give the saved object, in which every tensor is a StoredTensor over a storage whose place in the file has been
// checked.
import { FormatError } from './error.js';
import type { InputFile } from './files.js';
import { STORED_WIDTH } from './host-array.js';
import { type PickleOptions, UnexpectedEnd, unpickle } from './pickle.js';
import { buildTorchObject, StorageType, type TorchStorage, torchGlobals } from './torch-objects.js';
import { isCompressed, isZip, readDirectory, readEntry, startOfEntry } from './zip.js';

/** The saved object. Throws FormatError for anything but an intact checkpoint of plain containers and tensors. */
export function readSavedObject(file: InputFile): unknown {
  if (isZip(file)) return readZip(file);
  const head = Buffer.from(file.read(0, Math.min(file.size, 512), 'file'));
  if (head.subarray(257, 262).toString('latin1') === 'ustar') {
    const problem = 'a tar archive, as torch wrote before 0.1.10; load it with an old torch and save it again';
    throw new FormatError(file.path, 'container', problem);
  }
  return readLegacy(file);
}

function readZip(file: InputFile): unknown {
  const entries = readDirectory(file);
  const fail = (field: string, problem: string) => new FormatError(file.path, field, problem);
  const names = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (names.length !== 1) throw fail('zip archive', 'has no data.pkl: it was not made by torch.save');
  const folder = names[0].slice(0, -'data.pkl'.length);
  if (entries.has(`${folder}constants.pkl`)) {
    throw fail('zip archive', 'a TorchScript program; save its state_dict() with torch.save instead');
  }
  const entry = (name: string) => {
    const found = entries.get(folder + name);
    if (!found) throw fail('zip archive', `entry '${folder}${name}' is missing`);
    return found;
  };
  if (entries.has(`${folder}byteorder`)) {
    const order = Buffer.from(readEntry(file, entry('byteorder'))).toString('latin1');
    if (order !== 'little') throw fail('byteorder', `'${order.slice(0, 20)}' is not supported, only little`);
  }
  const storages = new Map<string, TorchStorage>();
  const persistent = (id: unknown): TorchStorage => {
    const { key, type, count } = parseStorageId(file.path, id);
    const known = storages.get(key);
    const width = STORED_WIDTH[type];
    if (known) return sameStorage(file.path, known, type, count);
    const data = entry(`data/${key}`);
    if (data.size !== count * width)
      throw fail(`storage ${key}`, `${count} elements of ${width} bytes in ${data.size} bytes`);
    if (isCompressed(data)) throw fail(`storage ${key}`, 'is compressed, which torch.save never does');
    let verified = false;
    const read = (first: number, n: number) => {
      // The checksum needs the whole entry; once is enough, however many tensors share it.
      if (verified) return file.read(startOfEntry(file, data) + first * width, n * width, `storage ${key}`);
      const bytes = readEntry(file, data);
      verified = true;
      return n === count ? bytes : bytes.slice(first * width, (first + n) * width);
    };
    const storage = { key, type, count, read };
    storages.set(key, storage);
    return storage;
  };
  const bytes = readEntry(file, entry('data.pkl'));
  const { value, end } = unpickle(file.path, bytes, { ...optionsFor(file), persistent });
  if (end !== bytes.length) throw fail('data.pkl', `${bytes.length - end} bytes follow the pickle`);
  return value;
}

const optionsFor = (file: InputFile): PickleOptions => ({ globals: torchGlobals(file.path), build: buildTorchObject });

function sameStorage(file: string, known: TorchStorage, type: string, count: number): TorchStorage {
  if (known.type === type && known.count === count) return known;
  throw new FormatError(file, `storage ${known.key}`, 'is given two types or sizes');
}

/** ('storage', class, key, location, count[, view]), as torch.save writes it. */
function parseStorageId(file: string, id: unknown) {
  const fail = (problem: string) => new FormatError(file, 'persistent id', problem);
  if (!Array.isArray(id)) throw fail('is no tuple');
  const [kind, storageType, key, , count, view = null] = id;
  if (kind === 'module') throw fail('a whole module was saved, which is code; save its state_dict() instead');
  if (kind !== 'storage' || !(storageType instanceof StorageType)) throw fail('is no storage');
  if (typeof key !== 'string') throw fail("a storage's key is no text");
  if (!Number.isSafeInteger(count) || count < 0) throw fail(`storage ${key} has a bad size`);
  return { type: storageType.type, key, count: count as number, view: view as unknown };
}

// torch.serialization.MAGIC_NUMBER
const MAGIC = 0x1950a86a20f9469cfc6cn;
const FIRST_PART = 1 << 20;

function readLegacy(file: InputFile): unknown {
  // The pickles' length is written nowhere: read a first part, more if they reach beyond it, and never the storages.
  for (let length = Math.min(FIRST_PART, file.size); ; length = Math.min(4 * length, file.size)) {
    try {
      return readLegacyPickles(file, file.read(0, length, 'file'));
    } catch (error) {
      if (!(error instanceof UnexpectedEnd) || length === file.size) throw error;
    }
  }
}

function readLegacyPickles(file: InputFile, bytes: Uint8Array): unknown {
  const fail = (field: string, problem: string) => new FormatError(file.path, field, problem);
  const options = optionsFor(file);
  // Read first with no names at all, so that another program's pickle is told apart from a damaged checkpoint.
  if (bytes.length < 2 || bytes[0] !== 0x80) throw fail('magic number', 'not a file of torch.save');
  const magic = unpickle(file.path, bytes, { globals: new Map() });
  if (magic.value !== MAGIC) throw fail('magic number', 'a pickle, but not one of torch.save');
  const version = unpickle(file.path, bytes, { globals: new Map(), start: magic.end });
  if (version.value !== 1001) throw fail('protocol version', `${version.value} is unknown`);
  const system = unpickle(file.path, bytes, { globals: new Map(), start: version.end });
  if (!(system.value instanceof Map)) throw fail('system information', 'is no dict');
  if (system.value.get('little_endian') !== true) throw fail('little_endian', 'only little-endian files are supported');

  const places = new Map<string, number>(); // key -> where its elements start in the file
  const roots = new Map<string, TorchStorage>();
  const persistent = (id: unknown): TorchStorage => {
    const { key, type, count, view } = parseStorageId(file.path, id);
    const width = STORED_WIDTH[type];
    let root = roots.get(key);
    if (root) sameStorage(file.path, root, type, count);
    else {
      const read = (first: number, n: number) => {
        const place = places.get(key);
        if (place === undefined) throw fail(`storage ${key}`, 'is not in the file');
        return file.read(place + first * width, n * width, `storage ${key}`);
      };
      root = { key, type, count, read };
      roots.set(key, root);
    }
    if (view === null) return root;
    const [viewKey, first, viewCount] = Array.isArray(view) ? view : [];
    const valid = typeof viewKey === 'string' && Number.isSafeInteger(first) && Number.isSafeInteger(viewCount);
    if (!valid || first < 0 || viewCount < 0 || first + viewCount > count)
      throw fail(`storage ${key}`, 'has a bad view');
    const { read } = root;
    return { key: viewKey, type, count: viewCount, read: (from: number, n: number) => read(first + from, n) };
  };
  const object = unpickle(file.path, bytes, { ...options, persistent, start: system.end });
  const keys = unpickle(file.path, bytes, { globals: new Map(), start: object.end });
  placeStorages(file, keys.value, keys.end, roots, places);
  return object.value;
}

/** The storages follow the pickles in the order of the list of keys, each after its count as 8 bytes. */
function placeStorages(
  file: InputFile,
  keys: unknown,
  start: number,
  roots: Map<string, TorchStorage>,
  places: Map<string, number>,
): void {
  const fail = (field: string, problem: string) => new FormatError(file.path, field, problem);
  if (!Array.isArray(keys)) throw fail('storage keys', 'are no list');
  let at = start;
  for (const key of keys) {
    const root = roots.get(key);
    if (!root || places.has(key)) throw fail(`storage ${key}`, root ? 'occurs twice' : 'belongs to no tensor');
    const count = new DataView(file.read(at, 8, `storage ${key}`).buffer).getBigInt64(0, true);
    if (count !== BigInt(root.count)) throw fail(`storage ${key}`, `${count} elements, ${root.count} are announced`);
    places.set(key, at + 8);
    at += 8 + root.count * STORED_WIDTH[root.type];
    if (at > file.size) throw fail(`storage ${key}`, `ends at byte ${at}, the file has ${file.size}`);
  }
  for (const key of roots.keys()) if (!places.has(key)) throw fail(`storage ${key}`, 'is not in the file');
  if (at !== file.size) throw fail('file', `${file.size - at} bytes follow the last storage`);
}
