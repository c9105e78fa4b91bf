// rescunet augment on real photos: what it writes, that parts and second runs fit together, and that failures are listed.
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, test } from 'vitest';
import { writeImage } from '../../src/pipeline/image.js';
import { identityPhotos } from '../../src/pipeline/recognise/index.js';
import { sharedPath } from '../shared.js';
import { lines, rescunet } from './run.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-augment-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('photos of an identity are spread evenly over its names; equal stems keep their endings', () => {
  const folder = join(root, 'names');
  mkdirSync(join(folder, 'x'), { recursive: true });
  mkdirSync(join(folder, 'empty'));
  for (let i = 0; i < 6; i++) copyFileSync(new URL(import.meta.url), join(folder, 'x', `${i}.jpg`));
  copyFileSync(new URL(import.meta.url), join(folder, 'x', '5.png'));
  const names = (most?: number) => identityPhotos(folder, most).map(({ stem }) => stem);
  expect(names()).toEqual(['0', '1', '2', '3', '4', '5_jpg', '5_png']);
  expect(names(3)).toEqual(['0', '2', '4']);
  expect(() => identityPhotos(join(folder, 'x'))).toThrow(/holds no photos in folders, one for each identity/);
  expect(() => identityPhotos(join(folder, 'none'))).toThrow(/cannot be read/);
});

const data = sharedPath('data');
describe.skipIf(!data)('on real photos', () => {
  if (!data) return;
  const weights = ['--weights-dir', join(data, 'weights'), '--model', join(data, 'bfm/bfm_3ddfa.safetensors')];
  const faces = join(root, 'faces');
  const out = join(root, 'out');
  const settings = [faces, ...weights, '--out', out, '--yaw', '-40,60', '--size', '128'];
  const manifest = () => JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'));

  test('two parts make one set; a photo without a face is listed; a second run does only what is missing', async () => {
    for (const [person, photo] of [
      ['b', 'b1.jpg'],
      ['c', 'c1.jpg'],
    ]) {
      mkdirSync(join(faces, person), { recursive: true });
      copyFileSync(join(data, 'faces/public-domain', photo), join(faces, person, photo));
    }
    await writeImage(join(faces, 'c', 'wall.png'), {
      data: new Uint8Array(3 * 64 * 64).fill(128),
      height: 64,
      width: 64,
    });
    const first = await rescunet('augment', ...settings, '--part', '1/2');
    expect(first.code).toBe(2); // the wall
    expect(lines(first.stderr)).toHaveLength(1);
    expect(first.stderr).toMatch(/wall\.png: no face found/);
    expect(manifest()).toMatchObject({ complete: false, identities: ['b'] });
    const second = await rescunet('augment', ...settings, '--part', '2/2');
    expect([second.stderr, second.code]).toEqual(['', 0]);
    const { complete, images, failed } = manifest();
    expect(complete).toBe(true);
    expect(images.map(({ file }: { file: string }) => file)).toEqual(
      ['b/b1', 'c/c1'].flatMap((stem) => ['photo', 'yaw-40', 'yaw+60'].map((view) => `${stem}_${view}.png`)),
    );
    expect(images.map(({ yaw }: { yaw: number }) => yaw).slice(1, 3)).toEqual([-40, 60]);
    expect(failed).toEqual([{ photo: join(faces, 'c/wall.png'), problem: expect.stringMatching(/no face found/) }]);
    expect(readdirSync(join(out, 'b')).sort()).toEqual(['b1.json', 'b1_photo.png', 'b1_yaw+60.png', 'b1_yaw-40.png']);
    const { width, height } = await sharp(join(out, 'b/b1_yaw+60.png')).metadata();
    expect([width, height]).toEqual([112, 112]);

    const kept = statSync(join(out, 'b/b1_photo.png')).mtimeMs;
    rmSync(join(out, 'c/c1_yaw-40.png'));
    const third = await rescunet('augment', ...settings);
    expect(third.stdout).toMatch(/1 done, 1 already finished .*, 1 failed/);
    expect(statSync(join(out, 'b/b1_photo.png')).mtimeMs).toBe(kept);
    expect(readdirSync(join(out, 'c'))).toContain('c1_yaw-40.png');
  });

  test('turned left and right, the face fills its crop and differs from the photo', async () => {
    const grey = (name: string) =>
      sharp(join(out, 'b', name))
        .greyscale()
        .raw()
        .toBuffer();
    const [photo, left, right] = await Promise.all(['b1_photo.png', 'b1_yaw-40.png', 'b1_yaw+60.png'].map(grey));
    const difference = (a: Buffer, b: Buffer) => a.reduce((sum, v, i) => sum + Math.abs(v - b[i]), 0) / a.length;
    expect(difference(photo, left)).toBeGreaterThan(8);
    expect(difference(left, right)).toBeGreaterThan(8);
  });

  test.each([
    [[join(root, 'nowhere')], /nowhere: folder: cannot be read/],
    [[faces, '--out', faces], /--out .*: is the folder of the photos/],
    [[faces, '--part', '3/2'], /A part is number\/of/],
    [[faces, '--box', '1,2,30,40'], /--box is for single photos/],
  ])('refuses %j', async (args, message) => {
    const ran = await rescunet('augment', ...args, ...weights);
    expect(ran.code).toBe(2);
    expect(lines(ran.stderr)).toHaveLength(1);
    expect(ran.stderr).toMatch(message);
  });
});
