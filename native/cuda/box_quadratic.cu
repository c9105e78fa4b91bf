// Projected coordinate descent on 1/2 w^T Q w - b^T w, low <= w <= high: a warp per problem, whose lanes share the sum of a
// coordinate. Unknown j is read and written by lane j % 32 alone. Sums in f64, in the one order of a butterfly.
#include "kernels.h"

namespace rescunet::cuda {
namespace {

constexpr int kWarp = 32;

__global__ void __launch_bounds__(kWarp) solve(const float* q, const float* b, float* w, int64_t n, int64_t d, int64_t sweeps, float low, float high,
                                               float tolerance) {
  const int lane = threadIdx.x;
  for (int64_t k = blockIdx.x; k < n; k += gridDim.x) {
    const float *matrix = q + k * d * d, *right = b + k * d;
    float* x = w + k * d;
    for (int64_t j = lane; j < d; j += kWarp) x[j] = 0.5f * (low + high);
    for (int64_t sweep = 0; sweep < sweeps; ++sweep) {
      float moved = 0;  // the same in all lanes
      for (int64_t i = 0; i < d; ++i) {
        const float* row = matrix + i * d;
        const float diagonal = row[i];
        if (!(diagonal > 0)) continue;
        double sum = 0;
        for (int64_t j = lane; j < d; j += kWarp) sum += double(row[j]) * double(x[j]);
        for (int bits = kWarp / 2; bits > 0; bits /= 2) sum += __shfl_xor_sync(~0u, sum, bits);
        const int owner = int(i % kWarp);
        const float before = __shfl_sync(~0u, lane == owner ? x[i] : 0.0f, owner);
        float next = float(double(before) + (double(right[i]) - sum) / double(diagonal));
        next = next < low ? low : next > high ? high : next;
        const float step = next > before ? next - before : before - next;
        moved = step > moved ? step : moved;
        if (lane == owner) x[i] = next;
      }
      if (moved < tolerance) break;
    }
  }
}

}  // namespace

void box_quadratic(const box_quadratic_args& p, Queue& queue) {
  launch<solve>(queue, {grid_for(p.n * kWarp, kWarp), kWarp}, p.q, p.b, p.w, p.n, p.d, p.sweeps, p.low, p.high, p.tolerance);
}

}  // namespace rescunet::cuda
