// The 62-parameter regressor against every intermediate of the original program.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadSafetensors } from '../src/formats/safetensors.js';
import { loadTorch } from '../src/formats/torch.js';
import { toBgr } from '../src/models/bgr.js';
import { MobileNetV1, normalizeCrops } from '../src/models/mobilenet.js';
import { cast, concat, mul, permute, type Tensor, tidy } from '../src/tensor/index.js';
import { expectClose } from './close.js';
import { sharedPath } from './shared.js';

const data = sharedPath('data');

describe.skipIf(!data)('mb05', () => {
  if (!data) return;
  const reference = loadSafetensors(join(data, 'reference/JianzhuGuo.safetensors'));
  const weights = join(data, 'weights');
  const load = (file: string): MobileNetV1 => {
    const net = new MobileNetV1();
    const state = file.endsWith('.safetensors') ? loadSafetensors(join(weights, file)) : loadTorch(join(weights, file));
    net.loadStateDict(state, { from: 'torch', ignore: MobileNetV1.trainingHeads });
    return net;
  };
  const crop = toBgr(reference.crop120_bgr).reshape([1, 120, 120, 3]); // RGB, as files hold it

  it('every intermediate of the reference photo', async () => {
    const net = load('mb05_120x120.safetensors');
    const x = tidy(() => normalizeCrops(crop));
    const inputs = tidy(() => permute(x, [0, 3, 1, 2]));
    expectClose(inputs, reference.net_input, 1e-6, 'net_input');
    const values = tidy(() => net.intermediates(x));
    const checked = Object.entries(reference).filter(([name]) => name.startsWith('act_'));
    expect(checked.length).toBe(8);
    for (const [name, expected] of checked) {
      const value = values[name.slice('act_'.length)];
      const channelsFirst: Tensor = tidy(() => permute(value, [0, 3, 1, 2]));
      expectClose(channelsFirst, expected, 1e-4, name);
    }
    const output = await net.predict(crop);
    expectClose(output, reference.net_output, 1e-4, 'net_output');
    const { param_mean: mean, param_std: std } = loadSafetensors(join(data, 'bfm/bfm_3ddfa.safetensors'));
    const [m, s] = [mean.dataSync(), std.dataSync()];
    expectClose(
      output.map((v, i) => v * s[i] + m[i]),
      reference.param,
      1e-4,
      'param',
    );
  });

  it.each(['mb05_120x120.pth', 'mb05_120x120_zip.pth'])('%s holds the same network', async (file) => {
    expectClose(await load(file).predict(crop), reference.net_output, 1e-4, 'net_output');
  });

  it('does not drop the training head silently', () => {
    const state = loadSafetensors(join(weights, 'mb05_120x120.safetensors'));
    expect(() => new MobileNetV1().loadStateDict(state, { from: 'torch' })).toThrow(/extra fc_lm.weight, fc_lm.bias$/);
  });

  it('a batch gives what its crops give alone', async () => {
    const net = load('mb05_120x120.safetensors');
    const darker = tidy(() => mul(cast(crop, 'f32'), 0.5));
    const both = await net.predict(tidy(() => concat([cast(crop, 'f32'), darker], { axis: 0 })));
    expectClose(both.slice(0, 62), reference.net_output, 1e-4, 'first');
    expectClose(both.slice(62), await net.predict(darker), 1e-5, 'second');
  });
});
