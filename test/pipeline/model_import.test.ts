// Face models in the files of their makers, written here in small: every reader gives back what was put in, wrong files are named.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FormatError } from '../../src/formats/error.js';
import { saveNpy, saveNpz } from '../../src/formats/npy.js';
import { readPickle } from '../../src/formats/numpy-pickle.js';
import { saveObj } from '../../src/formats/obj.js';
import type { MorphableModel } from '../../src/models/morphable.js';
import { convertFaceModel, loadFaceModel } from '../../src/pipeline/face_model.js';
import { findLandmarks } from '../../src/pipeline/landmark-vertices.js';
import { importFaceModel } from '../../src/pipeline/model-import.js';
import { tensor } from '../../src/tensor/create.js';
import { lines, rescunet } from '../cli/run.js';
import { double, matFile, single, type Written } from '../formats/mat.js';
import { ndarray, pickle } from '../formats/pickle.js';
import { sharedPath } from '../shared.js';

const folder = mkdtempSync(join(tmpdir(), 'import-'));
afterAll(() => rmSync(folder, { recursive: true }));

const head = loadFaceModel();
const n = head.vertexCount;
const length = 3 * n;
const IDENTITY = 2;
const EXPRESSION = 1;
const marks = Array.from(head.landmarks);

/** Modes [k, length] as columns [length, k], each times a factor. */
function columns(modes: Float32Array, count: number, factors?: ArrayLike<number>, from = 0): Float32Array {
  const out = new Float32Array(length * count);
  for (let k = 0; k < count; k++) {
    for (let i = 0; i < length; i++) out[i * count + k] = modes[(from + k) * length + i] * (factors ? factors[k] : 1);
  }
  return out;
}

const shapes = columns(head.identity, IDENTITY);
const moves = columns(head.expression, EXPRESSION);
const stdOf = (std: Float32Array, count: number) => std.slice(0, count);
const oneBased = head.triangles.map((v) => v + 1);
const rowTriangles = head.triangles;
const flipped = (rows: ArrayLike<number>) => {
  const count = rows.length / 3;
  return Int32Array.from({ length: rows.length }, (_, i) => rows[3 * (i % count) + Math.floor(i / count)]);
};

function place(name: string, bytes: Uint8Array): string {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
}

const close = (a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number) => {
  expect(a.length).toBe(b.length);
  let worst = 0;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i] - b[i]));
  expect(worst).toBeLessThanOrEqual(tolerance);
};

/** The same faces for the same normalised coefficients, wherever the vertices were doubled. */
function expectSameFaces(model: MorphableModel, expressions = EXPRESSION): void {
  expect([model.identityCount, model.expressionCount]).toEqual([IDENTITY, expressions]);
  const alpha = [1, -0.5];
  const beta = [0.7].slice(0, Math.min(1, expressions));
  const scaled = (values: number[], std: Float32Array) => values.map((v, k) => v * std[k]);
  const of = (m: MorphableModel) =>
    m.landmarksOf(m.vertices(scaled(alpha, m.identityStd), scaled(beta, m.expressionStd)));
  const wanted = of(head);
  close(of(model), wanted, 2e-3);
  expect(model.normals(model.mean)[3 * model.landmarks[30] + 2]).toBeGreaterThan(0.3);
}

const basel2009: Record<string, Written> = {
  shapeMU: single([length, 1], head.mean),
  shapePC: single([length, IDENTITY], shapes),
  shapeEV: single([IDENTITY, 1], stdOf(head.identityStd, IDENTITY)),
  texMU: single([length, 1], head.mean),
  // Basel's triangles are clockwise.
  tl: double(
    [oneBased.length / 3, 3],
    oneBased.map((_, i) => oneBased[i % 3 === 0 ? i : i % 3 === 1 ? i + 1 : i - 1]),
  ),
};

describe('Basel 2009', () => {
  test('with landmarks by a mapping: those named stay, the others are placed', async () => {
    const file = place('01_MorphableModel.mat', matFile(basel2009, { compress: true }));
    const mapping = join(folder, 'ibug_to_bfm.txt');
    const named = [9, 18, 22, 23, 27, 31, 34, 37, 40, 43, 46, 49, 52, 55, 58];
    writeFileSync(
      mapping,
      `# from ibug\n[landmark_mappings]\n${named.map((i) => ` ${i} = ${marks[i - 1]}  # a point`).join('\n')}\n#63 = 4\n`,
    );
    const { model, layout, notes } = await importFaceModel(file, { landmarks: mapping });
    expect(layout).toBe('Basel Face Model 2009');
    expect(model.units).toBe('mm');
    expect(notes.join(' ')).toMatch(/53 of the 68 landmarks are not named.*|no expressions/);
    expect([model.identityCount, model.expressionCount]).toEqual([IDENTITY, 0]);
    close(model.identityStd, stdOf(head.identityStd, IDENTITY), 1e-4);
    const at = (m: MorphableModel, i: number) =>
      Array.from(m.mean.subarray(3 * m.landmarks[i], 3 * m.landmarks[i] + 3));
    for (const i of named) close(at(model, i - 1), at(head, i - 1), 1e-5);
    for (let i = 17; i < 68; i++) expect(Math.hypot(...at(model, i).map((x, c) => x - at(head, i)[c]))).toBeLessThan(6);
    expect(model.normals(model.mean)[3 * model.landmarks[30] + 2]).toBeGreaterThan(0.3);
  });

  test('a file without its arrays is named', async () => {
    const { shapePC, ...rest } = basel2009;
    expect(shapePC.kind).toBe('single');
    await expect(importFaceModel(place('a.mat', matFile(rest)))).rejects.toThrow(
      /a.mat: contents: no face model that is known: found shapeMU/,
    );
    const wrong = {
      ...basel2009,
      shapePC: single([length - 3, IDENTITY], shapes.subarray(0, (length - 3) * IDENTITY)),
    };
    await expect(importFaceModel(place('a.mat', matFile(wrong)))).rejects.toThrow(
      `variable 'shapePC': wanted [${length}, k], got [${length - 3}, 2]`,
    );
    const outside = { ...basel2009, tl: double([1, 3], [1, 2, n + 1]) };
    await expect(importFaceModel(place('a.mat', matFile(outside)))).rejects.toThrow(
      `variable 'tl': names vertex ${n}, there are ${n}`,
    );
  });
});

describe('other .mat files', () => {
  test('3DDFA: shape and, beside it, expressions', async () => {
    const place3 = (name: string, bytes: Uint8Array) => writeFileSync(join(folder, 'zhu', name), bytes);
    mkdirSync(join(folder, 'zhu'));
    const half = head.mean.map((x) => x / 2);
    place3(
      'Model_Shape.mat',
      matFile({
        mu_shape: double([length, 1], half),
        w: single([length, IDENTITY], shapes),
        sigma: double([IDENTITY, 1], stdOf(head.identityStd, IDENTITY)),
        tri: double([3, oneBased.length / 3], flipped(oneBased)),
        keypoints: double(
          [1, 68],
          marks.map((v) => v + 1),
        ),
      }),
    );
    expect((await importFaceModel(join(folder, 'zhu'))).model.expressionCount).toBe(0);
    place3(
      'Model_Exp.mat',
      matFile({
        mu_exp: double([length, 1], half),
        w_exp: single([length, EXPRESSION], moves),
        sigma_exp: double([EXPRESSION, 1], stdOf(head.expressionStd, EXPRESSION)),
      }),
    );
    const { model, notes } = await importFaceModel(join(folder, 'zhu', 'Model_Shape.mat'));
    expectSameFaces(model);
    expect(notes.join()).toMatch(/no texture coordinates/);
  });

  test('face3d and Deep3DFaceReconstruction', async () => {
    const face3d: Written = {
      kind: 'struct',
      fields: {
        shapeMU: single([length, 1], head.mean),
        shapePC: single([length, IDENTITY], shapes),
        shapeEV: single([IDENTITY, 1], stdOf(head.identityStd, IDENTITY)),
        expPC: single([length, EXPRESSION], moves),
        expEV: single([EXPRESSION, 1], stdOf(head.expressionStd, EXPRESSION)),
        tri: double([3, oneBased.length / 3], flipped(oneBased)),
        kpt_ind: double(
          [1, 68],
          marks.map((v) => v + 1),
        ),
      },
    };
    expectSameFaces((await importFaceModel(place('BFM.mat', matFile({ model: face3d }, { compress: true })))).model);
    const deep = {
      meanshape: single([1, length], head.mean),
      idBase: single([length, IDENTITY], columns(head.identity, IDENTITY, head.identityStd)),
      exBase: single([length, EXPRESSION], columns(head.expression, EXPRESSION, head.expressionStd)),
      tri: double([oneBased.length / 3, 3], oneBased),
      keypoints: double(
        [1, 68],
        marks.map((v) => v + 1),
      ),
    };
    const { model } = await importFaceModel(place('BFM_model_front.mat', matFile(deep)));
    expectSameFaces(model);
    expect(Array.from(model.identityStd)).toEqual([1, 1]);
  });
});

describe('Basel 2017 and 2019', () => {
  const file = join(folder, 'model2019_bfm.h5');

  beforeAll(async () => {
    const { default: h5wasm } = await import('h5wasm/node');
    await h5wasm.ready;
    const out = new h5wasm.File(file, 'w');
    const write = (group: string, name: string, data: Float32Array | Int32Array, shape: number[]) =>
      out.get(group) && (out.get(group) as InstanceType<typeof h5wasm.Group>).create_dataset({ name, data, shape });
    for (const group of [
      'shape',
      'shape/model',
      'shape/representer',
      'expression',
      'expression/model',
      'metadata',
      'metadata/landmarks',
    ]) {
      out.create_group(group);
    }
    write('shape/model', 'mean', head.mean, [length]);
    write('shape/model', 'pcaBasis', shapes, [length, IDENTITY]);
    write(
      'shape/model',
      'pcaVariance',
      stdOf(head.identityStd, IDENTITY).map((s) => s * s),
      [IDENTITY],
    );
    write('shape/representer', 'cells', flipped(rowTriangles), [3, rowTriangles.length / 3]);
    const offset = head.expression.slice(length, 2 * length).map((x) => 3 * x);
    write('expression/model', 'mean', offset, [length]);
    write('expression/model', 'pcaBasis', moves, [length, EXPRESSION]);
    write(
      'expression/model',
      'pcaVariance',
      stdOf(head.expressionStd, EXPRESSION).map((s) => s * s),
      [EXPRESSION],
    );
    const names: [string, number][] = [
      ['center.nose.tip', 30],
      ['right.eye.corner_outer', 36],
      ['right.eye.corner_inner', 39],
      ['left.eye.corner_inner', 42],
      ['left.eye.corner_outer', 45],
      ['right.lips.corner', 48],
      ['left.lips.corner', 54],
      ['center.lips.upper.outer', 51],
      ['center.lips.lower.outer', 57],
      ['center.chin.tip', 8],
    ];
    const points = names.map(([id, i]) => ({
      id,
      coordinates: Array.from(head.mean.subarray(3 * marks[i], 3 * marks[i] + 3)),
    }));
    points.push({ id: 'left.ear.helix.top', coordinates: [80, 20, -90] });
    (out.get('metadata/landmarks') as InstanceType<typeof h5wasm.Group>).create_dataset({
      name: 'json',
      data: JSON.stringify(points),
    });
    out.close();
  });

  test('the mean is neutral; the mean expression is a mode of its own; named points are landmarks', async () => {
    const { model, notes } = await importFaceModel(file);
    expect([model.identityCount, model.expressionCount]).toEqual([IDENTITY, EXPRESSION + 1]);
    close(model.identityStd, stdOf(head.identityStd, IDENTITY), 1e-3);
    expect(model.expressionStd[0]).toBeCloseTo(3, 2);
    expect(model.expressionStd[1]).toBeCloseTo(head.expressionStd[0], 3);
    const at = (m: MorphableModel, i: number) =>
      Array.from(m.mean.subarray(3 * m.landmarks[i], 3 * m.landmarks[i] + 3));
    for (const i of [8, 30, 36, 45, 54]) close(at(model, i), at(head, i), 1e-4);
    expect(notes.join()).toMatch(/58 of the 68 landmarks/);
    expect(model.units).toBe('mm');
  });

  test('by the command, and what is no such file', async () => {
    const out = join(folder, 'bfm2019.safetensors');
    const ran = await rescunet('model', 'convert', file, out, '--json');
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      layout: 'Basel Face Model 2017 or 2019',
      identity: 2,
      expression: 2,
      landmarks: 68,
    });
    expect(convertFaceModel(out).vertexCount).toBeGreaterThanOrEqual(n);
    await expect(importFaceModel(place('x.h5', Buffer.from('no hdf5')))).rejects.toThrow(
      /x.h5: magic: is no HDF5 file/,
    );
    const { default: h5wasm } = await import('h5wasm/node');
    const other = new h5wasm.File(join(folder, 'y.h5'), 'w');
    other.create_dataset({ name: 'weights', data: Float32Array.of(1, 2) });
    other.close();
    await expect(importFaceModel(join(folder, 'y.h5'))).rejects.toThrow(
      /y.h5: data set 'shape\/model\/mean': there is none; found \/?weights/,
    );
  });
});

describe('the folders of 3DDFA', () => {
  const mean62 = Float32Array.from({ length: 62 }, (_, i) => i);
  const shapes40 = columns(head.identity, 40);
  const moves10 = columns(head.expression, 10);
  const std62 = Float32Array.from({ length: 62 }, (_, i) =>
    i < 12 ? 1 : i < 52 ? head.identityStd[i - 12] : head.expressionStd[i - 52],
  );
  const places = Int32Array.from(marks.flatMap((v) => [3 * v, 3 * v + 1, 3 * v + 2]));

  const expect62 = (model: MorphableModel) => {
    expect([model.identityCount, model.expressionCount]).toEqual([40, 10]);
    expect(Array.from(model.parameterMean ?? [])).toEqual(Array.from(mean62));
    expect(Array.from(model.landmarks)).toEqual(marks);
    close(
      model.vertices([head.identityStd[0]], [0, head.expressionStd[1]]),
      head.vertices([head.identityStd[0]], [0, head.expressionStd[1]]),
      2e-3,
    );
    close(model.uv, head.uv, 1e-6);
  };

  test('3DDFA_V2: pickles, with texture coordinates of the larger topology', async () => {
    const configs = join(folder, 'configs');
    mkdirSync(configs);
    const write = (name: string, bytes: Uint8Array) => writeFileSync(join(configs, name), bytes);
    const f4 = (data: Float32Array, shape: number[]) => ndarray('f4', shape, data);
    write(
      'bfm_noneck_v3.pkl',
      pickle(
        new Map<string, unknown>([
          ['u', f4(head.mean, [length, 1])],
          ['w_shp', f4(shapes40, [length, 40])],
          ['w_exp', f4(moves10, [length, 10])],
          ['keypoints', ndarray('i4', [204], places)],
        ]),
      ),
    );
    write('tri.pkl', pickle(ndarray('i4', [3, rowTriangles.length / 3], flipped(rowTriangles))));
    await expect(importFaceModel(configs)).rejects.toThrow(
      /param_whitening.pkl or param_mean_std_62d_120x120.pkl: there is none/,
    );
    write(
      'param_mean_std_62d_120x120.pkl',
      pickle(
        new Map([
          ['mean', f4(mean62, [62])],
          ['std', f4(std62, [62])],
        ]),
      ),
    );
    const larger = new Float32Array(2 * n + 2);
    larger.set(head.uv, 2);
    write('BFM_UV.mat', matFile({ UV: double([n + 1, 2], larger) }));
    saveNpy(
      join(configs, 'indices.npy'),
      tensor(
        Int32Array.from({ length: n }, (_, i) => i + 1),
        { dtype: 'i32', shape: [n] },
      ),
    );
    expect62((await importFaceModel(configs)).model);
    expect62((await importFaceModel(join(configs, 'bfm_noneck_v3.pkl'))).model);
  });

  test('3DDFA: arrays, triangles in the folder beside', async () => {
    const configs = join(folder, 'train.configs');
    mkdirSync(configs);
    mkdirSync(join(folder, 'visualize'));
    const half = head.mean.map((x) => x / 2);
    const save = (name: string, data: Float32Array, shape: number[]) =>
      saveNpy(join(configs, name), tensor(data, { shape }));
    save('u_shp.npy', half, [length, 1]);
    save('u_exp.npy', half, [length, 1]);
    save('w_shp_sim.npy', shapes40, [length, 40]);
    save('w_exp_sim.npy', moves10, [length, 10]);
    saveNpy(join(configs, 'keypoints_sim.npy'), tensor(places, { dtype: 'i32', shape: [204] }));
    writeFileSync(
      join(configs, 'param_whitening.pkl'),
      pickle(
        new Map([
          ['param_mean', ndarray('f4', [62], mean62)],
          ['param_std', ndarray('f4', [62], std62)],
        ]),
      ),
    );
    writeFileSync(
      join(folder, 'visualize', 'tri.mat'),
      matFile({ tri: double([3, oneBased.length / 3], flipped(oneBased)) }),
    );
    writeFileSync(join(configs, 'BFM_UV.mat'), matFile({ UV: double([n, 2], head.uv) }));
    expect62((await importFaceModel(configs)).model);
  });
});

describe('FLAME', () => {
  const both = new Float32Array(length * 400);
  for (let i = 0; i < length; i++) {
    for (let k = 0; k < IDENTITY; k++) both[400 * i + k] = shapes[i * IDENTITY + k] * head.identityStd[k];
    both[400 * i + 300] = moves[i] * head.expressionStd[0];
  }
  const few = (from: Float32Array, pick: number[]) =>
    Float32Array.from(
      { length: length * pick.length },
      (_, i) => from[400 * Math.floor(i / pick.length) + pick[i % pick.length]],
    );
  const chosen = Array.from({ length: 150 }, (_, k) => (k < 2 ? k : k === 100 ? 300 : 5));
  const dirs = few(both, chosen);

  test('npz, with the static embedding for landmarks', async () => {
    const file = join(folder, 'flame.npz');
    saveNpz(file, {
      v_template: tensor(head.mean, { shape: [n, 3] }),
      shapedirs: tensor(dirs, { shape: [n, 3, 150] }),
      f: tensor(head.triangles, { dtype: 'i32', shape: [head.triangles.length / 3, 3] }),
    });
    const corners = marks.slice(17).map((v) => head.triangles.indexOf(v));
    const shares = new Float32Array(3 * 51).map((_, i) => (i % 3 === corners[Math.floor(i / 3)] % 3 ? 0.8 : 0.1));
    const embedding = join(folder, 'embedding.npz');
    saveNpz(embedding, {
      lmk_face_idx: tensor(
        Int32Array.from(corners, (c) => Math.floor(c / 3)),
        { dtype: 'i32', shape: [51] },
      ),
      lmk_b_coords: tensor(shares, { shape: [51, 3] }),
    });
    const obj = join(folder, 'head_template.obj');
    saveObj(obj, { vertices: head.mean, triangles: head.triangles, uv: head.uv });
    const { model, layout } = await importFaceModel(file, { landmarks: embedding, texture: obj });
    expect(layout).toBe('FLAME');
    expect([model.identityCount, model.expressionCount]).toEqual([100, 50]);
    const at = (m: MorphableModel, i: number) =>
      Array.from(m.mean.subarray(3 * m.landmarks[i], 3 * m.landmarks[i] + 3));
    for (let i = 17; i < 68; i++) close(at(model, i), at(head, i), 1e-5);
    const eye = model.landmarks[36];
    close(model.uv.subarray(2 * eye, 2 * eye + 2), head.uv.subarray(2 * marks[36], 2 * marks[36] + 2), 1e-5);
    const moved = model.landmarksOf(model.vertices([1, -0.5], [0.7]));
    const wanted = head.landmarksOf(
      head.vertices([head.identityStd[0], -0.5 * head.identityStd[1]], [0.7 * head.expressionStd[0]]),
    );
    close(moved.subarray(51), wanted.subarray(51), 2e-3);
  });

  test('the pickle with its chumpy arrays, and code in a pickle', async () => {
    const file = place(
      'generic_model.pkl',
      pickle(
        new Map<string, unknown>([
          [
            'v_template',
            { module: 'chumpy.ch', name: 'Ch', state: new Map([['x', ndarray('f8', [n, 3], head.mean)]]) },
          ],
          ['shapedirs', { module: 'chumpy.ch', name: 'Ch', state: new Map([['x', ndarray('f4', [n, 3, 150], dirs)]]) }],
          ['f', ndarray('u4', [head.triangles.length / 3, 3], head.triangles)],
          [
            'J_regressor',
            { module: 'scipy.sparse.csc', name: 'csc_matrix', state: new Map([['data', ndarray('f8', [1], [1])]]) },
          ],
          ['bs_style', 'lbs'],
        ]),
      ),
    );
    const { model, notes } = await importFaceModel(file);
    expect([model.identityCount, model.expressionCount]).toEqual([100, 50]);
    expect(notes.join(' ')).toMatch(/names no landmarks/);
    const bad = place('bad.pkl', Buffer.from("cos\nsystem\n(S'true'\ntR."));
    expect(() => readPickle(bad)).toThrow(FormatError);
    expect(() => readPickle(bad)).toThrow(/'os.system' is not allowed/);
    await expect(importFaceModel(place('list.pkl', pickle('text')))).rejects.toThrow(/no face model that is known/);
  });
});

describe('the folder of ICT-FaceKit', () => {
  test('neutral, identities and expressions; other tiles are left out', async () => {
    const kit = join(folder, 'FaceXModel');
    mkdirSync(kit);
    await expect(importFaceModel(kit)).rejects.toThrow(/no face model that is known: found nothing/);
    const mesh = (name: string, vertices: Float32Array, uv = head.uv) =>
      saveObj(join(kit, `${name}.obj`), { vertices, triangles: head.triangles, uv });
    // One vertex of the back lies in another tile.
    const back = Array.from({ length: n }, (_, v) => v).reduce(
      (a, b) => (head.mean[3 * b + 2] < head.mean[3 * a + 2] ? b : a),
      0,
    );
    const uv = Float32Array.from(head.uv);
    uv[2 * back] = 1.5;
    mesh('generic_neutral_mesh', head.mean, uv);
    for (let k = 0; k < IDENTITY; k++) {
      mesh(
        `identity00${k}`,
        head.vertices(Array.from({ length: k + 1 }, (_, i) => (i === k ? head.identityStd[k] : 0))),
      );
    }
    mesh('jawOpen', head.vertices([], [head.expressionStd[0]]));
    writeFileSync(
      join(kit, 'vertex_indices.json'),
      JSON.stringify({ idx_to_landmark_verts: marks, expressions: ['jawOpen'] }),
    );
    const { model } = await importFaceModel(kit);
    expect([model.identityCount, model.expressionCount]).toEqual([IDENTITY, 1]);
    expect(model.vertexCount).toBe(n - 1);
    close(
      model.landmarksOf(model.vertices([1], [1])),
      head.landmarksOf(head.vertices([head.identityStd[0]], [head.expressionStd[0]])),
      2e-3,
    );
    // Which of the published vertices are left is kept, and the folder can be looked into as it is.
    expect(model.source?.count).toBe(n);
    expect(model.source?.vertices).not.toContain(back);
    const { code, stdout } = await rescunet('model', 'inspect', kit);
    expect(code).toBe(0);
    expect(stdout).toContain(`${n - 1} vertices (of the ${n} of the mesh that it was made from)`);
    writeFileSync(join(kit, 'vertex_indices.json'), JSON.stringify({ expressions: ['smile'] }));
    await expect(importFaceModel(kit)).rejects.toThrow(/smile.obj: file: does not exist/);
  });
});

describe('landmarks that no file names', () => {
  test.each(['bfm/bfm_3ddfa', 'ict/ict_face_light_skin'])('%s: most lie within a few millimetres', (name) => {
    const path = sharedPath(`data/${name}.safetensors`);
    if (!path) return;
    const model = convertFaceModel(path);
    const found = findLandmarks(model.mean, head);
    const eyes = Math.hypot(
      ...[0, 1, 2].map((c) => model.mean[3 * model.landmarks[45] + c] - model.mean[3 * model.landmarks[36] + c]),
    );
    const errors = Array.from(found, (v, i) => {
      const t = model.landmarks[i];
      return (90 / eyes) * Math.hypot(...[0, 1, 2].map((c) => model.mean[3 * v + c] - model.mean[3 * t + c]));
    });
    const inner = errors.slice(17).sort((a, b) => a - b);
    expect(inner[inner.length >> 1]).toBeLessThan(6);
    expect(inner[inner.length - 1]).toBeLessThan(15);
  });
});

test('what is no model at all is one line', async () => {
  const refused = async (input: string) => {
    const { code, stdout, stderr } = await rescunet('model', 'convert', input, join(folder, 'o.safetensors'));
    expect([code, stdout, lines(stderr).length]).toEqual([2, '', 1]);
    return stderr;
  };
  expect(await refused(join(folder, 'absent.mat'))).toMatch(/there is no such file/);
  expect(await refused(place('notes.txt', Buffer.from('hello')))).toMatch(
    /the ending .txt is that of no face model; wanted a face model/,
  );
  expect(await refused(place('m.mat', matFile({ x: double([1, 1], [1]) })))).toMatch(/found x; wanted a face model/);
});
