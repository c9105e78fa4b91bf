// Table 2's protocol on maps of one colour for each person: methods that keep the colour are right, those that lose it are at chance.
import { expect, test } from 'vitest';
import { Random } from '../../src/head/random.js';
import type { Pair, PairSource } from '../../src/pipeline/dataset/pairs.js';
import type { Completer } from '../../src/pipeline/evaluate/completer.js';
import { loadFaceModel } from '../../src/pipeline/face_model.js';
import { flipSummed } from '../../src/pipeline/recognise/embed.js';
import { evaluatePoses, POSE_BINS, poseMarkdown, poseTable } from '../../src/pipeline/recognise/pose-protocol.js';
import { uvTableOf } from '../../src/pipeline/synthesise.js';
import { globalAvgPool2d, reshape } from '../../src/tensor/index.js';

const SIZE = 64;
const PEOPLE = 12;
/** The last yaw has a viewpoint of its own, which is not the paper's. */
const YAWS = [0, -15, 30, -45, 61, 76, 90];

const colour = (person: number): number[] => {
  const random = new Random(50 + person);
  return [0, 1, 2].map(() => random.uniform(20, 235));
};

const model = loadFaceModel();
const { footprint } = uvTableOf(model, SIZE);
const painted = (rgb: number[]) =>
  Uint8Array.from({ length: 3 * SIZE * SIZE }, (_, i) => footprint[Math.floor(i / 3)] * rgb[i % 3]);

const source: PairSource = {
  length: PEOPLE * YAWS.length,
  size: SIZE,
  footprint,
  config: { kind: 'colours' },
  pair(index) {
    const subject = Math.floor(index / YAWS.length);
    const yaw = YAWS[index % YAWS.length];
    return {
      incomplete: painted(colour(100 + index)),
      complete: painted(colour(subject)),
      mask: new Uint8Array(SIZE * SIZE).fill(1),
      meta: { subject, yaw, pitch: 0, illumination: 0, expression: 0, seed: 1 },
    };
  },
};

const method = (name: string, right: boolean): Completer => ({
  name,
  about: { kind: name },
  redraws: false,
  complete: async (pairs) =>
    pairs.map((pair) => ({
      map: right ? (pair as Pair).complete : pair.incomplete,
    })),
  dispose() {},
});

/** The mean colour of a crop, about grey. */
const recogniser = flipSummed('colour', 3, (x) => reshape(globalAvgPool2d(x), [x.shape[0], 3]));

test('the photo kept: a row of its own, which here has the photo alone', async () => {
  const redrawing = { ...method('network', true), redraws: true };
  const results = await evaluatePoses([redrawing, method('photo', false)], source, {
    recogniser,
    model,
    composite: true,
  });
  expect(results.map(({ method: name }) => name)).toEqual(['network', 'network + photo', 'photo']);
  expect(results[1].about).toEqual({ of: 'network', variant: "the photo's pixels kept" });
  // Every pixel was seen: what is kept is the photo.
  const means = (k: number) => results[k].bins.map((bin) => bin?.accuracy);
  expect(means(1)).toEqual(means(2));
  expect(means(0)).not.toEqual(means(2));
});

test.each(['uv', 'frontal'] as const)('%s crops: bins, methods on the same pairs, tables', async (crop) => {
  const results = await evaluatePoses([method('right', true), method('wrong', false)], source, {
    recogniser,
    model,
    crop,
    batch: 5,
    seed: 2,
  });
  expect(results.map((result) => result.method)).toEqual(['right', 'wrong']);
  const [right, wrong] = results.map(({ bins }) => bins);
  expect(right).toHaveLength(POSE_BINS.length);
  for (const bin of right) expect(bin).toMatchObject({ same: PEOPLE, different: PEOPLE, auc: 1 });
  const mean = (bins: typeof wrong) => bins.reduce((sum, bin) => sum + (bin?.auc ?? Number.NaN), 0) / bins.length;
  expect(mean(wrong)).toBeLessThan(0.75);
  expect(mean(wrong)).toBeGreaterThan(0.25);
  expect(poseTable(results)).toHaveLength(3);
  expect(poseTable(results)[1]).toMatch(/^right {2,}\d/);
  expect(poseMarkdown(results)).toContain(`same-person pairs by bin: ${POSE_BINS.map(() => PEOPLE).join(', ')}`);
});

test('refuses a source of one person', async () => {
  const indices = [0, 1, 2];
  await expect(evaluatePoses([method('right', true)], source, { recogniser, model, indices })).rejects.toThrow(
    /wants at least 2 people, got 1/,
  );
});
