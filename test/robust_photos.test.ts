// Photos as people have them: every kind of file, many faces, none, tiny and huge ones, turned ones, through the whole command;
// processes beside one another, and the table of faces.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadDetector, loadRegressor } from '../src/pipeline/detect.js';
import { loadFaceModel } from '../src/pipeline/face_model.js';
import { fitPhoto } from '../src/pipeline/fit.js';
import type { Fit } from '../src/pipeline/fit-face.js';
import { type Pixels, readPixels } from '../src/pipeline/image.js';
import { turnFitBack, turnPixels } from '../src/pipeline/turn.js';
import { lines, rescunet } from './cli/run.js';
import { sharedPath } from './shared.js';

const root = mkdtempSync(join(tmpdir(), 'robust-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const weights = sharedPath('data/weights');
const model = sharedPath('data/bfm/bfm_3ddfa.safetensors');
const photos = sharedPath('data/faces/3ddfa-v2');
const absent = !weights || !model || !photos;

const WIDTH = 413;
const HEIGHT = 551;
type Point = [number, number];

/** Mean distance of landmarks from where they should be, in percent of the size of the face. */
function error(landmarks: readonly number[][], base: readonly number[][], to: (x: number, y: number) => Point): number {
  const wanted = base.map(([x, y]) => to(x, y));
  const xs = wanted.map(([x]) => x);
  const ys = wanted.map(([, y]) => y);
  const size = Math.sqrt((Math.max(...xs) - Math.min(...xs)) * (Math.max(...ys) - Math.min(...ys)));
  const sum = landmarks.reduce((total, [x, y], i) => total + Math.hypot(x - wanted[i][0], y - wanted[i][1]), 0);
  return (100 * sum) / 68 / size;
}

const same = (x: number, y: number): Point => [x, y];
const scaled =
  (kx: number, ky: number) =>
  (x: number, y: number): Point => [(x + 0.5) * kx - 0.5, (y + 0.5) * ky - 0.5];
const turned =
  (degrees: number) =>
  (x: number, y: number): Point => {
    const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
    const width = Math.round(Math.abs(WIDTH * c) + Math.abs(HEIGHT * s));
    const height = Math.round(Math.abs(WIDTH * s) + Math.abs(HEIGHT * c));
    const [dx, dy] = [x - WIDTH / 2, y - HEIGHT / 2];
    return [c * dx - s * dy + width / 2, s * dx + c * dy + height / 2];
  };

describe.skipIf(absent)('photos of one face', () => {
  const source = join(String(photos), 'JianzhuGuo.jpg');
  const album = join(root, 'album');
  const networks = ['--weights-dir', String(weights), '--model', String(model)];
  const TINY = 0.19; // the face is 32 pixels wide

  /** What the landmarks should be, and how far off they may be; the 8-bit copies differ by rounding and compression. */
  const cases: Record<string, { to: (x: number, y: number) => Point; within: number }> = {
    'plain.png': { to: same, within: 1e-6 },
    'grey.png': { to: same, within: 2.5 },
    'grey16.png': { to: same, within: 2.5 },
    'alpha.png': { to: same, within: 0.5 },
    'deep.png': { to: same, within: 0.5 },
    'cmyk.tif': { to: same, within: 2 },
    'moving.gif': { to: same, within: 2 },
    'moving.webp': { to: same, within: 2 },
    'tiny.png': { to: scaled(78 / WIDTH, 104 / HEIGHT), within: 5 },
    'huge.jpg': { to: scaled(3000 / WIDTH, 4002 / HEIGHT), within: 2 },
    'tilted.png': { to: turned(30), within: 4 },
    'lying.png': { to: turned(90), within: 4 },
    'upside.png': { to: turned(180), within: 4 },
  };
  interface Photo {
    file: string;
    status: string;
    error?: string;
    faces: { landmarks: number[][]; box: number[]; score: number; roll: number; parameters: number[] }[];
  }
  let found: Map<string, Photo>;
  let printed: { code: number; stdout: string; stderr: string };
  const table = join(root, 'faces.csv');

  beforeAll(async () => {
    mkdirSync(album);
    const at = (name: string) => join(album, name);
    const photo = () => sharp(source);
    const frame = await photo().png().toBuffer();
    const dark = await photo().negate().png().toBuffer();
    await Promise.all([
      photo().png().toFile(at('plain.png')),
      photo().greyscale().toColourspace('b-w').png().toFile(at('grey.png')),
      photo().greyscale().toColourspace('grey16').png().toFile(at('grey16.png')),
      photo().ensureAlpha().png().toFile(at('alpha.png')),
      photo().toColourspace('rgb16').png().toFile(at('deep.png')),
      photo().toColourspace('cmyk').tiff().toFile(at('cmyk.tif')),
      sharp([frame, dark], { join: { animated: true } })
        .gif({ effort: 1 })
        .toFile(at('moving.gif')),
      sharp([frame, dark], { join: { animated: true } })
        .webp({ effort: 0, quality: 90 })
        .toFile(at('moving.webp')),
      photo()
        .resize(Math.round(WIDTH * TINY), Math.round(HEIGHT * TINY), { fit: 'fill' })
        .png()
        .toFile(at('tiny.png')),
      photo().resize(3000, 4002, { fit: 'fill' }).jpeg().toFile(at('huge.jpg')),
      photo().rotate(30, { background: '#808080' }).png().toFile(at('tilted.png')),
      photo().rotate(90).png().toFile(at('lying.png')),
      photo().rotate(180).png().toFile(at('upside.png')),
      sharp({ create: { width: 320, height: 240, channels: 3, background: '#808890' } })
        .png()
        .toFile(at('wall.png')),
    ]);
    writeFileSync(at('torn.jpg'), frame.subarray(0, 3000));
    const common = ['--faces', 'all', '--workers', '2', '--csv', table, '--json'];
    printed = await rescunet('fit', album, ...networks, ...common, '--out', join(root, 'out'));
    const { photos: list } = JSON.parse(printed.stdout) as { photos: Photo[] };
    found = new Map(list.map((p) => [p.file.slice(album.length + 1), p]));
  });

  test('the files are what they are called', async () => {
    const about = async (name: string) => {
      const { channels, depth, space, pages, hasAlpha } = await sharp(join(album, name)).metadata();
      return { channels, depth, space, pages, hasAlpha };
    };
    expect(await about('grey.png')).toMatchObject({ channels: 1, depth: 'uchar' });
    expect(await about('grey16.png')).toMatchObject({ channels: 1, depth: 'ushort' });
    expect(await about('alpha.png')).toMatchObject({ channels: 4, hasAlpha: true });
    expect(await about('deep.png')).toMatchObject({ channels: 3, depth: 'ushort' });
    expect(await about('cmyk.tif')).toMatchObject({ channels: 4, space: 'cmyk' });
    expect((await about('moving.gif')).pages).toBe(2);
    expect((await about('moving.webp')).pages).toBe(2);
  });

  test.each(Object.keys(cases))('%s', (name) => {
    const { to, within } = cases[name];
    const { status, faces } = found.get(name) as Photo;
    expect(status).toBe('done');
    const base = (found.get('plain.png') as Photo).faces[0].landmarks;
    expect(error(faces[0].landmarks, base, to)).toBeLessThan(within);
    expect(faces[0].score).toBeGreaterThan(0.5);
    expect(faces[0].parameters).toHaveLength(62);
    const [left, top, right, bottom] = faces[0].box;
    const nose = faces[0].landmarks[30];
    expect(nose[0] > left && nose[0] < right && nose[1] > top && nose[1] < bottom).toBe(true);
  });

  test('turned photos say so', () => {
    const roll = (name: string) => (found.get(name) as Photo).faces[0].roll;
    const upright = roll('plain.png');
    expect(Math.abs(roll('tilted.png') - (upright - 30))).toBeLessThan(5);
    expect(Math.abs(roll('lying.png') - (upright - 90))).toBeLessThan(5);
    expect(Math.abs(Math.abs(roll('upside.png') - upright) - 180)).toBeLessThan(5);
  });

  test('no face and a torn file are one line each, the others are done', () => {
    expect(printed.code).toBe(2);
    expect(lines(printed.stderr)).toHaveLength(2);
    expect(found.get('wall.png')).toMatchObject({ status: 'failed' });
    expect((found.get('wall.png') as Photo).error).toMatch(/wall.png: no face found/);
    expect((found.get('torn.jpg') as Photo).error).toMatch(/torn.jpg: image: cannot be decoded/);
    // Two files of one stem keep their endings.
    const folders = Object.keys(cases).map((name) => (name.startsWith('moving') ? name : name.replace(/\.\w+$/, '')));
    expect(readdirSync(join(root, 'out')).sort()).toEqual(folders.sort());
  });

  test('the table has a row per face, the numbers of --json', () => {
    const rows = lines(readFileSync(table, 'utf8')).map((row) => row.trimEnd().split(','));
    expect(rows[0].slice(0, 8)).toEqual(['file', 'face', 'method', 'left', 'top', 'right', 'bottom', 'score']);
    expect(rows[0]).toHaveLength(13 + 3 * 68 + 40 + 10 + 62);
    expect(new Set(rows.map((row) => row.length)).size).toBe(1);
    const faces = [...found.values()].reduce((sum, p) => sum + (p.faces?.length ?? 0), 0);
    expect(rows).toHaveLength(1 + faces);
    const row = rows.find(([file]) => file.endsWith('plain.png')) as string[];
    const { faces: of } = found.get('plain.png') as Photo;
    const column = (name: string) => Number(row[rows[0].indexOf(name)]);
    expect(column('roll')).toBeCloseTo(of[0].roll, 3);
    expect(column('x31')).toBeCloseTo(of[0].landmarks[30][0], 2);
    expect(column('parameter62')).toBeCloseTo(of[0].parameters[61], 4);
  });

  test('one process gives the same numbers; a second run reads them back', async () => {
    const alone = join(root, 'alone.csv');
    const again = join(root, 'again.csv');
    const two = [join(album, 'plain.png'), join(album, 'tilted.png')];
    const common = [...networks, '--faces', 'all', '--json'];
    expect((await rescunet('fit', ...two, ...common, '--csv', alone, '--out', join(root, 'alone'))).code).toBe(0);
    const second = await rescunet(
      'fit',
      ...two,
      ...common,
      '--csv',
      again,
      '--out',
      join(root, 'alone'),
      '--workers',
      '2',
    );
    expect(JSON.parse(second.stdout).skipped).toBe(2);
    expect(readFileSync(again, 'utf8')).toBe(readFileSync(alone, 'utf8'));
    const row = (file: string, name: string) => lines(readFileSync(file, 'utf8')).find((line) => line.includes(name));
    expect(row(table, 'tilted.png')).toBe(row(alone, 'tilted.png'));
  });

  test('several faces are all there', async () => {
    const group = join(String(photos), 'trump_hillary.jpg');
    const csv = join(root, 'group.csv');
    const { code, stdout } = await rescunet(
      'fit',
      group,
      ...networks,
      '--faces',
      'all',
      '--csv',
      csv,
      '--out',
      join(root, 'group'),
      '--json',
    );
    expect(code).toBe(0);
    const { faces } = JSON.parse(stdout).photos[0];
    expect(faces.length).toBeGreaterThanOrEqual(2);
    expect(lines(readFileSync(csv, 'utf8'))).toHaveLength(1 + faces.length);
  });
});

test('a table that cannot be written is refused before any work', async () => {
  writeFileSync(
    join(root, 'p.png'),
    await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
      .png()
      .toBuffer(),
  );
  for (const [csv, reason] of [
    [join(root, 'no', 'x.csv'), /there is no folder/],
    [join(root, 'x.txt'), /ends in .csv/],
  ] as const) {
    const { code, stderr } = await rescunet(
      'fit',
      join(root, 'p.png'),
      '--landmarks',
      'l.json',
      '--csv',
      csv,
      '--out',
      join(root, 'o'),
    );
    expect(code).toBe(2);
    expect(stderr).toMatch(reason);
  }
});

const annotated = sharedPath('data/faces/aflw2000');
test.skipIf(absent || !annotated)('photos on a side and upside down are fitted as the upright ones', async () => {
  const face = loadFaceModel(String(model));
  const regressor = loadRegressor(join(String(weights), 'mb05_120x120.safetensors'));
  const detector = loadDetector({ kind: 'faceboxes', weights: [join(String(weights), 'FaceBoxesProd.safetensors')] });
  const rollOf = async (photo: Pixels) => {
    const [{ roll }] = await fitPhoto(photo, { model: face, regressor, detector, faces: 'largest' });
    return roll;
  };
  for (const name of readdirSync(String(annotated)).filter((file) => file.endsWith('.jpg'))) {
    const photo = await readPixels(join(String(annotated), name));
    const upright = await rollOf(photo);
    for (const [quarters, angle] of [90, 180, 90].entries()) {
      const difference = (await rollOf(turnPixels(photo, quarters + 1))) - upright;
      const turn = Math.abs(((difference + 540) % 360) - 180);
      expect(Math.abs(turn - angle), `${name} turned ${quarters + 1} times`).toBeLessThan(20);
    }
  }
});

test('a fit in a turned photo comes back to the photo', () => {
  const image = { data: Uint8Array.from({ length: 3 * 2 * 3 }, (_, i) => i), width: 3, height: 2 };
  const once = turnPixels(image, 1);
  expect([once.width, once.height]).toEqual([2, 3]);
  expect([...once.data.subarray(0, 6)]).toEqual([9, 10, 11, 0, 1, 2]);
  expect(turnPixels(once, 3)).toEqual(image);
  for (const quarters of [1, 2, 3]) {
    // The pixel (2, 1) of the photo, in the turned one.
    const seen = turnPixels(image, quarters);
    const at = seen.data.indexOf(15) / 3;
    const [x, y] = [at % seen.width, Math.floor(at / seen.width)];
    const fit = {
      camera: Float64Array.of(1, 0, 0, x, 0, -1, 0, y, 0, 0, 1, 0),
      landmarks: Float32Array.of(x, y, 5),
      vertices: Float32Array.of(x, y, 5),
      box: [x, y, x + 1, y + 1],
      roll: 0,
    } as unknown as Fit;
    const back = turnFitBack(fit, quarters, image);
    expect([...back.landmarks]).toEqual([2, 1, 5]);
    expect([back.camera[3], back.camera[7], back.turned]).toEqual([2, 1, quarters]);
    expect(Math.abs(back.roll)).toBeCloseTo([0, 90, 180, 90][quarters], 4);
  }
});
