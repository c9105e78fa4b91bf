// Verification of real faces as they are, and after unwrapping, completion (by symmetry, by the generator that ships) and frontalisation; and in UV space. All
// pairs of each set, by the difference of the yaw angles that the fitter finds. Run in a checkout:
//   npx vite-node bench/recognition.ts ../shared/data [umist,bbt,yale,orl]
// writes bench/results/recognition.json and prints the tables of docs/recognition.md.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { writeAtomically } from '../src/formats/files.js';
import { readNpy } from '../src/formats/npy.js';
import { pipeline } from '../src/index.js';

type Pixels = pipeline.Pixels;

interface Face {
  label: string;
  name: string;
  pixels: () => Promise<Pixels>;
}

const SETS = ['umist', 'bbt', 'yale', 'orl'] as const;
type SetName = (typeof SETS)[number];

const ENLARGED = 3;
const BORDER = 40;

/** Small grey pictures, enlarged with cubic interpolation and their border repeated, so that the detector finds the face. */
async function enlarge(grey: Uint8Array, height: number, width: number): Promise<Pixels> {
  const around = { top: BORDER, bottom: BORDER, left: BORDER, right: BORDER };
  const { data, info } = await sharp(Buffer.from(grey), { raw: { width, height, channels: 1 } })
    .resize(ENLARGED * width, ENLARGED * height, { kernel: 'cubic' })
    .extend({ ...around, extendWith: 'copy' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const pixels = new Uint8Array(3 * info.width * info.height);
  for (let i = 0; i < pixels.length; i++) pixels[i] = data[info.channels * Math.floor(i / 3)];
  return { data: pixels, height: info.height, width: info.width };
}

function facesOf(data: string, set: SetName): Face[] {
  if (set === 'umist' || set === 'orl') {
    const images = readNpy(join(data, 'faces', set, 'images.npy'));
    const labels = readNpy(join(data, 'faces', set, 'labels.npy'));
    const [n, height, width] = images.shape;
    const size = height * width;
    return Array.from({ length: n }, (_, i) => ({
      label: String(labels.data[i]),
      name: `${set}/${i}`,
      pixels: () => enlarge((images.data as Uint8Array).subarray(i * size, (i + 1) * size), height, width),
    }));
  }
  const index: { file: string; identity: string | null }[] = JSON.parse(
    readFileSync(join(data, 'faces/index.json'), 'utf8'),
  );
  return index.flatMap(({ file, identity }) =>
    file.startsWith(`${set}/`) && identity !== null
      ? [{ label: identity, name: file, pixels: () => pipeline.readPixels(join(data, 'faces', file)) }]
      : [],
  );
}

const METHODS = [
  'photo',
  'frontal',
  'photo + frontal',
  'uv raw',
  'uv mirror',
  'frontal, network',
  'uv network',
] as const;
type Method = (typeof METHODS)[number];

/** Degrees of yaw up to which a photo is compared as it is by the last method. */
const TURNED = 30;

async function run(data: string, set: SetName): Promise<Record<string, unknown>> {
  const weights = (name: string) => join(data, 'weights', name);
  const model = pipeline.loadFaceModel(join(data, 'bfm/bfm_3ddfa.safetensors'));
  // The generator knows the layout of the package's own face model.
  const packaged = pipeline.loadFaceModel(join(data, 'bfm/bfm_3ddfa.safetensors'), { uv: 'package' });
  const generator = pipeline.loadGenerator();
  const fitting = {
    model,
    detector: pipeline.loadDetector({ kind: 'faceboxes', weights: weights('FaceBoxesProd.safetensors') }),
    regressor: pipeline.loadRegressor(weights('mb05_120x120.safetensors')),
  };
  const recogniser = pipeline.loadRecogniser(weights('mobilefacenet_casia_068.safetensors'));
  const layout = recogniser.crop;
  const labels: number[] = [];
  const names: string[] = [];
  const yaws: number[] = [];
  const unfound: string[] = [];
  const embeddings = new Map<string, Float32Array[]>(METHODS.map((method) => [method, []]));
  const keep = (method: Method, embedding: Float32Array) => embeddings.get(method)?.push(embedding);
  for (const { label, name, pixels } of facesOf(data, set)) {
    const photo = await pixels();
    const [fit] = await pipeline.fitPhoto(photo, { ...fitting, faces: 'largest' });
    if (!fit) {
      unfound.push(name);
      continue;
    }
    if (!names.includes(label)) names.push(label);
    labels.push(names.indexOf(label));
    yaws.push(fit.yaw);
    const symmetric = pipeline.completeFit(photo, fit, model, { method: 'mirror' });
    const { unwrapped, completed, mesh } = symmetric;
    const network = pipeline.completeFit(photo, fit, packaged, { method: 'generator', generator, composite: true });
    const [plain, frontal, raw, mirror, frontalNetwork, uvNetwork] = await pipeline.embedCrops(recogniser, [
      pipeline.alignFace(photo, pipeline.fivePoints(fit.landmarks), layout),
      pipeline.frontalCrop(mesh, model, layout),
      pipeline.uvCrop(unwrapped.texture, model, layout),
      pipeline.uvCrop(completed, model, layout),
      pipeline.frontalCrop(network.mesh, packaged, layout),
      pipeline.uvCrop(network.completed, packaged, layout),
    ]);
    keep('photo', plain);
    keep('frontal', frontal);
    keep('photo + frontal', Float32Array.from([...plain, ...frontal]));
    keep('uv raw', raw);
    keep('uv mirror', mirror);
    keep('frontal, network', frontalNetwork);
    keep('uv network', uvNetwork);
    for (const { unwrapped, completed } of [symmetric, network]) {
      for (const t of [unwrapped.texture, unwrapped.mask, unwrapped.confidence, completed]) t.dispose();
    }
  }
  const similarity = (method: Method) => pipeline.cosinesOf(embeddings.get(method) ?? []);
  const [photos, frontals] = [similarity('photo'), similarity('frontal')];
  const turned = (i: number) => Math.abs(yaws[i]) > TURNED;
  const comparisons: [string, (i: number, j: number) => number][] = [
    ...METHODS.map((method): [string, (i: number, j: number) => number] => [method, similarity(method)]),
    [`frontal where one is turned by over ${TURNED}°`, (i, j) => (turned(i) || turned(j) ? frontals : photos)(i, j)],
  ];
  const methods = comparisons.map(([method, compare]) => {
    const { roc: _, ...result } = pipeline.verifyAllPairs(compare, labels, yaws);
    return { method, ...result };
  });
  const range = [Math.min(...yaws), Math.max(...yaws)].map((yaw) => Number(yaw.toFixed(1)));
  return { set, faces: labels.length, people: names.length, unfound, yawRange: range, methods };
}

type Result = Awaited<ReturnType<typeof run>> & { methods: (pipeline.AllPairsResult & { method: string })[] };

function print(result: Result): void {
  const { set, faces, people, yawRange, unfound, methods } = result;
  const [{ bins, same, different }] = methods;
  console.log(`\n${set}: ${faces} faces of ${people} people (no face found in ${(unfound as string[]).length}),`);
  console.log(`yaw ${yawRange}; ${same} same and ${different} different pairs\n`);
  const heads = bins.map(({ from, to, same, different }) => `${from}-${to}° (${same} + ${different})`);
  console.log(`| method | AUC | EER % | balanced % | ${heads.join(' | ')} |`);
  console.log(`|---|---:|---:|---:|${bins.map(() => '---:|').join('')}`);
  for (const { method, auc, eer, balancedAccuracy, bins } of methods) {
    const cells = bins.map(({ auc, sameCosine, differentCosine }) =>
      auc === undefined ? '-' : `${auc.toFixed(3)}; ${sameCosine?.toFixed(2)} / ${differentCosine?.toFixed(2)}`,
    );
    const shares = [eer, balancedAccuracy].map((share) => (100 * share).toFixed(1));
    console.log(`| ${method} | ${auc.toFixed(4)} | ${shares.join(' | ')} | ${cells.join(' | ')} |`);
  }
}

const [data, wanted = SETS.join()] = process.argv.slice(2);
if (!data) throw new Error('wants the folder of faces, weights and face model');
const results: Result[] = [];
for (const set of SETS.filter((name) => wanted.split(',').includes(name))) {
  const result = (await run(data, set)) as Result;
  print(result);
  results.push(result);
}
mkdirSync('bench/results', { recursive: true });
await writeAtomically('bench/results/recognition.json', Buffer.from(`${JSON.stringify(results, null, 1)}\n`));
