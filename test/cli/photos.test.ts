// The commands over photos, from the demo's person to real photos: what they write, what they refuse, how they go on.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readObj } from '../../src/formats/obj.js';
import { sharedPath } from '../shared.js';
import { lines, rescunet } from './run.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-photos-'));
const at = (...names: string[]) => join(root, ...names);
const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'));
const ls = (folder: string) => readdirSync(folder).sort();
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Opens every file as what it says it is. */
async function checkFiles(folder: string, files: string[]): Promise<void> {
  for (const name of files) {
    const file = join(folder, name);
    if (name.endsWith('.png')) {
      const { width, height } = (await sharp(file).raw().toBuffer({ resolveWithObject: true })).info;
      expect(width * height, name).toBeGreaterThan(100);
    } else if (name.endsWith('.glb')) {
      const bytes = readFileSync(file);
      expect(bytes.subarray(0, 4).toString('latin1')).toBe('glTF');
      expect(bytes.readUInt32LE(8)).toBe(bytes.length);
      const { images, meshes } = JSON.parse(bytes.subarray(20, 20 + bytes.readUInt32LE(12)).toString('utf8'));
      expect([images.length, meshes.length]).toEqual([1, 1]);
    } else if (name.endsWith('.obj')) {
      const { vertices, triangles, uv } = readObj(file);
      expect(vertices.shape[0]).toBeGreaterThan(1000);
      expect(triangles.shape[0]).toBeGreaterThan(1000);
      expect(uv?.shape[0]).toBe(vertices.shape[0]);
    } else if (name.endsWith('.json')) expect(json(file).landmarks).toHaveLength(68);
    else expect(statSync(file).size, name).toBeGreaterThan(10);
  }
}

const MAPS = [
  'completed.png',
  'face.glb',
  'face.mtl',
  'face.obj',
  'face.png',
  'fit.json',
  'incomplete.png',
  'mask.png',
  'photo.png',
];

// The demo's photo and landmarks are what the other tests work on.
let demo: Awaited<ReturnType<typeof rescunet>>;
beforeAll(async () => {
  const own = ['--seed', '3', '--fit', 'landmarks', '--yaw', '-40:40:40'];
  demo = await rescunet('demo', ...own, '--out', at('demo'), '--json');
  mkdirSync(at('album'));
  mkdirSync(at('points'));
  for (const name of ['one', 'two']) {
    copyFileSync(at('demo', 'photo.png'), at('album', `${name}.png`));
    copyFileSync(at('demo', 'fit.json'), at('points', `${name}.json`));
  }
  writeFileSync(at('album', 'torn.jpg'), Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16, 74, 70, 73, 70]));
}, 120_000);

const small = ['--size', '64', '--view-size', '48'];
const points = () => ['--landmarks', at('points')];

describe('demo', () => {
  test('writes what it lists, all of it sound', async () => {
    expect({ code: demo.code, stderr: demo.stderr }).toEqual({ code: 0, stderr: '' });
    const { files, folder } = JSON.parse(demo.stdout);
    expect(folder).toBe(at('demo'));
    for (const name of [...MAPS, 'sheet.png', 'views/yaw-40.png', 'views/yaw+00.png', 'views/yaw+40.png']) {
      expect(files).toContain(name);
    }
    await checkFiles(folder, files);
    expect(ls(at('demo', 'views'))).toHaveLength(3);
  });

  test('finds the pose and completes better than it found', () => {
    const { pose, before, face, hidden, fit } = JSON.parse(demo.stdout);
    expect(fit).toBe('landmarks');
    expect(pose.error).toBeLessThan(2);
    expect(face.psnr).toBeGreaterThan(before.psnr + 3);
    expect(face.ssim).toBeGreaterThan(before.ssim);
    expect(hidden.psnr).toBeGreaterThan(15);
  });
});

describe('stages', () => {
  test.each([
    ['fit', ['fit.json', 'photo.png'], []],
    ['unwrap', ['fit.json', 'incomplete.png', 'mask.png', 'photo.png'], ['--size', '64']],
    ['complete', MAPS, ['--size', '64']],
    ['synth', [...MAPS, 'sheet.png', 'views'].sort(), [...small, '--yaw', '-30,30', '--pitch', '-10:10:20']],
  ])('%s writes its files', async (command, wanted, options) => {
    const out = at(command);
    const { code, stdout, stderr } = await rescunet(
      command,
      at('album', 'one.png'),
      ...points(),
      '--out',
      out,
      ...options,
      '--json',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(ls(join(out, 'one'))).toEqual(wanted);
    const [photo] = JSON.parse(stdout).photos;
    expect(photo).toMatchObject({ status: 'done', folder: join(out, 'one') });
    expect(photo.faces[0].rmse).toBeLessThan(1);
    await checkFiles(join(out, 'one'), photo.files);
  });

  test('views are named by their angles and have the size asked for', async () => {
    const views = ['yaw+30_pitch+10.png', 'yaw+30_pitch-10.png', 'yaw-30_pitch+10.png', 'yaw-30_pitch-10.png'];
    expect(ls(at('synth', 'one', 'views'))).toEqual(views);
    expect((await sharp(at('synth', 'one', 'views', views[0])).metadata()).width).toBe(48);
    expect((await sharp(at('synth', 'one', 'completed.png')).metadata()).width).toBe(64);
  });

  test('what is hidden is drawn by the generator that ships, or mirrored', async () => {
    const completed = async (name: string, ...options: string[]) => {
      const argv = ['complete', at('album', 'one.png'), ...points(), '--out', at(name), ...options];
      const { code, stderr } = await rescunet(...argv);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return sharp(at(name, 'one', 'completed.png'))
        .raw()
        .toBuffer();
    };
    const drawn = await completed('drawn', '--size', '96');
    const mirrored = await completed('mirrored', '--size', '96', '--completion', 'mirror');
    const alone = await completed('alone', '--size', '96', '--no-composite');
    const mask = await sharp(at('drawn', 'one', 'mask.png'))
      .raw()
      .toBuffer();
    const difference = (a: Buffer, b: Buffer, seen: boolean) => {
      let [sum, count] = [0, 0];
      for (let p = 0; p < 96 * 96; p++) {
        if (mask[(mask.length / (96 * 96)) * p] > 0 !== seen || a[3 * p] + b[3 * p] === 0) continue;
        sum += Math.abs(a[3 * p] - b[3 * p]);
        count++;
      }
      return sum / count;
    };
    expect(difference(drawn, mirrored, false)).toBeGreaterThan(2);
    expect(difference(drawn, mirrored, true)).toBeLessThan(0.5 * difference(drawn, alone, true));
    await completed('odd', '--size', '100'); // no multiple of 32: it works at its own size
  });

  test('render draws a completed folder again, without the photo', async () => {
    const run = await rescunet(
      'render',
      at('synth', 'one'),
      '--yaw',
      '-20',
      '--view-size',
      '32',
      '--out',
      at('again'),
      '--json',
    );
    expect({ code: run.code, stderr: run.stderr }).toEqual({ code: 0, stderr: '' });
    expect(ls(at('again', 'one'))).toEqual(['sheet.png', 'views']);
    expect(ls(at('again', 'one', 'views'))).toEqual(['yaw-20.png']);
    const refused = await rescunet('render', at('fit', 'one'), '--yaw', '0');
    expect(refused.code).toBe(2);
    expect(lines(refused.stderr)).toHaveLength(1);
    expect(refused.stderr).toMatch(/complete/);
  });
});

describe('batches', () => {
  const batch = (...more: string[]) =>
    rescunet('complete', at('album'), at('gone.jpg'), ...points(), '--size', '64', '--out', at('batch'), ...more);

  test('a corrupt photo and a missing one cost one line each, the others are done', async () => {
    const { code, stdout, stderr } = await batch();
    expect(code).toBe(2);
    const problems = lines(stderr);
    expect(problems).toHaveLength(2);
    expect(problems[0]).toContain('gone.jpg');
    expect(problems[1]).toContain('torn.jpg');
    expect(lines(stdout)).toHaveLength(3);
    expect(lines(stdout)[2]).toBe('2 done, 2 failed');
    expect(ls(at('batch'))).toEqual(['one', 'two']);
  });

  test('a second run leaves finished photos alone, does torn folders again, and says so as JSON', async () => {
    rmSync(at('batch', 'two', 'face.glb'));
    const before = statSync(at('batch', 'one', 'fit.json')).mtimeMs;
    const { code, stdout, stderr } = await batch('--json');
    const { done, skipped, failed, photos } = JSON.parse(stdout);
    expect({ code, done, skipped, failed }).toEqual({ code: 2, done: 1, skipped: 1, failed: 2 });
    expect(photos.map(({ status }: { status: string }) => status).sort()).toEqual([
      'done',
      'failed',
      'failed',
      'skipped',
    ]);
    expect(lines(stderr)).toHaveLength(2);
    expect(existsSync(at('batch', 'two', 'face.glb'))).toBe(true);
    expect(statSync(at('batch', 'one', 'fit.json')).mtimeMs).toBe(before);
    const forced = JSON.parse((await batch('--force', '--json')).stdout);
    expect(forced).toMatchObject({ done: 2, skipped: 0 });
  });

  test('other settings do a photo again and leave no old view', async () => {
    const synth = (yaw: string) =>
      rescunet('synth', at('album', 'one.png'), ...points(), ...small, '--yaw', yaw, '--out', at('turned'), '--quiet');
    expect(await synth('-20,20')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(await synth('0')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(ls(at('turned', 'one', 'views'))).toEqual(['yaw+00.png']);
  });

  test('photos of one name keep to their own folders', async () => {
    mkdirSync(at('left'));
    mkdirSync(at('right'));
    for (const side of ['left', 'right']) copyFileSync(at('album', 'one.png'), at(side, 'one.png'));
    const { code } = await rescunet('fit', at('left'), at('right'), ...points(), '--out', at('sides'));
    expect(code).toBe(0);
    expect(ls(at('sides'))).toEqual(['left_one.png', 'right_one.png']);
  });
});

describe('what is missing is named before any photo is read', () => {
  test.each([
    [[], /--weights/],
    [['--weights', at('gone.pth')], /gone\.pth/],
    [['--weights-dir', at('gone')], /--weights-dir/],
    [['--landmarks', at('gone.json')], /gone\.json/],
    [['--landmarks', at('points'), '--model', at('gone.safetensors')], /gone\.safetensors/],
    [['--landmarks', at('points'), '--generator', at('gone.safetensors')], /gone\.safetensors/],
    [['--landmarks', at('points'), '--generator', 'x', '--completion', 'mirror'], /--completion/],
    [['--landmarks', at('points'), '--generator', 'x', '--size', '100'], /--generator x: there is no such file/],
    [['--landmarks', at('points', 'one.json'), at('album', 'two.png')], /one photo/],
    [['--box', '1,2,30,40', at('album', 'two.png')], /one photo/],
    [['--landmarks', at('album', 'torn.jpg')], /68 points/],
  ])('%j', async (options, wanted) => {
    const { code, stdout, stderr } = await rescunet('synth', at('album', 'one.png'), '--out', at('none'), ...options);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(wanted);
    expect(lines(stderr)).toHaveLength(1);
    expect(existsSync(at('none', 'one'))).toBe(false);
  });

  test('a detector', async () => {
    const { code, stderr } = await rescunet('detect', at('album', 'one.png'));
    expect(code).toBe(2);
    expect(lines(stderr)).toHaveLength(1);
    expect(stderr).toMatch(/FaceBoxesProd/);
  });
});

const weights = sharedPath('data/weights');
const model = sharedPath('data/bfm/bfm_3ddfa.safetensors');
const photos = sharedPath('data/faces/3ddfa-v2');
const absent = !weights || !model || !photos;

describe.skipIf(absent)('real photos', () => {
  const networks = ['--weights-dir', String(weights), '--model', String(model)];
  const photo = join(String(photos), 'JianzhuGuo.jpg');

  test('synth: the pose of the original program, nine views', async () => {
    const { code, stdout, stderr } = await rescunet(
      'synth',
      photo,
      '--yaw',
      '-80:80:20',
      '--out',
      at('real'),
      ...networks,
      '--json',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [{ folder, files, faces }] = JSON.parse(stdout).photos;
    await checkFiles(folder, files);
    expect(ls(join(folder, 'views'))).toHaveLength(9);
    const { yaw, pitch, roll } = faces[0];
    const wanted = [-0.424, 2.369, 5.58];
    [yaw, pitch, roll].forEach((angle, i) => {
      expect(Math.abs(angle - wanted[i])).toBeLessThan(0.3);
    });
  }, 60_000);

  test('detect: boxes of both detectors; a photo without a face is one line', async () => {
    await sharp({ create: { width: 300, height: 200, channels: 3, background: '#808890' } })
      .png()
      .toFile(at('wall.png'));
    for (const detector of ['faceboxes', 'mtcnn']) {
      const run = await rescunet(
        'detect',
        photo,
        at('wall.png'),
        '--detector',
        detector,
        '--weights-dir',
        String(weights),
        '--json',
      );
      expect(run.code).toBe(2);
      expect(lines(run.stderr)).toHaveLength(1);
      expect(run.stderr).toContain('wall.png');
      const { box } = JSON.parse(run.stdout).photos[0].faces[0];
      [120, 93, 291, 312].forEach((edge, i) => {
        expect(Math.abs(box[i] - edge)).toBeLessThan(15);
      });
    }
  }, 60_000);

  test('a box instead of a detector, and a regressor without its face model', async () => {
    const regressor = ['--weights', join(String(weights), 'mb05_120x120.safetensors')];
    const box = ['--box', '119.6,93.5,290.7,312.4', '--out', at('boxed')];
    const fitted = await rescunet('fit', photo, ...regressor, ...box, '--model', String(model), '--json');
    expect({ code: fitted.code, stderr: fitted.stderr }).toEqual({ code: 0, stderr: '' });
    expect(Math.abs(JSON.parse(fitted.stdout).photos[0].faces[0].roll - 5.58)).toBeLessThan(0.3);
    const refused = await rescunet('fit', photo, ...regressor, ...box);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/--model/);
  }, 60_000);

  test('every face of a photo in its own folder', async () => {
    const { code, stdout } = await rescunet(
      'fit',
      join(String(photos), 'trump_hillary.jpg'),
      '--faces',
      'all',
      '--out',
      at('two'),
      ...networks,
      '--json',
    );
    expect(code).toBe(0);
    const [{ folder, faces, files }] = JSON.parse(stdout).photos;
    expect(faces).toHaveLength(2);
    expect(ls(folder)).toEqual(['face-2', 'fit.json', 'photo.png']);
    await checkFiles(folder, files);
  }, 60_000);
});
