// The benches run and write what they say they write. Nothing here looks at the times themselves.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convolutionFlops } from '../bench/step-work.js';

const root = fileURLToPath(new URL('..', import.meta.url));
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rescunet-bench-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...args: string[]): string =>
  execFileSync(process.execPath, ['--import', './test/typescript.mjs', ...args], {
    cwd: root,
    encoding: 'utf8',
    stdio: 'pipe',
  });

describe('bench/step', () => {
  it('measures a training step in a process of its own and writes it down', () => {
    const file = join(folder, 'step.json');
    const args = '--width 4 --size 32 --batch 2 --kind generator --repeats 1 --no-peer --busy --json'.split(' ');
    const text = run('bench/step.ts', ...args, file);
    expect(text).toContain('ours alone');
    const { bench, machine, shape, rows } = JSON.parse(readFileSync(file, 'utf8'));
    expect(bench).toBe('step');
    expect(machine.instructionSet).toMatch(/^(baseline|avx2|avx512)/);
    expect(shape).toMatchObject({ width: 4, size: 32, batch: 2 });
    expect(rows).toHaveLength(1);
    const [row] = rows;
    expect(row).toMatchObject({ subject: 'ours', kind: 'generator' });
    expect(row.milliseconds).toHaveLength(1);
    for (const value of [
      row.median,
      row.min,
      row.imagesPerSecond,
      row.gflops,
      row.parameters,
      row.arenaBytes,
      row.busyRatio,
    ])
      expect(value).toBeGreaterThan(0);
    expect(row.peakBytes).toBeGreaterThanOrEqual(row.startBytes);
    expect(row.firstValue).toBeGreaterThan(0);
  });

  it('refuses a shape that the local discriminator cannot see', () => {
    const args = '--width 4 --size 32 --kind gan --no-peer'.split(' ');
    expect(() => run('bench/step.ts', ...args)).toThrow('--kind gan wants --size 64 or more');
  });
});

describe('bench/convolutions', () => {
  it('gives every pass of a convolution as a share of the peak it measured', () => {
    const file = join(folder, 'convolutions.json');
    const text = run('bench/convolutions.ts', '--only', '1024->256', '--repeats', '1', '--no-peer', '--json', file);
    expect(text).toMatch(/1x1 1024->256 @16 +weight gradient +[\d.]+ ms +\d+ GFLOP\/s +\d+ % of peak/);
    const { bench, machine, rows } = JSON.parse(readFileSync(file, 'utf8'));
    expect(bench).toBe('convolutions');
    expect(machine.peak.gflops).toBeGreaterThan(0);
    expect(rows.map((row: { pass: string }) => row.pass)).toEqual(['forward', 'input gradient', 'weight gradient']);
    for (const { gflops, share } of rows) expect(share).toBeCloseTo(gflops / machine.peak.gflops);
  });

  it('says which convolutions there are not', () => {
    expect(() => run('bench/convolutions.ts', '--only', '9x9')).toThrow("no convolution's name has '9x9' in it");
  });
});

describe('convolutionFlops', () => {
  it('counts direct operations, also of Winograd, and knows what it does not know', () => {
    const direct = 'conv2d x=#1 w=#2 y=#3 n=2 ih=8 iw=8 ic=6 oh=4 ow=4 oc=10 kh=3 kw=3 sh=2 sw=2 groups=2';
    const winograd = 'winograd x=#1 w=#2 y=#3 n=1 ih=8 iw=8 ic=32 oh=8 ow=8 oc=64 ph=1 pw=1 turned=0';
    expect(convolutionFlops(direct)).toBe((2 * 2 * 4 * 4 * 10 * 9 * 6) / 2);
    expect(convolutionFlops(`add x=#1\n${direct}\n${winograd}`)).toBe(17280 + 2 * 64 * 64 * 9 * 32);
    const weight = winograd.replace('winograd', 'winograd_weight');
    expect(convolutionFlops(weight)).toBe(2 * 64 * 64 * 9 * 32);
    const up = winograd.replace('winograd', 'winograd_up_weight').replace('ic=32', 'ic=32 sc=16');
    expect(convolutionFlops(up)).toBe(2 * 64 * 64 * 9 * (32 + 16));
    expect(convolutionFlops(`${direct}\nconv_other n=1`)).toBeUndefined();
    expect(convolutionFlops('add x=#1 y=#2')).toBeUndefined();
  });
});
