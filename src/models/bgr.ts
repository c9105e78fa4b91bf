// Colour order: images are RGB, the detector and the regressor were trained on BGR.
import { tensor } from '../tensor/create.js';
import { gather } from '../tensor/ops/layout.js';
import type { Tensor } from '../tensor/tensor.js';

/** x [..., 3] with the last axis reversed. */
export function toBgr(x: Tensor): Tensor {
  return gather(x, tensor([2, 1, 0], { dtype: 'i32', device: x.device }), { axis: -1 });
}
