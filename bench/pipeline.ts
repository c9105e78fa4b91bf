// `npm run bench:pipeline -- ../shared/data`: milliseconds of each step from photo to rendered face, on one photo of 640x480. Contract: steps that
// want imported weights or models are left out where these are not there, and said to be; every step is timed until its result has been read.
// With `--python` (one that has torch) the steps that PyTorch has ops for take turns with its.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { models, pipeline } from '../src/index.js';
import { completeByMirror } from '../src/pipeline/blend.js';
import { fitCrops } from '../src/pipeline/fitters.js';
import { resizeBilinear } from '../src/pipeline/image.js';
import { surfaceOf, uvTableOf } from '../src/pipeline/synthesise.js';
import { uvTable } from '../src/pipeline/unwrap.js';
import { gridSample, poisson, rasterize, type Tensor, tensor, tidy } from '../src/tensor/index.js';
import { local, Peer, rest } from './peer.js';
import { machine, median, whole, writeResult } from './report.js';

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: { repeats: { type: 'string', default: '20' }, json: { type: 'string' }, python: { type: 'string' } },
});
const [data = '../shared/data'] = positionals;
const repeats = whole('repeats', given.repeats);

interface Row {
  step: string;
  median: number;
  min: number;
}
const rows: (Row & { peers?: Row[] })[] = [];
const left: string[] = [];

const about = machine();

/** PyTorch's side: a step's name in, the milliseconds of one run out. */
const peer = given.python
  ? new Peer(`--python ${given.python}`, given.python, [local('./peers/torch_pipeline.py'), String(about.threads)])
  : undefined;

function rowOf(step: string, times: number[], indent = ''): Row {
  const row = { step, median: median(times), min: Math.min(...times) };
  console.log(`${(indent + step).padEnd(58)} ${row.median.toFixed(2).padStart(8)} ms  (min ${row.min.toFixed(2)})`);
  return row;
}

async function time(step: string, work: () => unknown, peers: readonly string[] = []): Promise<void> {
  const times: number[] = [];
  const theirs = new Map<string, number[]>(peer ? peers.map((name) => [name, []]) : []);
  for (let i = -3; i < repeats; i++) {
    if (theirs.size > 0) await rest();
    const start = performance.now();
    await work();
    if (i >= 0) times.push(performance.now() - start);
    for (const [name, list] of theirs) {
      await rest();
      const taken = Number(await peer?.ask(name));
      if (i >= 0) list.push(taken);
    }
  }
  const row = rowOf(step, times);
  const beside = [...theirs].map(([name, list]) => rowOf(`torch: ${name}`, list, '  '));
  rows.push(beside.length > 0 ? { ...row, peers: beside } : row);
}

/** Runs an op and waits for its first result. */
const read = (work: () => Tensor) => () => tidy(() => void work().dataSync());

/** Waits for all results, and lets go of them. */
const readAll = (results: object) => {
  for (const t of Object.values(results)) {
    t.dataSync();
    t.dispose();
  }
};

const shared = (name: string): string | undefined => {
  const file = join(data, name);
  if (existsSync(file)) return file;
  left.push(file);
  return undefined;
};

/** A photo's face in the middle of 640x480, as large as in the photo or smaller. */
async function photoOf(file: string): Promise<pipeline.Pixels> {
  const { data: bytes } = await sharp(file)
    .resize(640, 480, { fit: 'contain' })
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data: new Uint8Array(bytes), width: 640, height: 480 };
}

console.log(
  `${about.cpu}, ${about.threads} threads, ${about.instructionSet}, node ${about.node}, load ${about.load.toFixed(1)}`,
);

await peer?.ask('modes'); // it has loaded what it needs, and takes no core from the first steps

// Without any weights: the package's own face model, cascade and generator.
const own = pipeline.loadFaceModel();
const demo = await pipeline.runDemo({ seed: 1, photoSize: 480, yaw: [0], viewSize: 64 });
const { photo, fit } = demo;
const fitter = pipeline.loadFitter();
const { side } = fitter.settings;
const crop = tensor(resizeBilinear(photo, side, side).data, { shape: [1, side, side, 3], dtype: 'u8' });
await time(`cascade that ships: ${fitter.settings.stages} x MobileNet ${fitter.settings.width}, ${side}x${side}`, () =>
  fitCrops(fitter, crop),
);

const features = new models.FaceFeatures(own, { side: 120 });
const start = models.initialVector(
  own,
  { identity: own.identityCount, expression: own.expressionCount },
  { side: 120 },
);
const p = tensor(start, { shape: [1, start.length] });
const image = tensor(Float32Array.from(resizeBilinear(photo, 120, 120).data), { shape: [1, 120, 120, 3] });
await time(
  'PNCC, own model, 120x120',
  read(() => features.pncc(p).image),
);
const { depth } = features.pncc(p);
await time(
  'PAF, own model, 64x64 anchors',
  read(() => features.paf(image, p, depth)),
);

const table = uvTableOf(own, 256);
const unwrapped = pipeline.unwrap(photo, fit.vertices, table);
await time('unwrap, own model, 256x256', () => readAll(pipeline.unwrap(photo, fit.vertices, table)));
await time(
  'complete by symmetry, 256x256',
  read(() => completeByMirror(unwrapped, table.footprint)),
);
const generator = pipeline.loadGenerator();
await time(
  'complete by the generator that ships, 256x256',
  read(() => pipeline.complete(unwrapped, table.footprint, { method: 'generator', generator, composite: true })),
);
await time(
  'render, own model, 256x256',
  read(() => pipeline.render(demo.mesh, { yaw: 30 }, { size: 256 }).image),
);

const [h, w] = [256, 256];
const mask = Uint8Array.from({ length: h * w }, (_, i) => {
  const [y, x] = [Math.floor(i / w), i % w];
  return y === 0 || x === 0 || y === h - 1 || x === w - 1 ? 2 : 1;
});
const wave = (f: number) => Float32Array.from({ length: 3 * h * w }, (_, i) => 40 * Math.sin(f * Math.floor(i / 3)));
const maps = [wave(0.01), wave(0.013), wave(0.017)].map((values) => tensor(values, { shape: [h, w, 3] }));
const free = tensor(mask, { shape: [h, w], dtype: 'u8' });
await time(
  'Poisson, 256x256 RGB, to 1e-6',
  read(() => poisson(maps[0], free, maps[1], maps[2])),
);

// With 3DDFA_V2's model and weights.
const [modelFile, faceboxes, mb05, picture] = [
  'bfm/bfm_3ddfa.safetensors',
  'weights/FaceBoxesProd.safetensors',
  'weights/mb05_120x120.safetensors',
  'faces/3ddfa-v2/emma.jpg',
].map(shared);
if (modelFile && faceboxes && mb05 && picture) {
  const model = pipeline.loadFaceModel(modelFile);
  const regressor = pipeline.loadRegressor(mb05);
  const real = await photoOf(picture);
  const pixels = tensor(real.data, { shape: [real.height, real.width, 3], dtype: 'u8' });
  const detector = pipeline.loadDetector({ kind: 'faceboxes', weights: [faceboxes] });
  await time('detect by FaceBoxes, 640x480', () => detector.detect(pixels));
  const [found] = await pipeline.fitPhoto(real, { model, regressor, detector, faces: 'largest' });
  await time('fit one face, its box known, BFM, one look', () =>
    pipeline.fitPhoto(real, { model, regressor, box: found.box }),
  );
  await time('detect and fit one face, BFM, two looks', () =>
    pipeline.fitPhoto(real, { model, regressor, detector, faces: 'largest', passes: 2 }),
  );
  const mtcnn = ['mtcnn_pnet.pt', 'mtcnn_rnet.pt', 'mtcnn_onet.pt'].map((name) => shared(join('weights', name)));
  if (mtcnn.every((name) => name !== undefined)) {
    const three = pipeline.loadDetector({ kind: 'mtcnn', weights: mtcnn });
    await time('detect by MTCNN and fit one face, BFM', () =>
      pipeline.fitPhoto(real, { model, regressor, detector: three, faces: 'largest' }),
    );
  }
  const input = tensor(pipeline.regressorCrop(real, found.roi ?? [0, 0, 120, 120]).data, {
    shape: [1, 120, 120, 3],
    dtype: 'u8',
  });
  await time('MobileNet regressor mb05, 120x120', () => regressor.predict(input), [
    'regressor, eager',
    'regressor, channels_last',
    'regressor, jit frozen',
  ]);
  const [alpha, beta] = [new Float64Array(40).fill(0.5), new Float64Array(10).fill(0.5)];
  await time('vertices of BFM: 38 thousand times 50 modes', () => model.vertices(alpha, beta), ['modes']);
  const surface = surfaceOf(model);
  const faces = tensor(surface, { shape: [surface.length / 3, 3], dtype: 'i32' });
  const placed = tensor(pipelinePlaced(found.vertices), { shape: [found.vertices.length / 3, 3] });
  await time(
    'rasterise BFM, 76 thousand triangles, 256x256',
    read(() => rasterize(placed, faces, { size: [256, 256], cull: true }).index),
  );
  const places = Float32Array.from(
    { length: 2 * 256 * 256 },
    (_, i) => (((i * 7919) % 65536) / 65536) * (i % 2 ? 480 : 640),
  );
  const [scene, grid] = [
    tensor(Float32Array.from(real.data), { shape: [480, 640, 3] }),
    tensor(places, { shape: [256, 256, 2] }),
  ];
  await time(
    'sample a photo of 640x480 at 256x256 places',
    read(() => gridSample(scene, grid)),
    ['grid_sample'],
  );
  const layout = uvTable(model.uv, surface, 256);
  await time('unwrap, BFM, 256x256', () => readAll(pipeline.unwrap(real, found.vertices, layout)));
}
peer?.close();
for (const file of left) console.log(`left out what wants ${file}: it is not there`);
if (given.json) writeResult(given.json, { bench: 'pipeline', machine: about, repeats, rows });

/** Vertices fitted into 256x256 pixels, face filling nine tenths of it. */
function pipelinePlaced(vertices: Float32Array): Float32Array {
  const { scale, x, y } = extent(vertices);
  return vertices.map((v, i) => (i % 3 === 2 ? scale * v : scale * (v - (i % 3 === 0 ? x : y)) + 128));
}

function extent(vertices: Float32Array): { scale: number; x: number; y: number } {
  const ranges = [0, 1].map((c) => {
    const values = vertices.filter((_, i) => i % 3 === c);
    return values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
  });
  const [x, y] = ranges.map(([low, high]) => (low + high) / 2);
  return { scale: 230 / Math.max(...ranges.map(([low, high]) => high - low)), x, y };
}
