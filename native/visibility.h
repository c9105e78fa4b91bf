// How far a point of a surface is to be believed that a photo may show; written once for every backend.
#pragma once
#include <cmath>
#include <cstdint>
#include "kernels.h"

namespace rescunet {

SCALAR int64_t clamp(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

/// -1 where point (x, y, z, cosine between normal and view) was not seen; from 0 on an outline of the mesh to 1 away from any.
SCALAR float clearance(const visibility_args& a, const float* point) {
  const float x = point[0], y = point[1], z = point[2], cosine = point[3], nothing = -INFINITY;
  if (!(x >= a.left && y >= a.top && x <= a.right && y <= a.bottom && cosine > a.minimum_cosine)) return -1;
  const int64_t step = a.step, radius = a.radius, diagonal = a.diagonal, w = a.w, rim = step > radius ? step : radius;
  const int64_t column = clamp(int64_t(std::floor(a.scale * x + a.shift_x + 0.5f)), rim, a.w - 1 - rim);
  const int64_t row = clamp(int64_t(std::floor(a.scale * y + a.shift_y + 0.5f)), rim, a.h - 1 - rim);
  const float* at = a.depth + row * w + column;
  const float square = 1 - cosine * cosine, slope = std::sqrt(square < 0 ? 0 : square) / cosine;
  if (!(z >= *at - a.tolerance - a.tolerance_slope * slope)) return -1;
  if (at[-step] == nothing || at[step] == nothing || at[-step * w] == nothing || at[step * w] == nothing) return -1;
  const float behind = z - a.gap - a.gap_slope * slope;
  const int64_t down = radius * w, falling = diagonal * (w + 1), rising = diagonal * (w - 1);
  const int beside = (at[radius] < behind) + (at[-radius] < behind) + (at[down] < behind) + (at[-down] < behind);
  const int across = (at[falling] < behind) + (at[-falling] < behind) + (at[rising] < behind) + (at[-rising] < behind);
  const int off = beside + across;
  return off < 4 ? 1 - 0.25f * float(off) : 0;
}

}  // namespace rescunet
