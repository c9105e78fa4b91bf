// The emulation of CUDA (native/cuda/sim.h) must notice what a card would punish: native/cuda/sim_test.cc runs each kernel with
// and without a bug, in the three orders. A bug counts as noticed when one order shows it; the sound twin must pass in all.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const SOUND = ['mirror', 'pipeline', 'warp', 'product', 'tiles', 'specialised'];
const WRONG = [
  'mirror-without-first-barrier',
  'mirror-without-last-barrier',
  'pipeline-without-wait',
  'pipeline-without-barrier',
  'pipeline-released-early',
  'warp-without-barrier',
  'product-without-barrier',
  'tiles-without-wait-for-products',
  'tiles-released-early',
  'specialised-without-wait-for-tiles',
  'specialised-released-early',
];
const REFUSED: Record<string, RegExp> = {
  'half-a-barrier':
    /half-a-barrier, block 0,0,0: deadlock: 64 threads wait for a barrier at sim_test\.cc:\d+; 64 have ended/,
  'divergent-shuffle': /divergent-shuffle, block 0,0,0: deadlock: 64 threads wait for their warp at sim_test\.cc:\d+/,
  'crooked-copy': /crooked-copy, block 0,0,0: a shared address is not aligned at sim_test\.cc:\d+/,
};

// Stacks are switched in x86-64 assembler.
describe.skipIf(process.arch !== 'x64')('the emulation of CUDA', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rescunet-sim-'));
  const outcomes = new Map<string, string[]>();

  beforeAll(() => {
    const program = join(folder, 'sim_test');
    const sources = ['native/cuda/sim_test.cc', 'native/cuda/sim.cc', 'native/cuda/sim_hopper.cc'];
    execFileSync(process.env.CXX ?? 'c++', ['-std=c++20', '-O1', ...sources, '-o', program]);
    for (const line of execFileSync(program, { encoding: 'utf8' }).trim().split('\n')) {
      const [, name, outcome] = /^(\S+) \S+ (.*)$/.exec(line) ?? [];
      outcomes.set(name, [...(outcomes.get(name) ?? []), outcome]);
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(SOUND)('%s passes in every order', (name) => {
    expect(outcomes.get(name)).toEqual(['ok', 'ok', 'ok']);
  });

  it.each(WRONG)('%s is noticed', (name) => {
    expect(outcomes.get(name)).toHaveLength(3);
    expect(outcomes.get(name)?.some((outcome) => outcome !== 'ok')).toBe(true);
  });

  it.each(Object.entries(REFUSED))('%s is reported with its kernel and line', (name, message) => {
    for (const outcome of outcomes.get(name) ?? ['never ran']) expect(outcome).toMatch(message);
  });
});

describe('the branches of a captured step', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rescunet-branches-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('keep the order that instructions need, on any number of streams', () => {
    const program = join(folder, 'branches_test');
    const sources = ['native/cuda/branches_test.cc', 'native/cuda/branches.cc'];
    execFileSync(process.env.CXX ?? 'c++', ['-std=c++20', '-O1', ...sources, '-o', program]);
    expect(execFileSync(program, { encoding: 'utf8' })).toBe('dependencies ok\nspread ok\nfork ok\n');
  });
});
