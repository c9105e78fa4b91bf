// Pairs prepared by several processes and from photos: the same bytes from any number of processes, damage that costs itself only, and photos drawn
// from the embedded model, whose truth is known.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FormatError } from '../../src/formats/error.js';
import type { MultiPieOptions } from '../../src/pipeline/dataset/photo-items.js';
import { prepareShards } from '../../src/pipeline/dataset/prepare.js';
import { readManifest, readShards, writeShards } from '../../src/pipeline/dataset/shards.js';
import { synthPie } from '../../src/pipeline/dataset/synth-pie.js';
import { loadFaceModel } from '../../src/pipeline/face_model.js';
import { writeImage } from '../../src/pipeline/image.js';
import { drawMesh, frame, posed } from '../../src/pipeline/render.js';
import { surfaceOf } from '../../src/pipeline/synthesise.js';
import { tensor } from '../../src/tensor/index.js';
import { rescunet } from '../cli/run.js';
import { sharedPath } from '../shared.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rescunet-prepare-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...parts: string[]) => path.join(folder, ...parts);

const SIZE = 96;
const model = loadFaceModel();
const people = synthPie({ identities: 2, expressions: 1, size: SIZE, seed: 8, fitError: 0 });
/** The whole face of a person in a light. */
const truth = (person: number, light: number) => people.pair((person * 19 + light) * 15 + 6).complete;

/** Draws a person, and writes photo and landmarks. */
async function photograph(root: string, name: string, person: number, light: number, yaw: number): Promise<void> {
  const alpha = model.identityStd.map((s, i) => (i % 3 === person ? 0.7 * s : 0));
  const vertices = model.vertices(alpha, new Float32Array(model.expressionStd.length));
  const seen = posed(vertices, { yaw, pitch: 4, roll: -3 }, 220, frame(vertices));
  const texture = tensor(Float32Array.from(truth(person, light)), { shape: [SIZE, SIZE, 3] });
  const mesh = { vertices: seen, triangles: surfaceOf(model), uv: model.uv, texture, footprint: people.footprint };
  const { image, coverage } = drawMesh(mesh, { size: 220, background: [90, 110, 130], supersampling: 2 });
  for (const place of [at(root, name), at(`${root}-landmarks`, name)])
    mkdirSync(path.dirname(place), { recursive: true });
  await writeImage(at(root, name), image);
  const marks = model.landmarksOf(seen);
  const points = Array.from({ length: 68 }, (_, i) => [marks[3 * i], marks[3 * i + 1]]);
  writeFileSync(at(`${root}-landmarks`, name.replace(/\.\w+$/, '.json')), JSON.stringify(points));
  for (const t of [texture, image, coverage]) t.dispose();
}

const optionsOf = (root: string): MultiPieOptions => ({
  root: at(root),
  fitting: { landmarks: at(`${root}-landmarks`) },
  size: SIZE,
});

/** Of two maps over some pixels, in dB. */
function psnr(a: Uint8Array, b: Uint8Array, where: Uint8Array): number {
  let [sum, count] = [0, 0];
  for (let p = 0; p < where.length; p++) {
    if (!where[p]) continue;
    for (let c = 3 * p; c < 3 * p + 3; c++) sum += (a[c] - b[c]) ** 2;
    count += 3;
  }
  expect(count).toBeGreaterThan(3000);
  return 10 * Math.log10((255 * 255 * count) / sum);
}

const filesOf = (dir: string) =>
  readdirSync(at(dir))
    .sort()
    .map((name) => [name, readFileSync(at(dir, name)).toString('base64')]);

describe('prepareShards', () => {
  const recipe = { synthPie: { identities: 1, expressions: 1, size: 32, seed: 5 } };

  it('writes the same bytes in one process and in three, and takes up what is missing', async () => {
    const source = synthPie(recipe.synthPie);
    writeShards(source, at('alone'), { shardSize: 60 });
    const started: number[] = [];
    const done: string[] = [];
    const report = await prepareShards(recipe, at('three'), {
      shardSize: 60,
      workers: 3,
      onStart: (shards) => void started.push(shards),
      onShard: ({ file, pairs }) => done.push(`${file} ${pairs}`),
    });
    expect(report).toMatchObject({ written: 5, kept: 0 });
    expect(started).toEqual([5]);
    expect(done.sort().at(-1)).toBe('shard-00004.safetensors 45');
    expect(filesOf('three')).toEqual(filesOf('alone'));
    rmSync(at('three', 'shard-00001.safetensors'));
    writeFileSync(at('three', 'shard-00003.safetensors'), 'damaged');
    const again = await prepareShards(recipe, at('three'), { shardSize: 60, workers: 2 });
    expect(again).toMatchObject({ written: 2, kept: 3 });
    expect(filesOf('three')).toEqual(filesOf('alone'));
    await expect(prepareShards(recipe, at('three'), { shardSize: 50, workers: 2 })).rejects.toThrow('other pairs');
    await expect(prepareShards(recipe, at('none'), { workers: 0 })).rejects.toThrow('workers must be');
  }, 120_000);

  it('takes every option of `rescunet data synth-pie`', async () => {
    const argv = ['--identities', '2', '--first-identity', '3', '--expressions', '1', '--size', '32', '--seed', '5'];
    const fewer = ['--illuminations', '2', '--viewpoints', '3', '--no-fit-error', '--workers', '1', '--quiet'];
    const ran = await rescunet('data', 'synth-pie', ...argv, ...fewer, '--out', at('few'));
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    const wanted = { identities: 2, firstIdentity: 3, expressions: 1, illuminations: 2, viewpoints: 3 };
    expect(readManifest(at('few'))).toMatchObject({ pairs: 12, config: { ...wanted, size: 32, seed: 5, fitError: 0 } });
  }, 60_000);

  it('leaves out a pair that cannot be made, and says so', () => {
    const source = synthPie(recipe.synthPie);
    const failing = {
      ...source,
      length: 9,
      pair: (i: number) => {
        if (i === 4) throw new FormatError('a.png', 'image', 'cannot be decoded');
        return source.pair(i);
      },
    };
    const { manifest } = writeShards(failing, at('one-less'), { shardSize: 3 });
    expect(manifest).toMatchObject({ pairs: 8, items: 9, complete: true });
    expect(manifest.dropped).toEqual([{ item: 4, reason: 'a.png: image: cannot be decoded' }]);
    expect(manifest.shards.map(({ count }) => count)).toEqual([3, 2, 3]);
    const back = readShards(at('one-less'));
    expect(back.length).toBe(8);
    expect(back.pair(4).meta.seed).toBe(source.pair(5).meta.seed);
    writeShards(failing, at('one-less'), { shardSize: 3 });
    expect(readManifest(at('one-less')).dropped).toHaveLength(1);
  });
});

describe('multipie', () => {
  const cameras: [string, number][] = [
    ['080', -45],
    ['130', -30],
    ['051', 0],
    ['041', 30],
    ['200', 60],
  ];
  beforeAll(async () => {
    for (const light of [0, 13]) {
      for (const [camera, yaw] of cameras) {
        const name = `session01/001_01_01_${camera}_${String(light).padStart(2, '0')}.png`;
        await photograph('mpie', name, 0, light, yaw);
      }
    }
    await photograph('mpie', 'session01/002_01_01_190_00.png', 1, 0, 45);
    await photograph('mpie', 'session01/001_01_01_240_00.png', 0, 0, 10);
    writeFileSync(at('mpie', 'session01', '001_01_01_041_13.png'), 'no image');
    writeFileSync(at('mpie', 'readme.png'), '');
  }, 120_000);

  it('blends a target for each light and gives a pair for each camera', async () => {
    const { manifest } = await prepareShards({ multipie: optionsOf('mpie') }, at('mpie-pairs'), {
      shardSize: 2,
      workers: 2,
    });
    expect(manifest).toMatchObject({ items: 3, pairs: 9, config: { kind: 'multipie', fit: 'landmarks' } });
    const reasons = manifest.dropped.map(({ name, reason }) => `${name}: ${reason}`);
    expect(reasons).toHaveLength(3);
    expect(reasons[0]).toMatch(/001_01_01_240_00.png: fitted at yaw -?\d+, the camera stands at 90/);
    expect(reasons[1]).toContain('001_01_01_041_13.png');
    expect(reasons[1]).toContain('cannot be decoded');
    expect(reasons[2]).toContain('no usable photo within 20 degrees of the front');
    const back = readShards(at('mpie-pairs'));
    const { footprint } = back;
    const all = Array.from({ length: back.length }, (_, i) => back.pair(i));
    expect(all.map(({ meta }) => meta.illumination)).toEqual([0, 0, 0, 0, 0, 13, 13, 13, 13]);
    expect(all.every(({ meta }) => meta.subject === 1 && meta.expression === 1)).toBe(true);
    for (const [light, pair] of [
      [0, all[0]],
      [13, all[5]],
    ] as const) {
      expect(psnr(pair.complete, truth(0, light), footprint)).toBeGreaterThan(light === 0 ? 22 : 18);
      for (let p = 0; p < footprint.length; p++) if (!footprint[p]) expect(pair.complete[3 * p]).toBe(0);
    }
    // Sorted by name: 041, 051, 080, 130, 200. The far side of the last is hidden, so it is not the truth there.
    const profile = all[4];
    expect(Math.abs(profile.meta.yaw - 60)).toBeLessThan(12);
    const hidden = footprint.map((inside, p) => (inside && !profile.mask[p] ? 1 : 0));
    expect(psnr(profile.incomplete, truth(0, 0), profile.mask)).toBeGreaterThan(
      psnr(profile.incomplete, truth(0, 0), hidden) + 3,
    );
  }, 120_000);
});

describe('folders and single photos', () => {
  beforeAll(async () => {
    for (const yaw of [-32, 3, 28, 70]) await photograph('people', `anna/${yaw + 100}.png`, 0, 4, yaw);
    await photograph('people', 'bert/1.png', 1, 4, 60);
    writeFileSync(at('people', 'loose.jpg'), '');
  }, 120_000);

  it('are read by `rescunet data folder`, with a report', async () => {
    const argv = [
      '--landmarks',
      at('people-landmarks'),
      '--size',
      String(SIZE),
      '--out',
      at('people-pairs'),
      '--workers',
      '1',
    ];
    const ran = await rescunet('data', 'folder', at('people'), ...argv, '--json');
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain('1 photos or groups were left out');
    expect(JSON.parse(ran.stdout)).toMatchObject({ command: 'data folder', pairs: 4, written: 1 });
    const report = JSON.parse(readFileSync(at('people-pairs', 'report.json'), 'utf8'));
    expect(report).toMatchObject({ pairs: 4, items: 2 });
    expect(report.dropped).toMatchObject([{ item: 1, name: 'bert/1.png' }]);
    const back = readShards(at('people-pairs'));
    expect(psnr(back.pair(3).complete, truth(0, 4), back.footprint)).toBeGreaterThan(20);
    expect(Buffer.compare(back.pair(0).complete, back.pair(3).complete)).toBe(0);
    expect((await rescunet('data', 'multipie', at('people'), ...argv)).stderr).toContain('001_01_01_051_07.png');
    expect((await rescunet('data', 'folder', '--help')).stdout).toContain('Examples:');
    const without = await rescunet('data', 'folder', at('people'), '--out', at('nothing'));
    expect(without.code).toBe(2);
    expect(without.stderr).toContain('--weights');
  }, 120_000);

  it('give pairs of one photo seen again from the side', async () => {
    const options = { ...optionsOf('people'), views: 3, fitError: 0 };
    const { manifest } = await prepareShards({ photos: options }, at('single'), { shardSize: 8, workers: 1 });
    expect(manifest.pairs).toBe(3); // of anna at 3 degrees
    expect(manifest.dropped.map(({ reason }) => reason)).toEqual(
      expect.arrayContaining([expect.stringContaining('more than 20 degrees from the front')]),
    );
    expect(manifest.dropped).toHaveLength(5); // three of anna, bert, and the empty file
    const back = readShards(at('single'));
    for (let i = 0; i < 3; i++) {
      const pair = back.pair(i);
      expect(Math.abs(pair.meta.yaw)).toBeGreaterThanOrEqual(20);
      expect(psnr(pair.incomplete, pair.complete, pair.mask)).toBeGreaterThan(26);
      expect(psnr(pair.complete, truth(0, 4), back.footprint)).toBeGreaterThan(14);
    }
    await prepareShards({ photos: options }, at('single-again'), { shardSize: 8, workers: 1 });
    expect(filesOf('single-again')).toEqual(filesOf('single'));
  }, 120_000);
});

const photos = sharedPath('data/faces/three-views');
const basel = sharedPath('data/bfm/bfm_3ddfa.safetensors');
const weights = sharedPath('data/weights');

describe.runIf(photos && basel && weights)('real photos', () => {
  it('are fitted by the networks', async () => {
    const argv = ['--weights-dir', `${weights}`, '--model', `${basel}`, '--size', '64', '--workers', '1'];
    const ran = await rescunet('data', 'photos', `${photos}`, ...argv, '--views', '2', '--out', at('real'), '--json');
    expect(ran.code).toBe(0);
    const { pairs, dropped } = JSON.parse(ran.stdout);
    expect(pairs).toBeGreaterThanOrEqual(2);
    expect(pairs / 2 + dropped.length).toBe(4);
    const back = readShards(at('real'));
    expect(psnr(back.pair(0).incomplete, back.pair(0).complete, back.pair(0).mask)).toBeGreaterThan(15);
  }, 120_000);
});
