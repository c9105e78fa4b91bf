import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { drawAppearance } from '../../src/head/appearance.js';
import { fromLinear, openness, shade, toLinear } from '../../src/head/light.js';
import { drawPerson, type Person } from '../../src/head/person.js';
import { uvMap } from '../../src/head/uv-map.js';
import { MorphableModel } from '../../src/models/morphable.js';

const model = MorphableModel.fromTensors(
  readSafetensors(fileURLToPath(new URL('../../assets/face.safetensors', import.meta.url))),
);
const size = 128;
const people = [1, 2, 3, 4].map((seed) => drawPerson(seed, model, { size }));
const covered = uvMap(model.uv, model.triangles, size).triangle;

/** Root mean square difference over the footprint, grey levels. */
function difference(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  let count = 0;
  for (let p = 0; p < covered.length; p++) {
    if (covered[p] < 0) continue;
    for (let c = 0; c < 3; c++) sum += (a[p * 3 + c] - b[p * 3 + c]) ** 2;
    count += 3;
  }
  return Math.sqrt(sum / count);
}

/** Mean colour of the texture within `radius` pixels of a landmark (or of the middle of several). */
function colourAt(image: Float32Array, landmarks: number[], radius = 1): number[] {
  const mean = (c: number) =>
    landmarks.reduce((s, i) => s + model.uv[model.landmarks[i] * 2 + c], 0) / landmarks.length;
  const x = Math.round(mean(0) * (size - 1));
  const y = Math.round((1 - mean(1)) * (size - 1));
  const sum = [0, 0, 0];
  for (let dy = -radius; dy <= radius; dy++) {
    for (let dx = -radius; dx <= radius; dx++)
      for (let c = 0; c < 3; c++) sum[c] += image[((y + dy) * size + x + dx) * 3 + c];
  }
  return sum.map((s) => s / (2 * radius + 1) ** 2);
}

test('one seed, one person', () => {
  const again = drawPerson(2, model, { size });
  expect({ ...again, albedo: 0, texture: 0 }).toEqual({ ...people[1], albedo: 0, texture: 0 });
  expect(difference(again.texture, people[1].texture)).toBe(0);
  expect(difference(again.albedo, people[1].albedo)).toBe(0);
});

test('two people differ in shape, in skin and in light', () => {
  for (let a = 0; a < people.length; a++) {
    for (let b = a + 1; b < people.length; b++) {
      expect(difference(people[a].albedo, people[b].albedo)).toBeGreaterThan(12);
      const [va, vb] = [people[a], people[b]].map((p: Person) => model.vertices(p.alpha));
      const rms = Math.sqrt(va.reduce((s, x, i) => s + (x - vb[i]) ** 2, 0) / model.vertexCount);
      expect(rms).toBeGreaterThan(2.5);
      expect(people[a].light.direction).not.toEqual(people[b].light.direction);
    }
  }
});

test('coefficients are plausible: within a few deviations', () => {
  for (const person of people) {
    expect(person.alpha.length).toBe(model.identityCount);
    expect(person.beta.length).toBe(model.expressionCount);
    for (let i = 0; i < person.alpha.length; i++) {
      expect(Math.abs(person.alpha[i] / model.identityStd[i])).toBeLessThanOrEqual(2.001);
    }
    for (let i = 0; i < person.beta.length; i++) {
      expect(Math.abs(person.beta[i] / model.expressionStd[i])).toBeLessThan(12);
    }
  }
});

test('colours are finite and in range, and the footprint is painted', () => {
  for (const { albedo, texture } of people) {
    expect(albedo.length).toBe(size * size * 3);
    for (const image of [albedo, texture]) {
      expect(image.every((x) => x >= 0 && x <= 255)).toBe(true);
      let darkest = 255;
      for (let p = 0; p < covered.length; p++) {
        if (covered[p] >= 0) darkest = Math.min(darkest, image[p * 3]);
      }
      expect(darkest).toBeGreaterThan(1);
    }
  }
});

describe('features are painted where the landmarks are', () => {
  test.each([0, 1, 2, 3])('person %i', (k) => {
    const { albedo } = people[k];
    const grey = (c: number[]) => c[0] + c[1] + c[2];
    const cheek = colourAt(albedo, [29, 3, 31]);
    const iris = (marks: number[]) => colourAt(albedo, marks, 0);
    for (const eye of [
      [37, 38, 40, 41],
      [43, 44, 46, 47],
    ])
      expect(grey(iris(eye))).toBeLessThan(0.75 * grey(cheek));
    const lips = colourAt(albedo, [57, 66], 0);
    expect(lips[0] / lips[1]).toBeGreaterThan(cheek[0] / cheek[1]);
    const scalp = colourAt(albedo, [19, 24], 0);
    expect(scalp.every(Number.isFinite)).toBe(true);
  });
});

test('faces are not symmetric, and light comes from one side', () => {
  for (const { albedo, texture, light } of people) {
    const mirrored = (image: Float32Array) =>
      Float32Array.from(image, (_, i) => {
        const [p, c] = [Math.floor(i / 3), i % 3];
        return image[(p - (p % size) + size - 1 - (p % size)) * 3 + c];
      });
    expect(difference(albedo, mirrored(albedo))).toBeGreaterThan(3);
    const side = light.direction[0] > 0 ? [14, 2] : [2, 14];
    const [bright, dark] = side.map((i) => colourAt(texture, [i, 30])[1]);
    expect(bright).toBeGreaterThan(dark);
  }
});

test('appearances of a hundred seeds cover skins, hair and both partings', () => {
  const looks = Array.from({ length: 100 }, (_, seed) => drawAppearance(seed));
  expect(looks.filter((l) => l.melanin < 0.3).length).toBeGreaterThan(15);
  expect(looks.filter((l) => l.melanin > 0.7).length).toBeGreaterThan(15);
  expect(looks.filter((l) => l.parting > 0).length).toBeGreaterThan(30);
  expect(looks.filter((l) => l.parting < 0).length).toBeGreaterThan(30);
  expect(looks.filter((l) => l.stubble > 0).length).toBeGreaterThan(15);
  expect(new Set(looks.map((l) => l.iris.join())).size).toBeGreaterThan(4);
});

describe('light', () => {
  test('sRGB round trip', () => {
    for (let v = 0; v <= 255; v++) expect(fromLinear(toLinear(v))).toBeCloseTo(v, 8);
  });

  test('the lamp side is brighter, the back gets only sky and ground', () => {
    const { light } = people[0];
    const [towards] = shade(light.direction, light, [0, 0, 1]);
    const [away] = shade(
      light.direction.map((x) => -x),
      light,
      [0, 0, 1],
    );
    expect(towards).toBeGreaterThan(2 * away);
    expect(away).toBeGreaterThan(0);
  });

  test('hollows get less light than a sphere-like surface', () => {
    const open = openness(model.mean, model.normals(model.mean), model.triangles);
    expect(Math.max(...open)).toBeLessThanOrEqual(1);
    expect(Math.min(...open)).toBeGreaterThan(0.05);
    expect(open[model.landmarks[30]]).toBe(1);
    expect(open[model.landmarks[39]]).toBeLessThan(0.9);
    expect(open[model.landmarks[42]]).toBeLessThan(0.9);
  });
});
