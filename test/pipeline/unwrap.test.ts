// A rendered surface is unwrapped to the texture it was rendered with, and what the picture did not show is not claimed.
import { describe, expect, it } from 'vitest';
import { loadSafetensors } from '../../src/formats/safetensors.js';
import { INPUT_CHANNELS } from '../../src/models/input-mode.js';
import { footprintTensor, generatorInputs } from '../../src/pipeline/generator-input.js';
import { readPixels, toPixels, toTensor } from '../../src/pipeline/image.js';
import { psnr } from '../../src/pipeline/metrics.js';
import { drawMesh, posed } from '../../src/pipeline/render.js';
import { erode, unwrap, uvTable } from '../../src/pipeline/unwrap.js';
import { zeros } from '../../src/tensor/index.js';
import { sharedPath } from '../shared.js';
import { egg, paint, u8 } from './surface.js';

const SIZE = 128;
const mesh = egg();
const table = uvTable(mesh.uv, mesh.triangles, SIZE);

const photoAt = (yaw: number, shape = mesh) => {
  const vertices = posed(shape.vertices, { yaw }, 400);
  const { image } = drawMesh({ ...shape, vertices, texture: paint(SIZE) }, { size: 400, background: [255, 0, 255] });
  return { vertices, image };
};

const share = (mask: ArrayLike<number>, keep: (column: number) => boolean): number => {
  let set = 0;
  let all = 0;
  for (let p = 0; p < SIZE * SIZE; p++) {
    if (!keep(p % SIZE)) continue;
    all++;
    set += mask[p];
  }
  return set / all;
};

describe('uvTable', () => {
  it('covers a layout that fills the square, edges included', () => {
    expect(table.footprint.every((v) => v === 1)).toBe(true);
    expect([table.index.shape, table.barycentric.shape]).toEqual([
      [SIZE, SIZE],
      [SIZE, SIZE, 3],
    ]);
  });
});

describe('unwrap', () => {
  it('gives the texture back where the photo saw it', () => {
    const { vertices, image } = photoAt(0);
    const { texture, mask, confidence } = unwrap(image, vertices, table);
    expect(share(mask.dataSync(), () => true)).toBeGreaterThan(0.75);
    expect(psnr(texture, paint(SIZE), { mask })).toBeGreaterThan(35);
    const centre = (SIZE / 2) * SIZE + SIZE / 2;
    expect(confidence.dataSync()[centre]).toBeGreaterThan(0.95);
  });

  it('takes host pixels as well as tensors', () => {
    const { vertices, image } = photoAt(20);
    const whole = unwrap(image, vertices, table);
    const part = unwrap(toPixels(image), vertices, table);
    expect(part.mask.dataSync()).toEqual(whole.mask.dataSync());
    expect(psnr(part.texture, whole.texture)).toBeGreaterThan(50); // 8 bits
  });

  it('a turned face hides its far side', () => {
    // yaw > 0: the face turns to image left, so its left side (larger u) is seen
    const { vertices, image } = photoAt(60);
    const { texture, mask } = unwrap(image, vertices, table);
    expect(share(mask.dataSync(), (c) => c > SIZE * 0.6 && c < SIZE * 0.9)).toBeGreaterThan(0.8);
    expect(share(mask.dataSync(), (c) => c < SIZE * 0.25)).toBe(0);
    expect(psnr(texture, paint(SIZE), { mask })).toBeGreaterThan(35);
  });

  it('a nose hides the cheek behind it', () => {
    const noseless = photoAt(50);
    const nosed = egg(61, 61, 0.7);
    const { vertices, image } = photoAt(50, nosed);
    const before = unwrap(noseless.image, noseless.vertices, table).mask.dataSync();
    const { texture, mask } = unwrap(image, vertices, table);
    const after = mask.dataSync();
    const cheek = (values: ArrayLike<number>) => {
      let sum = 0;
      for (let y = 56; y < 72; y++) for (let x = 40; x < 56; x++) sum += values[y * SIZE + x];
      return sum;
    };
    expect(cheek(before)).toBeGreaterThan(200);
    expect(cheek(after)).toBeLessThan(0.5 * cheek(before));
    expect(psnr(texture, paint(SIZE), { mask })).toBeGreaterThan(33);
  });

  it('a surface hides what is behind it only where it shows its face', () => {
    const { vertices, image } = photoAt(0);
    const n = vertices.length / 3;
    const [x, y, z] = [0, 1, 2].map((c) => Math.max(...vertices.filter((_, i) => i % 3 === c)));
    const sheet = [0, 0, z + 9, 0, y, z + 9, x, y / 2, z + 9]; // before the face, in the middle of the photo
    const seen = (order: number[]) => {
      const hidden = uvTable(
        Float32Array.of(...mesh.uv, 0, 0, 0, 0, 0, 0),
        Int32Array.of(...mesh.triangles, ...order.map((k) => n + k)),
        SIZE,
      );
      return share(unwrap(image, Float32Array.of(...vertices, ...sheet), hidden).mask.dataSync(), () => true);
    };
    const alone = share(unwrap(image, vertices, table).mask.dataSync(), () => true);
    expect(seen([0, 2, 1])).toBeCloseTo(alone, 1);
    expect(seen([0, 1, 2])).toBeLessThan(0.8 * alone);
  });

  it('nothing outside the photo counts as seen', () => {
    const { vertices, image } = photoAt(0);
    const shifted = vertices.map((v, i) => (i % 3 === 0 ? v - 200 : v));
    const seen = unwrap(image, shifted, table).mask.dataSync();
    expect(share(seen, (c) => c < SIZE / 2 - 2)).toBe(0);
    expect(share(seen, (c) => c > SIZE * 0.6 && c < SIZE * 0.9)).toBeGreaterThan(0.8);
  });

  it('refuses another mesh and positions that are no numbers', () => {
    const { vertices, image } = photoAt(0);
    expect(() => unwrap(image, vertices.slice(3), table)).toThrow('unwrap: 3720 vertices, the UV table is of 3721');
    expect(() => unwrap(image, vertices.fill(Number.NaN, 0, 1), table)).toThrow('unwrap: the vertices are not finite');
  });

  it('erosion takes one pixel off every rim but the edge of the map', () => {
    const mask = Uint8Array.from([1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1]);
    expect([...erode(mask, 4)]).toEqual([1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1]);
  });

  const photo = sharedPath('data/faces/3ddfa-v2/JianzhuGuo.jpg');
  const model = sharedPath('data/bfm/bfm_3ddfa.safetensors');
  const reference = sharedPath('data/reference/JianzhuGuo.safetensors');
  const wanted = sharedPath('data/reference/uv_texture_256.png');
  it.runIf(photo && model && reference && wanted)(
    'a real photo gives the texture of the reference program',
    async () => {
      if (!photo || !model || !reference || !wanted) return;
      const { uv, tri } = loadSafetensors(model);
      const dense = loadSafetensors(reference).dense.dataSync(); // [3, N]
      const n = dense.length / 3;
      const vertices = Float32Array.from({ length: 3 * n }, (_, i) => dense[(i % 3) * n + Math.floor(i / 3)]);
      const clockwise = tri.dataSync();
      const triangles = Int32Array.from(clockwise, (_, i) => clockwise[i % 3 === 0 ? i : i % 3 === 1 ? i + 1 : i - 1]);
      const real = uvTable(new Float32Array(uv.dataSync()), triangles);
      const { texture, mask } = unwrap(await readPixels(photo), vertices, real);
      const inside = u8(real.footprint, 256);
      // The reference colours vertices and interpolates them; this samples every pixel.
      expect(psnr(texture, toTensor(await readPixels(wanted)), { mask: inside })).toBeGreaterThan(30);
      const seen = mask.dataSync();
      expect(seen[128 * 256 + 90]).toBe(1);
      expect(seen[8 * 256 + 128]).toBe(1); // forehead
      expect(Array.from(seen).reduce((sum, v) => sum + v, 0) / 65536).toBeGreaterThan(0.4);
    },
  );
});

describe('generatorInputs', () => {
  const texture = paint(8);
  const mask = u8(
    Array.from({ length: 64 }, (_, i) => (i % 8 < 4 ? 1 : 0)),
    8,
  );
  const footprint = Uint8Array.from({ length: 64 }, (_, i) => (i < 56 ? 1 : 0));
  it.each(['raw', 'masked', 'mirror', 'mask4'] as const)('%s: range, footprint and channels', (mode) => {
    const [maps, masks] = [texture.reshape([1, 8, 8, 3]), mask.reshape([1, 8, 8])];
    const x = generatorInputs(maps, masks, footprintTensor(footprint, 8, 8), { mode, seed: 3 });
    const channels = INPUT_CHANNELS[mode];
    expect(x.shape).toEqual([1, 8, 8, channels]);
    const values = x.dataSync();
    const paintAt = texture.dataSync();
    for (let p = 0; p < 64; p++) {
      for (let c = 0; c < channels; c++) expect(Math.abs(values[p * channels + c])).toBeLessThanOrEqual(1);
      const expected = p < 56 ? paintAt[3 * p] / 127.5 - 1 : -1;
      if (mode !== 'masked' || p % 8 < 4 || p >= 56) expect(values[p * channels]).toBeCloseTo(expected, 5);
      else expect(values[p * channels]).not.toBeCloseTo(expected, 5);
      if (mode === 'mask4') expect(values[4 * p + 3]).toBe(p % 8 < 4 ? 1 : 0);
      const twin = p - (p % 8) + 7 - (p % 8);
      if (mode === 'mirror') expect(values[6 * p + 3]).toBe(values[6 * twin]);
    }
  });
  it('says what it wants', () => {
    const maps = texture.reshape([1, 8, 8, 3]);
    const inside = footprintTensor(footprint, 8, 8);
    const wants =
      'generatorInputs: wants maps [n,h,w,3], masks [n,h,w] and a footprint [h,w,1], got [1,8,8,3], [1,4,4]';
    expect(() => generatorInputs(maps, zeros([1, 4, 4]), inside)).toThrow(wants);
  });
});
