// Weight gradient: dW [oc, (tap, ic)] = dY^T [oc, pixels] X [pixels, (tap, ic)], a long sum over pixels, so always split.
#include "convolve.h"
#include "depthwise.h"
#include "product.h"
#include "skinny.h"

namespace rescunet::cuda {

namespace {

template <class T> void weight_gradient(const conv2d_weight_args& p, Queue& queue) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, width = p.kh * p.kw * icg;
  const bool vectors = icg % kPack<T> == 0 && ocg % kPack<T> == 0 && aligned16(p.x, p.beside, p.y);
  if (p.beside) {
    for (const float* x : {p.x, p.beside})
      product(queue, Matrix<false, T>{as<T>(p.y), p.oc, 0}, Matrix<false, T>{as<T>(x), p.ic, 0}, Lines{p.w + (x == p.x ? 0 : p.ic), 2 * p.ic, 0},
              {1, int(p.oc), int(p.ic), int(p.n * p.oh * p.ow)}, Unended{}, vectors);
    return;
  }
  for (int64_t group = 0; group < p.groups; group++) {
    const Columns<Pixels<T>> x{{as<T>(p.x) + group * icg, int(p.ih), int(p.iw), int(p.ic), {int(p.sh), int(-p.ph), int(p.dh)}, {int(p.sw), int(-p.pw), int(p.dw)},
                                Divisor(p.ow), Divisor(p.oh), Divisor(icg), Divisor(p.kw)}};
    product(queue, Matrix<false, T>{as<T>(p.y) + group * ocg, p.oc, 0}, x, Lines{p.w + group * ocg * width, width, 0},
            {1, int(ocg), int(width), int(p.n * p.oh * p.ow)}, Unended{}, vectors);
  }
}

}  // namespace

void conv2d_weight(const conv2d_weight_args& p, Queue& queue) {
  if (p.ic == p.groups && p.oc == p.groups) return depthwise_weight(p, queue);
  if (!p.beside && p.groups == 1 && (p.stored & 1 ? skinny_weight<Bf16>(p, queue) : skinny_weight<float>(p, queue))) return;
  if (weight_by_warpgroups(p, queue)) return;
  p.stored & 1 ? weight_gradient<Bf16>(p, queue) : weight_gradient<float>(p, queue);
}

}  // namespace rescunet::cuda
