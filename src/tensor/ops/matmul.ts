// Matrix products. matmul(a, b)^T rules keep the family closed: each derivative is a product with one factor transposed.
import type { DType } from '../dtype.js';
import { checkDType, derive, floatType, record } from '../record.js';
import { roundUp, type Shape, ShapeError, showShape, sizeOf } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { reshape } from './layout.js';
import { sumTo } from './reduce.js';

export interface MatmulOptions {
  /** a is stored as [..., k, m], b as [..., n, k]. */
  transposeA?: boolean;
  transposeB?: boolean;
}

/**
 * c [..., m, n] = a [..., m, k] b [..., k, n]. Leading dimensions must agree, or one operand has none and is used for all.
 * Throws ShapeError when the inner sizes or the leading dimensions differ.
 */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false }: MatmulOptions = {}): Tensor {
  return product('matmul', a, b, undefined, transposeA, transposeB, floatType('matmul', { a, b }));
}

/** x [..., in] times w [out, in] transposed, plus bias [out]: [..., out]; w and bias are f32. */
export function linear(x: Tensor, w: Tensor, options?: Tensor | { bias?: Tensor }): Tensor {
  const bias = options && 'shape' in options ? options : options?.bias;
  const dtype = floatType('linear', { x });
  checkDType('linear', 'w', w, 'f32');
  if (bias) checkDType('linear', 'bias', bias, 'f32');
  const fits =
    x.shape.length >= 1 &&
    w.shape.length === 2 &&
    x.shape.at(-1) === w.shape[1] &&
    (!bias || (bias.shape.length === 1 && bias.shape[0] === w.shape[0]));
  if (!fits) {
    throw new ShapeError(
      `linear: x ${showShape(x.shape)} and w ${showShape(w.shape)} (out, in)${bias ? `, bias ${showShape(bias.shape)}` : ''} do not fit`,
    );
  }
  const rows = reshape(x, [sizeOf(x.shape.slice(0, -1)), w.shape[1]]); // [rows, in]
  return reshape(product('linear', rows, w, bias, false, true, dtype), [...x.shape.slice(0, -1), w.shape[0]]);
}

/** a b of the type wanted, whatever those of the factors. */
function product(
  op: string,
  a: Tensor,
  b: Tensor,
  bias: Tensor | undefined,
  ta: boolean,
  tb: boolean,
  dtype: DType,
): Tensor {
  const show = `a ${showShape(a.shape)}${ta ? ' transposed' : ''}, b ${showShape(b.shape)}${tb ? ' transposed' : ''}`;
  if (a.shape.length < 2 || b.shape.length < 2) throw new ShapeError(`${op}: wants matrices, got ${show}`);
  const [m, k] = matrix(a.shape, ta);
  const [inner, n] = matrix(b.shape, tb);
  if (k !== inner) throw new ShapeError(`${op}: inner sizes ${k} and ${inner} differ (${show})`);
  const leadA = a.shape.slice(0, -2);
  const leadB = b.shape.slice(0, -2);
  if (leadA.length > 0 && leadB.length > 0 && leadA.join() !== leadB.join())
    throw new ShapeError(`${op}: leading dimensions differ (${show})`);
  const lead = leadA.length > 0 ? leadA : leadB;
  const [c, scratch] = record('matmul', {
    inputs: [a, b, bias],
    outputs: [{ shape: [...lead, m, n], dtype }, { shape: [k * roundUp(n, 64) + (ta ? m * k : 0)] }],
    params: {
      batch: sizeOf(lead),
      m,
      n,
      k,
      ta: Number(ta),
      tb: Number(tb),
      astride: leadA.length > 0 ? m * k : 0,
      bstride: leadB.length > 0 ? k * n : 0,
    },
  });
  scratch.dispose();
  const slope = (of: Tensor, x: Tensor, y: Tensor, transposeX: boolean, transposeY: boolean) =>
    sumTo(product(op, x, y, undefined, transposeX, transposeY, of.dtype), of.shape);
  return derive(
    op,
    c,
    [a, b, bias],
    [
      (dc) => (ta ? slope(a, b, dc, tb, true) : slope(a, dc, b, false, !tb)),
      (dc) => (tb ? slope(b, dc, a, true, ta) : slope(b, a, dc, !ta, false)),
      bias && ((dc) => sumTo(dc, bias.shape, bias.dtype)),
    ],
  );
}

const matrix = (shape: Shape, transposed: boolean): [number, number] => {
  const [rows, columns] = shape.slice(-2);
  return transposed ? [columns, rows] : [rows, columns];
};
