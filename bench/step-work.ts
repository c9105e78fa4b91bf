// What the two sides of `bench/step.ts` agree on, and the arithmetic of a recorded step.
import { closeSync, openSync, readSync } from 'node:fs';
import { readSafetensorsPlaces } from '../src/formats/safetensors.js';

/** One piece of work on one shape. */
export interface Work {
  kind: WorkKind;
  /** Channels of the first level of the generator and of the discriminators. */
  width: number;
  /** Side of the maps in pixels. */
  size: number;
  batch: number;
  threads: number;
  /** Our side writes this file in f32 before it is ready; peers, and our own bf16, read it. */
  weights?: string;
  /** Tell who holds the arena. */
  holders?: boolean;
  /** Whose work it is; unset for ours. */
  variant?: PeerVariant;
  /** onnxruntime's network, and a folder whose node_modules has the package. */
  onnx?: string;
  runtime?: string;
  /** Where the convolutions multiply in bf16: ours in inference only, PyTorch by autocast. */
  bf16?: boolean;
  device: string;
  /** Of products on other devices than the cpu; PyTorch takes bf16 by autocast. */
  precision: Precision;
}

export const PRECISIONS = ['f32', 'tf32', 'bf16'] as const;
export type Precision = (typeof PRECISIONS)[number];

/** PyTorch by layout of the maps (`compile` and `graphs`, which replays CUDA graphs, lay them out channels last), or onnxruntime-node. */
export type PeerVariant = 'eager' | 'channels_last' | 'compile' | 'graphs' | 'onnxruntime';

/** What may be asked of a measure on a device: its name and the precision of products, f32 on the cpu. Throws RangeError. */
export function placeOf(given: { device: string; precision: string }): { device: string; precision: Precision } {
  const precision = PRECISIONS.find((one) => one === given.precision);
  if (!precision) throw new RangeError(`--precision is ${PRECISIONS.join(', ')}, got '${given.precision}'`);
  if (given.device === 'cpu' && precision !== 'f32')
    throw new RangeError(`--precision ${precision} wants a card (--device cuda); on the cpu there is --bf16`);
  return { device: given.device, precision };
}

export type WorkKind = 'inference' | 'generator' | 'gan';
export const WORK_KINDS: readonly WorkKind[] = ['inference', 'generator', 'gan'];

/** Work that can be repeated; `run` answers a number that both sides must agree on the first time (a loss, a colour). */
export interface Subject {
  run(): Promise<number>;
  plan: { describe(): string; readonly arenaBytes: number };
  arenaBytes?: () => number;
  /** Of the outputs from those handed over. */
  difference?: number;
}

/** One of the maps handed over in `weights`, [n, h, w, c]. */
export function handedMap(weights: string, name: string): { data: Float32Array; shape: number[] } {
  const { shape, begin, end } = readSafetensorsPlaces(weights)[name];
  const data = new Float32Array((end - begin) / 4);
  const file = openSync(weights, 'r');
  readSync(file, data, 0, end - begin, begin);
  closeSync(file);
  return { data, shape };
}

/** Root mean square difference. */
export const rms = (a: ArrayLike<number>, b: Float32Array): number =>
  Math.sqrt(b.reduce((sum, v, i) => sum + (v - a[i]) ** 2, 0) / b.length);

const DIRECT = new Set(['conv2d', 'conv2d_input', 'conv2d_weight']);
const TRANSFORMED = new Set(['winograd', 'winograd_up', 'winograd_weight', 'winograd_up_weight']);

/**
 * Operations of a plan's convolutions counted as direct ones (a multiplication and an addition each), whatever form they
 * take; undefined where a convolution is of a kind not known here.
 */
export function convolutionFlops(description: string): number | undefined {
  let flops = 0;
  for (const line of description.split('\n')) {
    const kernel = line.slice(0, line.indexOf(' ')).replace(/_stats$/, '');
    if (!/conv|winograd/.test(kernel)) continue;
    const number = (name: string): number => Number(new RegExp(` ${name}=(\\d+)`).exec(line)?.[1] ?? Number.NaN);
    const outputs = number('n') * number('oh') * number('ow') * number('oc');
    if (DIRECT.has(kernel)) flops += (2 * outputs * number('kh') * number('kw') * number('ic')) / number('groups');
    else if (TRANSFORMED.has(kernel))
      flops += 2 * outputs * 9 * (number('ic') + (kernel.startsWith('winograd_up') ? number('sc') : 0));
    else return undefined;
  }
  return Number.isFinite(flops) && flops > 0 ? flops : undefined;
}
