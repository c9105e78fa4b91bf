// Bilinear sampling of an image at positions in pixels (pixel centres at integers), its adjoint and its derivative in
// the positions. Outside the image: border 1 repeats the edge, 0 reads zeros. A position that is not a number gives NaN
// in the sample and nothing to the adjoint. The adjoint gives each chunk a band of rows and walks all positions in
// order.
#include <cmath>
#include <cstdint>
#include <limits>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {
namespace {

constexpr int64_t kBands = 4;
constexpr int64_t kGrain = 2048;

// One axis: the two pixels between which v lies, their weights, and the derivatives of the weights.
struct Tap {
  int64_t i[2];
  float weight[2], slope[2];
};

inline Tap tap(float v, int64_t size, bool border) {
  Tap t;
  float slope = 1;
  if (border) {
    slope = v > 0 && v < float(size - 1) ? 1 : 0;
    v = v < 0 ? 0 : v > float(size - 1) ? float(size - 1) : v;
  } else {
    slope = v >= -1 && v < float(size) ? 1 : 0;
    v = v < -1 ? -1 : v > float(size) ? float(size) : v;
  }
  float low = std::floor(v);
  t.i[0] = int64_t(low);
  t.i[1] = t.i[0] + 1;
  t.weight[1] = v - low;
  t.weight[0] = 1 - t.weight[1];
  t.slope[0] = -slope;
  t.slope[1] = slope;
  for (int k = 0; k < 2; ++k)
    if (t.i[k] < 0 || t.i[k] >= size) {
      t.i[k] = t.i[k] < 0 ? 0 : size - 1;
      t.weight[k] = t.slope[k] = 0;
    }
  return t;
}

// kC: the number of channels where it is known, or 0.
template <int64_t kC> void sample(const grid_sample_args& a, int64_t begin, int64_t end) {
  const int64_t c = kC ? kC : a.c;
  for (int64_t p = begin; p < end; ++p) {
    float gx = a.grid[2 * p], gy = a.grid[2 * p + 1];
    float* y = a.y + p * c;
    if (gx != gx || gy != gy) {
      for (int64_t j = 0; j < c; ++j) y[j] = std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    if (!a.border && !(gx > -1 && gy > -1 && gx < float(a.w) && gy < float(a.h))) {
      for (int64_t j = 0; j < c; ++j) y[j] = 0;
      continue;
    }
    const Tap tx = tap(gx, a.w, a.border), ty = tap(gy, a.h, a.border);
    const float *r0 = a.x + ty.i[0] * a.w * c, *r1 = a.x + ty.i[1] * a.w * c;
    const float *p00 = r0 + tx.i[0] * c, *p01 = r0 + tx.i[1] * c, *p10 = r1 + tx.i[0] * c, *p11 = r1 + tx.i[1] * c;
    for (int64_t j = 0; j < c; ++j)
      y[j] = ty.weight[0] * (tx.weight[0] * p00[j] + tx.weight[1] * p01[j]) +
             ty.weight[1] * (tx.weight[0] * p10[j] + tx.weight[1] * p11[j]);
  }
}

}  // namespace

void grid_sample(const grid_sample_args& a, Pool& pool) {
  pool.split(a.pixels, kGrain, [&](int64_t begin, int64_t end) {
    if (a.c == 3) sample<3>(a, begin, end);
    else if (a.c == 1) sample<1>(a, begin, end);
    else sample<0>(a, begin, end);
  });
}

void grid_sample_input(const grid_sample_input_args& a, Pool& pool) {
  int64_t rows = (a.h + kBands - 1) / kBands;
  pool.run(kBands, [&](int64_t band) {
    int64_t top = band * rows, bottom = top + rows < a.h ? top + rows : a.h;
    for (int64_t i = top * a.w * a.c; i < bottom * a.w * a.c; ++i) a.x[i] = 0;
    for (int64_t p = 0; p < a.pixels; ++p) {
      float gx = a.grid[2 * p], gy = a.grid[2 * p + 1];
      if (gx != gx || gy != gy) continue;
      Tap ty = tap(gy, a.h, a.border);
      if (ty.i[1] < top || ty.i[0] >= bottom) continue;
      Tap tx = tap(gx, a.w, a.border);
      const float* y = a.y + p * a.c;
      for (int k = 0; k < 2; ++k) {
        if (ty.i[k] < top || ty.i[k] >= bottom) continue;
        for (int l = 0; l < 2; ++l) {
          float weight = ty.weight[k] * tx.weight[l];
          if (weight == 0) continue;
          float* x = a.x + (ty.i[k] * a.w + tx.i[l]) * a.c;
          for (int64_t j = 0; j < a.c; ++j) x[j] += weight * y[j];
        }
      }
    }
  });
}

void grid_sample_grid(const grid_sample_grid_args& a, Pool& pool) {
  pool.split(a.pixels, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      float gx = a.grid[2 * p], gy = a.grid[2 * p + 1], dx = 0, dy = 0;
      if (gx == gx && gy == gy) {
        Tap tx = tap(gx, a.w, a.border), ty = tap(gy, a.h, a.border);
        for (int k = 0; k < 2; ++k)
          for (int l = 0; l < 2; ++l) {
            const float *x = a.x + (ty.i[k] * a.w + tx.i[l]) * a.c, *d = a.dy + p * a.c;
            float dot = 0;
            for (int64_t j = 0; j < a.c; ++j) dot += x[j] * d[j];
            dx += ty.weight[k] * tx.slope[l] * dot;
            dy += ty.slope[k] * tx.weight[l] * dot;
          }
      }
      a.dgrid[2 * p] = dx;
      a.dgrid[2 * p + 1] = dy;
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
