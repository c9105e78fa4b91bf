// The recognition networks: public names, outputs of public networks with weights by formula, embeddings of a real photo.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadSafetensors, saveSafetensors } from '../src/formats/safetensors.js';
import { FaceNet } from '../src/models/facenet.js';
import { IResNet } from '../src/models/iresnet.js';
import { mirrored } from '../src/models/mirror.js';
import { MobileFaceNet } from '../src/models/mobilefacenet.js';
import { ResNetRecogniser } from '../src/models/resnet-recogniser.js';
import type { Module } from '../src/nn/module.js';
import { readImage } from '../src/pipeline/image.js';
import { loadRecogniser } from '../src/pipeline/recognise/index.js';
import { add, concat, mul, normalize, reshape, type Tensor, tensor, tidy, zeros } from '../src/tensor/index.js';
import { alignment, expectClose } from './close.js';
import { sharedPath } from './shared.js';

const golden = sharedPath('golden');
const data = sharedPath('data');

type Shapes = Record<string, number[]>;

const readJson = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** The state that networks.json defines for names in PyTorch's order. */
function stateByFormula(names: Shapes, phase: number): Record<string, Tensor> {
  const entries = Object.entries(names).filter(([name]) => !name.endsWith('num_batches_tracked'));
  return Object.fromEntries(
    entries.map(([name, shape], k) => {
      const isNorm = `${name.replace(/\.[^.]+$/, '')}.running_mean` in names;
      const bound = Math.sqrt(3 / sizeOf(shape.slice(1)));
      const values = Float32Array.from({ length: sizeOf(shape) }, (_, i) => {
        const s = Math.sin(12.9898 * (i + 1) + 78.233 * (k + 1) + phase) * 43758.5453;
        const r = 2 * (s - Math.floor(s)) - 1;
        if (name.endsWith('running_var')) return 1 + 0.5 * Math.abs(r);
        if (name.endsWith('running_mean') || name.endsWith('bias')) return 0.1 * r;
        if (isNorm) return 1 + 0.1 * r;
        if (name.includes('prelu')) return 0.25 + 0.1 * r;
        return r * bound;
      });
      return [name, tensor(values, { shape })];
    }),
  );
}

/** x[n, c, y, x] of networks.json as [2, size, size, 3]. */
function images(size: number): Tensor {
  const values = new Float32Array(2 * size * size * 3);
  let at = 0;
  for (let n = 0; n < 2; n++) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        for (let c = 0; c < 3; c++) values[at++] = Math.sin(0.05 * (y + 1) * (c + 1) + 0.03 * (x + 1) + n);
      }
    }
  }
  return tensor(values, { shape: [2, size, size, 3] });
}

describe.skipIf(!golden)('public networks with weights by formula', () => {
  if (!golden) return;
  const { phase, networks } = readJson(join(golden, 'networks.json'));
  const faceNetNames: Shapes = readJson(join(golden, 'names/facenet-pytorch-inception-resnet-v1.json'));
  const ir100Names: Shapes = readJson(join(golden, 'names/insightface-iresnet100.json'));
  const ir18Names = Object.fromEntries(
    Object.entries(ir100Names).filter(([name]) => Number(/^layer\d\.(\d+)\./.exec(name)?.[1] ?? 0) < 2),
  );

  function load(net: Module, kind: string, names: Shapes): { x: Tensor; expected: number[] } {
    const state = stateByFormula(names, phase);
    const { size, entries, output } = networks[kind];
    expect(Object.keys(state).length).toBe(entries);
    expect(net.loadStateDict(state, { from: 'torch' })).toEqual({ missing: [], extra: [] });
    for (const x of Object.values(state)) x.dispose();
    return { x: images(size), expected: output.flat() };
  }

  it('FaceNet: names, size, normalised and raw output', () => {
    const net = new FaceNet({ initialize: false });
    expect(net.training).toBe(false);
    expect(net.parameterCount()).toBe(23_482_624);
    const { x, expected } = load(net, 'facenet-inception-resnet-v1', faceNetNames);
    const y = tidy(() => net.forward(x));
    expect(y.shape).toEqual([2, 512]);
    expectClose(y, expected, 1e-4, 'embeddings');
    const raw = tidy(() => net.forward(x, { normalized: false }));
    const lengths = [0, 512].map((at) => Math.hypot(...Array.from(raw.dataSync().slice(at, at + 512))));
    for (const length of lengths) expect(Math.abs(length - 1)).toBeGreaterThan(0.01);
    expectClose(
      tidy(() => normalize(raw)),
      y,
      1e-6,
      'raw output of length 1',
    );
  });

  it.each([
    [18, 'iresnet18', ir18Names],
    [100, 'iresnet100', ir100Names],
  ] as const)('IR-%i', (depth, kind, names) => {
    const net = new IResNet({ depth, initialize: false });
    const { x, expected } = load(net, kind, names);
    expectClose(
      tidy(() => net.forward(x)),
      expected,
      1e-4,
      kind,
    );
    expect(Object.keys(net.parameters())).not.toContain('features.weight'); // stays 1
  });

  it('IR-50 has the names and shapes of IR-100 with 4 and 14 blocks in its middle levels', () => {
    const blocks: Record<string, number> = { layer2: 4, layer3: 14 };
    const kept = Object.entries(ir100Names).filter(([name]) => {
      const [, level, block] = /^(layer\d)\.(\d+)\./.exec(name) ?? [];
      return !name.endsWith('num_batches_tracked') && !(Number(block) >= blocks[level]);
    });
    const net = new IResNet({ depth: 50, initialize: false });
    const shapes = tidy(() => Object.entries(net.stateDict({ to: 'torch' })).map(([name, x]) => [name, [...x.shape]]));
    expect(Object.fromEntries(shapes)).toEqual(Object.fromEntries(kept));
    net.dispose();
  });
});

it('inputs of another size are refused', () => {
  const [faces, crops] = [zeros([1, 112, 112, 3]), zeros([1, 112, 112, 3], { dtype: 'i32' })];
  expect(() => new FaceNet({ initialize: false }).forward(faces)).toThrow(/FaceNet: x must be \[n,160,160,3\], got/);
  expect(() => new MobileFaceNet().forward(faces)).toThrow(/MobileFaceNet: x must be \[n,112,96,3\], got/);
  expect(() => new MobileFaceNet().embed(crops)).toThrow(/u8 or f32, got \[1,112,112,3\] i32/);
  expect(() => new IResNet({ depth: 18, initialize: false }).forward(zeros([1, 96, 96, 3]))).toThrow(/IResNet: x must/);
});

describe.skipIf(!data)('CASIA MobileFaceNet', () => {
  if (!data) return;
  it('embeds the aligned crop of the reference photo as the original does', async () => {
    const net = new MobileFaceNet();
    net.loadStateDict(loadSafetensors(join(data, 'weights/mobilefacenet_casia_068.safetensors')), { from: 'torch' });
    const image = await readImage(join(data, 'reference/align_112x96.png'));
    const crop = tidy(() => reshape(image, [1, 112, 96, 3]));
    const y = net.embed(crop);
    expect(y.shape).toEqual([1, 256]);
    const { emb_casia_256: expected } = loadSafetensors(join(data, 'reference/JianzhuGuo.safetensors'));
    const photos = loadSafetensors(join(data, 'reference/photos.safetensors'));
    expect(alignment(y, expected).cosine).toBeGreaterThanOrEqual(0.9999);
    expect(alignment(y, photos['3ddfa-v2/JianzhuGuo.jpg#0/emb_casia']).cosine).toBeGreaterThanOrEqual(0.9999);
    expect(alignment(y, photos['3ddfa-v2/emma.jpg#0/emb_casia']).cosine).toBeLessThan(0.5); // someone else
    const pair = net.embed(tidy(() => concat([crop, crop], { axis: 0 })));
    expectClose(pair.dataSync().slice(256), y, 1e-5, 'second of a batch');
  });
});

/** Every 64th of the 512 numbers for both images. */
const NUMPY_RESNET101 = [
  [-0.4949542, 0.0832015, -0.2715117, 0.0923657, 0.8829504, -0.072474, -1.2010508, -0.3230945],
  [-0.5090178, 0.0591611, -0.2615454, 0.1017654, 0.8700821, -0.0642178, -1.1817052, -0.3283962],
];

it('ResNet-101 of bottlenecks: size of the trunk and outputs with weights by formula, worked out in NumPy', () => {
  const net = new ResNetRecogniser({ initialize: false });
  expect(net.trunk.parameterCount()).toBe(42_500_160); // torchvision's resnet101 without its classifier
  expect(net.parameterCount()).toBe(43_550_272);
  // The order that the weights were numbered in: the stem, the levels, the head.
  const rank = (name: string) => (name.startsWith('trunk.conv1.') ? 0 : name.startsWith('trunk.bn1.') ? 1 : 2);
  const shapes: Shapes = tidy(() =>
    Object.fromEntries(Object.entries(net.stateDict({ to: 'torch' })).map(([name, x]) => [name, [...x.shape]])),
  );
  expect(Object.keys(shapes)).toHaveLength(526);
  const order = Object.keys(shapes).sort((a, b) => rank(a) - rank(b));
  const state = stateByFormula(Object.fromEntries(order.map((name) => [name, shapes[name]])), 0);
  net.loadStateDict(state, { from: 'torch' });
  const y = tidy(() => net.forward(images(112)));
  expect(y.shape).toEqual([2, 512]);
  const values = y.dataSync();
  expectClose(
    Float32Array.from({ length: 16 }, (_, i) => values[64 * i]),
    NUMPY_RESNET101.flat(),
    1e-4,
    'embeddings',
  );
  expect(() => net.forward(zeros([1, 96, 96, 3]))).toThrow(/ResNetRecogniser: x must be \[n,112,112,3\], got/);
  net.dispose();
});

it('a file of ResNet-50 of bottlenecks loads as the recogniser that it is', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rescunet-resnet-'));
  const file = join(folder, 'resnet50.safetensors');
  const net = new ResNetRecogniser({ depth: 50, seed: 1 });
  tidy(() => saveSafetensors(file, net.stateDict({ to: 'torch' })));
  const recogniser = loadRecogniser(file);
  rmSync(folder, { recursive: true });
  expect([recogniser.name, recogniser.dimension]).toEqual(['ResNetRecogniser', 512]);
  const x = images(112);
  const wanted = tidy(() => normalize(add(net.forward(x), net.forward(mirrored(x)))).dataSync());
  const found = tidy(() => recogniser.embed(mul(add(x, 1), 127.5)).dataSync());
  expectClose(found, wanted, 1e-5, 'embeddings');
  net.dispose();
  recogniser.dispose();
});
