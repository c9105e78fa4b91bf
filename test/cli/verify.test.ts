// rescunet eval verify on real photos by a CSV and by a pack made of their crops; what it refuses.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, test } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { encodeImage, readPixels } from '../../src/pipeline/image.js';
import { ARCFACE_CROP, alignFace, fivePoints } from '../../src/pipeline/recognise/index.js';
import { pickleOfPack } from '../recognise/packs.js';
import { sharedPath } from '../shared.js';
import { lines, rescunet } from './run.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-verify-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const data = sharedPath('data');
describe.skipIf(!data)('on real photos', () => {
  if (!data) return;
  const photos = join(data, 'faces/public-domain');
  const recogniser = ['--recogniser', join(data, 'weights/mobilefacenet_casia_068.safetensors')];
  const fitting = ['--weights-dir', join(data, 'weights'), '--model', join(data, 'bfm/bfm_3ddfa.safetensors')];
  // b is one person, c another; folds of two pairs.
  const pairs: [string, string, boolean][] = [
    ['b1', 'b2', true],
    ['b1', 'c1', false],
    ['b2', 'b3', true],
    ['b3', 'c2', false],
    ['c1', 'c2', true],
    ['b4', 'c2', false],
  ];
  const csv = join(root, 'presidents.csv');
  writeFileSync(csv, pairs.map(([a, b, same], i) => `${a}.jpg,${b}.jpg,${Number(same)},${i >> 1}`).join('\n'));

  test('a CSV: table, JSON, Markdown and pictures', async () => {
    const out = join(root, 'out');
    const ran = await rescunet('eval', 'verify', csv, '--images', photos, ...fitting, '--out', out);
    expect([ran.stderr, ran.code]).toEqual(['', 0]);
    // With so few pairs the first of the best thresholds of two folds refuses one pair of the third.
    expect(lines(ran.stdout)[1]).toMatch(/^presidents +3 \+ 3 +83\.33 ± 23\.57 +1\.0000 +0\.00/);
    const [set] = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')).sets;
    expect([set.pairs, set.accuracy, set.auc, set.folds.length]).toEqual([6, 5 / 6, 1, 3]);
    expect(set.meanDistance.same).toBeLessThan(set.meanDistance.different - 0.5);
    expect(set.roc.far.at(-1)).toBe(1);
    expect(readFileSync(join(out, 'results.md'), 'utf8')).toMatch(
      /\| presidents \| 3 \+ 3 \| 83\.33 ± 23\.57 \| 1\.0000 \|/,
    );
    expect(readFileSync(join(out, 'roc.svg'), 'utf8')).toContain('presidents (AUC 1.0000)');
    const { width, height } = await sharp(join(out, 'roc.png')).metadata();
    expect([width, height]).toEqual([720, 520]);
  });

  test('a pack needs neither model nor detector', async () => {
    const landmarks = readSafetensors(join(data, 'reference/photos.safetensors'));
    const aligned = async (name: string) => {
      const lm68 = landmarks[`public-domain/${name}.jpg#0/lm68`].data;
      const points = fivePoints(Float64Array.from({ length: 136 }, (_, i) => lm68[68 * (i % 2) + (i >> 1)]));
      return encodeImage(alignFace(await readPixels(join(photos, `${name}.jpg`)), points, ARCFACE_CROP));
    };
    const images = await Promise.all(pairs.flatMap(([a, b]) => [aligned(a), aligned(b)]));
    const pack = join(root, 'presidents.bin');
    writeFileSync(
      pack,
      pickleOfPack(
        images,
        pairs.map(([, , same]) => same),
        'bytes',
      ),
    );
    const ran = await rescunet('eval', 'verify', pack, ...recogniser, '--json');
    expect([ran.stderr, ran.code]).toEqual(['', 0]);
    const [set] = JSON.parse(ran.stdout).sets;
    expect([set.name, set.auc, set.same, set.different]).toEqual(['presidents', 1, 3, 3]);
    expect(set.unfound).toEqual([]);
  });

  test('missing photos are an error, or left out and counted', async () => {
    const other = join(root, 'other.csv');
    writeFileSync(other, `${readFileSync(csv, 'utf8')}\nb1.jpg,lost.jpg,0,2\n`);
    const out = join(root, 'never');
    const refused = await rescunet('eval', 'verify', other, '--images', photos, ...fitting, '--out', out);
    expect(refused.code).toBe(2);
    expect(lines(refused.stderr)).toHaveLength(1);
    expect(refused.stderr).toMatch(/csv other: images: 1 of 7 images are missing, in 1 of 7 pairs; .*lost\.jpg/);
    expect(existsSync(out)).toBe(false);
    const left = await rescunet('eval', 'verify', other, '--images', photos, ...fitting, '--skip-missing');
    expect(left.code).toBe(0);
    expect(left.stdout).toMatch(/other: 1 pairs left out, 1 photos missing/);
  });

  test.each([
    [['none.bin'], /none\.bin: does not exist/],
    [[csv, '--protocol', 'cfp-fp'], /--protocol cfp-fp wants CFP's folder/],
    [[csv, '--protocol', 'lfw'], /lfw .*line 1: wanted 'folds pairs'/],
    [[csv, '--box', '1,2,30,40'], /--box is for single photos/],
    [[photos], /cfp-ff .*Pair_list_F\.txt: file: does not exist/],
  ])('refuses %j', async (args, message) => {
    const ran = await rescunet('eval', 'verify', ...args, ...fitting);
    expect(ran.code).toBe(2);
    expect(lines(ran.stderr)).toHaveLength(1);
    expect(ran.stderr).toMatch(message);
  });
});
