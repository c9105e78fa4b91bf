// torch checkpoints: both containers, views of storages, the choice of the state dict, refusal of code, damage.
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../src/formats/host-array.js';
import { loadTorch, readTorch, readTorchStateDict } from '../../src/formats/torch.js';
import { Tensor } from '../../src/tensor/tensor.js';
import { sharedPath } from '../shared.js';
import {
  Call,
  legacyCheckpoint,
  Name,
  Persistent,
  pickle,
  Raw,
  storageId,
  tensorOf,
  zipCheckpoint,
} from './checkpoints.js';
import { expectDamageIsFound, formatError, temporaryFolder } from './samples.js';

const temporary = temporaryFolder();

function file(bytes: Uint8Array, name = 'checkpoint.pt'): string {
  writeFileSync(temporary(name), bytes);
  return temporary(name);
}

const six = bytesOf(Float32Array.of(0, 1, 2, 3, 4, 5));
const float6 = storageId({ type: 'FloatStorage', key: '0', count: 6 });
const matrix = tensorOf(float6, [2, 3], [3, 1]);
const dict = (items: Record<string, unknown>) => new Map(Object.entries(items));
/** Both containers around the same object over the six floats. */
const both = (root: unknown): [string, string][] => [
  ['zip', file(zipCheckpoint(root, { 0: six }), 'zip.pt')],
  ['legacy', file(legacyCheckpoint(root, [{ key: '0', count: 6, bytes: six }]), 'legacy.pt')],
];

describe('tensors', () => {
  it('honours strides, offsets and shared storages in both containers', () => {
    const root = dict({
      whole: matrix,
      transposed: tensorOf(float6, [3, 2], [1, 3]),
      column: tensorOf(float6, [2], [3], 1),
      row: tensorOf(float6, [3], [1], 3),
      repeated: tensorOf(float6, [2, 2], [0, 1], 4),
      scalar: tensorOf(float6, [], [], 5),
      empty: tensorOf(float6, [0, 3], [3, 1]),
      parameter: new Call(new Name('torch._utils', '_rebuild_parameter'), [matrix, true, null]),
    });
    for (const [container, path] of both(root)) {
      const values = Object.entries(readTorchStateDict(path)).map(([name, { shape, data }]) => [
        name,
        shape,
        [...data],
      ]);
      expect(values, container).toEqual([
        ['whole', [2, 3], [0, 1, 2, 3, 4, 5]],
        ['transposed', [3, 2], [0, 3, 1, 4, 2, 5]],
        ['column', [2], [1, 4]],
        ['row', [3], [3, 4, 5]],
        ['repeated', [2, 2], [4, 5, 4, 5]],
        ['scalar', [], [5]],
        ['empty', [0, 3], []],
        ['parameter', [2, 3], [0, 1, 2, 3, 4, 5]],
      ]);
    }
  });

  it.each<[string, ArrayBufferView, string, number[]]>([
    ['DoubleStorage', Float64Array.of(0.5, -1), 'f32', [0.5, -1]],
    ['HalfStorage', Uint16Array.of(0x3800, 0xbc00), 'f32', [0.5, -1]],
    ['BFloat16Storage', Uint16Array.of(0x3f00, 0xbf80), 'bf16', [0x3f00, 0xbf80]],
    ['LongStorage', BigInt64Array.of(-7n, 2147483647n), 'i32', [-7, 2147483647]],
    ['IntStorage', Int32Array.of(-7, 8), 'i32', [-7, 8]],
    ['ShortStorage', Int16Array.of(-7, 8), 'i32', [-7, 8]],
    ['CharStorage', Int8Array.of(-7, 8), 'i32', [-7, 8]],
    ['ByteStorage', Uint8Array.of(7, 255), 'u8', [7, 255]],
    ['BoolStorage', Uint8Array.of(0, 1), 'u8', [0, 1]],
  ])('reads %s', (type, values, dtype, expected) => {
    const root = dict({ x: tensorOf(storageId({ type, key: 'k', count: 2 }), [2], [1]) });
    const { x } = readTorchStateDict(file(zipCheckpoint(root, { k: bytesOf(values) })));
    expect([x.dtype, [...x.data]]).toEqual([dtype, expected]);
  });

  it('widens bf16 when asked', () => {
    const root = dict({ x: tensorOf(storageId({ type: 'BFloat16Storage', key: 'k', count: 1 }), [1], [1]) });
    const path = file(zipCheckpoint(root, { k: bytesOf(Uint16Array.of(0xbf80)) }));
    expect([...readTorchStateDict(path, { dtype: 'f32' }).x.data]).toEqual([-1]);
  });

  it('reads views of legacy storages', () => {
    const view = storageId({ type: 'FloatStorage', key: '0', count: 6 }, ['part', 2, 3]);
    const root = dict({ x: tensorOf(view, [3], [1]) });
    const path = file(legacyCheckpoint(root, [{ key: '0', count: 6, bytes: six }]));
    expect([...readTorchStateDict(path).x.data]).toEqual([2, 3, 4]);
  });

  it('makes tensors, also when awaited', async () => {
    const [[, path]] = both(dict({ w: matrix }));
    const { w } = await loadTorch(path);
    expect(await w.toArray()).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
  });
});

describe('the state dict', () => {
  const names = (root: unknown) => Object.keys(readTorchStateDict(both(root)[0][1]));

  it.each<[string, unknown, string[]]>([
    ['at the root', dict({ a: matrix, 'b.c': matrix, epoch: 3 }), ['a', 'b.c']],
    ['under state_dict, beside a tensor', dict({ best: matrix, state_dict: dict({ a: matrix }) }), ['a']],
    [
      'under model, then state_dict',
      dict({ model: dict({ state_dict: dict({ a: matrix }) }), optimizer: dict({ a: matrix }) }),
      ['a'],
    ],
    ['where model is only a name', dict({ model: 'resnet', net: dict({ a: matrix }) }), ['a']],
    ['in nested dicts', dict({ g: dict({ a: matrix, n: 1 }), d: dict({ a: matrix }) }), ['g.a', 'd.a']],
    ['of DataParallel', dict({ 'module.a': matrix, 'module.b': matrix }), ['a', 'b']],
    ['with module. in some names only', dict({ 'module.a': matrix, b: matrix }), ['module.a', 'b']],
    [
      'in an OrderedDict with attributes',
      new Call(
        new Name('collections', 'OrderedDict'),
        [{ list: [['a', matrix]] }],
        new Map([['_metadata', new Map()]]),
      ),
      ['a'],
    ],
  ])('is found %s', (_, root, expected) => {
    expect(names(root)).toEqual(expected);
  });

  it.each<[string, unknown]>([
    ['a bare tensor', matrix],
    ['tensors in lists only', dict({ a: { list: [matrix] } })],
    ['a list', { list: [matrix] }],
    ['one name twice', dict({ 'a.b': matrix, a: dict({ b: matrix }) })],
    ['__proto__', new Map([['__proto__', matrix]])],
  ])('is refused for %s', (_, root) => {
    for (const [, path] of both(root)) expect(formatError(() => readTorchStateDict(path)).field).toBe('state_dict');
  });
});

describe('readTorch', () => {
  it('returns the whole object', () => {
    const root = dict({
      epoch: 3,
      lr: 1e-4,
      big: 2 ** 40,
      none: null,
      flag: true,
      shape: new Call(new Name('torch', 'Size'), [[2, 3]]),
      device: new Call(new Name('torch', 'device'), ['cuda', 1]),
      dtype: new Name('torch', 'float16'),
      scalar: new Call(new Name('numpy._core.multiarray', 'scalar'), [
        new Call(new Name('numpy', 'dtype'), ['f8', false, true], [3, '<', null, null, null, -1, -1, 0]),
        new Call(new Name('_codecs', 'encode'), ['\0\0\0\0\0\0\u00f0?', 'latin1']),
      ]),
      list: { list: ['a', [1, 2], new Map([[0, 'zero']])] },
      w: matrix,
    });
    for (const [, path] of both(root)) {
      const { w, ...rest } = readTorch(path) as Record<string, unknown>;
      expect(w).toBeInstanceOf(Tensor);
      expect((w as Tensor).shape).toEqual([2, 3]);
      expect(rest).toEqual({
        epoch: 3,
        lr: 1e-4,
        big: 2 ** 40,
        none: null,
        flag: true,
        shape: [2, 3],
        device: 'cuda:1',
        dtype: 'torch.float16',
        scalar: 1,
        list: ['a', [1, 2], { 0: 'zero' }],
      });
    }
  });

  it('reads shared parts once and refuses what contains itself', () => {
    // ((x, x), (x, x)), sixty deep: 2^60 values if they were spelt out. '0' pops, 'q' and 'h' are the memo.
    const level = (code: (previous: string, own: string) => string) =>
      Array.from({ length: 60 }, (_, i) => code(String.fromCharCode(i), String.fromCharCode(i + 1))).join('');
    const read = (code: string, reader: (path: string) => unknown) => reader(file(zipCheckpoint(new Raw(code), {})));
    const pairs = `]q\x000${level((x, y) => `h${x}h${x}\x86q${y}0`)}h\x3c`;
    expect(Array.isArray(read(pairs, readTorch))).toBe(true);
    expect(formatError(() => read(']q\x00h\x00a', readTorch)).message).toContain('contains itself');
    const dicts = `}q\x000${level((x, y) => `}q${y}(K\x01h${x}K\x02h${x}u0`)}h\x3c`;
    expect(formatError(() => read(dicts, readTorchStateDict)).field).toBe('state_dict');
  });
});

describe('refusals', () => {
  it.each([
    ['posix', 'system'],
    ['builtins', 'eval'],
    ['builtins', 'getattr'],
    ['torch.nn.modules.linear', 'Linear'],
    ['argparse', 'Namespace'],
    ['torch', 'load'],
    ['constructor', 'constructor'],
    ['__proto__', '__proto__'],
  ])('names %s.%s, wherever it stands', (module, name) => {
    for (const value of [new Name(module, name), new Call(new Name(module, name), ['echo'])]) {
      for (const [, path] of both(dict({ w: matrix, x: value }))) {
        expect(formatError(() => readTorchStateDict(path)).message).toContain(`'${module}.${name}' is not allowed`);
        expect(formatError(() => readTorch(path)).message).toContain(`'${module}.${name}' is not allowed`);
      }
    }
  });

  it.each<[string, unknown]>([
    ['calls of values', new Raw('K\x01)R')],
    ['state on numbers', new Raw('K\x01}b')],
    ['a missing value', new Raw('(Q')],
    ['an unknown memo', new Raw('h\x05')],
    ['instances', new Raw('(iposix\nsystem\n')],
    ['extension codes', new Raw('\x82\x01')],
    ['persistent ids that are no tuples', new Raw('K\x01Q')],
    ['whole modules', new Persistent(['module', new Name('torch', 'Size'), 'a.py', 'code'])],
    [
      'keys that leave the archive',
      tensorOf(storageId({ type: 'FloatStorage', key: '../version', count: 6 }), [6], [1]),
    ],
    ['missing storages', tensorOf(storageId({ type: 'FloatStorage', key: '9', count: 6 }), [6], [1])],
    ['other sizes of a storage', tensorOf(storageId({ type: 'FloatStorage', key: '0', count: 7 }), [6], [1])],
    ['other types of a storage', tensorOf(storageId({ type: 'DoubleStorage', key: '0', count: 6 }), [6], [1])],
    ['tensors beyond their storage', tensorOf(float6, [7], [1])],
    ['offsets beyond their storage', tensorOf(float6, [1], [1], 6)],
    ['strides beyond their storage', tensorOf(float6, [2, 2], [5, 1])],
    ['negative strides', tensorOf(float6, [2], [-1], 1)],
    ['negative sizes', tensorOf(float6, [-1], [1])],
    ['huge sizes', tensorOf(float6, [2 ** 31 - 1, 2 ** 31 - 1, 4], [0, 0, 0])],
    ['endless repetition', tensorOf(float6, [2 ** 31 - 1], [0])],
    ['a hundred dimensions', tensorOf(float6, Array(100).fill(1), Array(100).fill(0))],
    ['strides of another rank', tensorOf(float6, [2, 3], [1])],
    ['fractional sizes', tensorOf(float6, [1.5], [1])],
    ['tensors without storage', new Call(new Name('torch._utils', '_rebuild_tensor_v2'), [1, 0, [1], [1]])],
    ['long integers', new Raw(`\x8b\xff\xff\x00\x00${'\x01'.repeat(65535)}`)],
    ['lengths beyond the file', new Raw('X\xff\xff\xff\x7f')],
    ['protocol 6', new Raw('\x80\x06')],
  ])('covers %s', (_, value) => {
    for (const [, path] of both(dict({ w: matrix, x: value }))) formatError(() => readTorchStateDict(path));
  });

  it('names integers that i32 cannot hold', () => {
    const root = dict({ step: tensorOf(storageId({ type: 'LongStorage', key: 'k', count: 1 }), [1], [1]) });
    const error = formatError(() =>
      readTorchStateDict(file(zipCheckpoint(root, { k: bytesOf(BigInt64Array.of(2n ** 40n)) }))),
    );
    expect([error.field, error.message.includes('1099511627776')]).toEqual(["tensor 'step'", true]);
  });

  it('covers containers that are none of ours', () => {
    const root = dict({ w: matrix });
    const storages = [{ key: '0', count: 6, bytes: six }];
    const tar = Buffer.alloc(1024);
    tar.write('ustar', 257);
    const cases: [Uint8Array, string][] = [
      [zipCheckpoint(root, { 0: six }, { byteorder: Buffer.from('big') }), 'byteorder'],
      [zipCheckpoint(root, { 0: six }, { 'constants.pkl': pickle([]) }), 'zip archive'],
      [zipCheckpoint(root, { 0: Buffer.alloc(24) }, {}, 6), 'storage 0'],
      [legacyCheckpoint(root, storages, { littleEndian: false }), 'little_endian'],
      [legacyCheckpoint(root, storages, { version: 1000 }), 'protocol version'],
      [legacyCheckpoint(root, [{ ...storages[0], count: 5 }]), 'storage 0'],
      [legacyCheckpoint(root, []), 'storage 0'],
      [Buffer.concat([legacyCheckpoint(root, storages), Buffer.alloc(1)]), 'file'],
      [pickle(dict({ a: 1 })), 'magic number'],
      [Buffer.from('not a checkpoint at all'), 'magic number'],
      [tar, 'container'],
      [Buffer.alloc(0), 'magic number'],
    ];
    for (const [bytes, field] of cases) expect(formatError(() => readTorchStateDict(file(bytes))).field).toBe(field);
  });
});

describe('damage', () => {
  const root = dict({ epoch: 1, state_dict: dict({ w: matrix, t: tensorOf(float6, [3, 2], [1, 3]) }) });
  it.each([
    ['zip', zipCheckpoint(root, { 0: six })],
    ['legacy', legacyCheckpoint(root, [{ key: '0', count: 6, bytes: six }])],
  ])('is found in %s', (_, bytes) => {
    expectDamageIsFound({ path: temporary('damaged'), bytes, read: readTorchStateDict, tries: 600, seed: 3 });
  });

  const weights = sharedPath('data/weights');
  it.runIf(weights).each([
    ['mtcnn_pnet.pt', 200],
    ['zip_format_sample_ffhq_pca.pt', 200],
    ['mb05_120x120.pth', 12],
    ['mb05_120x120_zip.pth', 12],
  ])('is found in %s', (name, tries) => {
    const bytes = readFileSync(`${weights}/${name}`);
    expectDamageIsFound({ path: temporary('damaged'), bytes, read: readTorchStateDict, tries, seed: 4 });
  });
});
