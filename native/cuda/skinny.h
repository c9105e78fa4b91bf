// Convolutions of so few channels on one side that a tile of product.h would be mostly empty, or gathered number by number. Which form a shape takes:
//
//   few outputs   kFew at most, whose weights fit in 16 KB: lanes over pixels and channels, sums in registers, always in f32
//   few inputs    kFew at most: the pixels of an output tile lie in shared memory once, where all taps read them; multiplied as products are
//   others        product.h
//
// Outputs are asked first. Of an input gradient the outputs are x's channels and the inputs y's, one problem per parity. A weight gradient of few outputs is
// direct whatever its size.
#pragma once
#include "operands.h"

namespace rescunet::cuda {

inline constexpr int kFew = 8;

/// Weights by output, tap and input channel, wherever those lie; taps as Pixels walks them.
struct TapWeights {
  const float* w;
  int64_t output, channel, tap;  // floats from one to the next
  int kw, first_y, first_x, step_y, step_x;

  __device__ float operator()(int o, int down, int across, int c) const {
    return w[o * output + ((first_y + down * step_y) * kw + first_x + across * step_x) * tap + c * channel];
  }
};

/// y [rows, outputs] = x [rows, (tap, channel)] w with an ending, rows being pixels of the grid that x and y agree on; T: what maps are stored in.
template <class T> struct TapProduct {
  Pixels<T> x;
  TapWeights w;
  Scattered y;
  int images, height, width, channels, outputs, down, across;  // grid, inputs and outputs of a pixel, taps along either axis
  Ending end;

  __device__ void write(int row, int output, float sum) const { end(y.y, y.line(row) - y.y + output, output, sum); }
};

/// Launches and says true where the product, or the weight gradient of one group, is of one of the two forms.
template <class T> bool skinny(const TapProduct<T>& p, Queue& queue);
template <class T> bool skinny_weight(const conv2d_weight_args& p, Queue& queue);

/// The two forms of either; false where the patch of few_inputs has no room in shared memory.
template <class T> void few_outputs(const TapProduct<T>& p, Queue& queue);
template <class T> bool few_inputs(const TapProduct<T>& p, Queue& queue);
template <class T> void few_outputs_weight(const conv2d_weight_args& p, Queue& queue);
template <class T> bool few_inputs_weight(const conv2d_weight_args& p, Queue& queue);

/// What a convolution of one group reads.
template <class T, class Args> Pixels<T> pixels(const Args& p) {
  return {as<T>(p.x), int(p.ih), int(p.iw), int(p.ic), {int(p.sh), int(-p.ph), int(p.dh)}, {int(p.sw), int(-p.pw), int(p.dw)}, Divisor(p.ow), Divisor(p.oh), Divisor(p.ic), Divisor(p.kw)};
}

template <class T> TapProduct<T> tap_product(const conv2d_args& p, const Ending& end) {
  return {pixels<T>(p), {p.w, p.kh * p.kw * p.ic, 1, p.ic, int(p.kw), 0, 0, 1, 1}, {p.y, int(p.oh), int(p.ow), int(p.oc), 1, 1, 0, 0, Divisor(p.ow), Divisor(p.oh)},
          int(p.n), int(p.oh), int(p.ow), int(p.ic), int(p.oc), int(p.kh), int(p.kw), end};
}

}  // namespace rescunet::cuda
