// The public names of the package and their forms: what users and their scripts rely on.
import { describe, expect, it } from 'vitest';
import * as api from '../src/index.js';

const FUNCTIONS = `tensor zeros ones full arange eye rand randn toNdarray fromNdarray variable tidy capture manualSeed
  setDefaultDevice devices memory gradient`;

const OPS = `conv2d convTranspose2d batchNorm maxPool2d avgPool2d globalAvgPool2d resize add sub mul div pow maximum minimum
  neg abs exp log sqrt sigmoid tanh relu softplus clip leakyRelu prelu matmul linear sum mean max argmax softmax logSoftmax
  reshape permute slice pad gather where attentionGate fastNormalizedFusion l1Loss mseLoss bceWithLogits crossEntropy normalize`;

const names = (list: string): string[] => list.split(/\s+/);

describe('the package', () => {
  const exported = api as unknown as Record<string, unknown>;

  it.each(names(FUNCTIONS))('exports %s', (name) => {
    expect(exported[name]).toBeTypeOf('function');
  });

  it.each(names(OPS))('has %s as function and as method', (name) => {
    expect(exported[name]).toBeTypeOf('function');
    expect((api.Tensor.prototype as unknown as Record<string, unknown>)[name]).toBeTypeOf('function');
  });

  it('exports concat, whose first argument is a list, as a function', async () => {
    expect(await api.concat([api.ones([1]), api.zeros([1])]).toArray()).toEqual([1, 0]);
  });

  it('has the namespaces', () => {
    expect(api.nn.Module).toBeTypeOf('function');
    expect(api.models.Generator).toBeTypeOf('function');
    expect(api.models.Discriminator).toBeTypeOf('function');
    expect(api.optim.Adam).toBeTypeOf('function');
    for (const name of names('psnr ssim'))
      expect((api.pipeline as Record<string, unknown>)[name]).toBeTypeOf('function');
    for (const name of names('loadSafetensors saveSafetensors loadTorch loadNpy loadNpz saveObj saveGlb')) {
      expect((api.formats as Record<string, unknown>)[name]).toBeTypeOf('function');
    }
  });

  it('throws errors of its own classes', () => {
    expect(() => api.ones([2]).add(api.ones([3]))).toThrow(api.ShapeError);
    expect(() => api.setDefaultDevice('none')).toThrow(api.DeviceError);
    expect(() => api.formats.loadSafetensors('/does/not/exist')).toThrow(api.FormatError);
  });
});
