// The training configuration: defaults, every mistake named at once with its line, overrides, the learning rate.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { FormatError } from '../src/formats/error.js';
import { learningRate, parseTrainConfig, readTrainConfig, TrainConfigError } from '../src/pipeline/train/config.js';
import { KEYS } from '../src/pipeline/train/config-schema.js';
import { defaultConfigText } from '../src/pipeline/train/config-text.js';
import { parseTrainConfigOf } from '../src/pipeline/train/tasks.js';

const root = mkdtempSync(join(tmpdir(), 'rescunet-config-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const FILE = join(root, 'train.yaml');

const SMALL = `run: out
loss: { identity: 0 }
data:
  train:
    synthPie: { identities: 2 }
`;

/** The problems of a text that must be refused. */
function problems(text: string, overrides?: string[]): readonly string[] {
  try {
    if (overrides) {
      writeFileSync(FILE, text);
      readTrainConfig(FILE, overrides);
    } else parseTrainConfig(text, FILE);
  } catch (error) {
    expect(error).toBeInstanceOf(TrainConfigError);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).name).toBe('FormatError');
    const { problems, message } = error as TrainConfigError;
    expect(message.startsWith(`${FILE}: `)).toBe(true);
    for (const problem of problems) expect(message).toContain(problem);
    return problems;
  }
  throw new Error('nothing was refused');
}

describe('defaults', () => {
  test("are the paper's", () => {
    expect(parseTrainConfig(SMALL, FILE)).toEqual({
      run: join(root, 'out'),
      seed: 1,
      model: { kind: 'attention-rescunet', baseWidth: 64, input: 'raw' },
      discriminator: { baseWidth: 64, conditional: true },
      loss: { local: 0.5, global: 0.5, identity: 0, auxiliary: 0.3, idNorm: true },
      data: {
        train: {
          synthPie: {
            identities: 2,
            firstIdentity: 0,
            expressions: 3,
            illuminations: 19,
            viewpoints: 15,
            size: 256,
            seed: 1,
            fitError: 1,
            photoScale: 2,
          },
        },
        flip: true,
        cut: 0,
        relight: 0,
        workers: 1,
      },
      batch: 16,
      epochs: 100,
      optimiser: { lr: 1e-4, betas: [0.5, 0.999], schedule: 'constant', decayFrom: 0.5, warmup: 0, ema: 0 },
      checkpoint: { every: 1000, keep: 3 },
      log: { every: 10, images: 500 },
      validate: { every: 1000, pairs: 64 },
    });
  });

  test('the text of --init parses to them and has every key', () => {
    const { validation, ...data } = parseTrainConfig(defaultConfigText(), FILE).data;
    const full = parseTrainConfig(defaultConfigText(), FILE);
    const bare = parseTrainConfig(
      `${SMALL.replace('identity: 0', 'identity: 0.01')}identity: { network: facenet, weights: 20180402-114759-vggface2.pt }`,
      FILE,
    );
    const people = { synthPie: { ...(data.train as { synthPie: object }).synthPie, identities: 2 } };
    expect({ ...full, run: bare.run, data: { ...data, train: people } }).toEqual(bare);
    expect(validation).toMatchObject({ synthPie: { firstIdentity: 100000, size: 256 } });
    for (const key of KEYS) {
      const name = key.split('.').at(-1);
      expect(defaultConfigText()).toMatch(new RegExp(`(^|[ {#])${name}:`, 'm'));
    }
  });

  test.each(['synth-pie-small', 'paper', 'compare', 'shipped-1', 'shipped-2'])(
    'examples/configs/%s.yaml parses',
    (name) => {
      const file = fileURLToPath(new URL(`../examples/configs/${name}.yaml`, import.meta.url));
      const config = parseTrainConfig(readFileSync(file, 'utf8'), file);
      expect(config.run).toContain(fileURLToPath(new URL(`../runs/${name}`, import.meta.url)));
      if (name === 'paper') expect(config).toMatchObject({ batch: 16, epochs: 100, model: { baseWidth: 64 } });
    },
  );

  test.each([
    ['recogniser', 'recogniser'],
    ['fitter', 'fitter'],
  ])('examples/configs/%s.yaml parses as task %s', (name, task) => {
    const file = fileURLToPath(new URL(`../examples/configs/${name}.yaml`, import.meta.url));
    const config = parseTrainConfigOf(readFileSync(file, 'utf8'), file);
    expect(config).toMatchObject({ task, run: fileURLToPath(new URL(`../runs/${name}`, import.meta.url)) });
  });

  test('an empty section and a key without a value count as not given', () => {
    expect(parseTrainConfig(`${SMALL}checkpoint:\nsteps:\n`, FILE)).toEqual(parseTrainConfig(SMALL, FILE));
  });

  test('relative paths start at the folder of the file', () => {
    const text = SMALL.replace(/synthPie.*/, 'shards: [a, /b]').replace('identity: 0', 'identity: 1');
    const config = parseTrainConfig(`${text}identity: { network: mobilefacenet, weights: w/f.pth }`, FILE);
    expect(config.data.train).toEqual({ shards: [join(root, 'a'), '/b'] });
    expect(config.identity?.weights).toBe(join(root, 'w/f.pth'));
  });
});

describe('what is refused', () => {
  test('every problem at once, each with its key, line, what was wanted and found', () => {
    const text = `run: out
seed: -1
model:
  kind: attention-rescunnet
  base_width: 64
optimizer:
  lr: 1e-4
batch: sixteen
loss:
  identity: 0.01
  local: .nan
data:
  train:
    synthPie: { identities: 2.5, pose: 3 }
    shards: [a]
lr: 0.1
epochs: 3
steps: 10
`;
    expect(problems(text)).toEqual([
      'identity: wanted a section with network (facenet or mobilefacenet) and weights (its file) because loss.identity is 0.01,' +
        ' found nothing; or set loss.identity to 0',
      'seed (line 2): wanted a whole number from 0 to 2147483647, found -1',
      "model.kind (line 4): wanted one of attention-rescunet, rescunet, attention-resunet, resunet, uvgan, found 'attention-rescunnet'",
      'model.base_width (line 5): is no key; did you mean baseWidth?',
      'optimizer (line 6): is no key; did you mean optimiser?',
      "batch (line 8): wanted a whole number from 1 to 65536, found 'sixteen'",
      'loss.local (line 11): wanted a number of at least 0, found NaN',
      'data.train.synthPie.identities (line 14): wanted a whole number from 1 to 1000000, found 2.5',
      'data.train.synthPie.pose (line 14): is no key; the nearest is size; there are identities, firstIdentity, expressions,' +
        ' illuminations, viewpoints, size, seed, fitError, photoScale',
      'data.train.synthPie (line 14): wanted one of shards, synthPie, textures, found shards and synthPie',
      'lr (line 16): is no key; did you mean optimiser.lr?',
      'steps (line 18): wanted one of epochs, steps, found epochs and steps',
    ]);
  });

  test.each([
    [
      '',
      [
        'run: wanted the folder of the run, found nothing',
        /^data: wanted a section with train, validation/,
        /^identity: /,
      ],
    ],
    ['- 1', ['line 1: wanted keys and values, as in seed: 1']],
    ['a: [1', [/^line 1: /]],
    ['run: a\nrun: b\n', [/^line 2: .*unique/]],
    [
      `${SMALL}model: 3`,
      [
        /^model \(line 6\): wanted a section with kind, baseWidth, input, inputSkip, zeroInitResidual, weights, levels, found 3$/,
      ],
    ],
    [`${SMALL}model: { levels: 5 }`, [/^model.levels \(line 6\): is for kind uvgan alone/]],
    [`${SMALL}model: { baseWidth: 6 }`, [/^model.baseWidth \(line 6\): wanted a multiple of 4, found 6/]],
    [`${SMALL}model: { kind: uvgan, inputSkip: true }`, [/^model.inputSkip \(line 6\): is not for kind uvgan/]],
    [`${SMALL}model: { kind: uvgan, input: mask4 }`, [/^model.input \(line 6\): wanted one of raw, masked, mirror/]],
    [`${SMALL}optimiser: { betas: [0.5] }`, [/^optimiser.betas \(line 6\): wanted two numbers/]],
    [
      `${SMALL}optimiser: { betas: [0.5, 1] }`,
      [/^optimiser.betas.1 \(line 6\): wanted a number from 0 to below 1, found 1/],
    ],
    [`${SMALL}optimiser: { lr: 0 }`, [/^optimiser.lr \(line 6\): wanted a number above 0, found 0/]],
    [SMALL.replace('identities: 2', 'identities: 2, size: 48'), [/size \(line 5\): wanted a multiple of 32, found 48/]],
    [
      `${SMALL.replace('identities: 2', 'identities: 2, size: 64')}model: { kind: uvgan }`,
      [/wanted a multiple of 256 \(model.levels 8\), found 64/],
    ],
    [
      SMALL.replace('identities: 2', 'identities: 2, size: 32'),
      [/line 5\): wanted at least 48, found 32, .* loss.local to 0/],
    ],
    [
      `${SMALL}  validation: { synthPie: { identities: 1, size: 64 } }`,
      [/line 6\): wanted 256 as in data.train, found 64/],
    ],
    [`${SMALL}  validation: { verify: true }`, [/wanted one of shards, synthPie, textures, found none/, /verify/]],
    [SMALL.replace(/synthPie.*/, 'shards: []'), [/shards \(line 5\): wanted a list of folders/]],
  ])('%j', (text, wanted) => {
    const found = problems(text);
    expect(found).toHaveLength(wanted.length);
    for (const [i, want] of wanted.entries()) {
      if (typeof want === 'string') expect(found[i]).toBe(want);
      else expect(found[i]).toMatch(want);
    }
  });

  test('files that are named and missing, where the file is read', () => {
    const text = `${SMALL.replace('identity: 0', 'identity: 1').replace(/synthPie.*/, 'shards: [gone]')}
identity: { network: facenet, weights: lost.pt }`;
    expect(problems(text, [])).toEqual([
      `data.train.shards.0 (line 5): there is no folder ${join(root, 'gone')}`,
      `identity.weights (line 7): there is no file ${join(root, 'lost.pt')}`,
    ]);
    expect(() => readTrainConfig(join(root, 'none.yaml'))).toThrow(/none\.yaml: file: does not exist/);
  });
});

describe('overrides', () => {
  const read = (...overrides: string[]) => {
    writeFileSync(FILE, `${SMALL}epochs: 7\n`);
    return readTrainConfig(FILE, overrides);
  };

  test('replace, add and take out keys', () => {
    const config = read('optimiser.lr=2e-4', 'optimiser.betas=[0, 0.9]', 'model.kind=resunet', 'seed=5');
    expect(config).toMatchObject({ seed: 5, epochs: 7, model: { kind: 'resunet' } });
    expect(config.optimiser).toMatchObject({ lr: 2e-4, betas: [0, 0.9] });
    expect(read('epochs=').epochs).toBe(100);
  });

  test('take the place of keys that they exclude', () => {
    const config = read('steps=3');
    expect([config.steps, config.epochs]).toEqual([3, undefined]);
    mkdirSync(join(root, 'pairs'), { recursive: true });
    expect(read(`data.train.shards=[${join(root, 'pairs')}]`).data.train).toEqual({ shards: [join(root, 'pairs')] });
  });

  test("have paths that start at the working folder, the file's own do not", () => {
    expect(read('run=here').run).toBe(resolve('here'));
    expect(read().run).toBe(join(root, 'out'));
  });

  test('are named when they are wrong', () => {
    expect(problems(SMALL, ['batch=0', 'seed', 'modle.kind=resunet', 'steps=1', 'epochs=2', 'log.every=[1'])).toEqual([
      '--set seed: wanted key.path=value, as in optimiser.lr=2e-4',
      expect.stringMatching(/^--set log.every=\[1: its value is not YAML: /),
      'batch (--set batch=0): wanted a whole number from 1 to 65536, found 0',
      'modle (--set modle.kind=resunet): is no key; did you mean model?',
      'steps (--set steps=1): wanted one of epochs, steps, found epochs and steps',
    ]);
  });
});

describe('learningRate', () => {
  const rate = (optimiser: string, step: number, total = 100) =>
    learningRate(parseTrainConfig(`${SMALL}optimiser: { lr: 0.1, ${optimiser} }`, FILE), step, total);

  test('is constant unless told otherwise', () => {
    expect([0, 50, 99].map((step) => rate('', step))).toEqual([0.1, 0.1, 0.1]);
  });

  test('rises over the warmup', () => {
    for (const schedule of ['constant', 'linear', 'cosine']) {
      const rates = [0, 1, 3, 4].map((step) => rate(`warmup: 4, schedule: ${schedule}`, step));
      for (const [i, want] of [0.025, 0.05, 0.1, 0.1].entries()) expect(rates[i]).toBeCloseTo(want, 12);
    }
  });

  test('falls linearly from decayFrom on', () => {
    const rates = [0, 50, 75, 99, 100].map((step) => rate('schedule: linear', step));
    for (const [i, want] of [0.1, 0.1, 0.05, 0.002, 0].entries()) expect(rates[i]).toBeCloseTo(want, 12);
    expect(rate('schedule: linear, decayFrom: 1', 99)).toBe(0.1);
    expect(rate('schedule: linear, decayFrom: 0', 25)).toBeCloseTo(0.075, 12);
  });

  test('falls along half a cosine', () => {
    const rates = [0, 50, 100].map((step) => rate('schedule: cosine', step));
    for (const [i, want] of [0.1, 0.05, 0].entries()) expect(rates[i]).toBeCloseTo(want, 12);
    expect(rate('schedule: cosine, warmup: 20', 60)).toBeCloseTo(0.05, 12);
  });
});
