// Area resampling: each new pixel is the mean of the old pixels it touches, as PyTorch's `interpolate(mode='area')` and `adaptive_avg_pool2d` take it.
// Detectors take it of one photo some hundred times: sums over all rectangles from the corner are made once, and a mean of any size takes four of them.
import { checkDType, record } from '../record.js';
import { ShapeError, showShape } from '../shape.js';
import type { Tensor } from '../tensor.js';

/** Part of an image in pixels. */
export interface Window {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Old pixels under a new one beyond which their sum, in sixteenths of 0..255, may not fit 32 bits. */
const MOST = 2 ** 20;

/**
 * Sums of x [h, w, c], finite and 0..255 (rounded to sixteenths), over all pixels above and to the left -> i32 [h + 1, w + 1, c]. Not differentiable.
 */
export function areaSums(x: Tensor): Tensor {
  checkDType('areaSums', 'x', x, 'f32');
  if (x.shape.length !== 3) throw new ShapeError(`areaSums: x must be [h,w,c], got ${showShape(x.shape)}`);
  const [h, w, c] = x.shape;
  return record('area_sums', {
    inputs: [x],
    outputs: [{ shape: [h + 1, w + 1, c], dtype: 'i32' }],
    params: { h, w, c },
  })[0];
}

export interface AreaMeansOptions {
  /** [h, w] of what each window becomes. */
  size: readonly [number, number];
  /** What is given of a mean: scale mean + shift. */
  scale?: number;
  shift?: number;
}

/** Windows of the image that `areaSums` summed up, each brought to one size -> f32 [windows, ...size, c]. Throws ShapeError. Not differentiable. */
export function areaMeans(
  sums: Tensor,
  windows: readonly Window[],
  { size: [oh, ow], scale = 1, shift = 0 }: AreaMeansOptions,
): Tensor {
  checkDType('areaMeans', 'sums', sums, 'i32');
  const [h, w, c] = [sums.shape[0] - 1, sums.shape[1] - 1, sums.shape[2]];
  if (sums.shape.length !== 3)
    throw new ShapeError(`areaMeans: sums must be [h+1,w+1,c], got ${showShape(sums.shape)}`);
  if (![oh, ow].every((n) => Number.isInteger(n) && n >= 1)) {
    throw new ShapeError(`areaMeans: size must be whole numbers >= 1, got ${showShape([oh, ow])}`);
  }
  for (const { left, top, width, height } of windows) {
    const whole = [left, top, width, height].every(Number.isInteger) && width > 0 && height > 0;
    if (!whole || left < 0 || top < 0 || left + width > w || top + height > h) {
      const shown = `left ${left}, top ${top}, ${width}x${height}`;
      throw new ShapeError(`areaMeans: windows must lie inside the image of ${w}x${h}, got ${shown}`);
    }
    if ((width / ow + 2) * (height / oh + 2) > MOST) {
      throw new ShapeError(
        `areaMeans: at most ${MOST} pixels become one, got a window of ${width}x${height} for ${ow}x${oh}`,
      );
    }
  }
  const listed = windows.flatMap(({ left, top, width, height }) => [left, top, width, height]);
  const params = { h, w, c, oh, ow, windows: listed, scale, shift };
  return record('area_means', { inputs: [sums], outputs: [{ shape: [windows.length, oh, ow, c] }], params })[0];
}
