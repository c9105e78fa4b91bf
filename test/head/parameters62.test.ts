// The 62-parameter adapter against the original program's numbers.
import { describe, expect, test } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { MorphableModel } from '../../src/models/morphable.js';
import {
  cropToImage,
  cropVertices62,
  imageCamera62,
  type Roi,
  splitParameters62,
} from '../../src/models/parameters62.js';
import { applyAffine, poseFromAffine } from '../../src/models/pose.js';
import { sharedPath } from '../shared.js';

const modelPath = sharedPath('data/bfm/bfm_3ddfa.safetensors');
const referencePath = sharedPath('data/reference/JianzhuGuo.safetensors');

describe.skipIf(!modelPath || !referencePath)('62 parameters (data of ../shared)', () => {
  if (!modelPath || !referencePath) return;
  const bfm = readSafetensors(modelPath);
  const reference = readSafetensors(referencePath);
  const n = bfm.u.shape[0];
  // [N, 3, k] as published -> [k, N, 3].
  const modesFirst = (name: string) => {
    const k = bfm[name].shape[2];
    const data = bfm[name].data;
    const out = new Float32Array(k * n * 3);
    for (let i = 0; i < n * 3; i++) for (let m = 0; m < k; m++) out[m * n * 3 + i] = data[i * k + m];
    return { dtype: 'f32', shape: [k, n, 3], data: out };
  };
  const ones = (k: number) => ({ dtype: 'f32', shape: [k], data: new Float32Array(k).fill(1) });
  const model = MorphableModel.fromTensors(
    {
      mean: bfm.u,
      identity: modesFirst('w_shp'),
      identity_std: ones(40),
      expression: modesFirst('w_exp'),
      expression_std: ones(10),
      triangles: bfm.tri,
      landmarks: bfm.keypoints,
      uv: bfm.uv,
      parameter_mean: bfm.param_mean,
      parameter_std: bfm.param_std,
    },
    { name: 'BFM', units: 'um' },
  );
  const param = reference.param.data;
  const roi = Array.from(reference.roi.data) as unknown as Roi;
  const worst = (got: Float32Array, rows: ArrayLike<number>) => {
    const points = got.length / 3;
    let error = 0;
    for (let i = 0; i < points; i++) {
      for (let c = 0; c < 3; c++) error = Math.max(error, Math.abs(got[i * 3 + c] - rows[c * points + i]));
    }
    return error;
  };

  test('68 landmarks and all vertices within 0.05 px of the reference', () => {
    expect(worst(cropToImage(cropVertices62(model, param, model.landmarks), roi), reference.lm68.data)).toBeLessThan(
      0.05,
    );
    expect(worst(cropToImage(cropVertices62(model, param), roi), reference.dense.data)).toBeLessThan(0.05);
  });

  test('the camera in image pixels projects to the same place', () => {
    const height = 551;
    const { alpha, beta } = splitParameters62(param);
    const projected = applyAffine(model.verticesAt(model.landmarks, alpha, beta), imageCamera62(param, roi, height));
    const expected = cropToImage(cropVertices62(model, param, model.landmarks), roi);
    for (let i = 0; i < 68; i++) {
      expect(projected[i * 3]).toBeCloseTo(expected[i * 3], 2);
      expect(height - 1 - projected[i * 3 + 1]).toBeCloseTo(expected[i * 3 + 1], 2);
    }
  });

  test('pose angles as the reference reports them', () => {
    const { angles } = poseFromAffine(splitParameters62(param).camera);
    const expected = reference.yaw_pitch_roll_deg.data;
    [angles.yaw, angles.pitch, angles.roll].forEach((angle, i) => {
      expect(Math.abs(angle - expected[i])).toBeLessThan(1e-3);
    });
  });
});
