// eval uv: what it writes and says, and what it refuses before any work.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeShards } from '../../src/pipeline/dataset/shards.js';
import { synthPie } from '../../src/pipeline/dataset/synth-pie.js';
import type { Cell, PairScores } from '../../src/pipeline/evaluate/scores.js';
import { createGenerator, saveGenerator } from '../../src/pipeline/generators.js';
import { readPixels } from '../../src/pipeline/image.js';
import { lines, rescunet } from './run.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-eval-'));
const at = (...names: string[]) => join(root, ...names);
afterAll(() => rmSync(root, { recursive: true, force: true }));

const PEOPLE = ['--synth-pie', 'identities=1,first=7,expressions=1', '--size', '64'];

beforeAll(() => {
  const network = createGenerator({ kind: 'attention-rescunet', baseWidth: 4, seed: 1 }).eval();
  saveGenerator(at('tiny.safetensors'), network);
  network.dispose();
  writeShards(synthPie({ identities: 1, expressions: 1, illuminations: 1, viewpoints: 5, size: 64 }), at('pairs'));
  writeFileSync(at('no.safetensors'), 'this is no model');
});

describe('eval uv', () => {
  test('writes tables, numbers and pictures that agree', async () => {
    const argv = ['eval', 'uv', ...PEOPLE, '--samples', '7', '--weights', `ours=${at('tiny.safetensors')}`];
    const ran = await rescunet(...argv, '--figures', '1', '--out', at('out'), '--json');
    expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code: 0, stderr: '' });
    const document = JSON.parse(ran.stdout);
    const results = JSON.parse(readFileSync(at('out', 'results.json'), 'utf8'));
    expect(document).toMatchObject({ ...results, command: 'eval uv', folder: at('out') });
    expect(results).toMatchObject({
      format: 'rescunet-evaluation',
      task: 'uv',
      size: 64,
      measured: 7,
      available: 285,
      seed: 1,
      source: { kind: 'synth-pie', identities: 1, firstIdentity: 7 },
      methods: [
        { name: 'input' },
        { name: 'mirror' },
        { name: 'ours', about: { kind: 'attention-rescunet', file: 'tiny.safetensors', baseWidth: 4 } },
      ],
    });
    const pairs: PairScores[] = lines(readFileSync(at('out', 'pairs.jsonl'), 'utf8')).map((line) => JSON.parse(line));
    expect(pairs).toHaveLength(7);
    for (const { method, region, bin, psnr, ssim } of results.cells as Cell[]) {
      if (bin !== 'all') continue;
      const mean = (key: 'psnr' | 'ssim') =>
        pairs.reduce((sum, { scores }) => sum + scores[method][region][key], 0) / pairs.length;
      expect(psnr).toMatchObject({ count: 7, infinite: 0, empty: 0 });
      expect(psnr.mean).toBeCloseTo(mean('psnr'), 10);
      expect(ssim.mean).toBeCloseTo(mean('ssim'), 10);
    }
    const invisible = (name: string): number =>
      (results.cells as Cell[]).find((c) => c.method === name && c.region === 'invisible' && c.bin === 'all')?.psnr
        .mean ?? Number.NaN;
    expect(invisible('mirror')).toBeGreaterThan(invisible('input'));
    const markdown = readFileSync(at('out', 'results.md'), 'utf8');
    expect(markdown).toContain('## Invisible region, PSNR, dB');
    expect(markdown).toContain(`| ours | ${invisible('ours').toFixed(2)} ± `);
    expect(document.files.slice(3)).toEqual(['figures/person-7.png', 'figures/attention-ours-person-7.png']);
    expect(readdirSync(at('out')).sort()).toEqual(['figures', 'pairs.jsonl', 'results.json', 'results.md']);
    const sheet = await readPixels(at('out', 'figures', 'person-7.png'));
    expect(sheet.width).toBe(5 * 136 + 8); // input, mirror, first U-Net, ours, truth
  });

  test('reads pairs from disk and prints a table', async () => {
    const ran = await rescunet('eval', 'uv', '--data', at('pairs'), '--method', 'input', '--out', at('disk'));
    expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code: 0, stderr: '' });
    const printed = lines(ran.stdout);
    expect(printed[0]).toMatch(/^5 pairs of 64x64: kind synth-pie/);
    expect(printed.filter((line) => line.startsWith('  input '))).toHaveLength(6);
    expect(printed.at(-1)).toBe(`files in ${at('disk')}: results.json, results.md, pairs.jsonl`);
  });

  test.each([
    [[], '--synth-pie and --textures says where the pairs come from; none is given'],
    [[...PEOPLE, '--data', at('pairs')], '--data and --synth-pie are given'],
    [['--data', at('pairs'), '--size', '64'], '--size 64: pairs on disk have the size they were made with'],
    [['--data', at('nowhere')], `--data ${at('nowhere')}: has no manifest.json`],
    [['--synth-pie', 'people=3'], "'people=3' is none of identities=5, first=1000, expressions=3."],
    [['--synth-pie', 'first=3'], 'Say how many people: identities=5.'],
    [['--synth-pie', 'identities=many'], "identities: 'many' is not a number"],
    [['--synth-pie', 'identities=0'], 'identities: Wanted a whole number from 1'],
    [['--textures', at('pairs')], 'wants the face model of its layout; name it with --model'],
    [[...PEOPLE, '--model', 'm.safetensors'], '--model m.safetensors: is for --textures'],
    [[...PEOPLE, '--weights', at('gone.safetensors')], `--weights ${at('gone.safetensors')}: there is no such file`],
    [[...PEOPLE, '--weights', at('no.safetensors')], `${at('no.safetensors')}: `],
    [[...PEOPLE, '--weights', `mirror=${at('tiny.safetensors')}`], "two methods are called 'mirror'"],
    [[...PEOPLE, '--weights', 'name='], 'Wanted a file, or name=file.'],
    [[...PEOPLE, '--method', 'magic'], "'magic' is invalid"],
    [[...PEOPLE, '--size', '48', '--weights', at('tiny.safetensors')], 'does not take maps of 48x48'],
  ])('%j is refused in one line', async (argv, message) => {
    const ran = await rescunet('eval', 'uv', '--out', at('refused'), ...argv);
    expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 2, stdout: '' });
    expect(lines(ran.stderr)).toHaveLength(1);
    expect(ran.stderr).toContain(message);
  });

  test('goes on with what is whole of damaged pairs, and says so', async () => {
    writeShards(synthPie({ identities: 1, expressions: 1, illuminations: 1, viewpoints: 4, size: 64 }), at('torn'), {
      shardSize: 2,
    });
    writeFileSync(at('torn', 'shard-00001.safetensors'), 'torn');
    const ran = await rescunet('eval', 'uv', '--data', at('torn'), '--method', 'input', '--out', at('part'), '--json');
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('shard-00001.safetensors');
    expect(JSON.parse(ran.stdout)).toMatchObject({ measured: 2, available: 2 });
  });

  test('explains itself', async () => {
    const { code, stdout } = await rescunet('eval', 'uv', '--help');
    expect(code).toBe(0);
    expect(stdout).toContain('rescunet eval uv --data held-out --weights model.safetensors --out results');
    expect((await rescunet('eval', '--help')).stdout).toMatch(/ uv [\s\S]* verify /);
  });
});
