// 3x3 convolutions of stride 1, which the cpu transforms: here they are products like any other, since tensor cores make the
// multiplications cheap and the transformed tensors would have to travel through memory.
#include "convolve.h"
#include "product.h"

namespace rescunet::cuda {
namespace {

// The sum over a square's pixels as part of the sum over taps: four times the products, and no map of full size.
void sum_squares(const winograd_args& p, const Ending& end, Queue& queue) {
  const TurnedWeights turned{p.w + p.w0, p.wc, 9 * p.wc, 3, 2, 2, -1, -1, Divisor(p.ic), Divisor(3)};  // the other convolution's kernel, half a turn round
  const Squares squares{p.x, int(p.ih), int(p.iw), int(p.ic), int(-p.ph), int(-p.pw), Divisor(p.ow / 2), Divisor(p.oh / 2), Divisor(p.ic)};
  product(queue, squares, Repeated<TurnedWeights>{turned, Divisor(9 * p.ic)}, Lines{p.y, p.oc, 0}, {1, int(p.n * p.oh * p.ow / 4), int(p.oc), int(36 * p.ic)}, end,
          p.ic % 4 == 0 && p.oc % 4 == 0 && p.wc % 4 == 0 && p.w0 % 4 == 0 && aligned16(p.x, p.w));
}

}  // namespace

void winograd(const winograd_args& p, Queue& queue) {
  const Ending end(p.bias, p.residual, p.activation, p.slope, p.stored >> 4 & 1, p.slopes);
  if (p.halved) return sum_squares(p, end, queue);
  if (p.turned)
    return convolve_back({.y = p.x, .w = p.w, .bias = p.bias, .x = p.y, .scratch = p.scratch, .n = p.n, .ih = p.oh, .iw = p.ow, .ic = p.oc, .oh = p.ih, .ow = p.iw,
                          .oc = p.ic, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 2 - p.ph, .pw = 2 - p.pw, .dh = 1, .dw = 1, .groups = 1, .wc = p.wc, .w0 = p.w0,
                          .stored = p.stored & 1}, end, queue);
  conv2d({.x = p.x, .beside = nullptr, .w = p.w, .bias = p.bias, .residual = p.residual, .y = p.y, .scratch = p.scratch, .n = p.n, .ih = p.ih, .iw = p.iw, .ic = p.ic,
          .oh = p.oh, .ow = p.ow, .oc = p.oc, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = p.ph, .pw = p.pw, .dh = 1, .dw = 1, .groups = 1, .slopes = p.slopes, .activation = p.activation,
          .slope = p.slope, .packed = 0, .bf16 = 0, .stored = (p.stored & 1) | (p.stored >> 4 & 1) << 5}, queue);
}

void winograd_up(const winograd_up_args& p, Queue& queue) {
  const int64_t channels = p.ic + p.sc, depth = 9 * channels;
  const Joined a{p.x, p.skip, int(p.oh), int(p.ow), int(p.ic), int(p.sc), Divisor(p.ow), Divisor(p.oh), Divisor(channels)};
  const bool vectors = p.ic % 4 == 0 && p.sc % 4 == 0 && aligned16(p.x, p.w) && aligned16(p.skip, p.w);
  product(queue, a, Matrix<true>{p.w, depth, 0}, Lines{p.y, p.oc, 0}, {1, int(p.n * p.oh * p.ow), int(p.oc), int(depth)}, {p.bias, p.residual, p.activation, p.slope, false, p.slopes}, vectors);
}

}  // namespace rescunet::cuda
