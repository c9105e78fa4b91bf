// Face models from registered scans: alignment, the subspace that comes out, what is refused, the command.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { saveObj } from '../../src/formats/obj.js';
import { Random } from '../../src/head/random.js';
import { MorphableModel } from '../../src/models/morphable.js';
import { generalisedProcrustes, procrustes, robustProcrustes, transform } from '../../src/models/procrustes.js';
import { modelFromScans, type ScannedSubject } from '../../src/models/scan-model.js';
import { convertFaceModel, loadFaceModel, saveFaceModel } from '../../src/pipeline/face_model.js';
import { buildFaceModel, findScans } from '../../src/pipeline/scans.js';
import { lines, rescunet } from '../cli/run.js';
import { sharedPath } from '../shared.js';

const folder = mkdtempSync(join(tmpdir(), 'scans-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A rotation about an axis, a scale and a shift. */
function motion(random: Random, scale = 1) {
  const q = [random.normal(), random.normal(), random.normal(), random.normal()];
  const norm = Math.hypot(...q);
  const [a, b, c, d] = q.map((x) => x / norm);
  const rotation = Float64Array.of(
    ...[a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (a * c + b * d)],
    ...[2 * (b * c + a * d), a * a - b * b + c * c - d * d, 2 * (c * d - a * b)],
    ...[2 * (b * d - a * c), 2 * (a * b + c * d), a * a - b * b - c * c + d * d],
  );
  return { scale, rotation, shift: [random.normal(), 20, -3] as [number, number, number] };
}

function distances(a: ArrayLike<number>, b: ArrayLike<number>): number[] {
  return Array.from({ length: a.length / 3 }, (_, i) =>
    Math.hypot(a[3 * i] - b[3 * i], a[3 * i + 1] - b[3 * i + 1], a[3 * i + 2] - b[3 * i + 2]),
  );
}

const most = (values: number[]) => values.reduce((a, b) => Math.max(a, b), 0);

describe('procrustes', () => {
  const random = new Random(11);
  const points = Float32Array.from({ length: 150 }, () => 50 * random.normal());

  test('undoes a similarity, and without scale keeps the size', () => {
    const there = motion(random, 2.5);
    const moved = transform(points, there);
    const back = procrustes(moved, points);
    expect(back.scale).toBeCloseTo(1 / 2.5, 6);
    expect(most(distances(transform(moved, back), points))).toBeLessThan(1e-4);
    expect(procrustes(moved, points, { scale: false }).scale).toBe(1);
    expect(() => procrustes(points, points.subarray(3))).toThrow(/50 and 49/);
  });

  test('the robust form is not led astray by what moved on its own', () => {
    const there = motion(random);
    const moved = transform(points, there);
    for (let i = 0; i < 15; i++) moved[3 * i + 1] += 30;
    const rigid = transform(moved, robustProcrustes(moved, points, { scale: false }));
    expect(most(distances(rigid.subarray(45), points.subarray(45)))).toBeLessThan(0.01);
    const plain = transform(moved, procrustes(moved, points, { scale: false }));
    expect(most(distances(plain.subarray(45), points.subarray(45)))).toBeGreaterThan(2);
  });

  test('many sets meet at their mean, at the size they had on average', () => {
    const sets = [0.8, 1, 1.2].map((scale) => transform(points, motion(random, scale)));
    const { motions, mean } = generalisedProcrustes(sets);
    const met = sets.map((set, i) => transform(set, motions[i]));
    for (const set of met) expect(most(distances(set, mean))).toBeLessThan(1e-3);
    expect(procrustes(points, mean).scale).toBeCloseTo(1, 5);
  });
});

/** The embedded model with every `step`-th vertex only: enough for shapes, quick to calculate with. */
function sparse(model: MorphableModel, step: number) {
  const keep = Array.from({ length: Math.floor(model.vertexCount / step) }, (_, i) => step * i);
  const pick = (rows: Float32Array, count: number) => {
    const out = new Float32Array(count * keep.length * 3);
    for (let k = 0; k < count; k++) {
      keep.forEach((v, i) => {
        out.set(
          rows.subarray((k * model.vertexCount + v) * 3, (k * model.vertexCount + v) * 3 + 3),
          (k * keep.length + i) * 3,
        );
      });
    }
    return out;
  };
  return {
    n: keep.length,
    mean: pick(model.mean, 1),
    identity: pick(model.identity, model.identityCount),
    expression: pick(model.expression, model.expressionCount),
  };
}

/** Share of a vector's length that lies in the span of orthonormal rows. */
function within(modes: Float32Array, vector: Float32Array): number {
  let [inside, all] = [0, 0];
  for (let i = 0; i < vector.length; i++) all += vector[i] * vector[i];
  for (let k = 0; k < modes.length; k += vector.length) {
    let along = 0;
    for (let i = 0; i < vector.length; i++) along += modes[k + i] * vector[i];
    inside += along * along;
  }
  return Math.sqrt(inside / all);
}

describe('scans of the embedded model', () => {
  const model = loadFaceModel();
  const small = sparse(model, 9);
  const random = new Random(21);
  const IDENTITY = 12;
  const EXPRESSION = 5;
  const face = (alpha: number[], beta: number[]) => {
    const out = Float64Array.from(small.mean);
    alpha.forEach((a, k) => {
      for (let i = 0; i < out.length; i++) out[i] += a * small.identity[k * out.length + i];
    });
    beta.forEach((b, k) => {
      for (let i = 0; i < out.length; i++) out[i] += b * small.expression[k * out.length + i];
    });
    return Float32Array.from(out);
  };
  const draw = (std: Float32Array, count: number) => Array.from({ length: count }, (_, k) => std[k] * random.normal());
  const people = (count: number, moved: boolean): ScannedSubject[] =>
    Array.from({ length: count }, (_, i) => {
      const alpha = draw(model.identityStd, IDENTITY);
      const scans = [[], draw(model.expressionStd, EXPRESSION), draw(model.expressionStd, EXPRESSION)].map((beta) => {
        const scan = face(alpha, beta);
        return moved ? transform(scan, motion(random)) : scan;
      });
      return { name: `p${i}`, neutral: scans[0], expressions: scans.slice(1) };
    });

  test('give its subspace back', () => {
    const built = modelFromScans(people(40, false), people(6, false), {
      align: 'none',
      identityModes: 30,
      expressionModes: 20,
    });
    // The rest is not in the scans and not made up, but for what half precision of the embedded modes mixes.
    const length = small.mean.length;
    for (let k = 0; k < IDENTITY; k++) {
      expect(within(built.identity, small.identity.subarray(k * length, (k + 1) * length))).toBeGreaterThan(0.9999);
    }
    for (let k = 0; k < EXPRESSION; k++) {
      expect(within(built.expression, small.expression.subarray(k * length, (k + 1) * length))).toBeGreaterThan(0.9999);
    }
    expect(built.identityStd.length).toBe(IDENTITY);
    expect(built.expressionStd.length).toBe(EXPRESSION);
    const { identity, expression } = built.report;
    expect(identity.explained.at(-1)).toBeCloseTo(1, 5);
    expect(identity.heldOut?.[0].rms).toBeGreaterThan(1);
    expect(identity.heldOut?.at(-1)?.worst).toBeLessThan(1e-3);
    expect(expression.heldOut?.at(-1)?.worst).toBeLessThan(1e-3);
    expect(identity.modesFor['99%']).toBeLessThanOrEqual(IDENTITY);
  });

  test('moved at random, they meet again: people not seen are rebuilt', () => {
    const { report } = modelFromScans(people(40, true), people(6, true), { align: 'rigid' });
    const { identity, expression } = report;
    const before = identity.heldOut?.[0].rms ?? 0;
    expect(before).toBeGreaterThan(1);
    expect(before).toBeLessThan(8);
    expect(identity.heldOut?.at(-1)?.rms).toBeLessThan(0.02 * before);
    expect(expression.heldOut?.at(-1)?.rms).toBeLessThan(0.1 * (expression.heldOut?.[0].rms ?? 0));
    const rms = identity.heldOut?.map((h) => h.rms) ?? [];
    for (let k = 1; k < rms.length; k++) expect(rms[k]).toBeLessThanOrEqual(rms[k - 1]);
  });

  test('too few, or of different sizes, are refused', () => {
    const [a, b] = people(2, false);
    expect(() => modelFromScans([a], [])).toThrow(/at least 2 subjects, got 1/);
    expect(() => modelFromScans([a, { ...b, neutral: b.neutral.subarray(3) }], [])).toThrow(/'p1' has \d+ vertices/);
  });
});

/** PLY as scanners write it: binary, single precision. */
function savePly(file: string, vertices: Float32Array, triangles: ArrayLike<number>): void {
  const faces = Buffer.alloc((triangles.length / 3) * 13);
  for (let t = 0; t < triangles.length / 3; t++) {
    faces[13 * t] = 3;
    for (let c = 0; c < 3; c++) faces.writeInt32LE(triangles[3 * t + c], 13 * t + 1 + 4 * c);
  }
  const header = `ply\nformat binary_little_endian 1.0\nelement vertex ${vertices.length / 3}\n${'xyz'
    .split('')
    .map((c) => `property float ${c}\n`)
    .join('')}element face ${triangles.length / 3}\nproperty list uchar int vertex_indices\nend_header\n`;
  writeFileSync(
    file,
    Buffer.concat([Buffer.from(header), Buffer.from(vertices.buffer, vertices.byteOffset, vertices.byteLength), faces]),
  );
}

describe('a folder of scans', () => {
  const model = loadFaceModel();
  const scans = join(folder, 'scans');
  const random = new Random(31);
  const marks = join(scans, 'landmarks.json');

  beforeAll(() => {
    // Lying on their side and in metres.
    const side = {
      scale: 0.001,
      rotation: Float64Array.of(0, -1, 0, 1, 0, 0, 0, 0, 1),
      shift: [0, 0, 1] as [number, number, number],
    };
    for (let i = 0; i < 6; i++) {
      const place = join(scans, `p${i}`);
      mkdirSync(place, { recursive: true });
      const alpha = Array.from(model.identityStd.subarray(0, 3), (s) => s * random.normal());
      const { triangles } = model;
      saveObj(join(place, 'Neutral.obj'), {
        vertices: transform(model.vertices(alpha), side),
        triangles,
        uv: model.uv,
      });
      const beta = [model.expressionStd[0] * random.normal()];
      if (i < 4) savePly(join(place, 'smile.ply'), transform(model.vertices(alpha, beta), side), triangles);
    }
    writeFileSync(marks, JSON.stringify({ landmarks: Array.from(model.landmarks) }));
  });

  test('becomes a model that looks ahead, with the layout and the unit of the scans', async () => {
    const file = join(folder, 'built.safetensors');
    const ran = await rescunet('model', 'build', scans, '--out', file, '--held-out', '0.2', '--json');
    expect(ran.stderr).toBe('');
    expect(ran.code).toBe(0);
    const report = JSON.parse(ran.stdout);
    expect(report).toMatchObject({ subjects: 6, files: 10, vertices: model.vertexCount, units: 'm', turned: true });
    expect(report.heldOut.length).toBe(1);
    expect(report.identity.heldOut.at(-1).rms).toBeLessThan(0.01);
    const built = convertFaceModel(file);
    expect(built.units).toBe('m');
    expect(built.name).toBe('scans');
    const { scale, rotation } = procrustes(built.landmarksOf(built.mean), model.landmarksOf(model.mean));
    expect(scale / 1000).toBeGreaterThan(0.9);
    expect(scale / 1000).toBeLessThan(1.1);
    expect(rotation[0] + rotation[4] + rotation[8]).toBeGreaterThan(2.9);
    const eye = (m: MorphableModel) => Array.from(m.uv.subarray(2 * m.landmarks[36], 2 * m.landmarks[36] + 2));
    expect(eye(built)[0]).toBeCloseTo(eye(model)[0], 5);
    expect(built.normals(built.mean)[3 * built.landmarks[30] + 2]).toBeGreaterThan(0.3);
  });

  test('is read with the topology of a model, and said in lines', async () => {
    const embedded = loadFaceModel();
    const { model: built, report } = buildFaceModel(scans, {
      topology: embedded,
      align: 'none',
      heldOut: 0,
      identityModes: 2,
    });
    expect([built.identityCount, built.expressionCount, report.heldOut.length]).toEqual([2, 1, 0]);
    expect(report.identity.heldOut).toBeUndefined();
    expect(Buffer.compare(Buffer.from(built.uv.buffer), Buffer.from(embedded.uv.slice().buffer))).toBe(0);
    const ran = await rescunet(
      'model',
      'build',
      scans,
      '--out',
      join(folder, 'lines.safetensors'),
      '--uv',
      'cylindrical',
    );
    expect(ran.code).toBe(0);
    expect(lines(ran.stdout)[0]).toMatch(/^6 subjects \(1 held out\), 10 scans of 10403 vertices: /);
    expect(ran.stdout).toMatch(/identity: \d modes from 5 scans, \d+\.\d\d % of their variance/);
    expect(ran.stdout).toMatch(/held out: rms .*, mean .*, worst .* m/);
  });

  test('is read with the topology of a model that has the vertices in another order and some of them double', () => {
    const embedded = loadFaceModel();
    const options = { align: 'none', heldOut: 0, identityModes: 2 } as const;
    const { model: plain } = buildFaceModel(scans, { ...options, topology: embedded });
    // Vertices the other way round; the first one is double, as at a seam, and the copy has one of its triangles.
    const n = embedded.vertexCount;
    const source = Int32Array.from({ length: n + 1 }, (_, i) => Math.max(0, n - 1 - i));
    const triangles = embedded.triangles.map((v) => n - 1 - v);
    triangles[triangles.findIndex((v) => v === n - 1)] = n;
    const uv = Float32Array.from({ length: 2 * (n + 1) }, (_, i) => embedded.uv[2 * source[i >> 1] + (i & 1)]);
    const split = embedded.remap(source, triangles, uv);
    const file = join(folder, 'split.safetensors');
    saveFaceModel(file, split);
    const before = triangles.slice();
    const { model: built } = buildFaceModel(scans, { ...options, topology: loadFaceModel(file) });
    expect(triangles).toEqual(before);
    expect(built.vertexCount).toBe(n + 1);
    expect(built.source).toEqual({ vertices: source, count: n });
    expect(built.triangles).toEqual(triangles);
    expect(built.uv).toEqual(split.uv);
    expect(built.landmarks).toEqual(split.landmarks);
    for (const i of [0, 1, 4711, n - 1, n]) {
      expect(Array.from(built.mean.subarray(3 * i, 3 * i + 3))).toEqual(
        Array.from(plain.mean.subarray(3 * source[i], 3 * source[i] + 3)),
      );
    }
    const wrong = new MorphableModel({ ...split, source: { vertices: source, count: n + 7 } });
    expect(() => buildFaceModel(scans, { ...options, topology: wrong })).toThrow(
      new RegExp(`vertices: ${n}, the model whose topology was given has ${n + 7} of the mesh that it was made from`),
    );
    expect(() => new MorphableModel({ ...split, source: { vertices: source, count: 9 } })).toThrow(
      /source: vertex \d+ \(number 0\) is not one of the 9 vertices/,
    );
  });

  test('that does not fit is refused by name', async () => {
    const refused = async (...more: string[]) => {
      const { code, stderr, stdout } = await rescunet('model', 'build', ...more);
      expect([code, stdout, lines(stderr).length]).toEqual([2, '', 1]);
      return stderr;
    };
    const out = join(folder, 'x.safetensors');
    expect(await refused(join(folder, 'none'), '--out', out)).toMatch(/none: scans: there is no such folder/);
    expect(await refused(scans, '--out', join(folder, 'x.obj'))).toMatch(/is written as .safetensors/);
    expect(await refused(scans, '--out', out, '--neutral', 'calm')).toMatch(
      /p0: neutral scan: none of its 2 meshes has 'calm'/,
    );
    expect(await refused(scans, '--out', out, '--neutral', 'e')).toMatch(/Neutral.obj and smile.ply both have 'e'/);
    expect(await refused(scans, '--out', out, '--landmarks', join(folder, 'l.txt'))).toMatch(
      /l.txt: landmarks: there is no such file/,
    );
    writeFileSync(join(folder, 'l.txt'), '1 2 3');
    expect(await refused(scans, '--out', out, '--landmarks', join(folder, 'l.txt'))).toMatch(
      /wanted 68 vertex numbers.*got 3/,
    );
    writeFileSync(join(folder, 'l.txt'), Array.from({ length: 68 }, (_, i) => i).join(' '));
    expect(await refused(scans, '--out', out, '--landmarks', join(folder, 'l.txt'))).toMatch(
      /landmarks: the 68 vertices are no face's/,
    );
    savePly(join(scans, 'p0', 'frown.ply'), model.mean.subarray(0, 300), [0, 1, 2]);
    expect(await refused(scans, '--out', out)).toMatch(/frown.ply: vertices: 100, but .*Neutral.obj has 10403/);
    savePly(
      join(scans, 'p0', 'frown.ply'),
      model.mean,
      model.triangles.map((v) => model.vertexCount - 1 - v),
    );
    expect(await refused(scans, '--out', out)).toMatch(/frown.ply: faces: are others than those of/);
    rmSync(join(scans, 'p0', 'frown.ply'));
    const few = join(folder, 'few');
    mkdirSync(few);
    expect(await refused(few, '--out', out)).toMatch(/few: scans: holds no .obj or .ply mesh/);
    savePly(join(few, 'one.ply'), model.mean, model.triangles);
    expect(findScans(few)).toEqual([{ name: 'one', neutral: join(few, 'one.ply'), expressions: [] }]);
    expect(await refused(few, '--out', out)).toMatch(/1 subjects, 1 of them held out; at least 2/);
  });
});

describe('ICT-FaceKit', () => {
  const path = sharedPath('data/ict/ict_face_light_skin.safetensors');

  test.runIf(path)('people drawn from it give its first modes back', () => {
    const ict = convertFaceModel(path as string);
    const random = new Random(41);
    const subjects = Array.from({ length: 26 }, (_, i) => {
      const alpha = Array.from({ length: 15 }, () => random.normal());
      const beta = Array.from({ length: ict.expressionCount }, (_x, k) => (k % 9 === i % 9 ? random.uniform() : 0));
      return {
        name: `p${i}`,
        neutral: ict.vertices(alpha),
        expressions: i % 3 === 0 ? [ict.vertices(alpha, beta)] : [],
      };
    });
    const { identityStd, report } = modelFromScans(subjects.slice(0, 22), subjects.slice(22), { align: 'none' });
    expect(identityStd.length).toBe(15);
    const rms = report.identity.heldOut?.map((h) => h.rms) ?? [];
    expect(rms[0]).toBeGreaterThan(0.1); // centimetres
    expect(rms.at(-1)).toBeLessThan(1e-4);
  });
});
