// Depthwise convolution and its gradients (w [c, kh, kw, 1]), turned once into [tap][c] in scratch, where every tap begins a vector.
#include "depthwise.h"
#include "ending.h"
#include <algorithm>
#include <utility>

namespace rescunet::cpu::RESCUNET_ISA {

static int64_t rounded(int64_t channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

template <class Args> static void turn(const Args& p) {
  const int64_t taps = p.kh * p.kw;
  for (int64_t t = 0; t < taps; t++)
    for (int64_t c = 0; c < p.ic; c++) p.scratch[t * rounded(p.ic) + c] = p.w[c * taps + t];
}

// Pixels and, beside each, the weights of its tap: what one output is summed from, in the order of the taps.
struct Taps {
  static constexpr int64_t kMost = 1024;  // MAX_TAPS of ops/conv2d.ts
  const float *pixel[kMost], *weights[kMost];
  int64_t count = 0;

  void add(const float* x, const float* w) { pixel[count] = x, weights[count] = w, count++; }

  // Of kV vectors of channels from c on.
  template <int kV, class End> void sum_of(int64_t c, int64_t channels, const float* bias, const End& end) const {
    Vec sums[kV];
    const auto at = [&](const float* from, int v) __attribute__((always_inline)) { return load(from + c + v * kLanes, channels - c - v * kLanes); };
#pragma GCC unroll 4
    for (int v = 0; v < kV; v++) sums[v] = bias ? at(bias, v) : Vec{};
    for (int64_t t = 0; t < count; t++)
#pragma GCC unroll 4
      for (int v = 0; v < kV; v++) sums[v] += at(pixel[t], v) * load(weights[t] + c + v * kLanes);
#pragma GCC unroll 4
    for (int v = 0; v < kV; v++) end(c + v * kLanes, sums[v]);
  }

  // Calls end(channel, sums) for every vector; three at a time, but never one after others.
  template <class End> void sum(int64_t channels, const float* bias, const End& end) const {
    int64_t c = 0;
    for (; channels - c > 4 * kLanes; c += 3 * kLanes) sum_of<3>(c, channels, bias, end);
    const int64_t left = channels - c;
    if (left > 3 * kLanes) sum_of<4>(c, channels, bias, end);
    else if (left > 2 * kLanes) sum_of<3>(c, channels, bias, end);
    else if (left > kLanes) sum_of<2>(c, channels, bias, end);
    else sum_of<1>(c, channels, bias, end);
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
          if (ix >= 0 && ix < p.iw) taps.add(image + (iy * p.iw + ix) * p.ic, p.scratch + (ky * p.kw + kx) * rounded(p.ic));
        }
      }
      float* y = p.y + (row * p.ow + ox) * p.ic;
      taps.sum(p.ic, p.bias, [&](int64_t c, Vec v) { store(y + c, ending(y + c, c, v, p.ic - c), p.ic - c); });
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
          if (at >= 0 && at % p.sw == 0 && at / p.sw < p.ow) taps.add(image + (y / p.sh * p.ow + at / p.sw) * p.ic, p.scratch + (ky * p.kw + kx) * rounded(p.ic));
        }
      }
      float* x = p.x + (row * p.iw + ix) * p.ic;
      taps.sum(p.ic, p.bias, [&](int64_t c, Vec v) { store(x + c, v, p.ic - c); });
    }
  });
}

constexpr int64_t kPixels = 256;  // summed in f32, then in f64
constexpr int kRun = 4;           // taps of a kernel row that share a reading of dY

// Taps [kx, kx + kT) of a kernel row, `columns` channels from c0 on, which fill kV vectors.
template <int kT, int kV> static void weight_run(const conv2d_weight_args& p, int64_t ky, int64_t kx, int64_t c0, int64_t columns) {
  const int64_t dy = ky * p.dh - p.ph, dx = kx * p.dw - p.pw, rows = p.n * p.oh, at_once = std::max<int64_t>(1, kPixels / p.ow);
  const auto inside = [&](int64_t ix) { return uint64_t(ix) < uint64_t(p.iw); };
  double total[kT][kV * kLanes] = {};
  for (int64_t begin = 0; begin < rows; begin += at_once) {
    Vec part[kT][kV] = {};
    for (int64_t row = begin; row < std::min(rows, begin + at_once); row++) {
      const int64_t iy = row % p.oh * p.sh + dy;
      if (iy < 0 || iy >= p.ih) continue;
      const float *x = p.x + ((row / p.oh * p.ih + iy) * p.iw + dx) * p.ic + c0, *y = p.y + row * p.ow * p.ic + c0;
      for (int64_t ox = 0, ix = dx; ox < p.ow; ox++, ix += p.sw, x += p.sw * p.ic, y += p.ic) {
        Vec v[kV];
#pragma GCC unroll 3
        for (int j = 0; j < kV; j++) v[j] = load(y + j * kLanes, columns - j * kLanes);
        const bool all = inside(ix) && inside(ix + (kT - 1) * p.dw);
#pragma GCC unroll 4
        for (int t = 0; t < kT; t++)
          if (all || inside(ix + t * p.dw))
#pragma GCC unroll 3
            for (int j = 0; j < kV; j++) part[t][j] += load(x + t * p.dw * p.ic + j * kLanes, columns - j * kLanes) * v[j];
      }
    }
    for (int t = 0; t < kT; t++)
      for (int j = 0; j < kV * kLanes; j++) total[t][j] += double(part[t][j / kLanes][j % kLanes]);
  }
  for (int t = 0; t < kT; t++)
    for (int64_t j = 0; j < columns; j++) p.w[((c0 + j) * p.kh + ky) * p.kw + kx + t] = float(total[t][j]);
}

template <int kV, int... kT> static auto weight_run_of(int64_t taps, std::integer_sequence<int, kT...>) {
  static constexpr decltype(&weight_run<1, 1>) sums[] = {weight_run<kT + 1, kV>...};
  return sums[taps - 1];
}
static auto weight_run_of(int64_t taps, int64_t vectors) {
  constexpr auto counts = std::make_integer_sequence<int, kRun>();
  return vectors == 1 ? weight_run_of<1>(taps, counts) : vectors == 2 ? weight_run_of<2>(taps, counts) : weight_run_of<3>(taps, counts);
}

// Each chunk owns a run of taps and one to three vectors of channels.
void depthwise_weight(const conv2d_weight_args& p, Pool& pool) {
  const int64_t vectors = (p.ic + kLanes - 1) / kLanes, strips = (vectors + 2) / 3, runs = (p.kw + kRun - 1) / kRun;
  pool.run(p.kh * runs * strips, [&](int64_t chunk) {
    const int64_t strip = chunk % strips, ky = chunk / strips / runs, run = chunk / strips % runs, kx = run * p.kw / runs, taps = (run + 1) * p.kw / runs - kx;
    const int64_t v0 = strip * vectors / strips, v1 = (strip + 1) * vectors / strips, c0 = v0 * kLanes;
    weight_run_of(taps, v1 - v0)(p, ky, kx, c0, std::min(v1 * kLanes, p.ic) - c0);
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
