// Depthwise convolution and its gradients (w [c, kh, kw, 1]), turned once into [tap][c] in scratch.
#include "depthwise.h"
#include "ending.h"
#include <algorithm>
#include <utility>

namespace rescunet::cpu::RESCUNET_ISA {

template <class Args> static void turn(const Args& p) {
  const int64_t taps = p.kh * p.kw;
  for (int64_t t = 0; t < taps; t++)
    for (int64_t c = 0; c < p.ic; c++) p.scratch[t * p.ic + c] = p.w[c * taps + t];
}

// Pixels and, beside each, the weights of its tap: what one output is summed from, in the order of the taps.
struct Taps {
  static constexpr int64_t kMost = 1024;  // MAX_TAPS of ops/conv2d.ts
  const float *pixel[kMost], *weights[kMost];
  int64_t count = 0;

  void add(const float* x, const float* w) { pixel[count] = x, weights[count] = w, count++; }

  // Channels from c on, `channels` of them real.
  Vec sum(int64_t c, int64_t channels, const float* bias) const {
    Vec total = bias ? load(bias + c, channels) : Vec{};
    for (int64_t t = 0; t < count; t++) total += load(pixel[t] + c, channels) * load(weights[t] + c, channels);
    return total;
  }
};

void depthwise(const conv2d_args& p, Pool& pool) {
  if (!p.packed) turn(p);
  const Ending ending{p.y, p.residual, p.activation, p.slope, p.slopes};
  pool.run(p.n * p.oh, [&](int64_t row) {
    const int64_t oy = row % p.oh;
    const float* image = p.x + row / p.oh * p.ih * p.iw * p.ic;
    for (int64_t ox = 0; ox < p.ow; ox++) {
      Taps taps;
      for (int64_t ky = 0; ky < p.kh; ky++) {
        const int64_t iy = oy * p.sh - p.ph + ky * p.dh;
        if (iy < 0 || iy >= p.ih) continue;
        for (int64_t kx = 0; kx < p.kw; kx++) {
          const int64_t ix = ox * p.sw - p.pw + kx * p.dw;
          if (ix >= 0 && ix < p.iw) taps.add(image + (iy * p.iw + ix) * p.ic, p.scratch + (ky * p.kw + kx) * p.ic);
        }
      }
      float* y = p.y + (row * p.ow + ox) * p.ic;
      for (int64_t c = 0; c < p.ic; c += kLanes) store(y + c, ending(y + c, c, taps.sum(c, p.ic - c, p.bias), p.ic - c), p.ic - c);
    }
  });
}

void depthwise_input(const conv2d_input_args& p, Pool& pool) {
  turn(p);
  pool.run(p.n * p.ih, [&](int64_t row) {
    const int64_t iy = row % p.ih;
    const float* image = p.y + row / p.ih * p.oh * p.ow * p.ic;
    for (int64_t ix = 0; ix < p.iw; ix++) {
      Taps taps;
      for (int64_t ky = 0; ky < p.kh; ky++) {
        const int64_t y = iy + p.ph - ky * p.dh;
        if (y < 0 || y % p.sh || y / p.sh >= p.oh) continue;
        for (int64_t kx = 0; kx < p.kw; kx++) {
          const int64_t at = ix + p.pw - kx * p.dw;
          if (at >= 0 && at % p.sw == 0 && at / p.sw < p.ow) taps.add(image + (y / p.sh * p.ow + at / p.sw) * p.ic, p.scratch + (ky * p.kw + kx) * p.ic);
        }
      }
      float* x = p.x + (row * p.iw + ix) * p.ic;
      for (int64_t c = 0; c < p.ic; c += kLanes) store(x + c, taps.sum(c, p.ic - c, p.bias), p.ic - c);
    }
  });
}

constexpr int64_t kColumns = 64;

// Of one tap and `columns` channels from c0 on, which fill kV vectors; rows of the image are summed in f32, the rows in f64.
template <int kV> static void weight_columns(const conv2d_weight_args& p, int64_t dy, int64_t dx, int64_t c0, int64_t columns, double* total) {
  for (int64_t row = 0; row < p.n * p.oh; row++) {
    const int64_t iy = row % p.oh * p.sh + dy;
    if (iy < 0 || iy >= p.ih) continue;
    Vec part[kV] = {};
    for (int64_t ox = 0; ox < p.ow; ox++) {
      const int64_t ix = ox * p.sw + dx;
      if (ix < 0 || ix >= p.iw) continue;
      const float *x = p.x + ((row / p.oh * p.ih + iy) * p.iw + ix) * p.ic + c0, *y = p.y + (row * p.ow + ox) * p.ic + c0;
#pragma GCC unroll 16
      for (int v = 0; v < kV; v++) part[v] += load(x + v * kLanes, columns - v * kLanes) * load(y + v * kLanes, columns - v * kLanes);
    }
    for (int64_t j = 0; j < columns; j++) total[j] += double(part[j / kLanes][j % kLanes]);
  }
}

template <int... kV> static auto weight_columns_of(int64_t columns, std::integer_sequence<int, kV...>) {
  static constexpr decltype(&weight_columns<1>) sums[] = {weight_columns<kV + 1>...};
  return sums[(columns - 1) / kLanes];
}

// Each chunk owns a tap and up to kColumns channels.
void depthwise_weight(const conv2d_weight_args& p, Pool& pool) {
  const int64_t taps = p.kh * p.kw, blocks = (p.ic + kColumns - 1) / kColumns;
  pool.run(taps * blocks, [&](int64_t chunk) {
    const int64_t tap = chunk / blocks, c0 = chunk % blocks * kColumns, columns = std::min(kColumns, p.ic - c0);
    const int64_t dy = tap / p.kw * p.dh - p.ph, dx = tap % p.kw * p.dw - p.pw;
    double total[kColumns] = {};
    weight_columns_of(columns, std::make_integer_sequence<int, kColumns / kLanes>())(p, dy, dx, c0, columns, total);
    for (int64_t j = 0; j < columns; j++) p.w[(c0 + j) * taps + tap] = float(total[j]);
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
