// bench/card.ts, which measures a card in one call, runs to its end on the emulated one; and what it makes of a profiler's table. Needs a build with
// RESCUNET_SIM (CONTRIBUTING.md). Nothing here looks at the times.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { heaviest } from '../bench/card-kernels.js';
import { GFLOP_PER_IMAGE, PREDICTED } from '../bench/card-predictions.js';
import { addon } from '../src/tensor/native.js';

const folder = mkdtempSync(join(tmpdir(), 'rescunet-card-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Card {
  machine: { device: string; instructionSet: string };
  comparisons: { kind: string; batch: number; subject: string; milliseconds: number }[];
  parts: Record<string, Record<string, { status: string; result?: Record<string, unknown> }>>;
}

const card = async (...args: string[]): Promise<Card> => {
  const all = ['--import', './test/typescript.mjs', 'bench/card.ts', '--device', 'sim', '--out', folder, ...args];
  await promisify(execFile)(process.execPath, all, { env: { ...process.env, PATH: '/nowhere' } });
  return JSON.parse(readFileSync(join(folder, 'card.json'), 'utf8')) as Card;
};

describe.skipIf(!addon.devices().includes('sim'))('bench/card', () => {
  it('does every part, and says which tools are missing', async () => {
    const { machine, parts, comparisons } = await card('--seconds', '280');
    expect(machine.device).toBe('sim');
    const statuses = Object.entries(parts).flatMap(([part, jobs]) =>
      Object.values(jobs).map(({ status }) => [part, status]),
    );
    for (const [part, status] of statuses) {
      const missing = { sanitizer: 'compute-sanitizer is not here', kernels: 'ncu is not here' }[part];
      expect([part, status]).toEqual([part, missing ?? 'ok']);
    }
    expect(Object.keys(parts)).toEqual(expect.arrayContaining(['gaps', 'cases', 'step-16', 'convolutions', 'streams']));
    const rows = parts.cases.f32.result?.rows as { captured?: boolean; difference: number }[];
    expect(rows.length).toBeGreaterThan(1);
    for (const { captured, difference } of rows) {
      expect(captured).toBe(true);
      expect(difference).toBeLessThan(1e-5);
    }
    expect(comparisons.map(({ kind, batch, subject }) => `${kind} ${batch} ${subject}`)).toContain('generator 2 ours');
    for (const { milliseconds } of comparisons) expect(milliseconds).toBeGreaterThan(0);
  });

  it('refuses a part that there is not', async () => {
    await expect(card('--parts', 'gaps,tea')).rejects.toThrow("--parts: there is no 'tea'; gaps, cases, step-16");
  });
});

it('a profiler table becomes the heaviest kernels, with shares weighted by time', () => {
  const names = ['gpu__time_duration.sum', 'sm__throughput.avg.pct_of_peak_sustained_elapsed'];
  const more = [
    'dram__throughput.avg.pct_of_peak_sustained_elapsed',
    'sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active',
  ];
  const line = (...cells: (string | number)[]): string => cells.map((cell) => `"${cell}"`).join(',');
  const csv = [
    '==PROF== Connected to process 7',
    line('ID', 'Kernel Name', ...names, ...more),
    line('', '', 'us', '%', '%', '%'),
    line(0, 'void rescunet::cuda::(anonymous namespace)::product<1, 2>(float const*, int)', '1,000', 80, 20, 40),
    line(1, 'void rescunet::cuda::(anonymous namespace)::product<1, 2>(float const*, int)', '3,000', 40, 60, 0),
    line(2, 'copy(char*)', '500', 5, 90, 0),
  ].join('\n');
  const [first, second] = heaviest(csv);
  expect(first.kernel).toBe('product<1, 2>(float const*, int)');
  expect(first).toMatchObject({ launches: 2, milliseconds: 4, multiprocessors: 50, memory: 50, tensorCores: 10 });
  expect(first.share).toBeCloseTo(4 / 4.5);
  expect(second).toMatchObject({ kernel: 'copy(char*)', launches: 1, milliseconds: 0.5, memory: 90 });
  expect(() => heaviest('==ERROR== no counters')).toThrow('no table of kernels');
});

it('predictions grow with the batch, and no mode is quicker than the operations allow', () => {
  for (const [kind, batches] of Object.entries(PREDICTED)) {
    let last = 0;
    for (const [batch, { floor, eager, compiled, a, b }] of Object.entries(batches)) {
      const operations = GFLOP_PER_IMAGE[kind as keyof typeof PREDICTED] * Number(batch);
      expect(floor / (operations / 790)).toBeCloseTo(1, 1);
      expect([floor, b, a, compiled, eager]).toEqual([floor, b, a, compiled, eager].sort((x, y) => x - y));
      expect(eager).toBeGreaterThan(last);
      last = eager;
    }
  }
});
