// Attention ResCUNet-GAN (Na et al. 2020), trained on people who do not exist: the paper's section "Training" in a page.
//   npx vite-node examples/train-uv.ts [steps] [baseWidth]     (in a checkout; a minute for the 60 steps it does by default)
// `rescunet train` does the same with checkpoints, resume and logs; docs/training.md tells how.
import { capture, gradient, manualSeed, models, nn, optim, pipeline, type Tensor, tensor, tidy } from '../src/index.js';

const [steps = 60, baseWidth = 8] = process.argv.slice(2).map(Number);
const SIZE = 64;
const BATCH = 4;
manualSeed(1);

// Data: incomplete UV maps of faces seen from 15 cameras in 19 lights, and the complete maps in the same light.
const loader = await pipeline.openLoader(
  { synthPie: { identities: 12, expressions: 1, illuminations: 3, viewpoints: 5, size: SIZE } },
  { batch: BATCH, seed: 1, flip: true, workers: 0 },
);
const footprint = pipeline.footprintTensor(loader.footprint, SIZE, SIZE);

// Networks: two coupled U-Nets with attention gates, and PatchGANs that judge the whole map and the central face.
const generator = new models.Generator({ baseWidth, seed: 1 });
const global = new models.Discriminator({ baseWidth, seed: 2 });
const local = new models.Discriminator({ baseWidth, seed: 3 });
const critics = { global: (maps: Tensor) => global.forward(maps), local: (maps: Tensor) => local.forward(maps) };

const settings = { lr: 1e-3, betas: [0.5, 0.999] } as const; // the paper's 1e-4 wants its 100 epochs
const generatorAdam = new optim.Adam(generator.parameters(), settings);
const globalAdam = new optim.Adam(global.parameters(), settings);
const localAdam = new optim.Adam(local.parameters(), settings);

// One step: the discriminators learn from the generator's answers (Eq. 9), then the generator from all terms (Eq. 7-12).
const step = capture((incomplete: Tensor, complete: Tensor) => {
  const x = pipeline.coloursOf(incomplete, footprint); // [n, 64, 64, 3] in [-1, 1]
  const target = pipeline.coloursOf(complete, footprint);
  const outputs = generator.forward(x);

  const judged = nn.discriminatorLosses(x, outputs, target, critics);
  if (judged.global) globalAdam.step(gradient(judged.global, global.parameters()));
  if (judged.local) localAdam.step(gradient(judged.local, local.parameters()));

  const { total, final } = nn.finalLoss(x, outputs, target, critics, { localWeight: 0.01, globalWeight: 0.01 });
  generatorAdam.step(gradient(total, generator.parameters()));
  generator.constrain();
  return final.reconstruction;
});

for (let k = 1; k <= steps; k++) {
  const { incomplete, complete } = await loader.next();
  const maps = (bytes: Uint8Array) => tensor(bytes, { shape: [BATCH, SIZE, SIZE, 3], dtype: 'u8' });
  const loss = tidy(() => step(maps(incomplete), maps(complete)));
  if (k % 10 === 0) console.log(`step ${k}: reconstruction ${(await loss.item()).toFixed(4)}`);
  loss.dispose();
}

pipeline.saveGenerator('generator.safetensors', generator); // for rescunet complete, synth, eval
await loader.close();
