// 3x3 convolutions of stride 1, which the cpu transforms: here they are products like any other, since tensor cores make the
// multiplications cheap and the transformed tensors would have to travel through memory.
#include "convolve.h"
#include "ending.h"
#include "product.h"

namespace rescunet::cuda {
namespace {

void sums(const winograd_args& p, Queue& queue) {
  if (!p.turned && convolve_by_warpgroups({p.x, p.w, p.bias, p.y, p.n, p.ih, p.iw, p.ic, p.oh, p.ow, p.oc, 3, 3, 1, 1, p.ph, p.pw, 1, 1}, queue)) return;
  if (p.turned && !p.halved &&
      input_by_warpgroups({.y = p.x, .w = p.w, .bias = p.bias, .x = p.y, .scratch = nullptr, .n = p.n, .ih = p.oh, .iw = p.ow, .ic = p.oc, .oh = p.ih, .ow = p.iw,
                           .oc = p.ic, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 2 - p.ph, .pw = 2 - p.pw, .dh = 1, .dw = 1, .groups = 1, .wc = p.wc, .w0 = p.w0},
                          p.bias, queue))
    return;
  const TurnedWeights turned{p.w + p.w0, p.wc, 9 * p.wc, 3, 2, 2, -1, -1, Divisor(p.ic), Divisor(3)};  // the other convolution's kernel, half a turn round
  const bool whole = p.ic % 4 == 0 && p.oc % 4 == 0 && p.wc % 4 == 0 && p.w0 % 4 == 0 && aligned16(p.x, p.w);
  if (p.halved) {  // the sum over a square's pixels as part of the sum over taps: four times the products, and no map of full size
    const Squares squares{p.x, int(p.ih), int(p.iw), int(p.ic), int(-p.ph), int(-p.pw), Divisor(p.ow / 2), Divisor(p.oh / 2), Divisor(p.ic)};
    return product(queue, squares, Repeated<TurnedWeights>{turned, Divisor(9 * p.ic)}, Lines{p.y, p.oc, 0}, {1, int(p.n * p.oh * p.ow / 4), int(p.oc), int(36 * p.ic)},
                   p.bias, whole);
  }
  const Gathered a{p.x, int(p.ih), int(p.iw), int(p.ic), {1, int(-p.ph), 1}, {1, int(-p.pw), 1}, Divisor(p.ow), Divisor(p.oh), Divisor(p.ic), Divisor(3)};
  const Lines c{p.y, p.oc, 0};
  const ProductSize size{1, int(p.n * p.oh * p.ow), int(p.oc), int(9 * p.ic)};
  if (p.turned) product(queue, a, turned, c, size, p.bias, whole);
  else product(queue, a, Matrix<true>{p.w, 9 * p.ic, 0}, c, size, p.bias, p.ic % 4 == 0 && aligned16(p.x, p.w));
}

}  // namespace

void winograd(const winograd_args& p, Queue& queue) {
  sums(p, queue);
  finish_outputs(p.y, p.residual, p.n * p.oh * p.ow * p.oc / (p.halved ? 4 : 1), p.activation, p.slope, queue);
}

void winograd_up(const winograd_up_args& p, Queue& queue) {
  const int64_t channels = p.ic + p.sc, depth = 9 * channels;
  const Joined a{p.x, p.skip, int(p.oh), int(p.ow), int(p.ic), int(p.sc), Divisor(p.ow), Divisor(p.oh), Divisor(channels)};
  const bool vectors = p.ic % 4 == 0 && p.sc % 4 == 0 && aligned16(p.x, p.w) && aligned16(p.skip, p.w);
  product(queue, a, Matrix<true>{p.w, depth, 0}, Lines{p.y, p.oc, 0}, {1, int(p.n * p.oh * p.ow), int(p.oc), int(depth)}, p.bias, vectors);
  finish_outputs(p.y, p.residual, p.n * p.oh * p.ow * p.oc, p.activation, p.slope, queue);
}

}  // namespace rescunet::cuda
