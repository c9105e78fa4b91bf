// Every sample of every case: derivatives against central differences in float64, the cpu against the reference and, whatever
// its threads, against itself, and the texts of the errors.
import { describe, expect, it } from 'vitest';
import '../src/tensor/index.js';
import { tensor } from '../src/tensor/create.js';
import { AddonBackend, registerDevice } from '../src/tensor/device.js';
import { gradient } from '../src/tensor/gradient.js';
import { add, mul } from '../src/tensor/ops/elementwise.js';
import { sum } from '../src/tensor/ops/reduce.js';
import { ShapeError } from '../src/tensor/shape.js';
import type { Tensor } from '../src/tensor/tensor.js';
import { cases } from './cases/index.js';
import { expectClose } from './close.js';
import { draw, evaluate, normal, randomFrom, roundedMaps, seedOf, shapeOf, targetsOf, type Values } from './samples.js';

/** The cpu device again, with a number of threads of its own. */
function cpuWithThreads(threads: number): string {
  const name = `cpu with ${threads} threads`;
  process.env.RESCUNET_THREADS = String(threads);
  registerDevice(name, new AddonBackend('cpu'));
  delete process.env.RESCUNET_THREADS;
  return name;
}
const [oneThread, threeThreads] = [cpuWithThreads(1), cpuWithThreads(3)];

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i] * b[i];
  return total;
};

/** d/dt f(values + t direction) at 0 by the five-point rule. */
function directional(f: (values: Values) => number, values: Values, direction: Values, h: number): number {
  const at = (t: number) =>
    f(
      Object.fromEntries(
        Object.entries(values).map(([name, v]) => [
          name,
          direction[name] ? v.map((x, i) => x + t * direction[name][i]) : v,
        ]),
      ),
    );
  return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
}

describe.each(Object.entries(cases))('%s', (stem, { samples, errors, maps = [] }) => {
  for (const sample of samples) {
    const seed = seedOf(`${stem} ${sample.name}`);
    const names = targetsOf(sample);

    it(`${sample.name}: cpu agrees with the float64 reference`, () => {
      const values = draw(sample, randomFrom(seed));
      const expected = evaluate(sample, values, 'reference', seed + 1);
      const actual = evaluate(sample, values, 'cpu', seed + 1);
      const tolerance = sample.tolerance ?? 1e-5;
      expectClose(actual.y.dataSync(), expected.y.dataSync(), tolerance, 'output');
      for (const [name, dx] of Object.entries(expected.gradients)) {
        expectClose(actual.gradients[name].dataSync(), dx.dataSync(), tolerance, `gradient of ${name}`);
      }
    });

    it(`${sample.name}: the number of threads changes no bit`, () => {
      const values = draw(sample, randomFrom(seed));
      const one = evaluate(sample, values, oneThread, seed + 1);
      const three = evaluate(sample, values, threeThreads, seed + 1);
      expect(three.y.dataSync()).toEqual(one.y.dataSync());
      for (const [name, dx] of Object.entries(one.gradients))
        expect(three.gradients[name].dataSync()).toEqual(dx.dataSync());
    });

    if (maps.some((name) => name in sample.inputs)) {
      it(`${sample.name}: of bf16 maps agrees with the reference of their values`, () => {
        const values = roundedMaps(draw(sample, randomFrom(seed)), maps);
        const expected = evaluate(sample, values, 'reference', seed + 1);
        const actual = evaluate(sample, values, 'cpu', seed + 1, { maps });
        const tolerance = sample.bf16Tolerance ?? 2 ** -6;
        expectClose(actual.y, expected.y, tolerance, 'output');
        for (const [name, dx] of Object.entries(expected.gradients)) {
          expect(actual.gradients[name].dtype, `type of the gradient of ${name}`).toBe(actual.inputs[name].dtype);
          expectClose(actual.gradients[name], dx, tolerance, `gradient of ${name}`);
        }
      });
    }

    if (names.length === 0 || sample.differences === false) continue;

    it(`${sample.name}: gradients agree with differences`, () => {
      const values = draw(sample, randomFrom(seed));
      const random = randomFrom(seed + 2);
      const direction = Object.fromEntries(names.map((name) => [name, values[name].map(() => normal(random))]));
      const { gradients, loss } = evaluate(sample, values, 'reference', seed + 1);
      const analytic = names.reduce((total, name) => total + dot(gradients[name].dataSync(), direction[name]), 0);
      const numeric = directional(
        (v) => (evaluate(sample, v, 'reference', seed + 1).loss as Tensor).dataSync()[0],
        values,
        direction,
        1e-4,
      );
      const scale = Math.max(Math.abs(analytic), Math.abs((loss as Tensor).dataSync()[0]), 1e-3);
      expect(Math.abs(analytic - numeric) / scale).toBeLessThanOrEqual(1e-8);
    });

    if (sample.second === false) continue;

    it(`${sample.name}: gradients of gradients agree with differences`, () => {
      const values = draw(sample, randomFrom(seed));
      const random = randomFrom(seed + 3);
      const direction = Object.fromEntries(names.map((name) => [name, values[name].map(() => normal(random))]));
      const weights = Object.fromEntries(names.map((name) => [name, values[name].map(() => normal(random))]));
      // h(x) = sum of weights * gradient: a scalar whose own gradient is checked.
      const weighted = (v: Values) => {
        const { inputs, gradients } = evaluate(sample, v, 'reference', seed + 1, { curved: true });
        const terms = names.map((name) =>
          sum(mul(gradients[name], tensor(weights[name], { shape: shapeOf(sample, name), device: 'reference' }))),
        );
        return { inputs, h: terms.reduce((a, b) => add(a, b)) };
      };
      const { inputs, h } = weighted(values);
      const second = gradient(h, Object.fromEntries(names.map((name) => [name, inputs[name]])));
      const analytic = names.reduce((total, name) => total + dot(second[name].dataSync(), direction[name]), 0);
      const numeric = directional((v) => weighted(v).h.dataSync()[0], values, direction, 1e-4);
      const scale = Math.max(Math.abs(analytic), Math.abs(h.dataSync()[0]), 1e-3);
      expect(Math.abs(analytic - numeric) / scale).toBeLessThanOrEqual(1e-7);
    });
  }

  for (const { name, run, message } of errors) {
    it(`refuses: ${name}`, () => {
      expect(run).toThrow(ShapeError);
      expect(run).toThrow(message);
    });
  }
});
