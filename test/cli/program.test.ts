// The command line as a newcomer meets it: helps, mistakes, exit codes.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { sharedPath } from '../shared.js';
import { lines, rescunet } from './run.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-program-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const COMMANDS = ['demo', 'synth', 'detect', 'fit', 'unwrap', 'complete', 'render', 'train', 'info'];
const HELPS = [
  ...COMMANDS.map((name) => [name]),
  ['model'],
  ['model', 'inspect'],
  ['model', 'convert'],
  ['model', 'build'],
];

describe('help', () => {
  test('the program lists its commands, examples and exit codes', async () => {
    const { code, stdout, stderr } = await rescunet('--help');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const name of [...COMMANDS, 'model']) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
    expect(stdout).toContain('Examples:');
    expect(stdout).toContain('Exit codes:');
  });

  test.each(HELPS)('%s %s has examples', async (...words: string[]) => {
    const { code, stdout, stderr } = await rescunet(...words.filter(Boolean), '--help');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`Usage: rescunet ${words.filter(Boolean).join(' ')}`);
    expect(stdout).toContain('Examples:');
    expect(stdout).toContain(`rescunet ${words.filter(Boolean).join(' ')}`);
    for (const line of lines(stdout)) expect(line.length).toBeLessThanOrEqual(125);
  });

  test('the version is that of package.json', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(await rescunet('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('mistakes are one line on stderr and exit code 2', () => {
  const blocked = join(root, 'file');
  writeFileSync(blocked, '');
  test.each([
    [['sinth', 'a.jpg'], /synth/],
    [['synth'], /photos/],
    [['synth', 'a.jpg', '--yaw', '-80:80:0'], /--yaw/],
    [['synth', 'a.jpg', '--yaw'], /--yaw/],
    [['synth', 'a.jpg', '--size', '3'], /--size/],
    [['synth', 'a.jpg', '--box', '1,2,3'], /--box/],
    [['fit', 'a.jpg', '--yaw', '3'], /--yaw/],
    [['synth', 'a.jpg', '--detector', 'cascade'], /faceboxes, mtcnn/],
    [['synth', 'a.jpg', '--completion', 'magic'], /generator, mirror/],
    [['synth', 'a.jpg', '--out', blocked], /--out/],
    [['synth', 'a.jpg', '--out', join(blocked, 'below')], /--out/],
    [['synth', 'a.jpg', '--out', ''], /--out/],
    [['synth', 'a.jpg', '--out', '/proc/rescunet'], /--out/],
    [['demo', '--seed', 'x'], /--seed/],
    [['demo', '--out', blocked], /--out/],
    [['model', 'inspect', join(root, 'gone.safetensors')], /gone\.safetensors/],
    [['model', 'inspect', blocked], /file/],
    [['model', 'convert', blocked, join(root, 'out.safetensors')], /file/],
    [['model', 'convert', blocked, join(root, 'out.bin')], /\.safetensors/],
    [['model', 'convert', blocked, join(root, 'no/out.safetensors')], /folder/],
    [['model', 'convert', join(root, 'gone'), join(root, 'out.safetensors')], /gone/],
    [['model', 'convert', blocked, join(root, 'o.safetensors'), '--uv', 'x'], /own, cylindrical/],
  ])('%j', async (argv, wanted) => {
    const { code, stdout, stderr } = await rescunet(...argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(wanted);
    expect(stderr).toMatch(/^rescunet: /);
    expect(lines(stderr)).toHaveLength(1);
    expect(existsSync(join(root, 'out.safetensors'))).toBe(false);
  });
});

describe('info', () => {
  test('for people and as JSON', async () => {
    const human = await rescunet('info');
    expect({ code: human.code, stderr: human.stderr }).toEqual({ code: 0, stderr: '' });
    expect(human.stdout).toContain(process.version);
    const { code, stdout } = await rescunet('info', '--json');
    const facts = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(facts.devices).toContain('cpu');
    expect(facts.threads).toBeGreaterThan(0);
    expect(['baseline', 'avx2', 'avx512']).toContain(facts.instructionSet);
    expect(facts.faceModel.bytes).toBeGreaterThan(1e6);
    expect(facts.faceModel.bytes).toBeLessThan(5e6);
  });
});

describe('model', () => {
  test('inspect tells of the model of the package', async () => {
    const { code, stdout, stderr } = await rescunet('model', 'inspect', '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const facts = JSON.parse(stdout);
    expect(facts).toMatchObject({ licence: 'MIT', units: 'mm', landmarks: 68, identity: 40, expression: 20 });
    expect(facts.vertices).toBeGreaterThan(5000);
    expect(facts.uvCoverage).toBeGreaterThan(0.5);
    expect(facts.bounds.high[1] - facts.bounds.low[1]).toBeGreaterThan(150); // a head, in millimetres
    const human = await rescunet('model', 'inspect');
    expect(human.stdout).toContain(`${facts.vertices} vertices`);
    expect(human.stdout).toContain('MIT');
  });

  test('convert writes what inspect reads, with either layout of the texture', async () => {
    const source = join(root, 'own.safetensors');
    const { faceModel } = JSON.parse((await rescunet('info', '--json')).stdout);
    expect((await rescunet('model', 'convert', faceModel.file, source)).code).toBe(0);
    const cylindrical = join(root, 'cylindrical.safetensors');
    const { code, stdout, stderr } = await rescunet(
      'model',
      'convert',
      source,
      cylindrical,
      '--uv',
      'cylindrical',
      '--json',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const converted = JSON.parse(stdout);
    expect(converted).toMatchObject({ from: source, file: cylindrical, identity: 40, expression: 20, licence: 'MIT' });
    const inspected = JSON.parse((await rescunet('model', 'inspect', cylindrical, '--json')).stdout);
    expect(inspected).toEqual({ ...converted, from: undefined });
  });

  const published: [string, string, object][] = [
    [
      'data/bfm/bfm_3ddfa.safetensors',
      'um',
      { vertices: 38365, triangles: 76073, identity: 40, expression: 10, regressorStatistics: true },
    ],
    ['data/ict/ict_face_light_skin.safetensors', 'cm', { identity: 100, expression: 53, regressorStatistics: false }],
    [
      'data/sfm/sfm_3448.safetensors',
      'mm',
      { vertices: 3448, identity: 63, expression: 6, regressorStatistics: false },
    ],
  ];
  for (const [name, units, facts] of published) {
    const file = sharedPath(name);
    test.skipIf(!file)(`convert understands ${name}`, async () => {
      const output = join(root, 'published.safetensors');
      const { code, stdout, stderr } = await rescunet('model', 'convert', String(file), output, '--json');
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toMatchObject({ units, ...facts });
      const again = JSON.parse((await rescunet('model', 'inspect', output, '--json')).stdout);
      expect(again).toMatchObject({ units, ...facts });
    });
  }
});

describe('the executable', () => {
  const executable = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  const spawn = (...argv: string[]) => spawnSync(process.execPath, [executable, ...argv], { encoding: 'utf8' });

  test('ends with the exit code of its command line', () => {
    expect(existsSync(executable), 'npm run build:ts').toBe(true);
    const version = spawn('--version');
    expect([version.status, version.stderr]).toEqual([0, '']);
    const wrong = spawn('synth', 'photo.jpg', '--yaw', 'left');
    expect([wrong.status, wrong.stdout, lines(wrong.stderr).length]).toEqual([2, '', 1]);
  });

  // The package is compiled by tsc, the tests are not: they order fields and super() differently.
  test('says what is wrong with a training configuration', () => {
    const file = join(root, 'wrong.yaml');
    writeFileSync(file, 'task: fitter\n');
    const { status, stderr } = spawn('train', file, '--set', 'steps=abc');
    expect([status, lines(stderr).length > 0]).toEqual([2, true]);
    expect(stderr).toContain('steps');
    expect(stderr).not.toContain('unexpected');
  });
});
