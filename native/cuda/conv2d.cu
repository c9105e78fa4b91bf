// Convolution and its input gradient as products of gathered rows (product.h), without im2col. The input gradient of a strided
// convolution falls into one dense problem per parity of the position.
#include <numeric>
#include "convolve.h"
#include "depthwise.h"
#include "ending.h"
#include "product.h"
#include "skinny.h"

namespace rescunet::cuda {
namespace {

// Kernel positions of one axis that reach inputs of parity q, and the outputs they read: `count` of them from `first` on, every
// `step`-th; the output under tap t of input position i * s + q is i + offset + t * slope.
struct Parity {
  int64_t first = 0, step = 1, count = 0, offset = 0, slope = 0;

  Parity(int64_t q, int64_t k, int64_t s, int64_t p, int64_t d) {
    step = s / std::gcd(s, d);
    while (first < k && (q + p - first * d) % s) first++;
    if (first >= k) return;
    count = (k - first + step - 1) / step;
    offset = (q + p - first * d) / s, slope = -step * d / s;
  }
};

void input_parity(const conv2d_input_args& p, int64_t group, int64_t qy, int64_t qx, Queue& queue) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, h = ceil_divide(p.ih - qy, p.sh), w = ceil_divide(p.iw - qx, p.sw);
  const Parity y(qy, p.kh, p.sh, p.ph, p.dh), x(qx, p.kw, p.sw, p.pw, p.dw);
  const int64_t across = std::max<int64_t>(x.count, 1);  // no tap: the sum is empty
  const Gathered a{p.y + group * ocg, int(p.oh), int(p.ow), int(p.oc), {1, int(y.offset), int(y.slope)}, {1, int(x.offset), int(x.slope)},
                   Divisor(w), Divisor(h), Divisor(ocg), Divisor(across)};
  const TurnedWeights b{p.w + group * ocg * p.kh * p.kw * p.wc + p.w0, p.wc, p.kh * p.kw * p.wc, int(p.kw), int(y.first), int(x.first), int(y.step), int(x.step),
                        Divisor(ocg), Divisor(across)};
  const Scattered c{p.x + group * icg, int(p.ih), int(p.iw), int(p.ic), int(p.sh), int(p.sw), int(qy), int(qx), Divisor(w), Divisor(h)};
  const float* bias = p.bias ? p.bias + group * icg : nullptr;
  if (skinny({a, {b.w, 1, b.line, b.ic, b.kw, b.first_y, b.first_x, b.step_y, b.step_x}, c, int(p.n), int(h), int(w), int(ocg), int(icg), int(y.count), int(x.count), bias}, queue))
    return;
  const bool vectors = icg % 4 == 0 && ocg % 4 == 0 && p.wc % 4 == 0 && p.w0 % 4 == 0 && aligned16(p.y, p.w);
  product(queue, a, b, c, {1, int(p.n * h * w), int(icg), int(y.count * x.count * ocg)}, bias, vectors);
}

void sums(const conv2d_args& p, Queue& queue) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, depth = p.kh * p.kw * icg;
  if (icg == 1 && ocg == 1) return depthwise(p, queue);
  if (p.beside)
    return product(queue, SideBySide{p.x, p.beside, int(p.ic)}, Matrix<true>{p.w, 2 * p.ic, 0}, Lines{p.y, p.oc, 0}, {1, int(p.n * p.oh * p.ow), int(p.oc), int(2 * p.ic)},
                   p.bias, p.ic % 4 == 0 && aligned16(p.x, p.beside, p.w));
  if (p.groups == 1 && skinny(tap_product(p), queue)) return;
  if (p.groups == 1 && convolve_by_warpgroups({p.x, p.w, p.bias, p.y, p.n, p.ih, p.iw, p.ic, p.oh, p.ow, p.oc, p.kh, p.kw, p.sh, p.sw, p.ph, p.pw, p.dh, p.dw}, queue))
    return;
  for (int64_t group = 0; group < p.groups; group++) {
    const Gathered a{p.x + group * icg, int(p.ih), int(p.iw), int(p.ic), {int(p.sh), int(-p.ph), int(p.dh)}, {int(p.sw), int(-p.pw), int(p.dw)},
                     Divisor(p.ow), Divisor(p.oh), Divisor(icg), Divisor(p.kw)};
    product(queue, a, Matrix<true>{p.w + group * ocg * depth, depth, 0}, Lines{p.y + group * ocg, p.oc, 0}, {1, int(p.n * p.oh * p.ow), int(ocg), int(depth)},
            p.bias ? p.bias + group * ocg : nullptr, icg % 4 == 0 && aligned16(p.x, p.w));
  }
}

}  // namespace

void conv2d(const conv2d_args& p, Queue& queue) {
  sums(p, queue);
  finish_outputs(p.y, p.residual, p.n * p.oh * p.ow * p.oc, p.activation, p.slope, queue);
}

void conv2d_input(const conv2d_input_args& p, Queue& queue) {
  if (p.ic == p.groups && p.oc == p.groups) return depthwise_input(p, queue);
  for (int64_t group = 0; group < p.groups; group++)
    for (int64_t parity = 0; parity < p.sh * p.sw; parity++) {
      const int64_t qy = parity / p.sw, qx = parity % p.sw;
      if (qy < p.ih && qx < p.iw) input_parity(p, group, qy, qx, queue);
    }
}

}  // namespace rescunet::cuda
