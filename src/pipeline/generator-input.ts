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
import type { GeneratorNetwork } from './generators.js';

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

export interface CompletedMaps {
  /** f32 [n, h, w, 3] in 0..255, black outside the footprint. */
  final: Tensor;
  /** The first U-Net's, of the same shape; `final` itself where there is one U-Net. */
  aux: Tensor;
  /** Attention maps of the last U-Net at the generator's own size, deep to shallow. */
  attention: Tensor[];
}

/**
 * What a generator makes of maps u8 or f32 [n, h, w, 3] in 0..255 and their masks u8 [n, h, w]: at the size it was trained on,
 * resampled from and to that of the maps where they differ, since a network knows features by their size in pixels. Throws
 * ShapeError.
 */
export function completeMaps(
  generator: GeneratorNetwork,
  maps: Tensor,
  masks: Tensor,
  footprint: Tensor,
  options: Pick<InputOptions, 'seed'> = {},
): CompletedMaps {
  const { input: mode, size } = generator.options;
  const [, h, w] = maps.shape;
  return tidy(() => {
    const image = (y: Tensor) => y.add(1).mul(127.5).clip(0, 255);
    if (size === undefined || (size === h && size === w)) {
      const { final, aux, attention } = generator.forward(
        generatorInputs(maps, masks, footprint, { mode, ...options }),
      );
      const answer = image(final).mul(footprint);
      return { final: answer, aux: aux === final ? answer : image(aux).mul(footprint), attention };
    }
    const own = [size, size] as const;
    const inside = resized(footprint.reshape([1, h, w, 1]), own)
      .greater(0.5)
      .reshape([size, size, 1]);
    const seen = resized(masks.cast('f32').reshape([-1, h, w, 1]), own)
      .greater(0.5)
      .reshape([-1, size, size]);
    const small = resampled(maps.cast('f32'), footprint, own);
    const { final, aux, attention } = generator.forward(generatorInputs(small, seen, inside, { mode, ...options }));
    const answer = (y: Tensor) => resampled(image(y), inside, [h, w]).mul(footprint);
    const whole = answer(final);
    return { final: whole, aux: aux === final ? whole : answer(aux), attention };
  });
}

/** Corners stay corners, as those of UV maps of every size lie at 0 and 1. */
const resized = (x: Tensor, size: readonly [number, number]): Tensor =>
  x.resize({ size: [...size], mode: 'bilinear', alignCorners: true });

/** Maps [n, h, w, c] at another size, where only what is inside [h, w, 1] counts: no black bleeds in from without. */
function resampled(x: Tensor, inside: Tensor, size: readonly [number, number]): Tensor {
  const [h, w] = inside.shape;
  return resized(x.mul(inside), size).div(resized(inside.reshape([1, h, w, 1]), size).maximum(1e-3));
}
