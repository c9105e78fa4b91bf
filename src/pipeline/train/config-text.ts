// The commented configuration that `rescunet train --init` writes. Contract: every key of the schema is in it, set to its default
// or, where it has none, as a comment.

/** YAML that trains the paper's network on SynthPIE, with every key. */
export function defaultConfigText(): string {
  return TEXT;
}

const TEXT = `# rescunet train THIS_FILE
# Values are the defaults, the paper's where it gives them. Relative paths start at this file's folder.
# A key can be changed for one run: rescunet train THIS_FILE --set optimiser.lr=2e-4 --set model.baseWidth=16

run: runs/attention-rescunet        # checkpoints, logs and networks go there
seed: 1                             # everything random comes from it
# device: cpu                       # as rescunet info lists them; the best there is unless given

model:
  kind: attention-rescunet          # or rescunet, attention-resunet, resunet, uvgan (the baseline)
  baseWidth: 64                     # the paper's; 16 is a sixteenth of the weights
  input: raw                        # hidden pixels as sampled; or masked (noise), mirror (6 channels), mask4 (with the mask)
  # inputSkip: true                 # the heads see the input past every norm: learns much faster, not in the paper
  # zeroInitResidual: true          # the encoders' residual branches start at 0: the same
  # weights: generator.safetensors  # start from these (fine-tuning)
  # levels: 8                       # uvgan alone: how often it halves its maps; 8 for 256x256

discriminator:
  baseWidth: 64
  conditional: true                 # sees the incomplete map too

loss:                               # total = reconstruction + local*.. + global*.. + identity*..; + auxiliary * the same on U1's output
  local: 0.5                        # weight of the adversarial term on the central face; 0 leaves its discriminator out
  global: 0.5                       # the same on the whole map
  identity: 0.01                    # needs the identity network below; 0 leaves it out
  auxiliary: 0.3
  idNorm: true                      # compare embeddings of length 1

identity:                           # frozen; not needed where loss.identity is 0
  network: facenet                  # or mobilefacenet
  weights: 20180402-114759-vggface2.pt

data:
  train:                            # one of synthPie, textures, shards
    synthPie:                       # people who do not exist, drawn while training
      identities: 200
      firstIdentity: 0              # other ranges are other people
      expressions: 3                # of 6
      illuminations: 19             # of 19
      viewpoints: 15                # of 15
      size: 256                     # side of the maps in pixels
      seed: 1
      fitError: 1                   # how far the mesh is off that unwraps; 0 is a perfect fit
      photoScale: 2                 # side of the photo over that of the map
    # shards: [pairs/a, pairs/b]    # folders that rescunet data wrote
    # verify: true                  # shards alone: read them whole at the start
    # textures:                     # a texture set on its meshes
    #   folder: deep3d-204
    #   model: bfm_3ddfa.safetensors
    #   split: train                # every fifth person is test; or all
    #   views: 16                   # poses per person
    #   size: 256
    #   seed: 1
    #   fitError: 1
    #   photoScale: 2
  validation:                       # may be left out; what the best network is chosen by
    synthPie:
      identities: 8
      firstIdentity: 100000         # nobody of the training
      expressions: 1
      illuminations: 4
      viewpoints: 15
      size: 256
  flip: true                        # left-right, every second pair
  cut: 0                            # share of pairs cut to an oval about the face: for meshes that end there
  relight: 0                        # strength of random exposure, colour and fall-off of light: 0.3 for weights that meet photos
  workers: 1                        # threads that make batches

batch: 16
# precision: bf16                   # maps in 16 bits, for graphics cards; weights, optimiser, statistics and losses stay f32
epochs: 100                         # or steps: 20000

optimiser:                          # Adam
  lr: 1e-4
  betas: [0.5, 0.999]
  schedule: constant                # or linear, cosine: to 0 at the end
  decayFrom: 0.5                    # linear alone: the part of the run after which it falls
  warmup: 0                         # steps
  ema: 0                            # moving average of the generator's weights, e.g. 0.999; 0 is none

checkpoint:
  every: 1000                       # steps
  keep: 3                           # the newest, and the best

log:
  every: 10                         # steps between lines of metrics.jsonl and TensorBoard scalars
  images: 500                       # steps between pictures; 0 is never

validate:
  every: 1000                       # steps; 0 is at the end alone
  pairs: 64
`;
