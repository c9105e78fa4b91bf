// Which points of a surface a photo saw, from the depth map of what its viewer sees. A point counts only with its eight
// neighbours in the map of points, so there are two passes; `seen` lies between them.
#include "../visibility.h"
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {
void visibility(const visibility_args& a, Pool& pool) {
  pool.split(a.rows, 16, [&](int64_t begin, int64_t end) {
    const visibility_args b = a;  // of its own, as bytes are written, which may be anyone's
    for (int64_t p = begin * b.columns; p < end * b.columns; ++p) {
      const float clear = clearance(b, b.points + 4 * p);
      b.seen[p] = clear >= 0;
      b.confidence[p] = clear >= 0 ? b.points[4 * p + 3] * clear : 0;
    }
  });
  pool.split(a.rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint8_t* row = a.seen + i * a.columns;
      const uint8_t *above = i > 0 ? row - a.columns : row, *below = i + 1 < a.rows ? row + a.columns : row;
      uint8_t* __restrict mask = a.mask + i * a.columns;
      float* __restrict confidence = a.confidence + i * a.columns;
      const int64_t last = a.columns - 1;
      for (int64_t j = 0; j <= last; ++j) mask[j] = above[j] & row[j] & below[j];
      uint8_t before = 1;  // of the column to the left, which is overwritten by then
      for (int64_t j = 0; j <= last; ++j) {
        const uint8_t here = mask[j], all = before & here & (j < last ? mask[j + 1] : 1);
        before = here, mask[j] = all, confidence[j] = all ? confidence[j] : 0;
      }
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
