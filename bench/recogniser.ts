// Does pose augmentation help a recogniser? The paper's claim on people who do not exist: the same small network is trained for as many steps on
// near-frontal photos alone, on these and as many more near-frontal ones as there are turned ones (so that the number of images is no reason), and
// on the photos with themselves completed by symmetry and turned; then verified on other people by pose difference.
//   npx vite-node bench/recogniser.ts FOLDER [people] [steps] [width] [seed]
// A run that was killed is taken up by the same command; results go to bench/results/recogniser.json.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { completeByMirror } from '../src/pipeline/blend.js';
import { type SynthPie, synthPie } from '../src/pipeline/dataset/synth-pie.js';
import { loadFaceModel } from '../src/pipeline/face_model.js';
import { type Pixels, readPixels, writeImage } from '../src/pipeline/image.js';
import { verifyBins } from '../src/pipeline/recognise/by-bin.js';
import { cosinesOf, verifyAllPairs } from '../src/pipeline/recognise/by-yaw.js';
import { embedCrops, loadRecogniser } from '../src/pipeline/recognise/embed.js';
import { poseCrop } from '../src/pipeline/recognise/frontal.js';
import { embeddingDistance } from '../src/pipeline/recognise/verification.js';
import { surfaceOf, uvTableOf } from '../src/pipeline/synthesise.js';
import { checkpointSteps, parseTrainConfigOf, train } from '../src/pipeline/train/index.js';
import { tensor } from '../src/tensor/index.js';
import { tidy } from '../src/tensor/scope.js';

const [folder = '', people = '64', steps = '200', width = '8', seed = '1'] = process.argv.slice(2);
if (folder === '') throw new Error('name a folder for faces and runs');

const SCENES = { expressions: 2, illuminations: 3, viewpoints: 15, size: 128 };
const PER_PERSON = SCENES.expressions * SCENES.illuminations;
const TRAINED = Number(people);
const HELD_OUT = { first: 5000, people: TRAINED / 2, photos: 12 };
/** Viewpoints at yaw -15, 0 and 15, and all at head height. */
const FRONTAL = [5, 6, 7];
const HEIGHT = 13;
/** More photos of a person from viewpoints that its own do not have: as many as there are turned faces. */
const MORE = 8;
/** Of two photos of a person in turn. */
const TURNS = [-80, -60, -40, -20, 20, 40, 60, 80];
const EDGES = [0, 20, 40, 60];

const model = loadFaceModel();

/** What a camera sees of pair `index`, aligned. */
function photo(source: SynthPie, index: number): Pixels {
  const { scene, pose, meta } = source.view(index);
  return drawn(scene.vertices, scene.texture, pose, [90 + (meta.seed % 100), 110, 120]);
}

function drawn(
  vertices: Float32Array,
  texture: Float32Array,
  pose: object,
  backdrop: [number, number, number],
): Pixels {
  const { size } = SCENES;
  return tidy(() => {
    const colours = tensor(texture, { shape: [size, size, 3] });
    const mesh = { vertices, triangles: surfaceOf(model), uv: model.uv, texture: colours };
    return poseCrop(mesh, model, pose, undefined, backdrop);
  });
}

/** The photo's own texture, completed by symmetry. */
function completed(source: SynthPie, index: number): { vertices: Float32Array; texture: Float32Array } {
  const { size } = SCENES;
  const { footprint } = uvTableOf(model, size);
  const { incomplete, mask } = source.pair(index);
  const texture = tidy(() =>
    Float32Array.from(
      completeByMirror(
        {
          texture: tensor(new Float32Array(incomplete), { shape: [size, size, 3] }),
          mask: tensor(mask, { shape: [size, size], dtype: 'u8' }),
          confidence: tensor(new Float32Array(mask), { shape: [size, size] }),
        },
        footprint,
      ).dataSync(),
    ),
  );
  return { vertices: source.view(index).scene.vertices, texture };
}

const place = (set: string, person: number) => path.join(folder, set, String(person).padStart(4, '0'));

async function drawTraining(): Promise<void> {
  const source = synthPie({ ...SCENES, identities: TRAINED });
  for (let person = 0; person < TRAINED; person++) {
    if (existsSync(path.join(place('photos', person), `${PER_PERSON - 1}.png`))) continue; // written last
    mkdirSync(place('photos', person), { recursive: true });
    mkdirSync(place('turned', person), { recursive: true });
    mkdirSync(place('more', person), { recursive: true });
    for (let k = 0; k < MORE; k++) {
      const scene = k % PER_PERSON;
      const view = FRONTAL[(person + scene + 1 + Math.floor(k / PER_PERSON)) % 3];
      const index = (person * PER_PERSON + scene) * SCENES.viewpoints + view;
      await writeImage(path.join(place('more', person), `${k}.png`), photo(source, index));
    }
    for (let k = 0; k < PER_PERSON; k++) {
      const index = (person * PER_PERSON + k) * SCENES.viewpoints + FRONTAL[(person + k) % 3];
      await writeImage(path.join(place('photos', person), `${k}.png`), photo(source, index));
      const turns = TURNS.filter((_, i) => PER_PERSON * (i % 2) === 2 * k); // photos 0 and 3
      if (turns.length === 0) continue;
      const { vertices, texture } = completed(source, index);
      for (const yaw of turns) {
        const file = path.join(place('turned', person), `${yaw}.png`);
        await writeImage(file, drawn(vertices, texture, { yaw }, [110, 110, 120]));
      }
    }
    process.stderr.write(`\rdrawn ${person + 1} of ${TRAINED} people`);
  }
}

interface HeldOut {
  crops: Pixels[];
  labels: number[];
  yaws: number[];
}

async function heldOut(): Promise<HeldOut> {
  const { first, people: others, photos } = HELD_OUT;
  const source = synthPie({ ...SCENES, identities: others, firstIdentity: first });
  const found: HeldOut = { crops: [], labels: [], yaws: [] };
  for (let person = 0; person < others; person++) {
    mkdirSync(place('held-out', person), { recursive: true });
    for (let k = 0; k < photos; k++) {
      const view = (5 * k + person) % HEIGHT;
      const index = (person * PER_PERSON + (k % PER_PERSON)) * SCENES.viewpoints + view;
      const file = path.join(place('held-out', person), `${k}.png`);
      if (!existsSync(file)) await writeImage(file, photo(source, index));
      found.crops.push(await readPixels(file));
      found.labels.push(person);
      found.yaws.push(source.meta?.(index).yaw ?? 0);
    }
  }
  return found;
}

const percent = (share: number) => Number((100 * share).toFixed(2));

async function score(file: string, { crops, labels, yaws }: HeldOut) {
  const recogniser = loadRecogniser(file);
  const embeddings = await embedCrops(recogniser, crops);
  recogniser.dispose();
  const all = verifyAllPairs(cosinesOf(embeddings), labels, yaws, EDGES);
  const pairs = labels.flatMap((label, i) =>
    labels.slice(0, i).map((other, j) => {
      const turn = Math.abs(yaws[i] - yaws[j]);
      const bin = EDGES.filter((edge) => turn >= edge).length - 1;
      return { distance: embeddingDistance(embeddings[i], embeddings[j]), same: label === other, bin };
    }),
  );
  const total = verifyBins(
    pairs.map((pair) => ({ ...pair, bin: 0 })),
    1,
  )[0];
  return {
    accuracy: total && percent(total.accuracy),
    accuracyStd: total && percent(total.accuracyStd),
    auc: Number(all.auc.toFixed(4)),
    eer: percent(all.eer),
    bins: verifyBins(pairs, EDGES.length).map((result, i) => ({
      from: EDGES[i],
      same: all.bins[i].same,
      different: all.bins[i].different,
      auc: all.bins[i].auc && Number(all.bins[i].auc.toFixed(4)),
      accuracy: result && percent(result.accuracy),
      accuracyStd: result && percent(result.accuracyStd),
      sameCosine: all.bins[i].sameCosine,
      differentCosine: all.bins[i].differentCosine,
    })),
  };
}

await drawTraining();
const others = await heldOut();
const settings = {
  model: { backbone: 'ir18', width: Number(width) },
  head: { kind: 'arcface', scale: 32, margin: 0.3 },
  batch: 16,
  steps: Number(steps),
  seed: Number(seed),
  optimiser: { lr: 0.05, schedule: 'cosine', warmup: 10, weightDecay: 5e-4 },
};
const variants = { photos: ['photos'], 'more photos': ['photos', 'more'], 'photos + turned': ['photos', 'turned'] };
const results: Record<string, unknown> = {};
for (const [name, sets] of Object.entries(variants)) {
  const run = path.resolve(folder, `run-${sets.join('-')}-${people}-${steps}-${width}-${seed}`);
  const config = parseTrainConfigOf(
    JSON.stringify({
      task: 'recogniser',
      run,
      ...settings,
      data: { train: { folders: sets.map((set) => path.resolve(folder, set)) } },
      log: { every: 10 },
      checkpoint: { every: 20, keep: 2 },
    }),
    'recogniser.yaml',
  );
  const begun = existsSync(path.join(run, 'config.json'));
  if (checkpointSteps(run)[0] !== Number(steps)) {
    await train(config, {
      resume: begun,
      onStep: ({ step, losses }) => process.stderr.write(`\r${name}: step ${step} ${JSON.stringify(losses)}\n`),
    });
  }
  const log = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const losses = log.map((line) => JSON.parse(line) as Record<string, number>);
  results[name] = {
    lossFirst: losses[0]['loss/arcface'],
    lossLast: losses.at(-1)?.['loss/arcface'],
    ...(await score(path.join(run, 'recogniser.safetensors'), others)),
  };
  process.stderr.write(`${name}: ${JSON.stringify(results[name])}\n`);
}
const record = {
  about:
    'Synthetic: people of SynthPIE, who do not exist. Held-out people, all pairs; accuracy on all same and as many different pairs, ten folds.',
  command: `npx vite-node bench/recogniser.ts FOLDER ${people} ${steps} ${width} ${seed}`,
  settings,
  people: { trained: TRAINED, photosEach: PER_PERSON, moreEach: MORE, turnedEach: TURNS.length, heldOut: HELD_OUT },
  results,
};
const file = fileURLToPath(new URL('./results/recogniser.json', import.meta.url));
writeFileSync(file, `${JSON.stringify(record, null, 1)}\n`);
process.stdout.write(`${file}\n`);
