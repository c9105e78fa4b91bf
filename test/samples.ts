// Running a case's sample on a device: its inputs drawn from a seed, its output, and its gradients for a seeded cotangent.
import { tensor } from '../src/tensor/create.js';
import { bf16FromNumber, numberFromBf16 } from '../src/tensor/dtype.js';
import { gradient } from '../src/tensor/gradient.js';
import { mul } from '../src/tensor/ops/elementwise.js';
import { cast } from '../src/tensor/ops/layout.js';
import { sum } from '../src/tensor/ops/reduce.js';
import type { Tensor } from '../src/tensor/tensor.js';
import type { Sample } from './cases/case.js';

export type Values = Record<string, Float64Array>;

/** A small seeded generator (mulberry32), so that a failure repeats. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const seedOf = (text: string): number => [...text].reduce((h, c) => (Math.imul(h, 31) + c.charCodeAt(0)) | 0, 7);

export function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

export const shapeOf = (sample: Sample, name: string): readonly number[] => {
  const input = sample.inputs[name];
  return 'shape' in input ? input.shape : input;
};

/** The sample's inputs, rounded to f32 so that every device starts from the same numbers. */
export function draw(sample: Sample, random: () => number): Values {
  return Object.fromEntries(
    Object.entries(sample.inputs).map(([name, input]) => {
      const value = 'value' in input ? input.value : normal;
      const size = shapeOf(sample, name).reduce((a, b) => a * b, 1);
      return [name, Float64Array.from({ length: size }, () => Math.fround(value(random)))];
    }),
  );
}

/** The values with those of the maps rounded to bf16. */
export const roundedMaps = (values: Values, maps: readonly string[]): Values =>
  Object.fromEntries(
    Object.entries(values).map(([name, v]) => [
      name,
      maps.includes(name) ? v.map((x) => numberFromBf16(bf16FromNumber(x))) : v,
    ]),
  );

function place(sample: Sample, values: Values, device: string, maps: readonly string[]): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(sample.inputs).map(([name, input]) => {
      const dtype = 'dtype' in input ? input.dtype : maps.includes(name) ? 'bf16' : 'f32';
      return [name, tensor(values[name], { shape: shapeOf(sample, name), dtype, device })];
    }),
  );
}

export const targetsOf = (sample: Sample): string[] => [
  ...(sample.differentiable ?? Object.keys(sample.inputs).filter((name) => !('dtype' in sample.inputs[name]))),
];

/**
 * The output and, with a cotangent, the gradients of sum(output * cotangent), or where `curved` of its square, so that what comes back to the op depends
 * on its inputs too. The inputs named by `maps` are bf16.
 */
export function evaluate(
  sample: Sample,
  values: Values,
  device: string,
  cotangentSeed: number,
  { curved = false, maps = [] }: { curved?: boolean; maps?: readonly string[] } = {},
) {
  const inputs = place(sample, values, device, maps);
  const y = sample.run(inputs);
  const random = randomFrom(cotangentSeed);
  const cotangent = Float64Array.from({ length: y.size }, () => Math.fround(normal(random)));
  const names = targetsOf(sample);
  const loss =
    (y.dtype === 'f32' || y.dtype === 'bf16') && names.length > 0
      ? sum(mul(cast(curved ? mul(y, y) : y, 'f32'), tensor(cotangent, { shape: y.shape, device })))
      : undefined;
  const gradients = loss ? gradient(loss, Object.fromEntries(names.map((name) => [name, inputs[name]]))) : {};
  return { inputs, y, loss, gradients };
}
