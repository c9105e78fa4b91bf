// Face models on disk: the embedded one, the published ones of ../shared/data, and files that are neither.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { FormatError } from '../../src/formats/error.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import type { MorphableModel } from '../../src/models/morphable.js';
import { convertFaceModel, loadFaceModel, readFaceModel, saveFaceModel } from '../../src/pipeline/face_model.js';
import { sharedPath } from '../shared.js';

const folder = mkdtempSync(join(tmpdir(), 'face-model-'));
afterAll(() => rmSync(folder, { recursive: true }));

const bytes = (a: Float32Array | Int32Array | undefined) =>
  a ? Buffer.from(a.buffer, a.byteOffset, a.byteLength) : Buffer.alloc(0);
const FIELDS = [
  'mean',
  'identity',
  'identityStd',
  'expression',
  'expressionStd',
  'triangles',
  'landmarks',
  'uv',
] as const;

function expectSame(a: MorphableModel, b: MorphableModel): void {
  for (const field of [...FIELDS, 'parameterMean', 'parameterStd'] as const) {
    expect(Buffer.compare(bytes(a[field]), bytes(b[field])), field).toBe(0);
  }
  expect([b.name, b.licence, b.units]).toEqual([a.name, a.licence, a.units]);
}

/** What every user of a model relies on. */
function expectUsable(model: MorphableModel): void {
  const at = (i: number) => Array.from(model.mean.subarray(3 * model.landmarks[i], 3 * model.landmarks[i] + 3));
  expect(model.normals(model.mean)[3 * model.landmarks[30] + 2]).toBeGreaterThan(0.3); // nose tip towards the viewer
  const eyes = at(45)[0] - at(36)[0];
  expect(eyes).toBeGreaterThan(0);
  for (let i = 1; i < 17; i++) expect(at(i)[0]).toBeGreaterThan(at(i - 1)[0]); // the jaw from the right to the left
  for (let i = 0; i < 8; i++) {
    const [right, left] = [at(i), at(16 - i)];
    expect(Math.abs(right[0] + left[0]) / eyes).toBeLessThan(0.1);
    expect(Math.abs(right[1] - left[1]) / eyes).toBeLessThan(0.1);
  }
  expect(at(27)[1]).toBeGreaterThan(at(8)[1]); // y up
  const place = (i: number) => Array.from(model.uv.subarray(2 * model.landmarks[i], 2 * model.landmarks[i] + 2));
  expect(place(30)[0]).toBeCloseTo(0.5, 1);
  expect(place(36)[0]).toBeLessThan(place(45)[0]);
  expect(place(36)[0] + place(45)[0]).toBeCloseTo(1, 1);
  expect(place(27)[1]).toBeGreaterThan(place(8)[1]); // v up
}

describe('the embedded model', () => {
  test('is read once, and usable', () => {
    const model = loadFaceModel();
    expect(loadFaceModel()).toBe(model);
    expect(model.licence).toBe('MIT');
    expectUsable(model);
  });

  test('comes back from the plain layout number by number', () => {
    const path = join(folder, 'plain.safetensors');
    saveFaceModel(path, loadFaceModel());
    expectSame(loadFaceModel(), loadFaceModel(path));
  });

  test('with the cylindrical layout it is the same surface', () => {
    const path = join(folder, 'plain.safetensors');
    saveFaceModel(path, loadFaceModel());
    const model = convertFaceModel(path, { uv: 'cylindrical' });
    expect(model.triangles.length).toBe(loadFaceModel().triangles.length);
    expectUsable(model);
  });
});

describe('files that are no face model', () => {
  test('say what was found and what is recognised', () => {
    const path = join(folder, 'other.safetensors');
    writeSafetensors(path, { weight: { dtype: 'f32', shape: [2], data: Float32Array.of(1, 2) } });
    expect(() => loadFaceModel(path)).toThrow(FormatError);
    expect(() => loadFaceModel(path)).toThrow(/found weight; wanted one of plain \(mean, .*3DDFA.*ICT-FaceKit.*Surrey/);
    expect(() => loadFaceModel(join(folder, 'absent.safetensors'))).toThrow(FormatError);
  });

  test('name the tensor that does not fit', () => {
    const path = join(folder, 'damaged.safetensors');
    const { tensors, metadata } = loadFaceModel().toTensors();
    const uv = { ...tensors.uv, shape: [tensors.uv.shape[0] - 1, 2], data: tensors.uv.data.slice(2) };
    writeSafetensors(path, { ...tensors, uv }, metadata);
    expect(() => loadFaceModel(path)).toThrow(FormatError);
    expect(() => loadFaceModel(path)).toThrow(/damaged.safetensors: uv: wanted shape \[10403, 2\], got \[10402, 2\]/);
  });
});

const published = [
  { file: 'bfm/bfm_3ddfa.safetensors', units: 'um', modes: [40, 10] },
  { file: 'ict/ict_face_light_skin.safetensors', units: 'cm', modes: [100, 53] },
  { file: 'sfm/sfm_3448.safetensors', units: 'mm', modes: [63, 6] },
];

describe.each(published)('$file', ({ file, units, modes }) => {
  const path = sharedPath(`data/${file}`);

  test.runIf(path)('converts with its own and with the cylindrical layout, and round-trips', () => {
    const model = convertFaceModel(path as string);
    expect(model.units).toBe(units);
    expect([model.identityCount, model.expressionCount]).toEqual(modes);
    expectUsable(model);
    const copy = join(folder, 'copy.safetensors');
    saveFaceModel(copy, model);
    expectSame(model, loadFaceModel(copy));
    const cylindrical = convertFaceModel(path as string, { uv: 'cylindrical' });
    expectUsable(cylindrical);
    expect(cylindrical.triangles.length).toBe(model.triangles.length);
  });
});

describe('the 3DDFA model', () => {
  const path = sharedPath('data/bfm/bfm_3ddfa.safetensors');

  test.runIf(path)('keeps vertices, statistics and coefficients of the regressor', () => {
    const raw = readSafetensors(path as string);
    const model = convertFaceModel(path as string);
    expect(Buffer.compare(bytes(model.mean), bytes(raw.u.data as Float32Array))).toBe(0);
    expect(Array.from(model.parameterMean ?? [])).toEqual(Array.from(raw.param_mean.data));
    expect(Array.from(model.identityStd)).toEqual(Array.from(raw.param_std.data.slice(12, 52)));
    expect(Array.from(model.expressionStd)).toEqual(Array.from(raw.param_std.data.slice(52)));
    for (const [vertex, c, k] of [
      [0, 0, 0],
      [17440, 1, 39],
      [38364, 2, 7],
    ]) {
      expect(model.identity[(k * 38365 + vertex) * 3 + c]).toBe(raw.w_shp.data[(vertex * 3 + c) * 40 + k]);
      const e = k % 10;
      expect(model.expression[(e * 38365 + vertex) * 3 + c]).toBe(raw.w_exp.data[(vertex * 3 + c) * 10 + e]);
    }
  });
});

describe('the Surrey model', () => {
  const path = sharedPath('data/sfm/sfm_3448.safetensors');

  test.runIf(path)('keeps its 50 landmarks, and the 18 placed lie near their neighbours', () => {
    const pairs = readSafetensors(path as string).ibug_to_vertex.data;
    const { model, notes } = readFaceModel(path as string);
    expect(notes).toEqual([expect.stringContaining('18 of the 68 landmarks are not published')]);
    for (let i = 0; i < pairs.length; i += 2) expect(model.landmarks[pairs[i] - 1]).toBe(pairs[i + 1]);
    const at = (i: number) => model.mean.subarray(3 * model.landmarks[i], 3 * model.landmarks[i] + 3);
    const between = (a: Float32Array, b: Float32Array) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
    for (let i = 0; i < 16; i++) {
      expect(between(at(i), at(i + 1))).toBeGreaterThan(3);
      expect(between(at(i), at(i + 1))).toBeLessThan(35);
    }
    for (const [inner, outer] of [
      [60, 48],
      [64, 54],
    ])
      expect(between(at(inner), at(outer))).toBeLessThan(8);
  });
});

test('the embedded file is there', () => {
  expect(existsSync(new URL('../../assets/face.safetensors', import.meta.url))).toBe(true);
});
