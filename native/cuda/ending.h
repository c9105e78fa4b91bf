// What follows a norm or a convolution: nothing, ReLU or leaky ReLU, and a residual before it; NaN passes through.
#pragma once
#include "kernels.h"

namespace rescunet::cuda {

enum Activation { kNone, kRelu, kLeaky };  // as kernels.def numbers them

__device__ inline float activated(float z, int64_t activation, float slope) {
  return activation == kNone || !(z < 0) ? z : activation == kRelu ? 0 : slope * z;
}

/// y = activation(y + residual), in place; launches nothing where that is y. slopes: one per channel instead of the slope, or null.
void finish_outputs(float* y, const float* residual, const float* slopes, int64_t size, int64_t channels, int64_t activation, float slope, Queue& queue);

}  // namespace rescunet::cuda
