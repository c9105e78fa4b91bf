// The networks of a cascade, its stages, and its regenerated starts.
import { describe, expect, it } from 'vitest';
import { Random } from '../src/head/random.js';
import {
  Cascade,
  FaceFeatures,
  facePosture,
  MobileNetStage,
  MobileNetV1,
  parameterStatistics,
  quaternionFromEuler,
  quaternionScale,
  StartRegenerator,
  TwoStreamNetwork,
} from '../src/models/index.js';
import { capture, gradient, mul, rand, sum, type Tensor, tensor, tidy } from '../src/tensor/index.js';
import { faceOf, smallModel, vectors } from './faces.js';

const model = smallModel();
const counts = { identity: 4, expression: 3 };
const d = 13;
const side = 32;

describe('networks', () => {
  it('the table of section 9.3, by its parameters', () => {
    const network = new TwoStreamNetwork({ initialize: false });
    const conv = (k: number, ic: number, oc: number) => k * k * ic * oc + 2 * oc;
    const image = conv(5, 6, 32) + conv(3, 32, 64) + conv(3, 64, 128) + conv(3, 128, 256) + conv(3, 256, 256);
    const laid = conv(3, 3, 32) + conv(3, 32, 64) + conv(3, 64, 128) + conv(3, 128, 256);
    const full = (9216 + 1) * 256 + (16384 + 1) * 256 + (512 + 1) * 234;
    expect(network.parameterCount()).toBe(image + laid + full);
    expect(network.imageOut.weight.shape).toEqual([256, 9216]);
    expect(network.modelOut.weight.shape).toEqual([256, 16384]);
    network.dispose();
  });

  it('MobileNet of width 1 and 62 outputs has the published number of parameters', () => {
    const network = new MobileNetV1({ widthMultiplier: 1, outputs: 62 });
    expect(network.parameterCount()).toBe(3270526);
    network.dispose();
  });

  it('every weight of a small two-stream network is trained', () => {
    const network = new TwoStreamNetwork({ outputs: d, baseWidth: 2, features: 8, side, seed: 3 });
    const cascade = new Cascade([network], new FaceFeatures(model, { side }), statistics());
    const loss = sum(mul(cascade.step(0, photos(2), start(2)), rand([2, d], { seed: 5 }).sub(0.5)));
    const slopes = gradient(loss, network.parameters());
    expect(Object.keys(slopes)).toContain('image.4.conv.weight');
    for (const [name, slope] of Object.entries(slopes)) {
      const values = slope.dataSync();
      expect(values.every(Number.isFinite), name).toBe(true);
      expect(
        values.some((v) => v !== 0),
        name,
      ).toBe(true);
    }
    cascade.dispose();
  });
});

const statistics = () => parameterStatistics(vectors(50, counts, 21), d);
const photos = (n: number): Tensor => rand([n, side, side, 3], { seed: 8 }).mul(255);
const start = (n: number): Tensor => {
  const p = [...quaternionFromEuler({ yaw: 10, pitch: 0, roll: 0 }, 0.2), 15, 15, ...new Array<number>(7).fill(0)];
  return tensor(new Array(n).fill(p));
};

describe('cascade', () => {
  const stage = (seed: number) => new TwoStreamNetwork({ outputs: d, baseWidth: 2, features: 8, side, seed });

  it('adds the z-scored steps of its stages, each seeing the face where the one before left it', () => {
    const stages = [stage(1), stage(2), stage(3)];
    const features = new FaceFeatures(model, { side });
    const { mean, std } = statistics();
    const cascade = new Cascade(stages, features, { mean, std });
    cascade.eval();
    const crops = photos(2);
    let p = Float64Array.from(start(2).dataSync());
    for (const network of stages) {
      p = tidy(() => {
        const now = tensor(Float32Array.from(p), { shape: [2, d] });
        const image = crops.sub(127.5).mul(1 / 128);
        const { image: pncc, depth } = features.pncc(now);
        const step = network
          .forward({ image, pncc: () => pncc, paf: () => features.paf(image, now, depth) })
          .dataSync();
        return p.map((x, i) => x + step[i] * std[i % d]);
      });
    }
    const found = cascade.forward(crops, start(2)).dataSync();
    found.forEach((x, i) => {
      expect(Math.abs(x - p[i]) / std[i % d]).toBeLessThan(1e-3);
    });
    const one = cascade.forward(crops, start(2), { stages: 1 }).dataSync();
    expect([...one]).not.toEqual([...found]);
    expect([...cascade.forward(crops, start(2)).dataSync()]).toEqual([...found]);
    // Bytes are as good as floats.
    const bytes = tensor(Uint8Array.from(crops.dataSync()), { shape: crops.shape, dtype: 'u8' });
    const whole = tensor(Float32Array.from(bytes.dataSync()), { shape: crops.shape });
    expect([...cascade.forward(bytes, start(2)).dataSync()]).toEqual([...cascade.forward(whole, start(2)).dataSync()]);
    expect(() => cascade.step(3, crops, start(2))).toThrow('Cascade: stages are 0 to 2, got 3');
    expect(() => cascade.step(0, crops, start(1))).toThrow('Cascade: wants crops [1, 32, 32, 3], got [2,32,32,3]');
    cascade.dispose();
  });

  it('a captured step gives what the step gives, replay after replay', () => {
    const cascade = new Cascade([stage(4)], new FaceFeatures(model, { side }), statistics());
    cascade.eval();
    const captured = capture((crops: Tensor, p: Tensor) => cascade.step(0, crops, p));
    for (let i = 0; i < 3; i++) {
      const p = start(2).add(0.1 * i);
      expect([...captured(photos(2), p).dataSync()]).toEqual([...cascade.step(0, photos(2), p).dataSync()]);
    }
    captured.dispose();
    cascade.dispose();
  });

  it('a MobileNet stage with and without the drawn model', () => {
    const features = new FaceFeatures(model, { side });
    const stages = [
      new MobileNetStage({ widthMultiplier: 0.25, outputs: d, pncc: false }),
      new MobileNetStage({ widthMultiplier: 0.25, outputs: d }),
    ];
    const cascade = new Cascade(stages, features, statistics());
    expect(cascade.step(0, photos(2), start(2)).shape).toEqual([2, d]);
    expect(cascade.step(1, photos(2), start(2)).shape).toEqual([2, d]);
    expect(Object.keys(cascade.parameters())).toContain('stages.1.network.dw2_1.conv_dw.weight');
    cascade.dispose();
  });
});

describe('regenerated starts', () => {
  it('posture knows neither scale nor place', () => {
    const p = vectors(1, counts, 2);
    const other = Float64Array.from(p, (x, i) => (i < 4 ? 1.7 * x : i < 6 ? x + 9 : x));
    const [a, b] = [facePosture(model, counts, p), facePosture(model, counts, other)];
    a.forEach((x, i) => {
      expect(b[i]).toBeCloseTo(x, 6);
    });
    const f = quaternionScale([p[0], p[1], p[2], p[3]]);
    const [x, y] = faceOf(model, counts, [model.landmarks[5]], p);
    expect(a[5]).toBeCloseTo((x - p[4]) / f, 4);
    expect(a[68 + 5]).toBeCloseTo((y - p[5]) / f, 4);
  });

  it('the truth less the error of a validation face of similar posture', () => {
    const truths = Array.from({ length: 30 }, (_, i) => Array.from(vectors(1, counts, 50 + i)));
    const errors = truths.map((_, i) => Array.from({ length: d }, (_, k) => i + k / 100));
    const validation = truths.map((truth, i) => ({ truth, fitted: truth.map((x, k) => x - errors[i][k]) }));
    const regenerator = new StartRegenerator(model, counts, validation, 3);
    const own = vectors(1, counts, 999);
    const ranked = truths
      .map((truth, i) => ({
        i,
        distance: facePosture(model, counts, truth).reduce(
          (s, x, k) => s + (x - facePosture(model, counts, own)[k]) ** 2,
          0,
        ),
      }))
      .sort((a, b) => a.distance - b.distance)
      .slice(0, 3)
      .map(({ i }) => i);
    const drawn = new Set<number>();
    const random = new Random(4);
    for (let round = 0; round < 40; round++) {
      const p = regenerator.start(own, random);
      const v = Math.round(own[0] - p[0]);
      expect(ranked).toContain(v);
      drawn.add(v);
      p.forEach((x, k) => {
        expect(own[k] - x).toBeCloseTo(errors[v][k], 8);
      });
    }
    expect(drawn.size).toBe(3);
    expect([...regenerator.start(own, new Random(6))]).toEqual([...regenerator.start(own, new Random(6))]);
  });
});
