// Every operator of ../shared/golden/ops.json: outputs and gradients against PyTorch's in float64.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadSafetensors } from '../src/formats/safetensors.js';
import * as core from '../src/tensor/index.js';
import { expectClose } from './close.js';
import { sharedPath } from './shared.js';

interface GoldenCase {
  name: string;
  op: string;
  options: Record<string, unknown>;
  inputs: string[];
  output: string;
  cotangent: string;
  grads: string[];
}

/** Inputs that the op takes in its options instead of as arguments. */
const BY_OPTION = new Set(['bias', 'runningMean', 'runningVar']);

type AnyOp = (...args: unknown[]) => core.Tensor;

function call({ op, options, inputs }: GoldenCase, values: Record<string, core.Tensor>): core.Tensor {
  const fn = (core as unknown as Record<string, AnyOp>)[op];
  const given = Object.fromEntries(inputs.filter((name) => BY_OPTION.has(name)).map((name) => [name, values[name]]));
  if (op === 'batchNorm') return fn(values.x, { ...options, ...given, weight: values.weight });
  const args = inputs.filter((name) => !BY_OPTION.has(name)).map((name) => values[name]);
  if (op === 'concat') return fn(args, options);
  return fn(...args, { ...options, ...given });
}

const path = sharedPath('golden/ops.json');

describe.skipIf(!path)('golden operators', () => {
  if (!path) return;
  const cases = JSON.parse(readFileSync(path, 'utf8')) as GoldenCase[];
  const tensors = loadSafetensors(join(dirname(path), 'ops.safetensors'));

  it('there are cases', () => expect(cases.length).toBeGreaterThan(50));

  it.each(cases.map((c) => [c.name, c] as const))('%s', (_, golden) => {
    const at = (name: string) => tensors[`${golden.name}/${name}`];
    const values = Object.fromEntries(golden.inputs.map((name) => [name, at(name)]));
    const y = call(golden, values);
    expect(y.shape).toEqual(at(golden.output).shape);
    expectClose(y, at(golden.output), 1e-5, 'output');
    const loss = core.sum(core.mul(y, at(golden.cotangent)));
    const targets = Object.fromEntries(golden.grads.map((name) => [name, values[name]]));
    for (const [name, dx] of Object.entries(core.gradient(loss, targets))) {
      expectClose(dx, at(`grad/${name}`), 1e-5, `gradient of ${name}`);
    }
  });
});
