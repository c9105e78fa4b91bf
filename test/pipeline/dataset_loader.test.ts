// Batches for training: the same whoever makes them and wherever a run is taken up, every pair once per epoch, mirrored truly, and
// damage that costs itself only.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lightOf, mirrorInto, mirrorTable, relight } from '../../src/pipeline/dataset/augment.js';
import {
  type Batch,
  type DataSpec,
  type LoaderOptions,
  openLoader,
  PairError,
} from '../../src/pipeline/dataset/loader.js';
import { epochOrder } from '../../src/pipeline/dataset/order.js';
import type { PairSource } from '../../src/pipeline/dataset/pairs.js';
import { readShards, writeShards } from '../../src/pipeline/dataset/shards.js';
import { synthPie } from '../../src/pipeline/dataset/synth-pie.js';
import { sharedPath } from '../shared.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rescunet-loader-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const source = synthPie({ identities: 1, expressions: 1, size: 32, seed: 5 });
const part = (length: number): PairSource => ({ ...source, length, pair: (i) => source.pair(i) });
const shard = (dir: string, k: number) => path.join(folder, dir, `shard-0000${k}.safetensors`);

beforeAll(() => {
  writeShards(part(23), path.join(folder, 'pairs'), { shardSize: 5 });
});

const pairs: DataSpec = { shards: [path.join(folder, 'pairs')] };
const usual: LoaderOptions = { batch: 4, seed: 9, flip: true, workers: 0 };

async function take(spec: DataSpec, count: number, options: Partial<LoaderOptions> = {}): Promise<Batch[]> {
  const loader = await openLoader(spec, { ...usual, ...options });
  const batches: Batch[] = [];
  for (let i = 0; i < count; i++) batches.push(await loader.next());
  await loader.close();
  return batches;
}

describe('epochOrder', () => {
  it('shows every pair once, otherwise in every epoch and for every seed', () => {
    for (const mixing of [
      { length: 57, block: 1, window: 57 },
      { length: 57, block: 5, window: 3 },
    ]) {
      const orders = [epochOrder(mixing, 1, 0), epochOrder(mixing, 1, 1), epochOrder(mixing, 2, 0)];
      for (const order of orders) expect([...order].sort((a, b) => a - b)).toEqual([...Array(57).keys()]);
      expect(new Set(orders.map(String)).size).toBe(3);
      expect([...epochOrder(mixing, 1, 1)]).toEqual([...orders[1]]);
    }
  });

  it('keeps blocks of a window together', () => {
    const order = epochOrder({ length: 60, block: 5, window: 3 }, 4, 0);
    const people = [0, 15, 30, 45].map((at) => new Set([...order.subarray(at, at + 15)].map((p) => Math.floor(p / 5))));
    expect(people.map((set) => set.size)).toEqual([3, 3, 3, 3]);
    expect(new Set(people.flatMap((set) => [...set])).size).toBe(12);
  });

  it('is uniform over pairs where there is one window', () => {
    const first = new Array(8).fill(0);
    for (let epoch = 0; epoch < 4000; epoch++) first[epochOrder({ length: 8, block: 1, window: 8 }, 3, epoch)[0]]++;
    for (const count of first) expect(Math.abs(count - 500)).toBeLessThan(110); // 5 standard deviations
  });
});

describe('mirrorTable', () => {
  it('is the mirror of a symmetric layout, and its own inverse', () => {
    const table = mirrorTable(source.footprint, 32);
    for (const [p, from] of table.entries()) {
      expect(from).toBe(source.footprint[p] ? p - (p % 32) + 31 - (p % 32) : -1);
    }
    const map = source.pair(6).complete.slice();
    mirrorInto(map, 3, table, new Uint8Array(map.length));
    mirrorInto(map, 3, table, new Uint8Array(map.length));
    expect(Buffer.compare(map, source.pair(6).complete)).toBe(0);
  });

  it('takes the nearest neighbour where the outline is not symmetric', () => {
    const table = mirrorTable(Uint8Array.from([0, 1, 1, 1, 1, 1, 0, 0]), 8);
    expect([...table]).toEqual([-1, 5, 5, 4, 3, 2, -1, -1]);
  });
});

describe('openLoader', () => {
  it('gives the pairs of the shards, mirrored where it says so', async () => {
    const batches = await take(pairs, 5);
    const back = readShards(path.join(folder, 'pairs'));
    let mirrored = 0;
    for (const { incomplete, complete, mask, pairs: numbers, flipped } of batches) {
      expect(incomplete.length).toBe(4 * 32 * 32 * 3);
      for (const [i, number] of numbers.entries()) {
        const pair = back.pair(number);
        for (const [got, wanted, channels] of [
          [incomplete, pair.incomplete, 3],
          [complete, pair.complete, 3],
          [mask, pair.mask, 1],
        ] as const) {
          const plane = 32 * 32 * channels;
          const image = Uint8Array.from({ length: plane }, (_, at) => {
            const pixel = Math.floor(at / channels);
            const x = pixel % 32;
            const from = flipped[i] ? pixel - x + 31 - x : pixel;
            return wanted[from * channels + (at % channels)];
          });
          expect(Buffer.compare(got.subarray(i * plane, (i + 1) * plane), image)).toBe(0);
        }
        mirrored += flipped[i];
      }
    }
    expect(mirrored).toBeGreaterThan(3);
    expect(mirrored).toBeLessThan(17);
    const plain = await take(pairs, 5, { flip: false });
    expect(plain.every(({ flipped }) => flipped.every((f) => f === 0))).toBe(true);
    expect(plain.map(({ pairs: p }) => String(p))).toEqual(batches.map(({ pairs: p }) => String(p)));
  });

  it('cuts a share of the pairs to an oval, all maps alike, and leaves the others as they are', async () => {
    const whole = await take(pairs, 10, {});
    const cut = await take(pairs, 10, { cut: 0.5 });
    let ovals = 0;
    for (const [k, batch] of cut.entries()) {
      for (let i = 0; i < 4; i++) {
        const changed = new Set<string>();
        const maps = [
          [batch.incomplete, whole[k].incomplete, 3],
          [batch.complete, whole[k].complete, 3],
          [batch.mask, whole[k].mask, 1],
        ] as const;
        for (const [now, before, channels] of maps) {
          const plane = 32 * 32 * channels;
          for (let at = i * plane; at < (i + 1) * plane; at++) {
            const pixel = Math.floor((at % plane) / channels);
            const [x, y] = [(pixel % 32) / 31 - 0.5, Math.floor(pixel / 32) / 31 - 0.52];
            const far = Math.hypot(x / 0.45, y / 0.45) > 1;
            if (now[at] !== before[at]) {
              expect(now[at]).toBe(0);
              changed.add(far ? 'far' : 'near the rim');
            } else if (Math.hypot(x / 0.25, y / 0.25) < 1) changed.delete('face');
          }
        }
        if (changed.has('far')) ovals++;
      }
    }
    expect(ovals).toBeGreaterThan(10);
    expect(ovals).toBeLessThan(30);
    await expect(openLoader(pairs, { ...usual, cut: 2 })).rejects.toThrow('cut must be a share from 0 to 1, got 2');
  });

  it('lights pairs anew, both maps alike, and leaves black and the masks alone', async () => {
    const before = await take(pairs, 5, {});
    const after = await take(pairs, 5, { relight: 0.3 });
    for (const [k, { incomplete, complete, mask }] of after.entries()) {
      expect(mask).toEqual(before[k].mask);
      let changed = 0;
      for (let at = 0; at < complete.length; at++) {
        if (before[k].complete[at] === 0) expect(complete[at]).toBe(0);
        else changed += Number(complete[at] !== before[k].complete[at]);
        if (before[k].complete[at] === before[k].incomplete[at]) expect(incomplete[at]).toBe(complete[at]);
      }
      expect(changed).toBeGreaterThan(complete.length / 8);
    }
    await expect(openLoader(pairs, { ...usual, relight: 2 })).rejects.toThrow('relight must be from 0 to 1, got 2');
  });

  it('draws lights of the wanted spread and applies their formula', () => {
    const exposures = Array.from({ length: 2000 }, (_, i) => {
      const { gain } = lightOf(9, 1, i, 0.3) ?? { gain: [1, 1, 1] };
      return (Math.log(gain[0]) + Math.log(gain[1]) + Math.log(gain[2])) / 3;
    });
    const mean = exposures.reduce((sum, e) => sum + e, 0) / 2000;
    const spread = Math.sqrt(exposures.reduce((sum, e) => sum + (e - mean) ** 2, 0) / 2000);
    expect(Math.abs(mean)).toBeLessThan(0.03);
    // sqrt(1 + 0.5^2 / 3), less what is drawn again beyond 2.5 deviations
    expect(spread / 0.3).toBeGreaterThan(0.95);
    expect(spread / 0.3).toBeLessThan(1.06);
    const map = Uint8Array.from([0, 100, 200, 50, 60, 70, 128, 128, 128, 255, 255, 255]);
    relight({ gain: [1, 0.5, 2], gamma: 2, across: 0.4, down: -0.2 }, map, 2);
    const lit = (v: number, g: number, x: number, y: number) =>
      Math.min(255, Math.round(255 * g * (v / 255) ** 2 * Math.exp(0.4 * x - 0.2 * y)));
    expect([...map]).toEqual([
      ...[0, lit(100, 0.5, -0.5, -0.5), lit(200, 2, -0.5, -0.5)],
      ...[lit(50, 1, 0.5, -0.5), lit(60, 0.5, 0.5, -0.5), lit(70, 2, 0.5, -0.5)],
      ...[lit(128, 1, -0.5, 0.5), lit(128, 0.5, -0.5, 0.5), lit(128, 2, -0.5, 0.5)],
      ...[lit(255, 1, 0.5, 0.5), lit(255, 0.5, 0.5, 0.5), 255],
    ]);
  });

  it('shows every pair at most once per epoch, and drops what fills no batch', async () => {
    const loader = await openLoader(pairs, usual);
    expect(loader).toMatchObject({ length: 23, stepsPerEpoch: 5, size: 32, problems: [] });
    expect(Buffer.compare(loader.footprint, source.footprint)).toBe(0);
    await loader.close();
    const batches = await take(pairs, 10);
    expect(batches.map(({ epoch }) => epoch)).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    expect(batches.map(({ step }) => step)).toEqual([...Array(10).keys()]);
    for (const epoch of [0, 1]) {
      expect(new Set(batches.filter((b) => b.epoch === epoch).flatMap((b) => [...b.pairs])).size).toBe(20);
    }
    expect(String(batches[0].pairs)).not.toBe(String(batches[5].pairs));
  });

  it('is the same with any number of workers', async () => {
    const alone = await take(pairs, 13);
    for (const workers of [1, 3]) expect(await take(pairs, 13, { workers })).toEqual(alone);
    expect(await take(pairs, 13, { seed: 10 })).not.toEqual(alone);
  });

  it('is the same where a run is taken up', async () => {
    const whole = await take(pairs, 13);
    expect(await take(pairs, 6, { from: 7 })).toEqual(whole.slice(7));
    expect(await take(pairs, 6, { from: 7, workers: 2 })).toEqual(whole.slice(7));
  });

  it('makes pairs while training, alike in threads', async () => {
    const spec: DataSpec = { synthPie: { identities: 2, expressions: 1, size: 32, seed: 5 } };
    const [alone, threads] = [await take(spec, 3), await take(spec, 3, { workers: 2 })];
    expect(threads).toEqual(alone);
    const all = synthPie({ identities: 2, expressions: 1, size: 32, seed: 5 });
    const [batch] = await take(spec, 1, { flip: false });
    expect(Buffer.compare(batch.complete.subarray(0, 3072), all.pair(batch.pairs[0]).complete)).toBe(0);
  }, 60_000);

  it('joins folders, and refuses those of other maps', async () => {
    writeShards(part(7), path.join(folder, 'more'), { shardSize: 5 });
    const loader = await openLoader({ shards: [path.join(folder, 'pairs'), path.join(folder, 'more')] }, usual);
    expect(loader.length).toBe(30);
    await loader.close();
    const large = synthPie({ identities: 1, size: 48 });
    writeShards({ ...large, length: 2, pair: (i) => large.pair(i) }, path.join(folder, 'large'));
    const both = { shards: [path.join(folder, 'pairs'), path.join(folder, 'large')] };
    await expect(openLoader(both, usual)).rejects.toThrow('maps of 48 pixels do not fit those of');
  });

  it('leaves out damaged shards and says so', async () => {
    const dir = path.join(folder, 'damaged');
    writeShards(part(23), dir, { shardSize: 5 });
    truncateSync(shard('damaged', 1), 2000);
    const bytes = readFileSync(shard('damaged', 3));
    writeFileSync(shard('damaged', 3), bytes.with(bytes.length - 9, bytes[bytes.length - 9] ^ 4));
    rmSync(shard('damaged', 4));
    const loader = await openLoader({ shards: [dir] }, { ...usual, workers: 1 });
    expect(loader.length).toBe(10);
    expect(loader.problems).toHaveLength(3);
    for (const k of [1, 3, 4]) expect(loader.problems.join()).toContain(`shard-0000${k}.safetensors`);
    expect((await loader.next()).pairs.length).toBe(4);
    await loader.close();
    for (const k of [0, 2]) truncateSync(shard('damaged', k), 100);
    await expect(openLoader({ shards: [dir] }, usual)).rejects.toThrow('none of 5 is whole');
  });

  it('tells which pair could not be read, and goes on', async () => {
    for (const workers of [0, 2]) {
      const dir = `broken-${workers}`;
      writeShards(part(20), path.join(folder, dir), { shardSize: 4 });
      const spec = { shards: [path.join(folder, dir)] };
      const order = (await take(spec, 20)).map((batch) => [...batch.pairs]);
      const loader = await openLoader(spec, { ...usual, workers });
      truncateSync(shard(dir, 2), 2000);
      // What was made ahead is whole: look behind it.
      const broken = (pair: number) => pair >= 8 && pair < 12;
      const victim = order.findIndex((batch, step) => step > 6 && batch.some(broken));
      const pair = order[victim].find(broken);
      for (let step = 0; step < victim; step++) await loader.next().catch(() => {});
      const error = await loader.next().catch((e: unknown) => e);
      expect(error).toBeInstanceOf(PairError);
      expect(error).toMatchObject({ step: victim, pair });
      expect((error as Error).message).toContain(`pair ${pair} of batch ${victim}: `);
      expect((error as Error).message).toContain('shard-00002.safetensors');
      const whole = order.findIndex((batch, step) => step > victim && !batch.some(broken));
      for (let step = victim + 1; step < whole; step++) await loader.next().catch(() => {});
      expect([...(await loader.next()).pairs]).toEqual(order[whole]);
      await loader.close();
    }
  });

  it('rejects what is asked of it after it was closed', async () => {
    const loader = await openLoader(pairs, { ...usual, workers: 2 });
    await loader.close();
    await loader.close();
    await expect(loader.next()).rejects.toThrow('loader: is closed');
  });

  it('refuses options and data that are no use', async () => {
    await expect(openLoader(pairs, { ...usual, batch: 0 })).rejects.toThrow('batch must be a whole number');
    await expect(openLoader(pairs, { ...usual, workers: -1 })).rejects.toThrow('workers must be a whole number');
    await expect(openLoader(pairs, { ...usual, batch: 24 })).rejects.toThrow('23 do not fill a batch of 24');
    await expect(openLoader({ shards: [folder] }, usual)).rejects.toThrow('manifest.json');
    await expect(openLoader({ shards: [] }, usual)).rejects.toThrow('at least one folder');
    await expect(openLoader({} as DataSpec, usual)).rejects.toThrow('wanted one of shards, synthPie, textures');
  });
});

const textures = sharedPath('data/uv-textures/deep3d-204');
const model = sharedPath('data/bfm/bfm_3ddfa.safetensors');

describe.runIf(textures && model)('openLoader on a texture set', () => {
  it('is the same with workers', async () => {
    const spec: DataSpec = {
      textures: { folder: `${textures}`, model: `${model}`, split: 'test', views: 2, size: 64 },
    };
    expect(await take(spec, 2, { workers: 1 })).toEqual(await take(spec, 2));
  }, 60_000);
});
