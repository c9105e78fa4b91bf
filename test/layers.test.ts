// The architecture's arrows: which folder may import which.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const src = join(dirname(fileURLToPath(import.meta.url)), '..', 'src');

const allowed: Record<string, string[]> = {
  tensor: [],
  formats: ['tensor'],
  nn: ['tensor'],
  head: [],
  models: ['nn', 'tensor', 'formats', 'head'],
  pipeline: ['models', 'nn', 'tensor', 'formats', 'head'],
  cli: ['pipeline', 'models', 'formats', 'tensor'],
};

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'));
const folderOf = (file: string): string => (file.includes('/') ? file.split('/')[0] : '');

it('every import follows an arrow of docs/architecture.md', () => {
  const wrong: string[] = [];
  for (const file of files) {
    const from = folderOf(file);
    if (from === '') continue; // index.ts re-exports everything
    const text = readFileSync(join(src, file), 'utf8');
    for (const [, target] of text.matchAll(/from '(\.[^']+)'/g)) {
      const to = folderOf(relative(src, resolve(src, dirname(file), target)));
      if (to !== from && !allowed[from]?.includes(to)) wrong.push(`${file} imports ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

it('models do no input or output', () => {
  const wrong = files.filter(
    (f) => /^(models|head|nn)\//.test(f) && /from 'node:(fs|net|http)/.test(readFileSync(join(src, f), 'utf8')),
  );
  expect(wrong).toEqual([]);
});
