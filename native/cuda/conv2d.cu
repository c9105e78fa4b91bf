// Convolution and its input gradient as products of gathered rows (product.h), without im2col. The input gradient of a strided
// convolution falls into one dense problem per parity of the position.
#include "convolve.h"
#include "depthwise.h"
#include "product.h"
#include "skinny.h"

namespace rescunet::cuda {
namespace {

template <class T> void input_parity(const conv2d_input_args& p, const Ending& end, int64_t group, int64_t qy, int64_t qx, Queue& queue) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, h = ceil_divide(p.ih - qy, p.sh), w = ceil_divide(p.iw - qx, p.sw);
  const Parity y(qy, p.kh, p.sh, p.ph, p.dh), x(qx, p.kw, p.sw, p.pw, p.dw);
  const int64_t across = std::max<int64_t>(x.count, 1);  // no tap: the sum is empty
  const Pixels<T> a{as<T>(p.y) + group * ocg, int(p.oh), int(p.ow), int(p.oc), {1, int(y.offset), int(y.slope)}, {1, int(x.offset), int(x.slope)},
                    Divisor(w), Divisor(h), Divisor(ocg), Divisor(across)};
  const TurnedWeights b{p.w + group * ocg * p.kh * p.kw * p.wc + p.w0, p.wc, p.kh * p.kw * p.wc, int(p.kw), int(y.first), int(x.first), int(y.step), int(x.step),
                        Divisor(ocg), Divisor(across)};
  const Scattered c{map_behind(p.x, group * icg, end.stored), int(p.ih), int(p.iw), int(p.ic), int(p.sh), int(p.sw), int(qy), int(qx), Divisor(w), Divisor(h)};
  const bool vectors = icg % 4 == 0 && ocg % kPack<T> == 0 && p.wc % 4 == 0 && p.w0 % 4 == 0 && aligned16(p.y, p.w);
  const TapWeights taps{b.w, 1, b.line, b.ic, b.kw, b.first_y, b.first_x, b.step_y, b.step_x};
  if (skinny(TapProduct<T>{a, taps, c, int(p.n), int(h), int(w), int(ocg), int(icg), int(y.count), int(x.count), end.behind(group * icg)}, queue)) return;
  product(queue, a, b, c, {1, int(p.n * h * w), int(icg), int(y.count * x.count * ocg)}, end.behind(group * icg), vectors);
}

// Whether it measured, where the ending does.
template <class T, class End> bool forward(const conv2d_args& p, const End& end, Queue& queue) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, depth = p.kh * p.kw * icg;
  const bool vectors = icg % kPack<T> == 0 && aligned16(p.x, p.beside, p.w);
  if constexpr (kMeasures<End>)
    if (!vectors) return forward<T, Ending>(p, end, queue), false;
  if (p.beside)
    return product(queue, MapsBeside<T>{as<T>(p.x), as<T>(p.beside), int(p.ic)}, Matrix<true>{p.w, 2 * p.ic, 0}, Lines{p.y, p.oc, 0},
                   {1, int(p.n * p.oh * p.ow), int(p.oc), int(2 * p.ic)}, end, vectors), true;
  for (int64_t group = 0; group < p.groups; group++) {
    const Pixels<T> a{as<T>(p.x) + group * icg, int(p.ih), int(p.iw), int(p.ic), {int(p.sh), int(-p.ph), int(p.dh)}, {int(p.sw), int(-p.pw), int(p.dw)},
                      Divisor(p.ow), Divisor(p.oh), Divisor(icg), Divisor(p.kw)};
    product(queue, a, Matrix<true>{p.w + group * ocg * depth, depth, 0}, Lines{map_behind(p.y, group * ocg, end.stored), p.oc, 0},
            {1, int(p.n * p.oh * p.ow), int(ocg), int(depth)}, end.behind(group * ocg), vectors);
  }
  return true;
}

// The same, on whatever path.
template <class End> bool convolve(const conv2d_args& p, const End& end, Queue& queue) {
  if (p.ic == p.groups && p.oc == p.groups) return depthwise(p, end, queue), false;
  if (!p.beside && p.groups == 1 && (p.stored & 1 ? skinny(tap_product<Bf16>(p, end), queue) : skinny(tap_product<float>(p, end), queue))) return false;
  if (convolve_by_warpgroups(p, end, queue)) return true;
  return p.stored & 1 ? forward<Bf16>(p, end, queue) : forward<float>(p, end, queue);
}

Ending ending_of(const conv2d_args& p) { return {p.bias, p.residual, p.activation, p.slope, bool(p.stored >> 5 & 1), p.slopes}; }

}  // namespace

void conv2d(const conv2d_args& p, Queue& queue) { convolve(p, ending_of(p), queue); }

void convolve_measured(const conv2d_args& p, float* mean, float* variance, Queue& queue) {
  if (convolve(p, Measured(ending_of(p), mean, variance), queue)) return;
  batch_norm_stats({.x = p.y, .mean = mean, .variance = variance, .rows = p.n * p.oh * p.ow, .c = p.oc, .stored = p.stored >> 5 & 1}, queue);
}

void conv2d_stats(const conv2d_stats_args& p, Queue& queue) { convolve_measured(without_stats<conv2d_args>(p), p.mean, p.variance, queue); }

void convolve_back(const conv2d_input_args& p, const Ending& end, Queue& queue) {
  if (p.ic == p.groups && p.oc == p.groups) return depthwise_input(p, end, queue);
  if (input_by_warpgroups(p, end, queue)) return;
  for (int64_t group = 0; group < p.groups; group++)
    for (int64_t parity = 0; parity < p.sh * p.sw; parity++) {
      const int64_t qy = parity / p.sw, qx = parity % p.sw;
      if (qy < p.ih && qx < p.iw) p.stored & 1 ? input_parity<Bf16>(p, end, group, qy, qx, queue) : input_parity<float>(p, end, group, qy, qx, queue);
    }
}

void conv2d_input(const conv2d_input_args& p, Queue& queue) { convolve_back(p, {p.bias, nullptr, kNone, 0, bool(p.stored >> 3 & 1)}, queue); }

}  // namespace rescunet::cuda
