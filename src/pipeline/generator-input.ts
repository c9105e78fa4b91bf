// What a generator sees of unwrapped faces (paper-spec 2.4), and its answers as images again.
import type { InputMode } from '../models/input-mode.js';
import { withMirror } from '../models/mirror.js';
import '../tensor/methods.js';
import { tensor } from '../tensor/create.js';
import { concat } from '../tensor/ops/layout.js';
import { randn } from '../tensor/random.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** The footprint as the functions here take it inside `capture`, where nothing can be uploaded: f32 [h, w, 1]. */
export const footprintTensor = (footprint: Uint8Array, h: number, w: number): Tensor =>
  tensor(new Float32Array(footprint), { shape: [h, w, 1] });

export interface InputOptions {
  mode?: InputMode;
  /** What the noise of `masked` is drawn from; otherwise `manualSeed`'s stream. */
  seed?: number;
}

/**
 * Generator input f32 [n, h, w, channels] in [-1, 1] from maps u8 or f32 [n, h, w, 3] in 0..255 and their masks u8
 * [n, h, w]; -1 outside the footprint f32 [h, w, 1]. Noise is N(0, 1) clipped to [-1, 1]. Throws ShapeError.
 */
export function generatorInputs(
  maps: Tensor,
  masks: Tensor,
  footprint: Tensor,
  { mode = 'raw', seed }: InputOptions = {},
): Tensor {
  const [n, h, w, c] = maps.shape;
  const fits = maps.shape.length === 4 && c === 3 && masks.shape.join() === `${n},${h},${w}`;
  if (!fits || footprint.shape.join() !== `${h},${w},1`) {
    throw new ShapeError(
      `generatorInputs: wants maps [n,h,w,3], masks [n,h,w] and a footprint [h,w,1], got ${showShape(maps.shape)}, ${showShape(masks.shape)}, ${showShape(footprint.shape)}`,
    );
  }
  return tidy(() => {
    const raw = coloursOf(maps, footprint); // [n, h, w, 3]
    if (mode === 'raw') return raw;
    if (mode === 'mirror') return withMirror(raw);
    const seen = masks.cast('f32').reshape([n, h, w, 1]);
    if (mode === 'mask4') return concat([raw, seen], { axis: -1 });
    if (mode !== 'masked') throw new ShapeError(`generatorInputs: mode is raw, masked, mirror or mask4, got '${mode}'`);
    const noise = randn([n, h, w, 3], { seed, device: maps.device }).clip(-1, 1);
    const kept = seen.mul(footprint);
    const hidden = footprint.sub(kept);
    return kept.mul(raw).add(hidden.mul(noise)).add(footprint).sub(1);
  });
}

/** Maps u8 or f32 [n, h, w, 3] in 0..255 as colours in [-1, 1]: x / 127.5 - 1, and -1 outside the footprint f32 [h, w, 1]. */
export const coloursOf = (maps: Tensor, footprint: Tensor): Tensor =>
  tidy(() =>
    (maps.dtype === 'f32' ? maps : maps.cast('f32'))
      .mul(1 / 127.5)
      .mul(footprint)
      .sub(1),
  );

/** `generatorInputs` of one map f32 [h, w, 3] and its mask u8 [h, w]; noise from seed 0 unless given. Throws ShapeError. */
export function generatorInput(
  { texture, mask }: { texture: Tensor; mask: Tensor },
  footprint: Uint8Array,
  options: InputOptions = {},
): Tensor {
  const [h, w, c] = texture.shape;
  if (texture.shape.length !== 3 || c !== 3 || mask.shape.join() !== `${h},${w}` || footprint.length !== h * w) {
    throw new ShapeError(
      `generatorInput: wants texture [h, w, 3], mask [h, w] and a footprint of h w, got ${showShape(texture.shape)}, ${showShape(mask.shape)}, ${footprint.length}`,
    );
  }
  return tidy(() =>
    generatorInputs(texture.reshape([1, h, w, 3]), mask.reshape([1, h, w]), footprintTensor(footprint, h, w), {
      seed: 0,
      ...options,
    }),
  );
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
    const inside = footprintTensor(footprint, h, w);
    return y.reshape([h, w, 3]).add(1).mul(127.5).clip(0, 255).mul(inside);
  });
}
