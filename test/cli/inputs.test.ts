// Which photos a command line means, and where their results go.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { findPhotos, folderNames } from '../../src/cli/inputs.js';
import { readLandmarks } from '../../src/cli/landmarks.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-inputs-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const write = (name: string, content = '') => {
  const file = join(root, name);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, content);
  return file;
};

describe('photos', () => {
  const a = write('album/a.jpg');
  const b = write('album/b.PNG');
  const deep = write('album/deep/c.webp');
  write('album/notes.txt');
  write('album/.hidden.jpg');
  const bracket = write('odd/x[1].jpg');

  const found = async (...inputs: string[]) => {
    const { photos, problems } = await findPhotos(inputs);
    return { files: photos.map((photo) => photo.file), problems: problems.map((problem) => problem.message) };
  };

  test('files, folders and patterns; each photo once', async () => {
    expect(await found(a)).toEqual({ files: [a], problems: [] });
    expect(await found(join(root, 'album'))).toEqual({ files: [a, b], problems: [] });
    expect(await found(join(root, 'album/**/*'))).toEqual({ files: [a, b, deep], problems: [] });
    expect(await found(join(root, 'album/*.{jpg,png}'), a, join(root, 'album'))).toEqual({
      files: [a, b],
      problems: [],
    });
    expect(await found(bracket)).toEqual({ files: [bracket], problems: [] });
  });

  test('what means no photo is named, the rest is found', async () => {
    mkdirSync(join(root, 'empty'), { recursive: true });
    const inputs = ['gone.jpg', 'empty', 'album/notes.txt', 'album/*.tiff', 'album/a.jpg'].map((name) =>
      join(root, name),
    );
    const { files, problems } = await found(...inputs);
    expect(files).toEqual([a]);
    expect(problems).toHaveLength(4);
    problems.forEach((problem, i) => {
      expect(problem.startsWith(inputs[i])).toBe(true);
      expect(problem).not.toContain('\n');
    });
  });
});

describe('folder names', () => {
  test('the stem, and more of the path only where stems meet', () => {
    expect(folderNames(['/x/a.jpg', '/x/b.jpg'])).toEqual(['a', 'b']);
    expect(folderNames(['/x/a.jpg', '/x/a.png', '/x/b.jpg'])).toEqual(['a.jpg', 'a.png', 'b']);
    expect(folderNames(['/x/a.jpg', '/y/a.jpg'])).toEqual(['x_a.jpg', 'y_a.jpg']);
    expect(folderNames(['/x/A.jpg', '/x/a.jpeg'])).toEqual(['A.jpg', 'a.jpeg']);
  });

  test('always different, and the same for every order', () => {
    const files = [
      '/x/a.jpg',
      '/y/a.jpg',
      '/y/a.png',
      '/z/y/a.jpg',
      '/x_a.jpg',
      '/x/x_a.jpg',
      '/y_a.jpg',
      '/q/a.jpg.png',
      '/y/z_a.jpg',
      '/y_z/a.jpg',
    ];
    const names = folderNames(files);
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(files.length);
    const reversed = folderNames([...files].reverse()).reverse();
    expect(reversed).toEqual(names);
  });
});

describe('landmarks', () => {
  const points = Array.from({ length: 68 }, (_, i) => [i + 0.5, 2 * i]);
  const flat = Float32Array.from(points.flat());

  test('JSON, text and .pts give the same points', () => {
    const text = points.map((p) => p.join(' ')).join('\n');
    const files = [
      write('points/a.json', JSON.stringify(points)),
      write('points/b.json', JSON.stringify({ landmarks: points.map((p) => [...p, 7]) })),
      write('points/c.txt', `# x, y\n${points.map((p) => p.join(', ')).join('\r\n')}\n`),
      write('points/d.pts', `version: 1\nn_points: 68\n{\n${text}\n}\n`),
    ];
    for (const file of files) expect(readLandmarks(file, 'photo.jpg')).toEqual(flat);
    expect(readLandmarks(join(root, 'points'), '/elsewhere/c.jpg')).toEqual(flat);
  });

  test.each([
    ['broken.json', '[1, 2'],
    ['few.json', JSON.stringify(points.slice(1))],
    ['text.json', JSON.stringify(points.map(() => ['a', 'b']))],
    ['null.json', 'null'],
    ['empty.txt', ''],
    ['columns.txt', points.map((p) => p[0]).join('\n')],
  ])('%s is refused by name', (name, content) => {
    const file = write(`bad/${name}`, content);
    expect(() => readLandmarks(file, 'photo.jpg')).toThrow(file);
  });

  test('a file that is not there is refused', () => {
    expect(() => readLandmarks(join(root, 'gone.json'), 'photo.jpg')).toThrow(/does not exist/);
    expect(() => readLandmarks(join(root, 'points'), 'other.jpg')).toThrow(/other\.json/);
  });
});
