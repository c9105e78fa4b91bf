// Real files from beside the repository: both torch containers against safetensors, detectors' weights, known sums.
import { describe, expect, it } from 'vitest';
import type { HostArray } from '../../src/formats/host-array.js';
import { readNpy } from '../../src/formats/npy.js';
import { readObj } from '../../src/formats/obj.js';
import { readSafetensors, readSafetensorsMetadata } from '../../src/formats/safetensors.js';
import { readTorchStateDict } from '../../src/formats/torch.js';
import { sharedPath } from '../shared.js';
import { sameArray } from './samples.js';

const weights = sharedPath('data/weights');
const data = sharedPath('data');

const sum = (array: HostArray): number => (array.data as Float32Array).reduce((total, value) => total + value, 0);
const count = (arrays: Record<string, HostArray>): number =>
  Object.values(arrays).reduce((total, { data }) => total + data.length, 0);

describe.runIf(weights)('real checkpoints', () => {
  it('reads the same regressor from legacy pickle, zip and safetensors', () => {
    const expected = readSafetensors(`${weights}/mb05_120x120.safetensors`);
    expect(Object.keys(expected)).toHaveLength(166);
    expect(count(expected)).toBe(931137);
    for (const name of ['mb05_120x120.pth', 'mb05_120x120_zip.pth']) {
      const arrays = readTorchStateDict(`${weights}/${name}`);
      // `num_batches_tracked` is a 64-bit integer that safetensors conversions may drop.
      const different = Object.keys(expected).filter((key) => !sameArray(arrays[key], expected[key]));
      expect(different, name).toEqual([]);
      const extra = Object.keys(arrays).filter((key) => !(key in expected));
      expect(extra.every((key) => key.endsWith('num_batches_tracked'))).toBe(true);
    }
  });

  it('reads the sums of the zip sample', () => {
    const { mean, comp, std } = readTorchStateDict(`${weights}/zip_format_sample_ffhq_pca.pt`);
    expect([mean.shape, comp.shape, std.shape]).toEqual([[1, 512], [80, 1, 512], [80]]);
    expect(sum(mean)).toBeCloseTo(49.813496, 3);
    expect(sum(comp)).toBeCloseTo(49.785065, 3);
    expect(sum(std)).toBeCloseTo(65.714348, 3);
  });

  it('reads the detectors', () => {
    const pnet = readTorchStateDict(`${weights}/mtcnn_pnet.pt`);
    expect(pnet['conv1.weight'].shape).toEqual([10, 3, 3, 3]);
    expect(Object.keys(readTorchStateDict(`${weights}/mtcnn_rnet.pt`))).toHaveLength(16);
    expect(Object.keys(readTorchStateDict(`${weights}/mtcnn_onet.pt`))).toHaveLength(21);
    const rfb = readTorchStateDict(`${weights}/version-RFB-320.pth`);
    expect(count(rfb)).toBeGreaterThan(280_000);
    expect(Object.values(rfb).every(({ data }) => data.every(Number.isFinite))).toBe(true);
  });
});

describe.runIf(data)('real data files', () => {
  it('reads the face models and the reference run', () => {
    const bfm = readSafetensors(`${data}/bfm/bfm_3ddfa.safetensors`);
    expect(bfm.w_shp.shape).toEqual([38365, 3, 40]);
    expect(bfm.tri.dtype).toBe('i32');
    expect(bfm.quality.dtype).toBe('u8');
    expect(readSafetensorsMetadata(`${data}/ict/ict_face_light_skin.safetensors`)).toHaveProperty('expression_names');
    const run = readSafetensors(`${data}/reference/JianzhuGuo.safetensors`);
    expect(run.crop120_bgr.shape).toEqual([120, 120, 3]);
    expect(run.align_96.dtype).toBe('f32');
  });

  it('reads the face sets', () => {
    expect(readNpy(`${data}/faces/umist/images.npy`).shape).toEqual([228, 112, 92]);
    const labels = readNpy(`${data}/faces/umist/labels.npy`);
    expect(labels.dtype).toBe('u8');
    expect(labels.data).toHaveLength(228);
  });

  it('reads the meshes', () => {
    const face = readObj(`${data}/mediapipe/canonical_face_model.obj`);
    expect(face.vertices.shape).toEqual([468, 3]);
    expect(face.uv?.shape).toEqual([468, 2]);
    expect(face.triangles.shape).toEqual([898, 3]);
    const james = readObj(`${data}/menpo3d/james.obj`);
    expect([james.vertices.shape, james.uv?.shape, james.triangles.shape]).toEqual([
      [6393, 3],
      [6680, 2],
      [12228, 3],
    ]);
    expect(james.uvTriangles?.shape).toEqual([12228, 3]);
  });
});
