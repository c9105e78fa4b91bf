// The generator that ships with the package: its size, its layout, and that it does better than symmetry where it matters.
import { statSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { readSafetensorsMetadata } from '../../src/formats/safetensors.js';
import { complete } from '../../src/pipeline/complete.js';
import { synthPie, VIEWPOINTS } from '../../src/pipeline/dataset/synth-pie.js';
import { kindOf, loadGenerator, SHIPPED_GENERATOR } from '../../src/pipeline/generators.js';
import { psnr } from '../../src/pipeline/metrics.js';
import { type Tensor, tensor, tidy } from '../../src/tensor/index.js';

const SIZE = 256;
const generator = loadGenerator();
afterAll(() => generator.dispose());

describe('the generator that ships', () => {
  it('is a small Attention ResCUNet that says what it was trained on', () => {
    expect(kindOf(generator)).toBe('attention-rescunet');
    expect(statSync(SHIPPED_GENERATOR).size).toBeLessThan(12_000_000);
    expect(readSafetensorsMetadata(SHIPPED_GENERATOR).trainedOn).toMatch(/SynthPIE/);
  });

  it('beats the mirror by 3 dB in what the photo did not see, on people of no training set', {
    timeout: 120_000,
  }, () => {
    const identities = 4;
    const source = synthPie({ identities, firstIdentity: 500_000, expressions: 1, illuminations: 1, size: SIZE });
    const gains: number[] = [];
    const sides = VIEWPOINTS.flatMap(({ yaw, pitch }, view) => (Math.abs(yaw) >= 45 && pitch === 0 ? [view] : []));
    for (let person = 0; person < identities; person++) {
      // Two of the eight cameras at 45 degrees and beyond for each person.
      for (const view of [sides[person], sides[7 - person]]) {
        const pair = source.pair(person * VIEWPOINTS.length + view);
        const hidden = source.footprint.map((inside, p) => (inside && !pair.mask[p] ? 1 : 0));
        tidy(() => {
          const map = (bytes: Uint8Array) => tensor(bytes, { shape: [SIZE, SIZE, 3], dtype: 'u8' }).cast('f32');
          const mask = tensor(pair.mask, { shape: [SIZE, SIZE], dtype: 'u8' });
          const unseen = tensor(hidden, { shape: [SIZE, SIZE], dtype: 'u8' });
          const seen = { texture: map(pair.incomplete), mask, confidence: mask.cast('f32') };
          const truth = map(pair.complete);
          const score = (completed: Tensor) => psnr(completed, truth, { mask: unseen });
          const drawn = score(complete(seen, source.footprint, { generator }));
          gains.push(drawn - score(complete(seen, source.footprint, { method: 'mirror' })));
        });
      }
    }
    expect(gains.reduce((sum, gain) => sum + gain, 0) / gains.length).toBeGreaterThan(3);
  });
});
