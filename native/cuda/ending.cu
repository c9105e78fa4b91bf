// The end of a convolution as a pass of its own: products write sums that may still be split over blocks.
#include "ending.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

__global__ void end(float* y, const float* residual, const float* slopes, int64_t size, int64_t channels, int64_t activation, float slope) {
  for (int64_t i = thread_number(); i < size; i += grid_threads())
    y[i] = activated(y[i] + (residual ? residual[i] : 0.f), activation, slopes ? slopes[i % channels] : slope);
}

}  // namespace

void finish_outputs(float* y, const float* residual, const float* slopes, int64_t size, int64_t channels, int64_t activation, float slope, Queue& queue) {
  if (residual || activation != kNone) launch<end>(queue, {grid_for(size, kBlock), kBlock}, y, residual, slopes, size, channels, activation, slope);
}

}  // namespace rescunet::cuda
