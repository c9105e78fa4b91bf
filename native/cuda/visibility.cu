// Which points of a surface a photo saw, from the depth map of what its viewer sees. A point counts only with its eight
// neighbours in the map of points, so there are two passes; `seen` lies between them.
#include "../visibility.h"
#include "kernels.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

__global__ void look(visibility_args a) {
  for (int64_t p = thread_number(); p < a.rows * a.columns; p += grid_threads()) {
    const float clear = clearance(a, a.points + 4 * p);
    a.seen[p] = clear >= 0;
    a.confidence[p] = clear >= 0 ? a.points[4 * p + 3] * clear : 0;
  }
}

__global__ void erode(visibility_args a) {
  for (int64_t p = thread_number(); p < a.rows * a.columns; p += grid_threads()) {
    const int64_t i = p / a.columns, j = p % a.columns;
    uint8_t all = 1;
    for (int64_t y = i > 0 ? i - 1 : i; y <= i + 1 && y < a.rows; y++)
      for (int64_t x = j > 0 ? j - 1 : j; x <= j + 1 && x < a.columns; x++) all &= a.seen[y * a.columns + x];
    a.mask[p] = all;
    a.confidence[p] *= float(all);
  }
}

}  // namespace

void visibility(const visibility_args& a, Queue& queue) {
  launch<look>(queue, {grid_for(a.rows * a.columns, kBlock), kBlock}, a);
  launch<erode>(queue, {grid_for(a.rows * a.columns, kBlock), kBlock}, a);
}

}  // namespace rescunet::cuda
