// The figures of a run: what is drawn of a training, of each kind of evaluation, and that the page stands alone.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { lineChart, ticks } from '../../src/pipeline/evaluate/chart.js';
import { writeRunFigures } from '../../src/pipeline/evaluate/run-figures.js';
import { createGenerator, saveGenerator } from '../../src/pipeline/generators.js';
import { readPixels } from '../../src/pipeline/image.js';
import { verificationRecord } from '../../src/pipeline/recognise/report.js';
import { contiguousFolds, verify } from '../../src/pipeline/recognise/verification.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rescunet-figures-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const record = (name: string, offset: number) =>
  verificationRecord({
    name,
    result: verify({
      distances: Float64Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 0.5 : offset) + (i % 10) / 10),
      same: Uint8Array.from({ length: 40 }, (_, i) => 1 - (i % 2)),
      folds: contiguousFolds(40),
    }),
  });

test('curves, sheets, attention and evaluations of a run, in one page', { timeout: 120_000 }, async () => {
  const run = path.join(folder, 'run');
  for (const part of ['uv', 'pose', 'lfw']) mkdirSync(path.join(run, part), { recursive: true });
  const people = { identities: 1, expressions: 1, illuminations: 1, viewpoints: 2, size: 64 };
  writeFileSync(path.join(run, 'config.json'), JSON.stringify({ data: { train: { synthPie: people } } }));
  const rows = [1, 2, 3].map((step) => ({ step, time: 1, 'final/reconstruction': 1 / step, lr: 1e-4, epoch: 0 }));
  const lines = [...rows, { step: 3, time: 1, 'validation/psnr': 20 }].map((row) => JSON.stringify(row));
  writeFileSync(path.join(run, 'metrics.jsonl'), `${lines.join('\n')}\n`);
  const network = createGenerator({ kind: 'attention-resunet', baseWidth: 4, size: 64, seed: 1 });
  saveGenerator(path.join(run, 'generator.safetensors'), network);
  network.dispose();
  const cell = (bin: string, mean: number | null) => ({
    method: 'a<b',
    region: 'invisible',
    bin,
    psnr: { mean },
    ssim: { mean: null },
  });
  const uv = { task: 'uv', cells: [cell('all', 20), cell('0', 22), cell('15', 21), cell('90', null)] };
  writeFileSync(path.join(run, 'uv', 'results.json'), JSON.stringify(uv));
  writeFileSync(path.join(run, 'uv', 'results.md'), 'a\ntable <of> numbers\n');
  const methods = [
    { method: 'mirror', bins: [record('mirror 0', 2), record('mirror 15', 0.6), null] },
    { method: 'ours', bins: [record('ours 0', 2.5), record('ours 15', 1), null] },
  ];
  writeFileSync(path.join(run, 'pose', 'results.json'), JSON.stringify({ task: 'pose', yaw: [0, 15, 30], methods }));
  writeFileSync(path.join(run, 'lfw', 'results.json'), JSON.stringify({ sets: [record('lfw', 0.9)] }));

  const drawn: string[] = [];
  const files = await writeRunFigures(run, { people: 1, onPicture: (name) => drawn.push(name) });
  expect([...files].sort()).toEqual(
    [
      'attention-network-person-0.png',
      'lfw-roc.png',
      'person-0.png',
      'pose-accuracy.png',
      'pose-roc-15.png',
      'report.html',
      'training-final.png',
      'training-lr.png',
      'training-validation.png',
      'uv-psnr-invisible.png',
    ].sort(),
  );
  expect(drawn).toEqual(files.slice(1));
  for (const name of drawn) {
    const { width, height } = await readPixels(path.join(run, 'figures', name));
    expect(Math.min(width, height)).toBeGreaterThan(100);
  }
  const html = readFileSync(path.join(run, 'figures', 'report.html'), 'utf8');
  expect(html.match(/src="data:image\/png;base64,/g)).toHaveLength(drawn.length);
  expect(html).not.toMatch(/(src|href)="(?!data:)/);
  expect(html).toContain('table &lt;of&gt; numbers');
});

test('a folder that holds nothing to draw is refused', async () => {
  await expect(writeRunFigures(path.join(folder, 'none'))).rejects.toThrow(/none: run: does not exist/);
  mkdirSync(path.join(folder, 'empty'));
  await expect(writeRunFigures(path.join(folder, 'empty'))).rejects.toThrow(/no results\.json of an evaluation/);
});

test('charts put points where the axes say, and leave out what is no number', () => {
  expect(ticks(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(ticks(13, 13)).toHaveLength(2);
  const points = [
    [0, 0],
    [1, Number.NaN],
    [10, 100],
  ] as const;
  const svg = lineChart([{ name: 'a & b', points }], { title: 't', x: 'x', y: 'y' });
  expect(svg).toContain('M80.0 364.0L700.0 44.0'); // corners of the plot
  expect(svg).toContain('a &amp; b');
  expect(() => lineChart([{ name: 'a', points: [] }], { title: 'none', x: 'x', y: 'y' })).toThrow(/none has no points/);
});
