// Means over rectangles of an image by summed areas: sums over all pixels above and to the left are made once, and a mean of any size then takes four
// of them. In integers, where what came before cancels without rounding.
#include <cmath>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

void area_sums(const area_sums_args& p, Pool& pool) {
  const int64_t stride = (p.w + 1) * p.c;
  uint32_t* sums = reinterpret_cast<uint32_t*>(p.sums);
  std::memset(sums, 0, stride * sizeof *sums);
  pool.split(p.h, 16, [&](int64_t begin, int64_t end) {  // along the rows
    for (int64_t row = begin; row < end; row++) {
      const float* from = p.x + row * p.w * p.c;
      uint32_t* to = sums + (row + 1) * stride;
      std::fill(to, to + p.c, 0u);
      for (int64_t i = 0; i < p.w * p.c; i++) to[p.c + i] = to[i] + uint32_t(int32_t(std::lrintf(16 * from[i])));
    }
  });
  pool.split(stride, 512, [&](int64_t begin, int64_t end) {  // and down
    for (int64_t row = 1; row < p.h; row++)
      for (int64_t i = begin; i < end; i++) sums[(row + 1) * stride + i] += sums[row * stride + i];
  });
}

void area_means(const area_means_args& p, Pool& pool) {
  constexpr int64_t kRows = 16, kColumns = 256;
  const int64_t stride = (p.w + 1) * p.c, blocks = (p.oh + kRows - 1) / kRows;
  const uint32_t* sums = reinterpret_cast<const uint32_t*>(p.sums);
  pool.run(p.windows.count / 4 * blocks, [&](int64_t chunk) {
    const int64_t window = chunk / blocks, left = p.windows[4 * window], top = p.windows[4 * window + 1], width = p.windows[4 * window + 2], height = p.windows[4 * window + 3];
    for (int64_t x0 = 0; x0 < p.ow; x0 += kColumns) {
      const int64_t columns = std::min(kColumns, p.ow - x0);
      int64_t from[kColumns], to[kColumns];
      float area[kColumns];
      for (int64_t x = 0; x < columns; x++) {
        const int64_t first = (x0 + x) * width / p.ow, end = ((x0 + x + 1) * width + p.ow - 1) / p.ow;
        from[x] = (left + first) * p.c, to[x] = (left + end) * p.c, area[x] = float(16 * (end - first));
      }
      for (int64_t y = chunk % blocks * kRows; y < std::min(p.oh, (chunk % blocks + 1) * kRows); y++) {
        const int64_t first = y * height / p.oh, end = ((y + 1) * height + p.oh - 1) / p.oh;
        const uint32_t *upper = sums + (top + first) * stride, *lower = sums + (top + end) * stride;
        float* out = p.y + ((window * p.oh + y) * p.ow + x0) * p.c;
        for (int64_t x = 0; x < columns; x++) {
          const float factor = p.scale / (area[x] * float(end - first));
          for (int64_t c = 0; c < p.c; c++) {
            const int64_t a = from[x] + c, b = to[x] + c;
            *out++ = float(lower[b] - lower[a] - upper[b] + upper[a]) * factor + p.shift;
          }
        }
      }
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
