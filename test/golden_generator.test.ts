// Two small generators with their discriminators against an independent PyTorch implementation in float64: the table of
// ../shared/golden/README.md, row by row.
import { describe, expect, it } from 'vitest';
import { loadSafetensors } from '../src/formats/safetensors.js';
import { Discriminator } from '../src/models/discriminator.js';
import { Generator } from '../src/models/rescunet.js';
import { adversarialLoss, discriminatorLoss } from '../src/nn/losses.js';
import { Adam } from '../src/nn/optim.js';
import { add, concat, gradient, l1Loss, mul, type Tensor, tidy } from '../src/tensor/index.js';
import { alignment, expectClose } from './close.js';
import { sharedPath } from './shared.js';

const path = sharedPath('golden/generator.safetensors');
const golden = path ? loadSafetensors(path) : {};

/** The golden tensors whose names start with the prefix, without it. */
const under = (prefix: string): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(golden)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, x]) => [name.slice(prefix.length), x]),
  );

const pairOf = (x: Tensor, o: Tensor): Tensor => concat([x, o], { axis: -1 });

describe.skipIf(!path).each([
  ['attention', true],
  ['concat', false],
] as const)('golden generator: %s', (kind, attention) => {
  const x = golden[`${kind}/x`];
  const y = golden[`${kind}/y`];

  function models(): { g: Generator; d: Discriminator } {
    const g = new Generator({ baseWidth: 8, attention, seed: 1 });
    const d = new Discriminator({ baseWidth: 8, seed: 2 });
    g.loadStateDict(under(`${kind}/param/g/`), { from: 'torch' });
    d.loadStateDict(under(`${kind}/param/d/`), { from: 'torch' });
    return { g, d };
  }

  function losses(g: Generator, d: Discriminator) {
    const { final, aux, attention } = g.forward(x);
    const part = (o: Tensor) => add(l1Loss(o, y), mul(adversarialLoss(d.forward(pairOf(x, o))), 0.5));
    const lossD = discriminatorLoss(d.forward(pairOf(x, y)), d.forward(pairOf(x, final)));
    const lossG = add(part(final), mul(part(aux), 0.3));
    return { final, aux, attention, lossD, lossG };
  }

  it('outputs and losses in evaluation mode', async () => {
    const { g, d } = models();
    const { final, aux, attention: maps, lossD, lossG } = tidy(() => losses(g.eval(), d.eval()));
    expect(final.shape).toEqual(y.shape);
    expectClose(final, golden[`${kind}/final`], 1e-4, 'final');
    expectClose(aux, golden[`${kind}/aux`], 1e-4, 'aux');
    expect(maps.map(({ shape }) => shape)).toEqual(attention ? [4, 8, 16, 32].map((s) => [4, s, s, 1]) : []);
    if (attention) expectClose(maps[3], golden[`${kind}/attention`], 1e-4, 'attention');
    expect(Math.abs((await lossD.item()) - (await golden[`${kind}/lossD`].item()))).toBeLessThanOrEqual(1e-5);
    expect(Math.abs((await lossG.item()) - (await golden[`${kind}/lossG`].item()))).toBeLessThanOrEqual(1e-5);
  });

  it('gradients of the generator loss, and one Adam step', () => {
    const { g, d } = models();
    g.eval();
    d.eval();
    const parameters = g.parameters();
    const gradients = tidy(() => gradient(losses(g, d).lossG, parameters));
    const adam = new Adam(parameters, { lr: 1e-4, betas: [0.5, 0.999] });
    const ours = new Generator({ baseWidth: 8, attention, seed: 1 }); // carries the gradients to PyTorch's layout
    for (const [name, p] of Object.entries(ours.parameters())) p.assign(gradients[name]);
    const inTorchLayout = ours.stateDict({ to: 'torch' });
    const expected = Object.entries(under(`${kind}/grad/`));
    expect(expected.length).toBeGreaterThan(40);
    for (const [name, dw] of expected) {
      const { cosine, ratio } = alignment(inTorchLayout[name], dw);
      expect(cosine, `direction of ${name}`).toBeGreaterThanOrEqual(0.995);
      expect(Math.abs(ratio - 1), `norm of ${name}`).toBeLessThanOrEqual(0.05);
    }

    adam.step(gradients);
    const stepped = g.stateDict({ to: 'torch' });
    const steps = Object.entries(under(`${kind}/stepped/`));
    expect(steps.length).toBeGreaterThan(3);
    for (const [name, w] of steps) {
      const [a, b] = [stepped[name].dataSync(), Array.from(w.dataSync())];
      const near = b.filter((value, i) => Math.abs(a[i] - value) <= 1e-6).length;
      expect(near / b.length, `step of ${name}`).toBeGreaterThanOrEqual(0.97);
    }
  });

  it('training mode: outputs and running statistics after one pass', () => {
    const { g } = models();
    const { final, aux } = tidy(() => g.train().forward(x));
    expectClose(final, golden[`${kind}/train/final`], 5e-3, 'final');
    expectClose(aux, golden[`${kind}/train/aux`], 5e-3, 'aux');
    const state = g.stateDict({ to: 'torch' });
    const statistics = Object.entries(under(`${kind}/train/`)).filter(([name]) => name.includes('running_'));
    expect(statistics.length).toBeGreaterThan(10);
    for (const [name, value] of statistics) expectClose(state[name], value, 1e-5, name);
  });
});
