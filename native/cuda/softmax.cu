// Softmax and its logarithm along the axis of x [outer, axis, inner], shifted by the maximum: a warp per row where the axis lies
// together, else a thread per row, so that neighbouring threads read neighbouring numbers. Sums in f64.
#include "kernels.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

__device__ inline float larger(float a, float b) { return b > a || b != b ? b : a; }  // NaN wins

// A row as one thread or one warp walks it.
template <int kLanes> struct Row {
  const float* x;
  int64_t axis, step;
  int lane;
  float largest;
  double sum;

  __device__ Row(const float* x, int64_t axis, int64_t step, int lane) : x(x), axis(axis), step(step), lane(lane), largest(-INFINITY), sum(0) {
    for (int64_t i = lane; i < axis; i += kLanes) largest = larger(largest, x[i * step]);
    for (int bits = kLanes / 2; bits > 0; bits /= 2) largest = larger(largest, __shfl_xor_sync(~0u, largest, bits));
    for (int64_t i = lane; i < axis; i += kLanes) sum += double(std::exp(x[i * step] - largest));
    for (int bits = kLanes / 2; bits > 0; bits /= 2) sum += __shfl_xor_sync(~0u, sum, bits);
  }
};

template <int kLanes, bool kLog> __global__ void __launch_bounds__(kBlock) along_axis(const float* x, float* y, int64_t rows, int64_t axis, int64_t inner) {
  const int lane = threadIdx.x % kLanes;
  for (int64_t k = thread_number() / kLanes; k < rows; k += grid_threads() / kLanes) {
    const int64_t offset = k / inner * axis * inner + k % inner;
    const Row<kLanes> row(x + offset, axis, inner, lane);
    const float scale = float(1 / row.sum);
    const double shift = double(row.largest) + std::log(row.sum);
    for (int64_t i = lane; i < axis; i += kLanes)
      y[offset + i * inner] = kLog ? float(double(x[offset + i * inner]) - shift) : std::exp(x[offset + i * inner] - row.largest) * scale;
  }
}

template <bool kLog, class Args> void run(const Args& p, Queue& queue) {
  const int64_t rows = p.outer * p.inner;
  if (p.inner == 1) launch<along_axis<32, kLog>>(queue, {grid_for(rows * 32, kBlock), kBlock}, p.x, p.y, rows, p.axis, p.inner);
  else launch<along_axis<1, kLog>>(queue, {grid_for(rows, kBlock), kBlock}, p.x, p.y, rows, p.axis, p.inner);
}

}  // namespace

void softmax(const softmax_args& p, Queue& queue) { run<false>(p, queue); }
void log_softmax(const log_softmax_args& p, Queue& queue) { run<true>(p, queue); }

}  // namespace rescunet::cuda
