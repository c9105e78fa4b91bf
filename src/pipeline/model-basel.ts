// Readers of the Basel Face Models and what others made of them. Contract: modes and deviations come out so that a coefficient
// divided by its deviation is the published, normalised one; published conventions (what the mean is, counting from 1) end here.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../formats/error.js';
import { withHdf5 } from '../formats/hdf5.js';
import { isMatArray, readMat } from '../formats/mat.js';
import { readNpy } from '../formats/npy.js';
import { readPickle } from '../formats/numpy-pickle.js';
import { Fields } from './model-fields.js';
import type { RawModel } from './model-import.js';
import { nearestVertex } from './model-parts.js';

const LICENCE = 'Basel Face Model: academic, non-commercial use; see its own licence';
const NONE: Pick<RawModel, 'expression' | 'expressionStd'> = {
  expression: new Float32Array(0),
  expressionStd: new Float32Array(0),
};

/** 01_MorphableModel.mat: `shapeEV` are deviations, `tl` counts from 1; no expressions. */
export function fromBasel2009(fields: Fields): RawModel {
  const mean = fields.floats('shapeMU');
  const { count, modes } = fields.columns('shapePC', mean.length);
  return {
    layout: 'Basel Face Model 2009',
    mean,
    identity: modes,
    identityStd: fields.floats('shapeEV', count),
    ...NONE,
    triangles: checked(fields, 'tl', fields.triangles('tl', 1), mean.length / 3),
    licence: LICENCE,
    notes: ['the model has no expressions'],
  };
}

/** Names of points in Basel 2017 and 2019 files that are landmarks, by their number from 0. */
const NAMED: Readonly<Record<string, number>> = {
  'center.chin.tip': 8,
  'center.nose.tip': 30,
  'center.nose.attachement_to_philtrum': 33,
  'right.eye.corner_outer': 36,
  'right.eye.corner_inner': 39,
  'left.eye.corner_inner': 42,
  'left.eye.corner_outer': 45,
  'right.lips.corner': 48,
  'center.lips.upper.outer': 51,
  'left.lips.corner': 54,
  'center.lips.lower.outer': 57,
  'center.lips.upper.inner': 62,
  'center.lips.lower.inner': 66,
};

/**
 * Statismo's layout, 2017 and 2019. The mean is the neutral face; that of the expressions, which these files have apart, becomes a
 * mode of its own in front of the others with its length as deviation (our choice: it belongs to the span, but a mean face should not smile).
 */
export function fromBasel2017(file: string): Promise<RawModel> {
  return withHdf5(file, (h5) => {
    const present = (name: string) => h5.names.some((n) => n.replace(/^\//, '') === name);
    const wanted = ['shape/model/mean', 'shape/model/pcaBasis', 'shape/model/pcaVariance', 'shape/representer/cells'];
    const missing = wanted.find((name) => !present(name));
    if (missing) {
      throw new FormatError(
        file,
        `data set '${missing}'`,
        `there is none; found ${h5.names.slice(0, 12).join(', ') || 'nothing'}`,
      );
    }
    const expressive = present('expression/model/pcaBasis');
    const names = [
      ...wanted,
      ...(expressive ? ['mean', 'pcaBasis', 'pcaVariance'].map((n) => `expression/model/${n}`) : []),
    ];
    const fields = new Fields(file, 'data set', Object.fromEntries(names.map((name) => [name, h5.array(name)])));
    const mean = fields.floats('shape/model/mean');
    const n = mean.length / 3;
    const identity = fields.columns('shape/model/pcaBasis', mean.length);
    let expression = NONE;
    if (expressive) {
      const { count, modes } = fields.columns('expression/model/pcaBasis', mean.length);
      const std = fields.floats('expression/model/pcaVariance', count).map(Math.sqrt);
      const offset = fields.floats('expression/model/mean', mean.length);
      const length = Math.sqrt(offset.reduce((sum, x) => sum + x * x, 0));
      const first = length > 1e-6 * (std[0] ?? 1) ? 1 : 0;
      expression = {
        expression: new Float32Array((count + first) * mean.length),
        expressionStd: new Float32Array(count + first),
      };
      if (first) expression.expression.set(offset.map((x) => x / length));
      if (first) expression.expressionStd[0] = length;
      expression.expression.set(modes, first * mean.length);
      expression.expressionStd.set(std, first);
    }
    const text = 'metadata/landmarks/json';
    return {
      layout: `Basel Face Model ${expressive && expression.expressionStd[0] > 0 ? '2017 or 2019' : '(statismo)'}`,
      mean,
      identity: identity.modes,
      identityStd: fields.floats('shape/model/pcaVariance', identity.count).map(Math.sqrt),
      ...expression,
      triangles: checked(fields, 'shape/representer/cells', fields.triangles('shape/representer/cells'), n),
      landmarks: present(text) ? namedLandmarks(file, h5.text(text), mean) : undefined,
      licence: LICENCE,
    };
  });
}

/** Points with names and coordinates, each at its nearest vertex. */
function namedLandmarks(file: string, text: string, mean: Float32Array): Int32Array | undefined {
  let points: unknown;
  try {
    points = JSON.parse(text);
  } catch {
    throw new FormatError(file, "data set 'metadata/landmarks/json'", 'is not valid JSON');
  }
  const open = new Int32Array(68).fill(-1);
  for (const { id, coordinates } of Array.isArray(points)
    ? (points as { id?: unknown; coordinates?: unknown }[])
    : []) {
    const at = typeof id === 'string' && Object.hasOwn(NAMED, id) ? NAMED[id] : undefined;
    if (at === undefined || !Array.isArray(coordinates) || coordinates.length !== 3) continue;
    const [x, y, z] = coordinates.map(Number);
    if ([x, y, z].every(Number.isFinite)) open[at] = nearestVertex(mean, x, y, z);
  }
  return open.filter((v) => v >= 0).length >= 8 ? open : undefined;
}

/** 3DDFA's first release: Model_Shape.mat and, beside it, Model_Exp.mat (FaceWarehouse); the mean is the sum of both. */
export function fromZhu(file: string): RawModel {
  const shape = new Fields(file, 'variable', readMat(file, { only: ['mu_shape', 'w', 'sigma', 'tri', 'keypoints'] }));
  const mean = Float32Array.from(shape.floats('mu_shape'));
  const n = mean.length / 3;
  const identity = shape.columns('w', mean.length);
  const beside = path.join(path.dirname(file), 'Model_Exp.mat');
  let expression = NONE;
  const notes: string[] = [];
  if (existsSync(beside)) {
    const fields = new Fields(beside, 'variable', readMat(beside, { only: ['mu_exp', 'w_exp', 'sigma_exp'] }));
    const { count, modes } = fields.columns('w_exp', mean.length);
    fields.floats('mu_exp', mean.length).forEach((x, i) => {
      mean[i] += x;
    });
    expression = { expression: modes, expressionStd: fields.floats('sigma_exp', count) };
  } else notes.push('there is no Model_Exp.mat beside the file; the model has no expressions');
  return {
    layout: '3DDFA (Basel Face Model 2009, FaceWarehouse)',
    mean,
    identity: identity.modes,
    identityStd: shape.floats('sigma', identity.count),
    ...expression,
    triangles: checked(shape, 'tri', shape.triangles('tri', 1), n),
    landmarks: shape.has('keypoints') ? sixtyEight(shape, 'keypoints', 1) : undefined,
    licence: LICENCE,
    notes,
  };
}

/** BFM.mat of face3d: one structure, expressions included. */
export function fromFace3d(fields: Fields): RawModel {
  const mean = Float32Array.from(fields.floats('shapeMU'));
  const identity = fields.columns('shapePC', mean.length);
  const expression = fields.columns('expPC', mean.length);
  if (fields.has('expMU')) {
    fields.floats('expMU', mean.length).forEach((x, i) => {
      mean[i] += x;
    });
  }
  return {
    layout: 'face3d (Basel Face Model 2009, FaceWarehouse)',
    mean,
    identity: identity.modes,
    identityStd: fields.floats('shapeEV', identity.count),
    expression: expression.modes,
    expressionStd: fields.floats('expEV', expression.count),
    triangles: checked(fields, 'tri', fields.triangles('tri', 1), mean.length / 3),
    landmarks: fields.has('kpt_ind') ? sixtyEight(fields, 'kpt_ind', 1) : undefined,
    licence: LICENCE,
  };
}

/** BFM_model_front.mat of Deep3DFaceReconstruction: modes carry their deviations. */
export function fromDeep3d(fields: Fields): RawModel {
  const mean = fields.floats('meanshape');
  const identity = fields.columns('idBase', mean.length);
  const expression = fields.columns('exBase', mean.length);
  return {
    layout: 'Deep3DFaceReconstruction (Basel Face Model 2009)',
    mean,
    identity: identity.modes,
    identityStd: new Float32Array(identity.count).fill(1),
    expression: expression.modes,
    expressionStd: new Float32Array(expression.count).fill(1),
    triangles: checked(fields, 'tri', fields.triangles('tri', 1), mean.length / 3),
    landmarks: fields.has('keypoints') ? sixtyEight(fields, 'keypoints', 1) : undefined,
    licence: LICENCE,
  };
}

/**
 * The configuration folders of 3DDFA (`u_shp.npy`, `w_shp_sim.npy`, ...) and 3DDFA_V2 (`bfm_noneck_v3.pkl`, ...), with what lies in them
 * or in the folders beside: triangles, texture coordinates, and the statistics of the 62 parameters, which give the deviations.
 */
export function read3ddfaFolder(folder: string, names: readonly string[], pickle?: string): RawModel {
  const find = (...wanted: string[]): string | undefined => {
    for (const place of [folder, path.join(folder, '..', 'visualize'), path.join(folder, '..', 'utils')]) {
      const there = place === folder ? names : existsSync(place) ? readdirSync(place) : [];
      const name = wanted.find((w) => there.includes(w));
      if (name) return path.join(place, name);
    }
    return undefined;
  };
  const need = (...wanted: string[]): string => {
    const file = find(...wanted);
    if (!file) throw new FormatError(folder, wanted.join(' or '), 'there is none in this folder');
    return file;
  };
  const entries: Record<string, unknown> = {};
  const dense =
    pickle ?? (names.includes('w_shp_sim.npy') ? undefined : names.filter((n) => /^bfm.*\.pkl$/.test(n)).at(-1));
  if (dense) {
    const root = readPickle(path.join(folder, dense));
    if (root instanceof Map) Object.assign(entries, Object.fromEntries(root));
  } else {
    entries.u = { ...readNpy(need('u_shp.npy')) };
    entries.u_exp = readNpy(need('u_exp.npy'));
    entries.w_shp = readNpy(need('w_shp_sim.npy'));
    entries.w_exp = readNpy(need('w_exp_sim.npy'));
    entries.keypoints = readNpy(need('keypoints_sim.npy'));
  }
  const statistics = need('param_whitening.pkl', 'param_mean_std_62d_120x120.pkl');
  const whitening = readPickle(statistics);
  const whole = new Fields(statistics, 'entry', whitening instanceof Map ? Object.fromEntries(whitening) : {});
  const parameterMean = whole.floats(whole.has('param_mean') ? 'param_mean' : 'mean', 62);
  const parameterStd = whole.floats(whole.has('param_std') ? 'param_std' : 'std', 62);

  const fields = new Fields(dense ? path.join(folder, dense) : folder, dense ? 'entry' : 'array', entries);
  const mean = Float32Array.from(fields.floats('u'));
  if (fields.has('u_exp')) {
    fields.floats('u_exp', mean.length).forEach((x, i) => {
      mean[i] += x;
    });
  }
  const n = mean.length / 3;
  const identity = fields.columns('w_shp', mean.length);
  const expression = fields.columns('w_exp', mean.length);
  if (identity.count !== 40 || expression.count !== 10) {
    throw fields.fail('w_shp', `${identity.count} and ${expression.count} modes, the 62 parameters have 40 and 10`);
  }
  const places = fields.indices('keypoints');
  if (places.length !== 204) throw fields.fail('keypoints', `wanted 204 numbers, got ${places.length}`);
  const { uv, notes } = textureOf(find('BFM_UV.mat'), find('indices.npy'), n);
  return {
    layout: dense ? '3DDFA_V2 (Basel Face Model 2009)' : '3DDFA (Basel Face Model 2009)',
    mean,
    identity: identity.modes,
    identityStd: parameterStd.slice(12, 52),
    expression: expression.modes,
    expressionStd: parameterStd.slice(52),
    triangles: triangles3ddfa(fields, need('tri.pkl', 'tri.mat'), n),
    // Each landmark is named three times, as the places of its coordinates.
    landmarks: Int32Array.from({ length: 68 }, (_, i) => Math.floor(places[3 * i] / 3)),
    uv,
    parameterMean,
    parameterStd,
    licence: LICENCE,
    notes,
  };
}

function triangles3ddfa(fields: Fields, file: string, n: number): Int32Array {
  if (fields.has('tri')) return checked(fields, 'tri', fields.triangles('tri'), n);
  const mat = file.endsWith('.mat');
  const value = mat ? readMat(file, { only: ['tri'] }).tri : readPickle(file);
  const own = new Fields(file, mat ? 'variable' : 'pickle', { tri: value });
  return checked(own, 'tri', own.triangles('tri', mat ? 1 : 0), n);
}

/** Texture coordinates of the 53215-vertex topology, and of the part that `indices` names. */
function textureOf(file: string | undefined, part: string | undefined, n: number): Pick<RawModel, 'uv' | 'notes'> {
  const uv = file ? readMat(file, { only: ['UV'] }).UV : undefined;
  if (!file || !isMatArray(uv)) return {};
  const data = Float32Array.from(uv.data);
  if (data.length === 2 * n) return { uv: { data } };
  const indices = part ? readNpy(part).data : undefined;
  if (indices?.length !== n)
    return { notes: [`${file} has ${data.length / 2} vertices, the model ${n}, and no indices.npy says which`] };
  const out = new Float32Array(2 * n);
  for (let i = 0; i < n; i++) {
    if (!(indices[i] >= 0 && 2 * indices[i] + 1 < data.length))
      throw new FormatError(part ?? file, 'array', `vertex ${indices[i]}`);
    out.set(data.subarray(2 * indices[i], 2 * indices[i] + 2), 2 * i);
  }
  return { uv: { data: out } };
}

function sixtyEight(fields: Fields, name: string, first: number): Int32Array {
  const found = fields.indices(name, first);
  if (found.length !== 68) throw fields.fail(name, `wanted 68 vertices, got ${found.length}`);
  return found;
}

export function checked(fields: Fields, name: string, triangles: Int32Array, n: number): Int32Array {
  const bad = triangles.find((v) => v >= n);
  if (bad !== undefined) throw fields.fail(name, `names vertex ${bad}, there are ${n}`);
  return triangles;
}
