// Completion by both methods, and generators on disk.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { FormatError } from '../../src/formats/error.js';
import { loadSafetensors, readSafetensorsMetadata, saveSafetensors } from '../../src/formats/safetensors.js';
import { Generator } from '../../src/models/rescunet.js';
import type { View } from '../../src/pipeline/blend.js';
import { complete } from '../../src/pipeline/complete.js';
import { footprintTensor, generatorInputs } from '../../src/pipeline/generator-input.js';
import {
  createGenerator,
  GENERATOR_KINDS,
  type GeneratorNetwork,
  kindOf,
  loadGenerator,
  saveGenerator,
} from '../../src/pipeline/generators.js';
import { type Tensor, tensor } from '../../src/tensor/index.js';
import { paint, settledBytes, u8 } from './surface.js';

const folder = mkdtempSync(join(tmpdir(), 'complete-'));
afterAll(() => rmSync(folder, { recursive: true }));

const SIZE = 64;
const footprint = Uint8Array.from({ length: SIZE * SIZE }, (_, p) => (p % SIZE > 4 && p % SIZE < SIZE - 5 ? 1 : 0));

/** A symmetric face whose left third the photo did not see. */
function halfSeen(): { view: View; truth: Tensor } {
  const truth = paint(SIZE);
  const seen = footprint.map((inside, p) => (inside && p % SIZE > SIZE / 3 ? 1 : 0));
  const host = truth.dataSync() as Float32Array;
  const values = host.map((v, i) => (seen[Math.floor(i / 3)] ? v : 255));
  const texture = tensor(
    values.map((v, i) => (footprint[Math.floor(i / 3)] ? v : 0)),
    { shape: [SIZE, SIZE, 3] },
  );
  const confidence = tensor(Float32Array.from(seen), { shape: [SIZE, SIZE] });
  return { view: { texture, mask: u8(seen, SIZE), confidence }, truth };
}

const options = { baseWidth: 8, seed: 3 };
const generator = new Generator(options).eval();
const path = join(folder, 'generator.safetensors');

describe('complete', () => {
  const { view, truth } = halfSeen();
  const seen = view.mask.dataSync();

  test('mirror fills the hidden part and leaves the seen one', () => {
    const host = complete(view, footprint).dataSync();
    const wanted = truth.dataSync();
    for (let p = 0; p < SIZE * SIZE; p++) {
      for (let c = 0; c < 3; c++) {
        if (!footprint[p]) expect(host[3 * p + c]).toBe(0);
        else expect(Math.abs(host[3 * p + c] - wanted[3 * p + c])).toBeLessThan(seen[p] ? 1e-3 : 4);
      }
    }
  });

  test('generator gives what its network says of the raw map', () => {
    const got = complete(view, footprint, { generator }).dataSync();
    const inside = footprintTensor(footprint, SIZE, SIZE);
    const maps = view.texture.reshape([1, SIZE, SIZE, 3]);
    const input = generatorInputs(maps, view.mask.reshape([1, SIZE, SIZE]), inside);
    expect(input.dataSync()[0]).toBe(-1);
    const wanted = generator.forward(input).final.add(1).mul(127.5).mul(inside).dataSync();
    got.forEach((v, i) => {
      if (Math.abs(v - wanted[i]) > 1e-4) throw new Error(`number ${i} is ${v}, wants ${wanted[i]}`);
    });
    expect(got.some((v, i) => footprint[Math.floor(i / 3)] && v > 1)).toBe(true);
    expect(got[0]).toBe(0);
  });

  test('a generator that knows its size works at it, whatever the size of the map', () => {
    const sized = new Generator({ ...options, size: SIZE }).eval();
    const own = complete(view, footprint, { generator: sized });
    expect(own.dataSync()).toEqual(complete(view, footprint, { generator }).dataSync());
    // The same face on a map of 150: corners lie on corners, so every second pixel or so shows the same place.
    const side = 150;
    const larger = (t: Tensor, c: number) =>
      t
        .cast('f32')
        .reshape([1, SIZE, SIZE, c])
        .resize({ size: [side, side], mode: 'bilinear', alignCorners: true })
        .reshape([side, side, c]);
    const inside = larger(tensor(footprint, { shape: [SIZE, SIZE], dtype: 'u8' }), 1)
      .dataSync()
      .map(Math.round);
    const mask = u8(larger(view.mask, 1).dataSync().map(Math.round), side);
    const wide = { texture: larger(view.texture, 3), mask, confidence: mask.cast('f32') };
    const got = complete(wide, Uint8Array.from(inside), { generator: sized }).dataSync();
    const wanted = larger(own, 3).dataSync();
    let [sum, count] = [0, 0];
    for (let p = 0; p < side * side; p++) {
      const x = p % side;
      if (!inside[p]) expect(got[3 * p]).toBe(0);
      else if (x > 20 && x < side - 20) {
        sum += Math.abs(got[3 * p] - wanted[3 * p]);
        count++;
      }
    }
    expect(count).toBeGreaterThan(10_000);
    expect(sum / count).toBeLessThan(6);
  });

  test('composited, the photo keeps what it saw and the seam is no edge', () => {
    const plain = complete(view, footprint, { generator }).dataSync();
    const host = complete(view, footprint, { generator, composite: true }).dataSync();
    const wanted = view.texture.dataSync();
    let changed = 0;
    for (let y = 0; y < SIZE; y++) {
      for (let x = 0; x < SIZE; x++) {
        const p = y * SIZE + x;
        const inner = x > SIZE / 3 + 3 && x < SIZE - 8 && y > 2 && y < SIZE - 3;
        if (inner) for (let c = 0; c < 3; c++) expect(Math.abs(host[3 * p + c] - wanted[3 * p + c])).toBeLessThan(1e-3);
        if (footprint[p] && !seen[p]) changed = Math.max(changed, Math.abs(host[3 * p] - wanted[3 * p]));
      }
    }
    expect(changed).toBeGreaterThan(20);
    /** Mean step across the seam, in the red channel. */
    const step = (map: ArrayLike<number>) => {
      const edge = Math.floor(SIZE / 3) + 1;
      let sum = 0;
      for (let y = 8; y < SIZE - 8; y++) {
        sum += Math.abs(map[3 * (y * SIZE + edge)] - map[3 * (y * SIZE + edge - 1)]) / (SIZE - 16);
      }
      return sum;
    };
    const pasted = wanted.map((v, i) => (seen[Math.floor(i / 3)] ? v : plain[i]));
    expect(step(host)).toBeLessThan(0.5 * step(pasted));
  });

  test("composited, the hidden half is the mirrored one in the generator's light, its colour cast taken off", () => {
    const light = (x: number) => (x > SIZE / 3 ? 1 : 1 - (0.6 * (SIZE / 3 - x)) / (SIZE / 3));
    const cast = [0.6, 1, 0.8];
    const drawn = Float32Array.from(truth.dataSync(), (v, i) => {
      const x = Math.floor(i / 3) % SIZE;
      return (footprint[Math.floor(i / 3)] ? v * light(x) * cast[i % 3] : 0) / 127.5 - 1;
    });
    const final = tensor(drawn, { shape: [1, SIZE, SIZE, 3] });
    const knowing = { options: { input: 'raw' }, forward: () => ({ final, aux: final, attention: [] }) };
    const generator = knowing as unknown as GeneratorNetwork;
    const host = complete(view, footprint, { generator, composite: true }).dataSync();
    const wanted = truth.dataSync();
    for (const x of [7, 10, 13, 16]) {
      for (let c = 0; c < 3; c++) {
        let [got, whole] = [0, 0];
        for (let y = 6; y < SIZE - 6; y++) {
          got += host[3 * (y * SIZE + x) + c];
          whole += wanted[3 * (y * SIZE + x) + c];
        }
        expect(Math.abs(got / whole - light(x))).toBeLessThan(0.1);
      }
    }
  });

  test('leaves nothing on the device but its result', () => {
    const before = settledBytes();
    for (const settings of [{}, { generator }, { generator, composite: true }]) {
      complete(view, footprint, settings).dispose();
    }
    expect(settledBytes()).toBe(before);
  });

  test('says what is missing', () => {
    expect(() => complete(view, footprint, { method: 'generator' })).toThrow('wants a generator');
    const odd: string = 'guess';
    expect(() => complete(view, footprint, { method: odd as 'mirror' })).toThrow("mirror or generator, got 'guess'");
  });
});

describe('generators on disk', () => {
  test.each([
    { attention: true, coupled: true },
    { attention: false, coupled: true },
    { attention: true, coupled: false },
    { attention: true, coupled: true, inputSkip: true },
    { attention: false, coupled: false, inputSkip: true },
  ])('come back as they were: %o', (kind) => {
    const made = new Generator({ ...options, ...kind }).eval();
    saveGenerator(path, made);
    const { attention, inputSkip = false } = kind;
    expect(readSafetensorsMetadata(path)).toMatchObject({
      baseWidth: '8',
      attention: String(attention),
      inputSkip: String(inputSkip),
    });
    const { view } = halfSeen();
    const loaded = loadGenerator(path);
    expect(loaded.training).toBe(false);
    expect(complete(view, footprint, { generator: loaded }).dataSync()).toEqual(
      complete(view, footprint, { generator: made }).dataSync(),
    );
  });

  test.each(GENERATOR_KINDS)('%s comes back with its input mode', (kind) => {
    const made = createGenerator({ kind, baseWidth: 8, input: 'mirror', levels: 5, size: SIZE, seed: 3 }).eval();
    expect(kindOf(made)).toBe(kind);
    saveGenerator(path, made, { about: { trainedOn: 'nothing' } });
    expect(readSafetensorsMetadata(path)).toMatchObject({
      input: 'mirror',
      channels: '6',
      size: '64',
      trainedOn: 'nothing',
    });
    const loaded = loadGenerator(path);
    expect(kindOf(loaded)).toBe(kind);
    const { view } = halfSeen();
    expect(complete(view, footprint, { generator: loaded }).dataSync()).toEqual(
      complete(view, footprint, { generator: made }).dataSync(),
    );
  });

  test('that do not fit are refused by file and reason', () => {
    saveGenerator(path, generator);
    const tensors = loadSafetensors(path);
    const text = readSafetensorsMetadata(path);
    const other = join(folder, 'other.safetensors');
    saveSafetensors(other, tensors, { ...text, baseWidth: '16' });
    expect(() => loadGenerator(other)).toThrow(FormatError);
    expect(() => loadGenerator(other)).toThrow(/other.safetensors: weights: .*misshapen/);
    saveSafetensors(other, tensors, { ...text, baseWidth: 'wide' });
    expect(() => loadGenerator(other)).toThrow("metadata baseWidth: wanted a whole number > 0, got 'wide'");
    saveSafetensors(other, tensors, { ...text, attention: 'maybe' });
    expect(() => loadGenerator(other)).toThrow("metadata attention: wanted true or false, got 'maybe'");
    saveSafetensors(other, tensors, { ...text, input: 'sound' });
    expect(() => loadGenerator(other)).toThrow("metadata input: wanted raw, masked, mirror, mask4, got 'sound'");
    expect(() => createGenerator({ kind: 'uvgan', input: 'mask4' })).toThrow('UvGan: channels must be 3 or 6, got 4');
  });
});
