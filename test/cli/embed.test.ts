// rescunet embed: what it prints and writes for real photos, and what it refuses.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readSafetensors, readSafetensorsMetadata } from '../../src/formats/safetensors.js';
import { cosineSimilarity } from '../../src/pipeline/recognise/index.js';
import { sharedPath } from '../shared.js';
import { lines, rescunet } from './run.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-embed-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('what is missing is named before any work', async () => {
  const photo = join(root, 'photo.png');
  writeFileSync(photo, 'no image');
  const { code, stderr } = await rescunet('embed', photo);
  expect(code).toBe(2);
  expect(lines(stderr)).toHaveLength(1);
  expect(stderr).toMatch(/embeddings need --recogniser .*RESCUNET_WEIGHTS/);
  const missing = await rescunet('embed', photo, '--recogniser', join(root, 'none.pth'));
  expect(missing.stderr).toMatch(/--recogniser .*none\.pth: does not exist/);
});

const data = sharedPath('data');
describe.skipIf(!data)('on real photos', () => {
  if (!data) return;
  const weights = ['--weights-dir', join(data, 'weights'), '--model', join(data, 'bfm/bfm_3ddfa.safetensors')];
  const [b1, b2, c1] = ['b1.jpg', 'b2.jpg', 'c1.jpg'].map((name) => join(data, 'faces/public-domain', name));

  test('a person is nearer to itself than to another; embeddings and crops are written', async () => {
    const out = join(root, 'all.safetensors');
    const crops = join(root, 'crops');
    const { code, stdout } = await rescunet('embed', b1, b2, c1, ...weights, '--out', out, '--crops', crops, '--json');
    expect(code).toBe(0);
    const { photos } = JSON.parse(stdout);
    const [, same, other] = photos.map(({ faces }: { faces: { cosineToFirst: number }[] }) => faces[0].cosineToFirst);
    expect(same).toBeGreaterThan(0.5);
    expect(other).toBeLessThan(0.35);
    const { embeddings, points } = readSafetensors(out);
    expect([embeddings.shape, points.shape]).toEqual([
      [3, 256],
      [3, 5, 2],
    ]);
    const first = embeddings.data.subarray(0, 256);
    expect(cosineSimilarity(first, photos[0].faces[0].embedding)).toBeGreaterThan(0.999999);
    expect(JSON.parse(readSafetensorsMetadata(out).faces)).toEqual([b1, b2, c1].map((file) => ({ file, face: 1 })));
    expect(readdirSync(crops).sort()).toEqual(['b1.png', 'b2.png', 'c1.png']);
  });

  test('68 landmarks do instead of a fit', async () => {
    const { stdout } = await rescunet('fit', b1, ...weights, '--json', '--out', join(root, 'fits'));
    const [{ faces }] = JSON.parse(stdout).photos;
    const file = join(root, 'points.json');
    writeFileSync(file, JSON.stringify(faces[0].landmarks.map(([x, y]: number[]) => [x, y])));
    const recogniser = ['--recogniser', join(data, 'weights/mobilefacenet_casia_068.safetensors')];
    const marked = await rescunet('embed', b1, '--landmarks', file, ...recogniser, '--json');
    const fitted = await rescunet('embed', b1, ...weights, '--json');
    const [a, b] = [marked, fitted].map((ran) => JSON.parse(ran.stdout).photos[0].faces[0].embedding);
    expect(cosineSimilarity(a, b)).toBeGreaterThan(0.9999);
  });

  test('an --out of no known ending is refused', async () => {
    const { code, stderr } = await rescunet('embed', b1, ...weights, '--out', join(root, 'a.txt'));
    expect(code).toBe(2);
    expect(stderr).toMatch(/--out .*ends in none of \.json, \.safetensors/);
  });
});
