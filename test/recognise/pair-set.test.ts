// Readers of pairs in the layouts of the data sets: what they find, and what they say of files that are damaged or missing.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { encodeImage } from '../../src/pipeline/image.js';
import {
  contiguousFolds,
  embeddingDistance,
  readCfp,
  readCplfwPairs,
  readLfwPairs,
  readPack,
  readPairsCsv,
  requireImages,
  withoutMissing,
} from '../../src/pipeline/recognise/index.js';
import { sharedPath } from '../shared.js';
import { pickleOfPack } from './packs.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-pairs-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let count = 0;
function file(text: string | Uint8Array, name = `pairs-${count++}.txt`): string {
  const path = join(root, name);
  writeFileSync(path, text);
  return path;
}

describe('LFW', () => {
  const text = '2 1\nAnn\t1\t4\nAnn\t1\tBob\t12\nBob\t2\t3\nCid\t1\tAnn\t4\n';
  test('pairs, folds and files', () => {
    const set = readLfwPairs(file(text), 'lfw');
    expect(set.pairs.map(({ same, fold }) => [same, fold])).toEqual([
      [true, 0],
      [false, 0],
      [true, 1],
      [false, 1],
    ]);
    const named = set.pairs.map(({ first, second }) => [set.images[first], set.images[second]]);
    expect(named[1]).toEqual([join('lfw', 'Ann', 'Ann_0001.jpg'), join('lfw', 'Bob', 'Bob_0012.jpg')]);
    expect(named[3][1]).toBe(named[0][1]);
    expect(set.images).toHaveLength(6);
  });
  test.each([
    ['300\nAnn 1 2\n', /line 1: wanted 'folds pairs'/],
    ['2 1\nAnn\t1\t4\n', /pairs: its first line speaks of 4 pairs, it has 1/],
    [text.replace('Bob\t12', 'Bob'), /line 3: wanted 'name i name j', got 'Ann\t1\tBob'/],
    [text.replace('Ann\t1\t4', 'Ann\tx\t4'), /line 2: wanted 'name i j'/],
  ])('refuses %j', (bad, message) => {
    expect(() => readLfwPairs(file(bad), 'lfw')).toThrow(message);
  });

  const published = sharedPath('data/faces/lfw_pairs.txt');
  test.skipIf(!published)('the published file has ten folds of 300 and 300', () => {
    if (!published) return;
    const { pairs, images } = readLfwPairs(published, 'lfw');
    expect([pairs.length, images.length]).toEqual([6000, 7701]);
    for (let fold = 0; fold < 10; fold++) {
      expect(pairs.filter((pair) => pair.fold === fold && pair.same)).toHaveLength(300);
      expect(pairs.filter((pair) => pair.fold === fold && !pair.same)).toHaveLength(300);
    }
  });
});

test('missing images are counted and the first is named; their pairs can be left out', () => {
  for (const name of ['a.png', 'b.png', 'd.png']) file('', name);
  const set = readPairsCsv(file('a.png,b.png,1,7\na.png,c.png,0,8\nb.png,d.png,0,9\n', 'some.csv'));
  expect(set.pairs.map(({ fold }) => fold)).toEqual([0, 1, 2]);
  expect(() => requireImages(set)).toThrow(/some: images: 1 of 4 images are missing, in 1 of 3 pairs; .*c\.png/);
  const left = withoutMissing(set);
  expect(left.pairs).toBe(1);
  expect(left.images).toEqual([join(root, 'c.png')]);
  expect(left.set.pairs.map(({ fold }) => fold)).toEqual([0, 1]);
  requireImages(left.set.pairs.length > 0 ? readPairsCsv(file('a.png,b.png,1\n', 'all.csv')) : set);
});

describe('CSV', () => {
  test('header, quotes, words for truth, ten contiguous folds', () => {
    const lines = Array.from({ length: 11 }, (_, i) => `"x, ""${i}"".png",y${i}.png,${i % 2 ? '1' : 'FALSE'}`);
    const { pairs, images } = readPairsCsv(file(`first,second,same\r\n${lines.join('\r\n')}\r\n\r\n`), root);
    expect(pairs.map(({ same }) => same)).toEqual(lines.map((_, i) => i % 2 === 1));
    expect(pairs.map(({ fold }) => fold)).toEqual([...contiguousFolds(11, 10)]);
    expect(images[0]).toBe(join(root, 'x, "0".png'));
  });
  test.each([
    ['a,b,1\na,b\n', /line 2: wanted first,second,same/],
    ['a,b,1\na,b,2\n', /line 2: wanted first,second,same.*got 'a,b,2'/],
    ['a,b,1,0\na,b,0\n', /line 2: wanted a fold on every line or on none/],
    ['a,b,1,x\n', /line 1: wanted a whole number as fold/],
    ['first,second,same\n', /pairs: the file holds none/],
  ])('refuses %j', (bad, message) => {
    expect(() => readPairsCsv(file(bad))).toThrow(message);
  });
});

test('CPLFW: two lines for each pair, whose labels agree', () => {
  const set = readCplfwPairs(file('A_1.jpg 1\nA_2.jpg 1\nA_1.jpg 0\nB_1.jpg 0\n'), 'images');
  expect(set.pairs.map(({ same }) => same)).toEqual([true, false]);
  expect(set.images).toEqual(['A_1.jpg', 'A_2.jpg', 'B_1.jpg'].map((name) => join('images', name)));
  expect(() => readCplfwPairs(file('A 1\nB 0\n'), '')).toThrow(/line 2: its label differs/);
  expect(() => readCplfwPairs(file('A 1\nB 1\nC 1\n'), '')).toThrow(/two lines for each pair, got 3/);
  expect(() => readCplfwPairs(file('A 1\nB\n'), '')).toThrow(/line 2: wanted 'file label'/);
});

describe('CFP', () => {
  const folder = join(root, 'cfp');
  const protocol = join(folder, 'Protocol');
  const image = (person: number, kind: string, n: number) =>
    `../Data/Images/${String(person).padStart(3, '0')}/${kind}/${String(n).padStart(2, '0')}.jpg`;
  const list = (kind: string) =>
    [1, 2, 3, 4].map((i) => `${i} ${image(Math.ceil(i / 2), kind, 1 + ((i - 1) % 2))}`).join('\n');
  mkdirSync(protocol, { recursive: true });
  writeFileSync(join(protocol, 'Pair_list_F.txt'), `${list('frontal')}\n`);
  writeFileSync(join(protocol, 'Pair_list_P.txt'), `${list('profile')}\n`);
  for (const kind of ['FF', 'FP']) {
    for (let fold = 1; fold <= 10; fold++) {
      const split = join(protocol, 'Split', kind, String(fold).padStart(2, '0'));
      mkdirSync(split, { recursive: true });
      writeFileSync(join(split, 'same.txt'), '1,2\n3,4\n');
      writeFileSync(join(split, 'diff.txt'), '1,3\n2,4');
    }
  }
  test('FF compares frontal images, FP frontal with profile ones', () => {
    for (const kind of ['FF', 'FP'] as const) {
      const { pairs, images, name } = readCfp(folder, kind);
      expect(name).toBe(`CFP-${kind}`);
      expect(pairs).toHaveLength(40);
      expect(pairs.slice(0, 5).map(({ same, fold }) => [same, fold])).toEqual([
        [true, 0],
        [true, 0],
        [false, 0],
        [false, 0],
        [true, 1],
      ]);
      const [{ first, second }] = pairs;
      expect(images[first]).toBe(join(folder, 'Data/Images/001/frontal/01.jpg'));
      expect(images[second]).toBe(join(folder, `Data/Images/001/${kind === 'FF' ? 'frontal' : 'profile'}/02.jpg`));
    }
  });
  test('a number of no image and a missing split are named', () => {
    writeFileSync(join(protocol, 'Split/FF/03/diff.txt'), '1,9\n');
    expect(() => readCfp(folder, 'FF')).toThrow(/FF.03.diff\.txt: line 1: wanted two numbers of the lists, got '1,9'/);
    rmSync(join(protocol, 'Split/FP/10'), { recursive: true });
    expect(() => readCfp(folder, 'FP')).toThrow(/FP.10.same\.txt.*does not exist/);
  });
});

describe('packs', () => {
  const picture = (value: number) =>
    encodeImage({ data: new Uint8Array(3 * 112 * 112).fill(value), height: 112, width: 112 });

  test.each(['bytes', 'python2', 'latin1'] as const)('images as %s', async (kind) => {
    const images = [await picture(10), await picture(200), await picture(30), await picture(90)];
    const set = readPack(file(pickleOfPack(images, [true, false], kind), `${kind}.bin`));
    expect([set.name, set.aligned]).toEqual([kind, true]);
    expect(set.pairs).toEqual([
      { first: 0, second: 1, same: true, fold: 0 },
      { first: 2, second: 3, same: false, fold: 1 },
    ]);
    expect((await set.read(1)).data[5]).toBe(200);
    expect((await set.read(2)).data[0]).toBe(30);
  });

  test('a pack that would run code, too few images and other things are refused', async () => {
    const evil = Buffer.from('\x80\x02cos\nsystem\nU\x02ls\x85R.', 'latin1');
    expect(() => readPack(file(evil, 'evil.bin'))).toThrow(/evil\.bin.*'os\.system' is not allowed/);
    const image = await picture(1);
    expect(() => readPack(file(pickleOfPack([image], [true], 'bytes')))).toThrow(/got 1 images and 1 truths/);
    expect(() => readPack(file(Buffer.from('\x80\x03K\x01.', 'latin1')))).toThrow(/wanted a pair of lists/);
    expect(() => readPack(file(pickleOfPack([image, image], [true], 'bytes').subarray(0, 40)))).toThrow(/the data end/);
    const damaged = readPack(file(pickleOfPack([image.subarray(0, 60), image], [true], 'bytes'), 'half.bin'));
    await expect(damaged.read(0)).rejects.toThrow(/half\.bin image 0: image: cannot be decoded/);
  });
});

test('distances of one embedding to itself are 0', () => expect(embeddingDistance([3, 4], [6, 8])).toBeLessThan(1e-30));
