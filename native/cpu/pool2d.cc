// Maxima and means over windows, NHWC, and their adjoints. An adjoint gathers: every element of its output is written by one
// thread, from the windows that cover it in their order.
#include <algorithm>
#include <limits>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

typedef int32_t Places __attribute__((vector_size(kLanes * 4)));

// Windows that cover input position i: outputs [begin, end).
struct Range { int64_t begin, end; };
static Range covering(int64_t i, int64_t k, int64_t s, int64_t p, int64_t outputs) {
  int64_t first = i + p - k + 1;
  return {first <= 0 ? 0 : (first + s - 1) / s, std::min(outputs, (i + p) / s + 1)};
}

// The part of window o that lies inside the input.
static Range inside(int64_t o, int64_t k, int64_t s, int64_t p, int64_t inputs) {
  return {std::max<int64_t>(0, o * s - p), std::min(inputs, o * s - p + k)};
}

void max_pool2d(const max_pool2d_args& p, Pool& pool) {
  pool.run(p.n * p.oh, [&](int64_t row) {
    const float* image = p.x + row / p.oh * p.ih * p.iw * p.c;
    Range ys = inside(row % p.oh, p.kh, p.sh, p.ph, p.ih);
    for (int64_t ox = 0; ox < p.ow; ox++) {
      Range xs = inside(ox, p.kw, p.sw, p.pw, p.iw);
      const int64_t out = (row * p.ow + ox) * p.c;
      for (int64_t c = 0; c < p.c; c += kLanes) {
        Vec most = splat(-std::numeric_limits<float>::infinity());
        Places at = Places{} + int32_t(ys.begin * p.iw + xs.begin);
        for (int64_t iy = ys.begin; iy < ys.end; iy++)
          for (int64_t ix = xs.begin; ix < xs.end; ix++) {
            const Vec x = load(image + (iy * p.iw + ix) * p.c + c, p.c - c);
            const Places more = ~(x <= most) & (most == most);  // NaN wins and stays
            most = more ? x : most, at = more ? Places{} + int32_t(iy * p.iw + ix) : at;
          }
        store(p.y + out + c, most, p.c - c);
        store(reinterpret_cast<float*>(p.index + out + c), (Vec)at, p.c - c);
      }
    }
  });
}

void max_pool2d_put(const max_pool2d_put_args& p, Pool& pool) {
  pool.run(p.n * p.ih, [&](int64_t row) {
    const int64_t n = row / p.ih, iy = row % p.ih;
    Range ys = covering(iy, p.kh, p.sh, p.ph, p.oh);
    for (int64_t ix = 0; ix < p.iw; ix++) {
      Range xs = covering(ix, p.kw, p.sw, p.pw, p.ow);
      float* __restrict x = p.x + (row * p.iw + ix) * p.c;
      const int32_t here = int32_t(iy * p.iw + ix);
      std::fill(x, x + p.c, 0.f);
      for (int64_t oy = ys.begin; oy < ys.end; oy++)
        for (int64_t ox = xs.begin; ox < xs.end; ox++) {
          const int64_t o = ((n * p.oh + oy) * p.ow + ox) * p.c;
          const float* __restrict y = p.y + o;
          const int32_t* __restrict at = p.index + o;
          for (int64_t c = 0; c < p.c; c++) x[c] += at[c] == here ? y[c] : 0.f;
        }
    }
  });
}

void max_pool2d_take(const max_pool2d_take_args& p, Pool& pool) {
  pool.run(p.n * p.oh, [&](int64_t row) {
    const float* image = p.x + row / p.oh * p.ih * p.iw * p.c;
    for (int64_t i = row * p.ow * p.c; i < (row + 1) * p.ow * p.c; i++) p.y[i] = image[p.index[i] * p.c + i % p.c];
  });
}

void avg_pool2d(const avg_pool2d_args& p, Pool& pool) {
  const float scale = 1.f / float(p.kh * p.kw);
  pool.run(p.n * p.oh, [&](int64_t row) {
    const float* image = p.x + row / p.oh * p.ih * p.iw * p.c;
    Range ys = inside(row % p.oh, p.kh, p.sh, p.ph, p.ih);
    for (int64_t ox = 0; ox < p.ow; ox++) {
      Range xs = inside(ox, p.kw, p.sw, p.pw, p.iw);
      float* __restrict y = p.y + (row * p.ow + ox) * p.c;
      std::fill(y, y + p.c, 0.f);
      for (int64_t iy = ys.begin; iy < ys.end; iy++)
        for (int64_t ix = xs.begin; ix < xs.end; ix++) {
          const float* x = image + (iy * p.iw + ix) * p.c;
          for (int64_t c = 0; c < p.c; c++) y[c] += x[c];
        }
      for (int64_t c = 0; c < p.c; c++) y[c] *= scale;
    }
  });
}

void avg_pool2d_input(const avg_pool2d_input_args& p, Pool& pool) {
  const float scale = 1.f / float(p.kh * p.kw);
  pool.run(p.n * p.ih, [&](int64_t row) {
    Range ys = covering(row % p.ih, p.kh, p.sh, p.ph, p.oh);
    for (int64_t ix = 0; ix < p.iw; ix++) {
      Range xs = covering(ix, p.kw, p.sw, p.pw, p.ow);
      float* __restrict x = p.x + (row * p.iw + ix) * p.c;
      std::fill(x, x + p.c, 0.f);
      for (int64_t oy = ys.begin; oy < ys.end; oy++)
        for (int64_t ox = xs.begin; ox < xs.end; ox++) {
          const float* y = p.y + ((row / p.ih * p.oh + oy) * p.ow + ox) * p.c;
          for (int64_t c = 0; c < p.c; c++) x[c] += scale * y[c];
        }
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
