// Weight gradient: dW [oc, (tap, ic)] = dY^T [oc, pixels] X [pixels, (tap, ic)], a long sum over pixels, so always split.
#include "convolve.h"
#include "depthwise.h"
#include "product.h"

namespace rescunet::cuda {

namespace {

template <class T> void weight_gradient(const conv2d_weight_args& p, Queue& queue) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, width = p.kh * p.kw * icg;
  const bool vectors = icg % kPack<T> == 0 && ocg % kPack<T> == 0 && aligned16(p.x, p.beside, p.y);
  if (p.beside) {
    for (const float* x : {p.x, p.beside})
      product(queue, Matrix<false, T>{as<T>(p.y), p.oc, 0}, Matrix<false, T>{as<T>(x), p.ic, 0}, Lines{p.w + (x == p.x ? 0 : p.ic), 2 * p.ic, 0},
              {1, int(p.oc), int(p.ic), int(p.n * p.oh * p.ow)}, {}, vectors);
    return;
  }
  for (int64_t group = 0; group < p.groups; group++) {
    const Columns<Pixels<T>> x{{as<T>(p.x) + group * icg, int(p.ih), int(p.iw), int(p.ic), {int(p.sh), int(-p.ph), int(p.dh)}, {int(p.sw), int(-p.pw), int(p.dw)},
                                Divisor(p.ow), Divisor(p.oh), Divisor(icg), Divisor(p.kw)}};
    product(queue, Matrix<false, T>{as<T>(p.y) + group * ocg, p.oc, 0}, x, Lines{p.w + group * ocg * width, width, 0},
            {1, int(ocg), int(width), int(p.n * p.oh * p.ow)}, {}, vectors);
  }
}

}  // namespace

void conv2d_weight(const conv2d_weight_args& p, Queue& queue) {
  if (p.ic == p.groups && p.oc == p.groups) return depthwise_weight(p, queue);
  if (weight_by_warpgroups(p, queue)) return;
  p.stored & 1 ? weight_gradient<Bf16>(p, queue) : weight_gradient<float>(p, queue);
}

// As for every 3x3: the cpu transforms these, see winograd.cu.
void winograd_weight(const winograd_weight_args& p, Queue& queue) {
  conv2d_weight({.x = p.x, .beside = nullptr, .y = p.y, .w = p.w, .scratch = p.scratch, .n = p.n, .ih = p.ih, .iw = p.iw, .ic = p.ic, .oh = p.oh, .ow = p.ow, .oc = p.oc,
                 .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = p.ph, .pw = p.pw, .dh = 1, .dw = 1, .groups = 1,
                 .stored = (p.stored & 1) | (p.stored & 2) << 1}, queue);
}

void winograd_up_weight(const winograd_up_weight_args& p, Queue& queue) {
  const int64_t channels = p.ic + p.sc, width = 9 * channels;
  const Columns<Joined> x{{p.x, p.skip, int(p.oh), int(p.ow), int(p.ic), int(p.sc), Divisor(p.ow), Divisor(p.oh), Divisor(channels)}};
  product(queue, Matrix<false>{p.y, p.oc, 0}, x, Lines{p.w, width, 0}, {1, int(p.oc), int(width), int(p.n * p.oh * p.ow)}, {},
          p.ic % 4 == 0 && p.sc % 4 == 0 && p.oc % 4 == 0 && aligned16(p.x, p.skip, p.y));
}

}  // namespace rescunet::cuda
