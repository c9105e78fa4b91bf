// Completion by symmetry and the merge of views, on maps whose truth is known.
import { describe, expect, it } from 'vitest';
import { loadSafetensors } from '../../src/formats/safetensors.js';
import { completeByMirror, mergeViews } from '../../src/pipeline/blend.js';
import { readPixels, toTensor } from '../../src/pipeline/image.js';
import { psnr } from '../../src/pipeline/metrics.js';
import { drawMesh, posed } from '../../src/pipeline/render.js';
import { unwrap, uvTable } from '../../src/pipeline/unwrap.js';
import { full, rand, type Tensor, tensor } from '../../src/tensor/index.js';
import { sharedPath } from '../shared.js';
import { paint, u8 } from './surface.js';

const SIZE = 64;
const everywhere = new Uint8Array(SIZE * SIZE).fill(1);

/** A view that saw the pixels chosen, well, and holds rubbish elsewhere. */
function view(truth: Tensor, sees: (x: number, y: number) => boolean, confidence = 0.9) {
  const seen = Uint8Array.from({ length: SIZE * SIZE }, (_, p) => Number(sees(p % SIZE, Math.floor(p / SIZE))));
  const kept = tensor(new Float32Array(seen), { shape: [SIZE, SIZE, 1] });
  const rubbish = rand([SIZE, SIZE, 3], { seed: 9 }).mul(255);
  return {
    texture: truth.mul(kept).add(rubbish.mul(kept.neg().add(1))),
    mask: u8(seen, SIZE),
    confidence: tensor(
      Float32Array.from(seen, (v) => v * confidence),
      { shape: [SIZE, SIZE] },
    ),
    seen,
  };
}

describe('completeByMirror', () => {
  it('restores the hidden half of a symmetric map', () => {
    const truth = paint(SIZE);
    const half = view(truth, (x) => x < 40);
    expect(psnr(completeByMirror(half, everywhere), truth)).toBeGreaterThan(70);
  });

  it('keeps what was seen and joins without a seam when the light comes from a side', () => {
    const truth = paint(SIZE, 60);
    const half = view(truth, (x) => x < 40);
    const done = completeByMirror(half, everywhere);
    expect(psnr(done, truth, { mask: half.mask })).toBe(Number.POSITIVE_INFINITY);
    const values = done.dataSync();
    const mean = truth.dataSync();
    for (let y = 0; y < SIZE; y++) {
      const step = Math.abs(values[3 * (y * SIZE + 40)] - values[3 * (y * SIZE + 39)]);
      const wanted = Math.abs(mean[3 * (y * SIZE + 40)] - mean[3 * (y * SIZE + 39)]);
      expect(step).toBeLessThan(wanted + 4);
    }
  });

  it('what no side saw is filled within the range of its surroundings', () => {
    const truth = full([SIZE, SIZE, 3], 90);
    const done = completeByMirror(
      view(truth, (x, y) => Math.hypot(x - 31.5, y - 31.5) > 12),
      everywhere,
    );
    for (const v of done.dataSync()) expect(Math.abs(v - 90)).toBeLessThan(1e-2);
  });

  it('leaves everything outside the footprint black', () => {
    const footprint = everywhere.map((_, p) => (p % SIZE > 5 && p % SIZE < SIZE - 6 ? 1 : 0));
    const values = completeByMirror(
      view(paint(SIZE), (x) => x > 20 && x < 58),
      footprint,
    ).dataSync();
    footprint.forEach((inside, p) => {
      if (!inside) expect(values[3 * p]).toBe(0);
      else expect(values[3 * p]).toBeGreaterThan(30);
    });
  });

  it('a glimpse at a grazing angle gives way to a good view of the mirror image', () => {
    const truth = paint(SIZE);
    const good = view(truth, (x) => x < 40);
    const wrong = full([SIZE, SIZE, 3], 255);
    const edge = tensor(
      Float32Array.from(everywhere, (_, p) => (p % SIZE >= 50 ? 1 : 0)),
      { shape: [SIZE, SIZE, 1] },
    );
    const texture = good.texture.mul(edge.neg().add(1)).add(wrong.mul(edge));
    const seen = good.seen.map((v, p) => (p % SIZE >= 50 ? 1 : v));
    const confidence = Float32Array.from(seen, (v, p) => (p % SIZE >= 50 ? 0.25 : 0.9 * v));
    const doubtful = { texture, mask: u8(seen, SIZE), confidence: tensor(confidence, { shape: [SIZE, SIZE] }) };
    expect(psnr(completeByMirror(doubtful, everywhere), truth)).toBeGreaterThan(60);
    expect(psnr(completeByMirror(doubtful, everywhere, { trust: 0.1 }), truth)).toBeLessThan(20);
  });

  it('a photo that saw nothing and shapes that do not fit', () => {
    const blind = view(paint(SIZE), () => false);
    for (const v of completeByMirror(blind, everywhere).dataSync()) expect(Number.isFinite(v)).toBe(true);
    expect(() => completeByMirror({ ...blind, mask: u8([1], 1) }, everywhere)).toThrow(
      'completeByMirror: wants texture',
    );
  });
});

describe('mergeViews', () => {
  it('of three partial views of one face is the face, whatever their brightness', () => {
    const truth = paint(SIZE, 40);
    const front = view(truth, (x) => x > 16 && x < 48);
    const left = view(truth.mul(0.8), (x) => x < 30, 0.7);
    const right = view(truth.mul(1.1), (x) => x > 34, 0.7);
    const merged = mergeViews([front, left, right], everywhere);
    expect(psnr(merged, truth)).toBeGreaterThan(35);
    const plain = mergeViews([front, left, right], everywhere, { gain: false });
    expect(psnr(plain, truth)).toBeLessThan(psnr(merged, truth));
  });

  it('one view is itself, its gaps filled', () => {
    const truth = full([SIZE, SIZE, 3], 50);
    const merged = mergeViews([view(truth, (x, y) => x + y > 30)], everywhere);
    for (const v of merged.dataSync()) expect(Math.abs(v - 50)).toBeLessThan(1e-2);
    expect(() => mergeViews([], everywhere)).toThrow('mergeViews: no views');
  });
});

const model = sharedPath('data/bfm/bfm_3ddfa.safetensors');
const person = sharedPath('data/uv-textures/deep3d-204/003.png');

it.runIf(model && person).each([45, -70])('a real face seen at yaw %d is completed close to its truth', async (yaw) => {
  if (!model || !person) return;
  const tensors = loadSafetensors(model);
  const clockwise = tensors.tri.dataSync();
  const triangles = Int32Array.from(clockwise, (_, i) => clockwise[i % 3 === 0 ? i : i % 3 === 1 ? i + 1 : i - 1]);
  const uv = new Float32Array(tensors.uv.dataSync());
  const truth = toTensor(await readPixels(person));
  const table = uvTable(uv, triangles);
  const vertices = posed(new Float32Array(tensors.u.dataSync()), { yaw }, 300);
  const { footprint } = table;
  const photo = drawMesh({ vertices, triangles, uv, texture: truth, footprint }, { size: 300, supersampling: 2 });
  const seen = unwrap(photo.image, vertices, table);
  const mask = u8(footprint, 256);
  const completed = psnr(completeByMirror(seen, footprint), truth, { mask });
  expect(completed).toBeGreaterThan(24);
  expect(completed).toBeGreaterThan(psnr(seen.texture, truth, { mask }) + 6);
});
