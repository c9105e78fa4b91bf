// Vertex attributes at rasterised pixels, and the adjoint. The adjoint gives each chunk a range of vertices and lets it
// walk all pixels in order, so that every sum has one order whatever the number of threads.
#include <cstdint>
#include "../mesh.h"
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {
namespace {

constexpr int64_t kRanges = 4;

// The vertices of pixel p's triangle, or null where nothing is drawn.
inline const int32_t* corners(const int32_t* triangles, const int32_t* index, int64_t p, int64_t count,
                              int64_t vertex_count) {
  int32_t i = index[p];
  if (i < 0) return nullptr;
  if (i >= count) refuse_triangle(p, i, count);
  const int32_t* t = triangles + 3 * int64_t(i);
  check_corners("interpolate", i, t, vertex_count);
  return t;
}

// kC: the number of attributes where it is known, or 0.
template <int64_t kC> void interpolate_pixels(const interpolate_args& a, int64_t begin, int64_t end) {
  const int64_t c = kC ? kC : a.c;
  for (int64_t p = begin; p < end; ++p) {
    float* y = a.y + p * c;
    const int32_t* t = corners(a.triangles, a.index, p, a.count, a.vertex_count);
    if (!t) {
      for (int64_t j = 0; j < c; ++j) y[j] = a.background;
      continue;
    }
    const float* b = a.barycentric + 3 * p;
    const float *v0 = a.attributes + t[0] * c, *v1 = a.attributes + t[1] * c, *v2 = a.attributes + t[2] * c;
    for (int64_t j = 0; j < c; ++j) y[j] = b[0] * v0[j] + b[1] * v1[j] + b[2] * v2[j];
  }
}

}  // namespace

void interpolate(const interpolate_args& a, Pool& pool) {
  pool.split(a.pixels, 4096, [&](int64_t begin, int64_t end) {
    if (a.c == 3) interpolate_pixels<3>(a, begin, end);
    else if (a.c == 4) interpolate_pixels<4>(a, begin, end);
    else interpolate_pixels<0>(a, begin, end);
  });
}

void interpolate_attributes(const interpolate_attributes_args& a, Pool& pool) {
  int64_t range = (a.vertex_count + kRanges - 1) / kRanges;
  pool.run(kRanges, [&](int64_t chunk) {
    int64_t first = chunk * range, last = first + range < a.vertex_count ? first + range : a.vertex_count;
    for (int64_t i = first * a.c; i < last * a.c; ++i) a.attributes[i] = 0;
    for (int64_t p = 0; p < a.pixels; ++p) {
      const int32_t* t = corners(a.triangles, a.index, p, a.count, a.vertex_count);
      if (!t) continue;
      const float* y = a.y + p * a.c;
      for (int k = 0; k < 3; ++k) {
        if (t[k] < first || t[k] >= last) continue;
        float b = a.barycentric[3 * p + k];
        float* v = a.attributes + t[k] * a.c;
        for (int64_t j = 0; j < a.c; ++j) v[j] += b * y[j];
      }
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
