// Depthwise convolution and its gradients (w [c, kh, kw, 1]), turned once into [tap][c] in scratch.
#include "depthwise.h"
#include "ending.h"
#include <algorithm>

namespace rescunet::cpu::RESCUNET_ISA {

template <class Args> static void turn(const Args& p) {
  const int64_t taps = p.kh * p.kw;
  for (int64_t t = 0; t < taps; t++)
    for (int64_t c = 0; c < p.ic; c++) p.scratch[t * p.ic + c] = p.w[c * taps + t];
}

static void start(float* y, const float* bias, int64_t c) {
  if (bias) std::memcpy(y, bias, c * sizeof(float));
  else std::memset(y, 0, c * sizeof(float));
}

static void add_product(float* __restrict y, const float* x, const float* w, int64_t c) {
  for (int64_t j = 0; j < c; j++) y[j] += x[j] * w[j];
}

void depthwise(const conv2d_args& p, Pool& pool) {
  if (!p.packed) turn(p);
  const Ending ending{p.y, p.residual, p.activation, p.slope, p.slopes};
  pool.run(p.n * p.oh, [&](int64_t row) {
    const int64_t oy = row % p.oh;
    const float* image = p.x + row / p.oh * p.ih * p.iw * p.ic;
    for (int64_t ox = 0; ox < p.ow; ox++) {
      float* y = p.y + (row * p.ow + ox) * p.ic;
      start(y, p.bias, p.ic);
      for (int64_t ky = 0; ky < p.kh; ky++) {
        const int64_t iy = oy * p.sh - p.ph + ky * p.dh;
        if (iy < 0 || iy >= p.ih) continue;
        for (int64_t kx = 0; kx < p.kw; kx++) {
          const int64_t ix = ox * p.sw - p.pw + kx * p.dw;
          if (ix >= 0 && ix < p.iw) add_product(y, image + (iy * p.iw + ix) * p.ic, p.scratch + (ky * p.kw + kx) * p.ic, p.ic);
        }
      }
      if (!ending.empty()) ending.row(y, p.ic);
    }
  });
}

void depthwise_input(const conv2d_input_args& p, Pool& pool) {
  turn(p);
  pool.run(p.n * p.ih, [&](int64_t row) {
    const int64_t iy = row % p.ih;
    const float* image = p.y + row / p.ih * p.oh * p.ow * p.ic;
    for (int64_t ix = 0; ix < p.iw; ix++) {
      float* x = p.x + (row * p.iw + ix) * p.ic;
      start(x, p.bias, p.ic);
      for (int64_t ky = 0; ky < p.kh; ky++) {
        const int64_t y = iy + p.ph - ky * p.dh;
        if (y < 0 || y % p.sh || y / p.sh >= p.oh) continue;
        for (int64_t kx = 0; kx < p.kw; kx++) {
          const int64_t at = ix + p.pw - kx * p.dw;
          if (at < 0 || at % p.sw || at / p.sw >= p.ow) continue;
          add_product(x, image + (y / p.sh * p.ow + at / p.sw) * p.ic, p.scratch + (ky * p.kw + kx) * p.ic, p.ic);
        }
      }
    }
  });
}

// Each chunk owns a tap and up to kColumns channels; rows of the image are summed in f32, the rows in f64.
void depthwise_weight(const conv2d_weight_args& p, Pool& pool) {
  constexpr int64_t kColumns = 64;
  const int64_t taps = p.kh * p.kw, blocks = (p.ic + kColumns - 1) / kColumns;
  pool.run(taps * blocks, [&](int64_t chunk) {
    const int64_t tap = chunk / blocks, c0 = chunk % blocks * kColumns, columns = std::min(kColumns, p.ic - c0);
    const int64_t dy = tap / p.kw * p.dh - p.ph, dx = tap % p.kw * p.dw - p.pw;
    double total[kColumns] = {};
    for (int64_t row = 0; row < p.n * p.oh; row++) {
      const int64_t iy = row % p.oh * p.sh + dy;
      if (iy < 0 || iy >= p.ih) continue;
      float part[kColumns] = {};
      for (int64_t ox = 0; ox < p.ow; ox++) {
        const int64_t ix = ox * p.sw + dx;
        if (ix < 0 || ix >= p.iw) continue;
        add_product(part, p.x + ((row / p.oh * p.ih + iy) * p.iw + ix) * p.ic + c0, p.y + (row * p.ow + ox) * p.ic + c0, columns);
      }
      for (int64_t j = 0; j < columns; j++) total[j] += double(part[j]);
    }
    for (int64_t j = 0; j < columns; j++) p.w[(c0 + j) * taps + tap] = float(total[j]);
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
