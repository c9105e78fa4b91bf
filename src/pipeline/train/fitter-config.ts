// The configuration of a cascade's training: keys, defaults, and the commented file that --init writes. Contract: every key of the
// schema stands in the text with its default.
import path from 'node:path';
import type { z as Zod } from 'zod';
import { z } from 'zod';
import { FITTER_NETWORKS, FITTER_SIDE, type FitterSettings } from '../fitters.js';
import type { Given, Problem } from './config-checks.js';
import { above, atLeast, choice, LENGTH, RUN_KEYS, section, text, whole, within } from './config-leaves.js';
import type { ConfigKeys } from './config-reader.js';
import type { CostPlan } from './fitter.js';
import type { RunConfig } from './job.js';

export interface FitterConfig extends RunConfig {
  task: 'fitter';
  cascade: FitterSettings & { stepsPerStage: number; regeneration: number };
  loss: {
    cost: CostPlan;
    vertices: number;
    scale: 'max' | 'sum';
    regularisation: number;
    /** Rate of VDC steps after another cost, as a share of lr. */
    vdcRate: number;
  };
  data: {
    people: number;
    firstPerson: number;
    /** People of each of the two folds that are not trained on; they follow the others. */
    held: number;
    views: number;
    seed: number;
    maxYaw: number;
    occluders: number;
    /** Folder that photos are kept in once they are drawn. */
    keep?: string;
    /** Annotated photos instead of drawn ones. */
    lp?: { folder: string; model: string; profiles: number };
  };
  optimiser: { kind: 'sgd' | 'adam'; lr: number; momentum: number; weightDecay: number };
  validate: { every: number; photos: number };
}

const COSTS = ['pdc', 'vdc', 'wpdc', 'owpdc', 'wpdc+vdc', 'owpdc+vdc'] as const;

const SCHEMA = z.strictObject({
  ...RUN_KEYS,
  cascade: section({
    network: choice(FITTER_NETWORKS).default('mobilenet'),
    stages: whole(1, 5).default(3),
    width: above(0).default(0.5),
    side: whole(32, 512).optional(),
    stepsPerStage: whole(1).default(20_000),
    regeneration: whole(1, 100_000).default(512),
  }),
  loss: section({
    cost: choice(COSTS).default('owpdc+vdc'),
    vertices: whole(0, 100_000).default(132),
    scale: choice(['max', 'sum']).default('max'),
    regularisation: atLeast(0).default(0.17),
    vdcRate: above(0).optional(),
  }),
  data: section({
    people: whole(1, 1_000_000).default(1000),
    firstPerson: whole(0, 1_000_000).default(0),
    held: whole(1, 100_000).default(64),
    views: whole(1, 100_000).default(64),
    seed: whole(0, 2 ** 31 - 1).default(1),
    maxYaw: within(0, 90).default(90),
    occluders: within(0, 1).default(0.35),
    keep: text('a folder for drawn photos').optional(),
    lp: z
      .strictObject({
        folder: text('a folder in the layout of 300W-LP'),
        model: text('the file of the Basel model of 3DDFA'),
        profiles: whole(0, 64).default(0),
      })
      .optional(),
  }),
  batch: whole(2, 65_536).default(64),
  optimiser: section({
    kind: choice(['sgd', 'adam']).default('sgd'),
    lr: above(0).default(0.02),
    momentum: within(0, 1, true).default(0.9),
    weightDecay: atLeast(0).default(5e-4),
  }),
  validate: section({ every: whole(0).default(1000), photos: whole(1, 100_000).default(256) }),
});

type Raw = Zod.output<typeof SCHEMA>;

export const FITTER_KEYS: ConfigKeys<Raw, FitterConfig> = {
  schema: SCHEMA,
  exclusive: [LENGTH],
  together: (_: Given): Problem[] => [],
  located: (raw, folderOf) => {
    const { keep, lp } = raw.data;
    const at = (file: string, ...keys: string[]) => path.resolve(folderOf('data', ...keys), file);
    const data = {
      ...raw.data,
      ...(keep === undefined ? {} : { keep: at(keep, 'keep') }),
      ...(lp ? { lp: { ...lp, folder: at(lp.folder, 'lp', 'folder'), model: at(lp.model, 'lp', 'model') } } : {}),
    };
    return { ...raw, run: path.resolve(folderOf('run'), raw.run), data };
  },
  files: () => [],
  finished({ cascade, ...raw }) {
    const { stages, stepsPerStage, network } = cascade;
    // The published rate is for a gradient as large as VDC's; Adam divides by that size.
    const vdcRate = raw.loss.vdcRate ?? (raw.optimiser.kind === 'adam' ? 0.1 : 5e-4);
    const length = raw.steps === undefined && raw.epochs === undefined ? { steps: stages * stepsPerStage } : {};
    return {
      ...raw,
      ...length,
      task: 'fitter',
      loss: { ...raw.loss, vdcRate },
      cascade: { ...cascade, side: cascade.side ?? FITTER_SIDE[network] },
    };
  },
};

export const FITTER_TEXT = `# rescunet train THIS_FILE
# A cascade that fits the package's own face model to photos, trained on photos of people who do not exist. Values are the defaults.
# A key can be changed for one run: rescunet train THIS_FILE --set loss.cost=wpdc --set cascade.stages=1

task: fitter
run: runs/fitter                    # checkpoints, logs and networks go there
seed: 1                             # everything random comes from it
# device: cpu                       # as rescunet info lists them; the best there is unless given

cascade:
  network: mobilenet                # or two-stream (photo + drawn model, and photo laid out on the model)
  stages: 3                         # networks one after the other, each seeing the face where the one before left it
  width: 0.5                        # of every channel count
  # side: 120                       # of the crops in pixels; 120 for mobilenet, 100 for two-stream unless given
  stepsPerStage: 20000              # a stage is finished before the next begins
  regeneration: 512                 # photos of other people whose errors the starts of stages 2 and 3 are made of

loss:
  cost: owpdc+vdc                   # pdc, vdc, wpdc, owpdc; +vdc: the last fifth of each stage with vdc
  vertices: 132                     # besides the 68 landmarks, that errors are measured at
  scale: max                        # weights of wpdc are divided by their largest, or by their sum
  regularisation: 0.17              # of owpdc
  # vdcRate: 5.0e-4                 # rate of +vdc steps, as a share of lr; unless given 5e-4 with sgd, 0.1 with adam

data:
  people: 1000
  firstPerson: 0                    # other ranges are other people
  held: 64                          # people for regeneration, and again for validation; they come after the others
  views: 64                         # photos of each, every one with its own pose, light, expression and background
  seed: 1
  maxYaw: 90                        # degrees to either side
  occluders: 0.35                   # share of the photos with something before the face
  # lp: { folder: 300W-LP, model: bfm_3ddfa.safetensors, profiles: 0 }    # annotated photos instead; profiled copies of each
  # keep: photos                    # folder that photos are kept in once drawn (12 to 45 kB each); rescunet data synth-faces fills it

batch: 64
# steps: 60000                      # or epochs; stages * stepsPerStage unless given
optimiser:
  kind: sgd                         # or adam
  lr: 0.02                          # within a stage: a tenth at 1/5, then this, 1/5 after 3/5 and 1/25 after 4/5
  momentum: 0.9
  weightDecay: 5.0e-4
checkpoint:
  every: 1000                       # steps
  keep: 3
log:
  every: 10
  images: 500
validate:
  every: 1000                       # steps; 0 only at the end
  photos: 256
`;
