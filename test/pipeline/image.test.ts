// Image files in every form a user may have them, crops, and the resizing of the regressor's input.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { FormatError } from '../../src/formats/error.js';
import { loadSafetensors } from '../../src/formats/safetensors.js';
import {
  crop,
  cropRoi,
  decodePixels,
  type Pixels,
  readImage,
  readPixels,
  resizeBilinear,
  toPixels,
  toTensor,
  writeImage,
} from '../../src/pipeline/image.js';
import { contactSheet, drawLandmarks } from '../../src/pipeline/overlay.js';
import { tensor } from '../../src/tensor/index.js';
import { sharedPath } from '../shared.js';

const folder = mkdtempSync(path.join(tmpdir(), 'image-'));
const at = (name: string) => path.join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

/** 5 wide, 3 high, every pixel different. */
const small: Pixels = { data: Uint8Array.from({ length: 45 }, (_, i) => (i * 37) % 256), height: 3, width: 5 };
const raw = (p: Pixels) => sharp(p.data, { raw: { width: p.width, height: p.height, channels: 3 } });
const pixel = (p: Pixels, x: number, y: number) => [
  ...p.data.subarray(3 * (y * p.width + x), 3 * (y * p.width + x) + 3),
];

describe('files', () => {
  it('come back from PNG as they were, as pixels and as a tensor', async () => {
    await writeImage(at('a.png'), small);
    expect(await readPixels(at('a.png'))).toMatchObject({ height: 3, width: 5 });
    expect((await readPixels(at('a.png'))).data).toEqual(small.data);
    const image = await readImage(at('a.png'));
    expect([image.shape, image.dtype]).toEqual([[3, 5, 3], 'u8']);
    expect(toPixels(image).data).toEqual(small.data);
    await writeImage(at('b.png'), toTensor(small));
    expect(readFileSync(at('b.png'))).toEqual(readFileSync(at('a.png')));
    expect(readdirSync(folder).filter((name) => name.includes('tmp'))).toEqual([]);
  });

  it.each(['jpg', 'webp'])('are written as %s', async (extension) => {
    const flat: Pixels = { data: new Uint8Array(3 * 64).fill(120), height: 8, width: 8 };
    await writeImage(at(`flat.${extension}`), flat);
    const back = await readPixels(at(`flat.${extension}`));
    expect(Math.max(...back.data.map((v) => Math.abs(v - 120)))).toBeLessThanOrEqual(2);
    expect((await sharp(readFileSync(at(`flat.${extension}`))).metadata()).format).toBe(
      extension === 'jpg' ? 'jpeg' : 'webp',
    );
  });

  it('stand upright whatever the EXIF orientation says', async () => {
    const bytes = await raw(small).withMetadata({ orientation: 6 }).png().toBuffer();
    const upright = await decodePixels(bytes, 'turned.png');
    expect([upright.height, upright.width]).toEqual([5, 3]);
    expect(pixel(upright, 2, 0)).toEqual(pixel(small, 0, 0));
    expect(pixel(upright, 0, 4)).toEqual(pixel(small, 4, 2));
  });

  it('become 8-bit RGB from grey, alpha, 16 bits and CMYK', async () => {
    const grey = await sharp(Buffer.from([0, 100, 200, 255]), { raw: { width: 2, height: 2, channels: 1 } })
      .png()
      .toBuffer();
    expect([...(await decodePixels(grey, 'grey')).data]).toEqual([
      0, 0, 0, 100, 100, 100, 200, 200, 200, 255, 255, 255,
    ]);
    const alpha = await sharp(Buffer.from([10, 20, 30, 255, 10, 20, 30, 0]), {
      raw: { width: 2, height: 1, channels: 4 },
    })
      .png()
      .toBuffer();
    expect([...(await decodePixels(alpha, 'alpha')).data]).toEqual([10, 20, 30, 255, 255, 255]);
    const deep = await sharp(Uint16Array.from([0, 257 * 100, 65535, 257 * 7, 257 * 8, 257 * 9]), {
      raw: { width: 2, height: 1, channels: 3 },
    })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    expect((await sharp(deep).metadata()).depth).toBe('ushort');
    expect([...(await decodePixels(deep, '16 bits')).data]).toEqual([0, 100, 255, 7, 8, 9]);
    const cmyk = await raw({ data: new Uint8Array(192).fill(200), height: 8, width: 8 })
      .toColourspace('cmyk')
      .jpeg()
      .toBuffer();
    expect((await sharp(cmyk).metadata()).channels).toBe(4);
    const back = await decodePixels(cmyk, 'cmyk');
    expect(back.data.length).toBe(192);
    expect(Math.max(...back.data.map((v) => Math.abs(v - 200)))).toBeLessThanOrEqual(24);
  });

  it('give the first frame of an animation', async () => {
    const frames = Buffer.from(new Uint8Array(2 * 4 * 4 * 3).fill(250, 0, 48));
    const gif = await sharp(frames, { raw: { width: 4, height: 8, channels: 3, pageHeight: 4 } })
      .gif()
      .toBuffer();
    expect((await sharp(gif).metadata()).pages).toBe(2);
    const first = await decodePixels(gif, 'moving.gif');
    expect([first.height, first.width]).toEqual([4, 4]);
    expect(Math.min(...first.data)).toBeGreaterThan(240);
  });

  it('that are broken are refused by name', async () => {
    const good = await raw({ data: new Uint8Array(3 * 64 * 64).map((_, i) => (i * 7919) % 251), height: 64, width: 64 })
      .png()
      .toBuffer();
    writeFileSync(at('half.png'), good.subarray(0, good.length / 2));
    writeFileSync(at('text.jpg'), 'no image at all');
    writeFileSync(at('empty.png'), '');
    for (const name of ['half.png', 'text.jpg', 'empty.png', 'missing.png']) {
      const failure = await Promise.resolve()
        .then(() => readPixels(at(name)))
        .catch((error: unknown) => error);
      expect(failure, name).toBeInstanceOf(FormatError);
      expect((failure as Error).message).toContain(at(name));
      expect((failure as Error).message).not.toContain('\n');
    }
    await expect(writeImage(at('picture.bmp'), small)).rejects.toThrow(FormatError);
    expect(readdirSync(folder)).not.toContain('picture.bmp');
  });
});

describe('crops and sizes', () => {
  it('are black outside the image', () => {
    const part = crop(small, -1, 1, 3, 3);
    expect(pixel(part, 0, 0)).toEqual([0, 0, 0]);
    expect(pixel(part, 1, 0)).toEqual(pixel(small, 0, 1));
    expect(pixel(part, 2, 1)).toEqual(pixel(small, 1, 2));
    expect(pixel(part, 2, 2)).toEqual([0, 0, 0]);
    expect(Math.max(...crop(small, 50, 50, 2, 2).data)).toBe(0);
    expect(cropRoi(small, [0.5, 0.5, 2.5, 1.5])).toMatchObject({ width: 2, height: 2 }); // halves to even
  });

  it('resizing keeps a constant and its own size', () => {
    expect(resizeBilinear(small, 3, 5).data).toEqual(small.data);
    const flat: Pixels = { data: new Uint8Array(3 * 35).fill(77), height: 5, width: 7 };
    expect([...new Set(resizeBilinear(flat, 13, 4).data)]).toEqual([77]);
  });

  const photo = sharedPath('data/faces/3ddfa-v2/JianzhuGuo.jpg');
  const reference = sharedPath('data/reference/JianzhuGuo.safetensors');
  it.runIf(photo && reference)('the crop of the reference photo is the reference crop, bit for bit', async () => {
    if (!photo || !reference) return;
    const { roi, crop120_bgr } = loadSafetensors(reference);
    const made = resizeBilinear(cropRoi(await readPixels(photo), [...roi.dataSync()]), 120, 120);
    const bgr = crop120_bgr.dataSync();
    expect(made.data).toEqual(Uint8Array.from(bgr, (_, i) => bgr[i - (i % 3) + 2 - (i % 3)]));
  });
});

describe('pictures for people', () => {
  it('landmarks change the photo only near them', () => {
    const black: Pixels = { data: new Uint8Array(3 * 50 * 50), height: 50, width: 50 };
    const points = Float32Array.from({ length: 136 }, (_, i) => (i % 2 === 0 ? 10 + ((i / 2) % 8) : 12));
    const drawn = drawLandmarks(black, points);
    expect(Math.max(...pixel(drawn, 12, 12))).toBeGreaterThan(100);
    expect(Math.max(...drawn.data.subarray(3 * 50 * 20))).toBe(0);
    expect(Math.max(...black.data)).toBe(0);
  });

  it('a contact sheet holds every image where it belongs', () => {
    const cell = (v: number) => tensor(new Uint8Array(27).fill(v), { shape: [3, 3, 3], dtype: 'u8' });
    const sheet = contactSheet([cell(10), cell(20), cell(30)], { columns: 2, gap: 1, background: [1, 2, 3] });
    expect([sheet.height, sheet.width]).toEqual([9, 9]);
    expect([
      pixel(sheet, 0, 0),
      pixel(sheet, 2, 2),
      pixel(sheet, 6, 2),
      pixel(sheet, 2, 6),
      pixel(sheet, 6, 6),
    ]).toEqual([
      [1, 2, 3],
      [10, 10, 10],
      [20, 20, 20],
      [30, 30, 30],
      [1, 2, 3],
    ]);
  });
});
