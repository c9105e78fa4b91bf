// Element-wise ops: one line each. The scalar functions are those of native/scalar.h; derivatives are written with ops.
import { full } from '../create.js';
import { deviceNamed } from '../device.js';
import type { DType } from '../dtype.js';
import { checkDType, derive, emit, empty, floatType, type Params, record } from '../record.js';
import { broadcastShape, broadcastStrides, collapse, ShapeError, sameShape, sizeOf } from '../shape.js';
import { type Gradient, Tensor } from '../tensor.js';
import { cast } from './layout.js';
import { expand, sumTo } from './reduce.js';

type Operand = Tensor | number;

/** y = f(x), with dx from (dy, x, y). Without a rule the derivative is zero almost everywhere. */
function unary(
  op: string,
  x: Tensor,
  kernel: string,
  rule?: (dy: Tensor, x: Tensor, y: Tensor) => Tensor,
  params: Params = {},
): Tensor {
  const dtype = floatType(op, { x });
  const outputs = [{ shape: x.shape, dtype }];
  const [y] = record(kernel, { inputs: [x], outputs, params: { size: x.size, ...params } });
  return derive(op, y, [x], [rule && ((dy) => rule(dy, x, y))]);
}

type BinaryRule = (dy: Tensor, x: Tensor, y: Tensor, z: Tensor) => Tensor;

/** The type of what two operands make: one of rank 0 and f32 is a number, and has no say beside a map. */
function commonType(op: string, x: Tensor, y: Tensor): DType {
  const isNumber = (t: Tensor) => t.dtype === 'f32' && t.shape.length === 0;
  if (isNumber(x) !== isNumber(y)) return floatType(op, isNumber(x) ? { y } : { x });
  return floatType(op, { x, y });
}

/** The second operand of an op that scales or shifts maps: f32, whatever the maps are. */
function typeBesideParameter(op: string, x: Tensor, y: Tensor): DType {
  checkDType(op, 'y', y, 'f32');
  return floatType(op, { x });
}

/** z = f(x, y) under broadcasting; a number stands for a tensor. dx and dy are summed back to the operands' shapes. */
function binary(
  op: string,
  x: Operand,
  y: Operand,
  kernel: string,
  rules: (BinaryRule | undefined)[] = [],
  params: Params = {},
  typeOf = commonType,
): Tensor {
  const like = x instanceof Tensor ? x : y instanceof Tensor ? y : undefined;
  const device = like?.owner ?? deviceNamed();
  const a = typeof x === 'number' ? full([], x, { device: device.name }) : x;
  const b = typeof y === 'number' ? full([], y, { device: device.name }) : y;
  const dtype = typeOf(op, a, b);
  const shape = broadcastShape(op, a.shape, b.shape);
  const walk = collapse(op, shape, broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape));
  const z = empty(shape, dtype, device);
  emit(kernel, [a, b, z], { shape: walk.shape, xs: walk.strides[0], ys: walk.strides[1], ...params });
  const gradient = (rule: BinaryRule | undefined, operand: Tensor): Gradient | undefined =>
    rule && ((dy) => sumTo(rule(dy, a, b, z), operand.shape, operand.dtype));
  return derive(op, z, [a, b], [gradient(rules[0], a), gradient(rules[1], b)]);
}

// ---- two operands: broadcasting, a number may stand for a tensor -------------------------------------------------------

export const add = (x: Operand, y: Operand): Tensor => binary('add', x, y, 'add', [(dz) => dz, (dz) => dz]);
export const sub = (x: Operand, y: Operand): Tensor => binary('sub', x, y, 'sub', [(dz) => dz, (dz) => neg(dz)]);
export const mul = (x: Operand, y: Operand): Tensor =>
  binary('mul', x, y, 'mul', [(dz, _, y) => mul(dz, y), (dz, x) => mul(dz, x)]);
export const div = (x: Operand, y: Operand): Tensor =>
  binary('div', x, y, 'div', [(dz, _, y) => div(dz, y), (dz, _, y, z) => neg(mul(dz, div(z, y)))]);
/** x to the power y. The derivative for y needs x > 0. */
export const pow = (x: Operand, y: Operand): Tensor =>
  binary('pow', x, y, 'pow', [
    (dz, x, y) => mul(dz, mul(y, pow(x, sub(y, 1)))),
    (dz, x, _, z) => mul(dz, mul(z, log(x))),
  ]);
/** The larger; where equal, the gradient goes to y. NaN passes through. */
export const maximum = (x: Operand, y: Operand): Tensor =>
  binary('maximum', x, y, 'maximum', [
    (dz, x, y) => mul(dz, greater(x, y)),
    (dz, x, y) => mul(dz, sub(1, greater(x, y))),
  ]);
/** The smaller; where equal, the gradient goes to y. NaN passes through. */
export const minimum = (x: Operand, y: Operand): Tensor =>
  binary('minimum', x, y, 'minimum', [
    (dz, x, y) => mul(dz, greater(y, x)),
    (dz, x, y) => mul(dz, sub(1, greater(y, x))),
  ]);
/** 1 where x > y, else 0, in their type. */
export const greater = (x: Operand, y: Operand): Tensor => binary('greater', x, y, 'greater');
/** 1 where x == y, else 0, in their type. */
export const equal = (x: Operand, y: Operand): Tensor => binary('equal', x, y, 'equal');

// ---- one operand -------------------------------------------------------------------------------------------------------

export const neg = (x: Tensor): Tensor => unary('neg', x, 'neg', (dy) => neg(dy));
/** |x|; derivative 0 at 0. */
export const abs = (x: Tensor): Tensor => unary('abs', x, 'abs', (dy, x) => mul(dy, sign(x)));
export const sign = (x: Tensor): Tensor => unary('sign', x, 'sign');
export const exp = (x: Tensor): Tensor => unary('exp', x, 'exp', (dy, _, y) => mul(dy, y));
export const log = (x: Tensor): Tensor => unary('log', x, 'log', (dy, x) => div(dy, x));
export const sqrt = (x: Tensor): Tensor => unary('sqrt', x, 'sqrt', (dy, _, y) => div(mul(dy, 0.5), y));
export const sigmoid = (x: Tensor): Tensor => unary('sigmoid', x, 'sigmoid', (dy, _, y) => sigmoidGrad(y, dy));
export const tanh = (x: Tensor): Tensor => unary('tanh', x, 'tanh', (dy, _, y) => tanhGrad(y, dy));
/** max(x, 0); derivative 0 at 0. */
export const relu = (x: Tensor): Tensor => unary('relu', x, 'relu', (dy, x) => reluGrad(x, dy));
/** log(1 + e^x), stable for large |x|. */
export const softplus = (x: Tensor): Tensor => unary('softplus', x, 'softplus', (dy, x) => mul(dy, sigmoid(x)));
/** x where positive, else negativeSlope x. */
export function leakyRelu(x: Tensor, options: number | { negativeSlope?: number } = {}): Tensor {
  const a = typeof options === 'number' ? options : (options.negativeSlope ?? 0.01);
  return unary('leakyRelu', x, 'leaky_relu', (dy, x) => leakyReluGrad(x, dy, a), { a });
}
/** x limited to [low, high]; derivative 1 inside and at the ends, 0 outside. Throws ShapeError when low > high. */
export function clip(x: Tensor, low: number, high: number): Tensor {
  if (!(low <= high)) throw new ShapeError(`clip: low ${low} must not exceed high ${high}`);
  return unary('clip', x, 'clip', (dy, x) => clipGrad(x, dy, low, high), { a: low, b: high });
}
/** x where positive, else weight x; weight, f32, broadcasts, one number per channel of the last axis as a rule. */
export const prelu = (x: Tensor, weight: Tensor): Tensor =>
  binary(
    'prelu',
    x,
    weight,
    'prelu',
    [(dz, x, w) => mul(dz, preluSlope(x, w)), (dz, x) => mul(dz, minimum(x, 0))],
    {},
    typeBesideParameter,
  );
/** x scale, of x's type; scale is f32 and broadcasts. */
export const scaled = (x: Tensor, scale: Tensor): Tensor =>
  binary(
    'scaled',
    x,
    scale,
    'mul',
    [(dz, _, s) => scaled(dz, s), (dz, x) => mul(cast(dz, 'f32'), cast(x, 'f32'))],
    {},
    typeBesideParameter,
  );

// ---- derivatives that take one pass; each linear in dy -----------------------------------------------------------------

const preluSlope = (x: Tensor, w: Tensor): Tensor =>
  binary(
    'preluSlope',
    x,
    w,
    'prelu_slope',
    [undefined, (dz, x) => mul(dz, sub(1, greater(x, 0)))],
    {},
    typeBesideParameter,
  );
const reluGrad = (x: Tensor, dy: Tensor): Tensor =>
  binary('reluGrad', x, dy, 'relu_grad', [undefined, (d, x) => reluGrad(x, d)]);
const leakyReluGrad = (x: Tensor, dy: Tensor, a: number): Tensor =>
  binary('leakyReluGrad', x, dy, 'leaky_relu_grad', [undefined, (d, x) => leakyReluGrad(x, d, a)], { a });
const clipGrad = (x: Tensor, dy: Tensor, a: number, b: number): Tensor =>
  binary('clipGrad', x, dy, 'clip_grad', [undefined, (d, x) => clipGrad(x, d, a, b)], { a, b });
const sigmoidGrad = (y: Tensor, dy: Tensor): Tensor =>
  binary('sigmoidGrad', y, dy, 'sigmoid_grad', [
    (d, y, dy) => mul(mul(d, dy), sub(1, mul(2, y))),
    (d, y) => sigmoidGrad(y, d),
  ]);
const tanhGrad = (y: Tensor, dy: Tensor): Tensor =>
  binary('tanhGrad', y, dy, 'tanh_grad', [(d, y, dy) => mul(mul(d, dy), mul(-2, y)), (d, y) => tanhGrad(y, d)]);

// ---- selection ---------------------------------------------------------------------------------------------------------

/** x where condition (any dtype) is not 0, else y; all three broadcast. The gradient goes to the chosen side. */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  const device = condition.device;
  const a = typeof x === 'number' ? full([], x, { device }) : x;
  const b = typeof y === 'number' ? full([], y, { device }) : y;
  const dtype = commonType('where', a, b);
  const shape = broadcastShape('where', broadcastShape('where', a.shape, b.shape), condition.shape);
  const c = condition.dtype === dtype ? condition : cast(condition, 'f32');
  const operands = [c, a, b].map((t) => (sameShape(t.shape, shape) ? t : expand(t, shape)));
  const [z] = record('select', { inputs: operands, outputs: [{ shape, dtype }], params: { size: sizeOf(shape) } });
  return derive(
    'where',
    z,
    [c, a, b],
    [undefined, (dz) => sumTo(where(c, dz, 0), a.shape, a.dtype), (dz) => sumTo(where(c, 0, dz), b.shape, b.dtype)],
  );
}
