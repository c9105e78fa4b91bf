// Weight gradient: dW [oc, (tap, ic)] = dY^T [oc, pixels] X [pixels, (tap, ic)], a long sum over pixels, so always split.
#include "depthwise.h"
#include "product.h"
#include "skinny.h"

namespace rescunet::cuda {

void conv2d_weight(const conv2d_weight_args& p, Queue& queue) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, width = p.kh * p.kw * icg;
  if (icg == 1 && ocg == 1) return depthwise_weight(p, queue);
  if (p.beside) {
    const ProductSize size{1, int(p.oc), int(p.ic), int(p.n * p.oh * p.ow)};
    for (const float* x : {p.x, p.beside})
      product(queue, Matrix<false>{p.y, p.oc, 0}, Matrix<false>{x, p.ic, 0}, Lines{p.w + (x == p.x ? 0 : p.ic), 2 * p.ic, 0}, size, nullptr,
              p.ic % 4 == 0 && p.oc % 4 == 0 && aligned16(x, p.y));
    return;
  }
  if (p.groups == 1 && skinny_weight(p, queue)) return;
  for (int64_t group = 0; group < p.groups; group++) {
    const GatheredColumns x{{p.x + group * icg, int(p.ih), int(p.iw), int(p.ic), {int(p.sh), int(-p.ph), int(p.dh)}, {int(p.sw), int(-p.pw), int(p.dw)},
                             Divisor(p.ow), Divisor(p.oh), Divisor(icg), Divisor(p.kw)}};
    product(queue, Matrix<false>{p.y + group * ocg, p.oc, 0}, x, Lines{p.w + group * ocg * width, width, 0},
            {1, int(ocg), int(width), int(p.n * p.oh * p.ow)}, nullptr, icg % 4 == 0 && ocg % 4 == 0 && aligned16(p.x, p.y));
  }
}

}  // namespace rescunet::cuda
