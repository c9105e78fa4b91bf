// What a generator sees of an unwrapped face (paper-spec 2.4), and its answer as an image again.

import '../tensor/methods.js';
import { tensor } from '../tensor/create.js';
import { concat } from '../tensor/ops/layout.js';
import { randn } from '../tensor/random.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** raw: hidden pixels as sampled, 3 channels; masked: noise instead; mirror: raw and its mirror image, 6; mask4: raw and the mask, 4. */
export type InputMode = 'raw' | 'masked' | 'mirror' | 'mask4';

/** Channels of each mode. */
export const INPUT_CHANNELS: Readonly<Record<InputMode, number>> = { raw: 3, masked: 3, mirror: 6, mask4: 4 };

/**
 * Generator input f32 [1, h, w, channels] in [-1, 1] from a map f32 [h, w, 3] in 0..255 and its mask u8 [h, w]; -1 outside
 * the footprint (1 inside, h * w). Noise is N(0, 1) clipped to [-1, 1], drawn from `seed`. Throws ShapeError.
 */
export function generatorInput(
  { texture, mask }: { texture: Tensor; mask: Tensor },
  footprint: Uint8Array,
  { mode = 'raw', seed = 0 }: { mode?: InputMode; seed?: number } = {},
): Tensor {
  const [h, w, c] = texture.shape;
  if (texture.shape.length !== 3 || c !== 3 || mask.shape.join() !== `${h},${w}` || footprint.length !== h * w) {
    throw new ShapeError(
      `generatorInput: wants texture [h, w, 3], mask [h, w] and a footprint of h w, got ${showShape(texture.shape)}, ${showShape(mask.shape)}, ${footprint.length}`,
    );
  }
  return tidy(() => {
    const inside = tensor(new Float32Array(footprint), { shape: [h, w, 1] });
    const raw = texture
      .mul(1 / 127.5)
      .mul(inside)
      .sub(1); // [h, w, 3]
    const seen = mask.cast('f32').reshape([h, w, 1]);
    const parts = (): Tensor[] => {
      if (mode === 'mirror') return [raw, reversed(raw)];
      if (mode === 'mask4') return [raw, seen];
      if (mode === 'raw') return [raw];
      const noise = randn([h, w, 3], { seed, device: texture.device }).clip(-1, 1);
      const kept = seen.mul(inside);
      const hidden = inside.sub(kept);
      return [kept.mul(raw).add(hidden.mul(noise)).sub(inside.neg().add(1))];
    };
    if (!(mode in INPUT_CHANNELS))
      throw new ShapeError(`generatorInput: mode is raw, masked, mirror or mask4, got '${mode}'`);
    return concat(parts(), { axis: 2 }).reshape([1, h, w, INPUT_CHANNELS[mode]]);
  });
}

/** An image tensor [h, w, c] with its columns in reverse order. */
function reversed(x: Tensor): Tensor {
  const w = x.shape[1];
  const columns = tensor(
    Int32Array.from({ length: w }, (_, i) => w - 1 - i),
    { dtype: 'i32' },
  );
  return x.gather(columns, { axis: 1 });
}

/** A generator's output [1, h, w, 3] in [-1, 1] as a map f32 [h, w, 3] in 0..255, black outside the footprint. */
export function generatorOutput(y: Tensor, footprint: Uint8Array): Tensor {
  const [n, h, w, c] = y.shape;
  if (y.shape.length !== 4 || n !== 1 || c !== 3 || footprint.length !== h * w) {
    throw new ShapeError(
      `generatorOutput: wants [1, h, w, 3] and a footprint of h w, got ${showShape(y.shape)}, ${footprint.length}`,
    );
  }
  return tidy(() => {
    const inside = tensor(new Float32Array(footprint), { shape: [h, w, 1] });
    return y.reshape([h, w, 3]).add(1).mul(127.5).clip(0, 255).mul(inside);
  });
}
