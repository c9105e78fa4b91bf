// The numbers of verification against scikit-learn's on stored embeddings (verification.json says how they were made), and cases
// that can be done by hand.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  contiguousFolds,
  embeddingDistance,
  equalErrorRate,
  populationStd,
  rocCurve,
  tarAtFar,
  verify,
} from '../../src/pipeline/recognise/index.js';

const stored = JSON.parse(readFileSync(new URL('./verification.json', import.meta.url), 'utf8'));
const near = (actual: number, expected: number, what: string) =>
  expect(Math.abs(actual - expected), `${what}: ${actual} against ${expected}`).toBeLessThanOrEqual(1e-9);

describe('against scikit-learn', () => {
  const distances = Float64Array.from(stored.a, (a: number[], i: number) => embeddingDistance(a, stored.b[i]));
  const folds = contiguousFolds(distances.length, 10);
  const result = verify({ distances, same: Uint8Array.from(stored.same), folds });
  const { expected } = stored;

  test('accuracy over ten folds of 41 and 40 pairs', () => {
    near(result.accuracy, expected.accuracy, 'accuracy');
    near(result.accuracyStd, expected.accuracyStd, 'accuracyStd');
    expect(result.folds.map(({ pairs }) => pairs)).toEqual([41, 41, 41, 41, 40, 40, 40, 40, 40, 40]);
    result.folds.forEach(({ threshold, accuracy }, i) => {
      near(threshold, expected.thresholds[i], `threshold ${i}`);
      near(accuracy, expected.accuracies[i], `accuracy ${i}`);
    });
  });

  test('ROC, AUC, EER, TAR at FAR, balanced accuracy', () => {
    expect(result.roc.far).toHaveLength(expected.rocPoints);
    const sum = (values: Float64Array) => values.reduce((s, value) => s + value, 0);
    near(sum(result.roc.far), expected.farSum, 'sum of FAR');
    near(sum(result.roc.tar), expected.tarSum, 'sum of TAR');
    near(result.auc, expected.auc, 'auc');
    near(result.eer, expected.eer, 'eer');
    near(result.balancedAccuracy, expected.balancedAccuracy, 'balanced accuracy');
    for (const [far, tar] of expected.tarAtFar) {
      const ours = result.tarAtFar.find((entry) => entry.far === far);
      near(ours?.tar ?? Number.NaN, tar, `TAR at ${far}`);
    }
  });

  test('VAL at FAR 1e-3', () => {
    near(result.valAtFar.val, expected.val, 'val');
    near(result.valAtFar.valStd, expected.valStd, 'valStd');
    near(result.valAtFar.meanFar, expected.valFar, 'meanFar');
  });
});

test('a distance equal to a threshold is not below it; the first of equally good thresholds is taken', () => {
  // On both folds same pairs lie at 0.5 and others at 1.0: thresholds 0.51 .. 1.00 are right about all, 0.5 about half.
  const distances = Float64Array.of(0.5, 1, 0.5, 1);
  const result = verify({ distances, same: Uint8Array.of(1, 0, 1, 0), folds: Int32Array.of(0, 0, 1, 1) });
  expect(result.folds.map(({ threshold }) => threshold)).toEqual([0.51, 0.51]);
  expect([result.accuracy, result.accuracyStd, result.auc, result.eer]).toEqual([1, 0, 1, 0]);
  expect(result.meanDistance).toEqual({ same: 0.5, different: 1 });
});

test('ties between same and different make one slanted step', () => {
  const roc = rocCurve({ distances: Float64Array.of(1, 1, 2, 2), same: Uint8Array.of(1, 0, 1, 0) });
  expect([[...roc.far], [...roc.tar], [...roc.distance]]).toEqual([
    [0, 0.5, 1],
    [0, 0.5, 1],
    [-1, 1, 2],
  ]);
  expect(equalErrorRate(roc)).toBe(0.5);
  expect(tarAtFar(roc, 0.4)).toBe(0);
  expect(tarAtFar(roc, 0.5)).toBe(0.5);
});

test('all wrong is an error rate of 1, and the standard deviation is the population one', () => {
  const roc = rocCurve({ distances: Float64Array.of(2, 1), same: Uint8Array.of(1, 0) });
  expect(equalErrorRate(roc)).toBe(1);
  expect(populationStd([1, 3])).toBe(1);
});

test('distances are those of embeddings of length 1', () => {
  expect(embeddingDistance([2, 0], [0, 5])).toBeCloseTo(2, 12);
  expect(embeddingDistance([1, 1], [-3, -3])).toBeCloseTo(4, 12);
  expect(() => embeddingDistance([1], [1, 2])).toThrow(/1 numbers against 2/);
});

test.each([
  [{ distances: [0.1], same: [1, 0], folds: [0, 1] }, /1 distances, 2 truths and 2 folds/],
  [{ distances: [0.1, Number.NaN], same: [1, 0], folds: [0, 1] }, /distance of pair 1 is NaN/],
  [{ distances: [0.1, 0.2], same: [1, 1], folds: [0, 1] }, /same and different pairs, got 2 and 0/],
  [{ distances: [0.1, 0.2], same: [1, 0], folds: [0, 0] }, /at least 2 folds, got 1/],
  [{ distances: [0.1, 0.2], same: [1, 0], folds: [0, 2] }, /2 folds, but none is numbered 1/],
])('refuses %j', ({ distances, same, folds }, message) => {
  const given = {
    distances: Float64Array.from(distances),
    same: Uint8Array.from(same),
    folds: Int32Array.from(folds),
  };
  expect(() => verify(given)).toThrow(message);
});
