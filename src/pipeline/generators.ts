// The networks that complete UV maps: which there are, and their files. Contract: a file's metadata says all that building
// its network takes; weights are under the paper's names in PyTorch's layout.
import { fileURLToPath } from 'node:url';
import { FormatError } from '../formats/error.js';
import {
  loadSafetensors,
  type Metadata,
  readSafetensorsMetadata,
  type SaveOptions,
  saveSafetensors,
} from '../formats/safetensors.js';
import { INPUT_CHANNELS, type InputMode } from '../models/input-mode.js';
import { Generator } from '../models/rescunet.js';
import { UvGan } from '../models/uvgan.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError } from '../tensor/shape.js';

/** A network from incomplete maps to complete ones. */
export type GeneratorNetwork = Generator | UvGan;

const RESCUNETS = {
  /** The paper's network. */
  'attention-rescunet': { attention: true, coupled: true },
  /** Without gates and fusion: the paper's ablation. */
  rescunet: { attention: false, coupled: true },
  'attention-resunet': { attention: true, coupled: false },
  /** One U-Net without gates. */
  resunet: { attention: false, coupled: false },
} as const;

/** uvgan is the baseline, pix2pix's U-Net. */
export type GeneratorKind = keyof typeof RESCUNETS | 'uvgan';

export const GENERATOR_KINDS: readonly GeneratorKind[] = [
  ...(Object.keys(RESCUNETS) as (keyof typeof RESCUNETS)[]),
  'uvgan',
];

export interface CreateGeneratorOptions {
  kind: GeneratorKind;
  baseWidth?: number;
  /** The heads see the input past every norm (models.Generator); not for `uvgan`, which has such a way. */
  inputSkip?: boolean;
  /** The encoders' residual branches start at 0; not for `uvgan`. */
  zeroInitResidual?: boolean;
  input?: InputMode;
  /** Halvings of `uvgan`: 8 for maps of 256x256. */
  levels?: number;
  /** Side of the maps it is trained on. */
  size?: number;
  /** The initial weights then depend on it alone. */
  seed?: number;
  /** False leaves all weights 0, for a state that is about to be loaded. */
  initialize?: boolean;
}

/** A network of that kind. Throws ShapeError for options that it cannot be built with. */
export function createGenerator({
  kind,
  levels,
  inputSkip,
  zeroInitResidual,
  ...options
}: CreateGeneratorOptions): GeneratorNetwork {
  const { input = 'raw' } = options;
  const channels = INPUT_CHANNELS[input];
  if (kind === 'uvgan') return new UvGan({ ...options, channels, input, levels });
  const form = RESCUNETS[kind];
  if (!form) throw new ShapeError(`createGenerator: kind is ${GENERATOR_KINDS.join(', ')}, got '${kind}'`);
  return new Generator({ ...options, inputSkip, zeroInitResidual, channels, input, ...form });
}

/** Which of them a network is. */
export function kindOf(network: GeneratorNetwork): GeneratorKind {
  if (network instanceof UvGan) return 'uvgan';
  const { attention, coupled } = network.options;
  return attention ? (coupled ? 'attention-rescunet' : 'attention-resunet') : coupled ? 'rescunet' : 'resunet';
}

/**
 * Writes a network's weights with what building it takes as metadata, and `about` beside that (what it was trained on).
 * Throws FormatError.
 */
export function saveGenerator(
  path: string,
  network: GeneratorNetwork,
  { about = {}, ...options }: SaveOptions & { about?: Metadata } = {},
): void {
  const own = { kind: network instanceof UvGan ? 'uvgan' : 'generator', layout: 'torch', ...network.options };
  const known = Object.entries(own).filter(([, value]) => value !== undefined);
  const metadata = Object.fromEntries(known.map(([key, value]) => [key, String(value)]));
  tidy(() => saveSafetensors(path, network.stateDict({ to: 'torch' }), { ...about, ...metadata }, options));
}

const FLAGS = { true: true, false: false } as const;
const MODES = Object.keys(INPUT_CHANNELS) as InputMode[];

/** The small Attention ResCUNet that ships with the package, for the layout of its own face model (README). */
export const SHIPPED_GENERATOR = fileURLToPath(new URL('../../assets/generator.safetensors', import.meta.url));

/**
 * The network of a .safetensors file, by default of the one that ships with the package (weights in PyTorch's layout; metadata kind, baseWidth, attention, coupled,
 * inputSkip, channels, input, levels, size, those of `new Generator()` where absent), in evaluation mode. Throws FormatError naming the file for weights
 * that do not fit.
 */
export function loadGenerator(path: string = SHIPPED_GENERATOR): GeneratorNetwork {
  const metadata = readSafetensorsMetadata(path);
  const number = (key: string, fallback: number) => {
    const value = Number(metadata[key] ?? fallback);
    if (Number.isInteger(value) && value > 0) return value;
    throw new FormatError(path, `metadata ${key}`, `wanted a whole number > 0, got '${metadata[key]}'`);
  };
  const flag = (key: string, fallback: keyof typeof FLAGS = 'true') => {
    const value = FLAGS[(metadata[key] ?? fallback) as keyof typeof FLAGS];
    if (value !== undefined) return value;
    throw new FormatError(path, `metadata ${key}`, `wanted true or false, got '${metadata[key]}'`);
  };
  const mode = () => {
    const { input } = metadata;
    if (input === undefined) return undefined;
    const found = MODES.find((one) => one === input);
    if (found) return found;
    throw new FormatError(path, 'metadata input', `wanted ${MODES.join(', ')}, got '${input}'`);
  };
  const shared = {
    baseWidth: number('baseWidth', 64),
    channels: number('channels', 3),
    input: mode(),
    size: metadata.size === undefined ? undefined : number('size', 0),
  };
  const build = (): GeneratorNetwork =>
    metadata.kind === 'uvgan'
      ? new UvGan({ ...shared, levels: number('levels', 8), initialize: false })
      : new Generator({
          ...shared,
          attention: flag('attention'),
          coupled: flag('coupled'),
          inputSkip: flag('inputSkip', 'false'),
          initialize: false,
        });
  const state = loadSafetensors(path);
  try {
    const network = build();
    network.loadStateDict(state, { from: 'torch' });
    return network.eval();
  } catch (error) {
    if (error instanceof ShapeError) throw new FormatError(path, 'weights', `no such generator (${shortened(error)})`);
    throw error;
  } finally {
    for (const t of Object.values(state)) t.dispose();
  }
}

const shortened = ({ message }: Error): string => (message.length > 400 ? `${message.slice(0, 400)} ...` : message);
