// Arithmetic that waits for nothing: benches hold products against its speed.
import { checkDType, record } from '../record.js';
import type { Tensor } from '../tensor.js';

/** x, then `rounds` times itself times 0.5 plus 0.25: 2 x.size rounds operations. Not differentiable. */
export function fmaChain(x: Tensor, rounds: number): Tensor {
  checkDType('fmaChain', 'x', x, 'f32');
  const params = { size: x.size, rounds, factor: 0.5, term: 0.25 };
  return record('fma_chain', { inputs: [x], outputs: [{ shape: x.shape }], params, op: 'fmaChain' })[0];
}
