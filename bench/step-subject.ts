// Our side of `bench/step.ts`: one piece of work in a process of its own, so that its peak memory is its own. Contract: the
// argument is a Work as JSON; then one JSON line in, one JSON line out (`run`, `memory`), as bench/peers/torch_step.py does it.
import { createInterface } from 'node:readline';
import { saveSafetensors } from '../src/formats/safetensors.js';
import { Discriminator } from '../src/models/discriminator.js';
import { optimizeForInference } from '../src/nn/inference.js';
import { Adam } from '../src/nn/optim.js';
import { createGenerator } from '../src/pipeline/generators.js';
import { GanStep } from '../src/pipeline/train/step.js';
import {
  add,
  capture,
  gradient,
  l1Loss,
  memory,
  setDefaultDevice,
  slice,
  type Tensor,
  tensor,
  tidy,
} from '../src/tensor/index.js';
import { peakMemory } from './report.js';
import { convolutionFlops, handedMap, rms, type Subject, type Work } from './step-work.js';

const work: Work = JSON.parse(process.argv[2]);
const { kind, width, size, batch, weights, bf16, device } = work;
const onCpu = device === 'cpu';
/** Of the process, or of the card: what tensors took at most. */
const peakBytes = (): number => (onCpu ? peakMemory() : memory(device).peak);
setDefaultDevice(device);
const startBytes = peakBytes();
const pixels = batch * size * size;

/** Maps that differ from pixel to pixel, the same on every machine. */
const bytes = (offset: number): Uint8Array =>
  Uint8Array.from({ length: 3 * pixels }, (_, i) => Math.imul(i + offset, 2654435761) >>> 24);
const pair = { incomplete: bytes(1), complete: bytes(pixels), mask: new Uint8Array(pixels).fill(1) };
const colours = (map: Uint8Array): Tensor =>
  tensor(
    Float32Array.from(map, (v) => v / 127.5 - 1),
    { shape: [batch, size, size, 3] },
  );
const generator = createGenerator({ kind: 'attention-rescunet', baseWidth: width, seed: 1 });

/** What the peer starts from and must answer: weights in PyTorch's layout, the maps, and the first answer in evaluation mode. */
function hand(parts: Record<string, { stateDict(options: { to: 'torch' }): Record<string, Tensor> }>): void {
  if (!weights || bf16) return;
  generator.eval();
  tidy(() => {
    const x = colours(pair.incomplete);
    const { final, aux } = generator.forward(x);
    const all: Record<string, Tensor> = { x, target: colours(pair.complete), final, aux };
    for (const [part, network] of Object.entries(parts))
      for (const [name, t] of Object.entries(network.stateDict({ to: 'torch' }))) all[`${part}.${name}`] = t;
    saveSafetensors(weights, all, {});
  });
}

function inference(): Subject {
  const x = colours(pair.incomplete);
  const answer = optimizeForInference(generator, { precision: bf16 ? 'bf16' : 'fast' });
  const difference = (handed: string): number =>
    tidy(() => {
      const { final, aux } = answer(x);
      const maps = Object.entries({ final, aux });
      return Math.max(...maps.map(([name, map]) => rms(map.dataSync(), handedMap(handed, name).data)));
    });
  return {
    difference: bf16 && weights ? difference(weights) : undefined,
    async run() {
      // A card's peer reads one number: the way of all of them over the bus is no part of the network.
      const y = tidy(() => {
        const { final } = answer(x);
        return onCpu ? final : slice(final, { start: [0, 0, 0, 0], size: [1, 1, 1, 3] });
      });
      const values = await y.data();
      y.dispose();
      return values[0];
    },
    plan: answer,
  };
}

/** L1 on both outputs, Adam. */
function generatorStep(): Subject {
  generator.train();
  const parameters = generator.parameters();
  const optimiser = new Adam(parameters, { lr: 1e-4, betas: [0.5, 0.999] });
  const [x, target] = [colours(pair.incomplete), colours(pair.complete)];
  const step = capture((input: Tensor, wanted: Tensor) => {
    const { final, aux } = generator.forward(input);
    const loss = add(l1Loss(final, wanted), l1Loss(aux, wanted));
    optimiser.step(gradient(loss, parameters));
    generator.constrain();
    return loss;
  });
  return {
    async run() {
      const loss = tidy(() => step(x, target));
      const value = await loss.item();
      loss.dispose();
      return value;
    },
    plan: step,
  };
}

/** The identity term is left out here and in the peer: its weights do not come with either. */
function ganStep(local: Discriminator, global: Discriminator): Subject {
  const footprint = new Uint8Array(size * size).fill(1);
  const step = new GanStep({ generator, local, global }, { size, footprint });
  return {
    async run() {
      return (await step.run(pair))['generator/total'];
    },
    plan: { describe: () => step.describe(), arenaBytes: 0 },
    arenaBytes: () => step.arenaBytes,
  };
}

function build(): { subject: Subject; parameters: number } {
  const judges =
    kind === 'gan'
      ? {
          local: new Discriminator({ baseWidth: width, seed: 2 }),
          global: new Discriminator({ baseWidth: width, seed: 3 }),
        }
      : undefined;
  hand({ generator, ...judges });
  const networks = [generator, ...Object.values(judges ?? {})];
  const parameters = networks.reduce(
    (sum, network) => sum + Object.values(network.parameters()).reduce((n, p) => n + p.size, 0),
    0,
  );
  const subject = judges ? ganStep(judges.local, judges.global) : kind === 'inference' ? inference() : generatorStep();
  return { subject, parameters };
}

const say = (line: Record<string, unknown>): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const { subject, parameters } = build();
// A profiler's: one run, whose kernels are not yet a graph.
if (process.argv[3] === 'once') {
  say({ value: await subject.run() });
  process.exit(0);
}
say({ ready: true, parameters, difference: subject.difference, startBytes });
for await (const line of createInterface({ input: process.stdin })) {
  const { request } = JSON.parse(line) as { request: 'run' | 'memory' };
  if (request === 'memory') {
    const description = subject.plan.describe();
    say({
      peakBytes: peakBytes(),
      arenaBytes: subject.arenaBytes?.() ?? subject.plan.arenaBytes,
      flops: convolutionFlops(description) ?? null,
      holders: work.holders ? description.slice(0, description.indexOf('\n', 1500)) : undefined,
    });
    continue;
  }
  const start = performance.now();
  const value = await subject.run();
  say({ milliseconds: performance.now() - start, value });
}
process.exit(0);
