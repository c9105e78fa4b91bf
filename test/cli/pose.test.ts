// eval pose and figures from the command line: what they write and say, and what they refuse before any work.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { writeShards } from '../../src/pipeline/dataset/shards.js';
import { synthPie } from '../../src/pipeline/dataset/synth-pie.js';
import { sharedPath } from '../shared.js';
import { rescunet } from './run.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-pose-'));
const at = (...names: string[]) => join(root, ...names);
afterAll(() => rmSync(root, { recursive: true, force: true }));

const weights = sharedPath('data/weights/mobilefacenet_casia_068.safetensors');

describe.skipIf(!weights)('eval pose', () => {
  test('tables by yaw that figures draws', { timeout: 120_000 }, async () => {
    await writeShards(
      synthPie({ identities: 4, expressions: 1, illuminations: 1, viewpoints: 15, size: 64 }),
      at('pairs'),
    );
    const ran = await rescunet(
      ...['eval', 'pose', '--data', at('pairs'), '--recogniser', weights as string],
      ...['--out', at('table2'), '--json'],
    );
    expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code: 0, stderr: '' });
    const results = JSON.parse(readFileSync(at('table2', 'results.json'), 'utf8'));
    expect(JSON.parse(ran.stdout)).toMatchObject({ ...results, command: 'eval pose', folder: at('table2') });
    expect(results).toMatchObject({ task: 'pose', methods: [{ method: 'input' }, { method: 'mirror' }] });
    for (const { bins } of results.methods) {
      for (const bin of bins.filter(Boolean)) expect(bin.accuracy).toBeGreaterThanOrEqual(0.4);
    }
    expect(readFileSync(at('table2', 'results.md'), 'utf8')).toContain('| mirror |');

    const drawn = await rescunet('figures', '--run', at('table2'), '--out', at('figures'), '--json');
    expect({ code: drawn.code, stderr: drawn.stderr }).toEqual({ code: 0, stderr: '' });
    expect(existsSync(at('figures', 'report.html'))).toBe(true);
    expect(existsSync(at('figures', 'table2-accuracy.png'))).toBe(true);
  });
});

describe('refused before any work', () => {
  test('weights that are none', async () => {
    writeFileSync(at('no.safetensors'), 'this is no model');
    const people = ['--synth-pie', 'identities=1', '--size', '64'];
    const ran = await rescunet('eval', 'pose', ...people, '--recogniser', at('no.safetensors'), '--out', at('refused'));
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toContain('no.safetensors');
  });

  test('a folder without a run', async () => {
    const ran = await rescunet('figures', '--run', at('nowhere'));
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toContain(at('nowhere'));
  });
});
