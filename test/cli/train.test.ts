// rescunet train: what it refuses, and that a run stopped by Ctrl-C and killed by SIGKILL ends with the bits of one left alone.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { readEvents } from '../../src/formats/tfevents.js';
import { checkpointFolder, checkpointSteps } from '../../src/pipeline/train/checkpoint.js';
import { parseTrainConfig } from '../../src/pipeline/train/config.js';
import { eventFiles, METRICS_FILE } from '../../src/pipeline/train/log.js';
import { lines, rescunet } from './run.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-cli-train-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Epochs of five steps. */
const CONFIG = join(root, 'train.yaml');
const STEPS = 24;
writeFileSync(
  CONFIG,
  `run: whole
model: { kind: uvgan, baseWidth: 4, levels: 5 }
discriminator: { baseWidth: 4 }
loss: { identity: 0 }
data:
  train: { synthPie: { identities: 1, expressions: 1, illuminations: 1, viewpoints: 10, size: 64 } }
  workers: 0
batch: 2
steps: ${STEPS}
optimiser: { lr: 1e-3, schedule: cosine, ema: 0.9 }
checkpoint: { every: 6, keep: 9 }
log: { every: 1, images: 0 }
`,
);

describe('what is refused, before any work', () => {
  test('no configuration, none there, a wrong one: all of its problems, a line each', async () => {
    const none = await rescunet('train');
    expect([none.code, lines(none.stderr).length]).toEqual([2, 1]);
    expect(none.stderr).toMatch(/--init FILE/);
    expect((await rescunet('train', join(root, 'none.yaml'))).stderr).toMatch(/none\.yaml: file: does not exist/);
    const file = join(root, 'wrong.yaml');
    writeFileSync(file, 'run: x\nbatch: 0\nmodel:\n  kindd: uvgan\n');
    const { code, stdout, stderr } = await rescunet('train', file, '--set', 'seed=-1', '--json');
    expect([code, stdout]).toEqual([2, '']);
    expect(lines(stderr)).toEqual([
      expect.stringMatching(/^rescunet: .*wrong\.yaml: data: wanted a section/),
      expect.stringMatching(/identity: wanted a section/),
      expect.stringMatching(/batch \(line 2\): wanted a whole number from 1/),
      expect.stringMatching(/model\.kindd \(line 4\): is no key; did you mean kind\?/),
      expect.stringMatching(/seed \(--set seed=-1\): wanted a whole number from 0/),
    ]);
    expect(existsSync(join(root, 'x'))).toBe(false);
  });

  test("a task's name stands for its defaults: only what has none is missing", async () => {
    const { code, stderr } = await rescunet('train', 'recogniser', '--set', 'batch=0');
    expect(code).toBe(2);
    expect(lines(stderr)).toEqual([
      expect.stringMatching(/^rescunet: recogniser: run: wanted/),
      expect.stringMatching(/recogniser: data: wanted/),
      expect.stringMatching(/recogniser: batch \(--set batch=0\): wanted a whole number from 2/),
    ]);
  });

  test('a folder of a run that cannot be written', async () => {
    const { code, stderr } = await rescunet('train', CONFIG, '--run', join(CONFIG, 'below'));
    expect(code).toBe(2);
    expect(stderr).toMatch(/^rescunet: run .*below: .*give a folder that can be written/);
  });

  test('--init writes a configuration that parses, once', async () => {
    const file = join(root, 'init.yaml');
    const { code, stdout } = await rescunet('train', '--init', file);
    expect([code, stdout]).toEqual([0, expect.stringContaining(`rescunet train ${file}`)]);
    expect(parseTrainConfig(readFileSync(file, 'utf8'), file).model.kind).toBe('attention-rescunet');
    const again = await rescunet('train', '--init', file);
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('exists already')]);
  });
});

interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs the command in its own process; sends `signal` once the run has logged step `at`. */
function spawned(argv: readonly string[], run: string, stop?: { signal: NodeJS.Signals; at: number }): Promise<Ended> {
  const hooks = new URL('../typescript.mjs', import.meta.url).href;
  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', hooks, main, 'train', CONFIG, '--run', run, ...argv]);
  const ended = { stdout: '', stderr: '' };
  child.stdout.on('data', (text) => {
    ended.stdout += text;
  });
  child.stderr.on('data', (text) => {
    ended.stderr += text;
  });
  const watch =
    stop &&
    setInterval(() => {
      if ((loggedSteps(run).at(-1) ?? 0) < stop.at) return;
      clearInterval(watch);
      child.kill(stop.signal);
    }, 3);
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearInterval(watch);
      resolve({ code, signal, ...ended });
    });
  });
}

function loggedSteps(run: string): number[] {
  const file = join(run, METRICS_FILE);
  if (!existsSync(file)) return [];
  const whole = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return whole.map((line) => JSON.parse(line).step);
}

const lastCheckpoint = (run: string) =>
  readSafetensors(join(checkpointFolder(run), `step-${String(STEPS).padStart(8, '0')}.safetensors`));

test('stopped by Ctrl-C, taken up, killed in mid-epoch and taken up again, a run ends with the same bits', {
  timeout: 900_000,
}, async () => {
  const whole = join(root, 'whole');
  const left = await spawned(['--json'], whole);
  expect([left.code, left.stderr]).toEqual([0, '']);
  const document = JSON.parse(left.stdout);
  expect(document).toMatchObject({ command: 'train', run: whole, step: STEPS, totalSteps: STEPS, interrupted: false });
  expect(document.files).toEqual(['generator.safetensors']);

  const run = join(root, 'stopped');
  const stopped = await spawned([], run, { signal: 'SIGINT', at: 2 });
  expect(stopped.code).toBe(130);
  const said = /stopped after step (\d+) of 24; go on with: rescunet train .*train\.yaml --run .*stopped --resume\n$/;
  expect(stopped.stderr).toMatch(said);
  const at = Number(said.exec(stopped.stderr)?.[1]);
  expect(at).toBeGreaterThanOrEqual(2);
  expect(at).toBeLessThan(STEPS);
  expect(checkpointSteps(run)[0]).toBe(at);

  const twice = await rescunet('train', CONFIG, '--run', run);
  expect([twice.code, twice.stderr]).toEqual([2, expect.stringMatching(/holds a run already; go on with --resume/)]);

  // Beyond a checkpoint and in the middle of an epoch.
  const killAt = 6 * Math.floor(at / 6) + 8;
  const killed = await spawned(['--resume'], run, { signal: 'SIGKILL', at: killAt });
  expect(killed.signal).toBe('SIGKILL');
  const [newest] = checkpointSteps(run);
  const logged = loggedSteps(run).at(-1) ?? 0;
  expect(newest).toBeLessThan(STEPS);
  expect(logged).toBeGreaterThan(newest);

  const resumed = await spawned(['--resume'], run);
  expect([resumed.code, resumed.stderr]).toEqual([0, '']);
  expect(resumed.stdout).toContain(`going on after step ${newest}`);
  expect(lastCheckpoint(run)).toEqual(lastCheckpoint(whole));
  expect(readSafetensors(join(run, 'generator.safetensors'))).toEqual(
    readSafetensors(join(whole, 'generator.safetensors')),
  );
  const every = Array.from({ length: STEPS }, (_, i) => i + 1);
  expect(loggedSteps(run)).toEqual(every);
  const events = eventFiles(run).flatMap((name) => readEvents(join(run, name)));
  expect(events.filter(({ scalars }) => 'lr' in scalars).map(({ step }) => step)).toEqual(every);
});
