// Means over rectangles of an image by summed areas, in integers. The windows travel as the launch's arguments.
#include "kernels.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256, kWindows = 128;

__global__ void along_rows(const float* x, uint32_t* sums, int64_t h, int64_t w, int64_t c) {
  for (int64_t i = thread_number(); i < (h + 1) * c; i += grid_threads()) {
    const int64_t row = i / c, channel = i % c;
    const float* from = x + (row - 1) * w * c + channel;  // the first row of sums is zero
    uint32_t* to = sums + row * (w + 1) * c + channel;
    uint32_t sum = 0;
    for (int64_t k = 0; k <= w; k++) {
      to[k * c] = sum;
      if (row > 0 && k < w) sum += uint32_t(int32_t(lrintf(16 * from[k * c])));
    }
  }
}

__global__ void down_columns(uint32_t* sums, int64_t h, int64_t stride) {
  for (int64_t i = thread_number(); i < stride; i += grid_threads()) {
    uint32_t sum = 0;
    for (int64_t row = 1; row <= h; row++) sums[row * stride + i] = sum += sums[row * stride + i];
  }
}

struct Windows { int left[kWindows], top[kWindows], width[kWindows], height[kWindows]; };
struct Sizes { int64_t w, c, oh, ow; float scale, shift; };

__global__ void __launch_bounds__(kBlock) means(const __grid_constant__ Windows windows, const uint32_t* sums, float* y, int64_t count, Sizes s) {
  for (int64_t i = thread_number(); i < count * s.oh * s.ow * s.c; i += grid_threads()) {
    const int64_t channel = i % s.c, column = i / s.c % s.ow, row = i / s.c / s.ow % s.oh, k = i / s.c / s.ow / s.oh;
    const int64_t width = windows.width[k], height = windows.height[k];
    const int64_t x0 = column * width / s.ow, x1 = ceil_divide((column + 1) * width, s.ow), y0 = row * height / s.oh, y1 = ceil_divide((row + 1) * height, s.oh);
    const uint32_t *upper = sums + ((windows.top[k] + y0) * (s.w + 1) + windows.left[k]) * s.c + channel, *lower = upper + (y1 - y0) * (s.w + 1) * s.c;
    const uint32_t sum = lower[x1 * s.c] - lower[x0 * s.c] - upper[x1 * s.c] + upper[x0 * s.c];
    y[i] = float(sum) * (s.scale / (float(16 * (x1 - x0)) * float(y1 - y0))) + s.shift;
  }
}

}  // namespace

void area_sums(const area_sums_args& p, Queue& queue) {
  const int64_t stride = (p.w + 1) * p.c;
  uint32_t* sums = reinterpret_cast<uint32_t*>(p.sums);
  launch<along_rows>(queue, {grid_for((p.h + 1) * p.c, kBlock), kBlock}, p.x, sums, p.h, p.w, p.c);
  launch<down_columns>(queue, {grid_for(stride, kBlock), kBlock}, sums, p.h, stride);
}

void area_means(const area_means_args& p, Queue& queue) {
  const int64_t count = p.windows.count / 4, size = p.oh * p.ow * p.c;
  for (int64_t first = 0; first < count; first += kWindows) {
    const int64_t some = std::min<int64_t>(kWindows, count - first);
    Windows windows{};
    for (int64_t k = 0; k < some; k++) {
      const int64_t at = 4 * (first + k);
      windows.left[k] = int(p.windows[at]), windows.top[k] = int(p.windows[at + 1]), windows.width[k] = int(p.windows[at + 2]), windows.height[k] = int(p.windows[at + 3]);
    }
    launch<means>(queue, {grid_for(some * size, kBlock), kBlock}, windows, reinterpret_cast<const uint32_t*>(p.sums), p.y + first * size, some,
                  Sizes{p.w, p.c, p.oh, p.ow, p.scale, p.shift});
  }
}

}  // namespace rescunet::cuda
