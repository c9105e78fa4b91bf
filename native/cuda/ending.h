// What follows a norm, a product or a convolution: nothing, ReLU or leaky ReLU, and a residual before it; NaN passes through.
#pragma once
#include "kernels.h"

namespace rescunet::cuda {

enum Activation { kNone, kRelu, kLeaky };  // as kernels.def numbers them

__device__ inline float activated(float z, int64_t activation, float slope) {
  return activation == kNone || !(z < 0) ? z : activation == kRelu ? 0 : slope * z;
}

/// What a product's sums become on their way out: activation(sum + bias [columns] + residual), the residual lying as the output does.
struct Ending {
  const float *bias, *residual;
  int64_t activation;
  float slope;

  Ending(const float* bias = nullptr, const float* residual = nullptr, int64_t activation = kNone, float slope = 0)
      : bias(bias), residual(residual), activation(activation), slope(slope) {}
  /// What ends the columns from `column` on.
  Ending behind(int64_t column) const { return {bias ? bias + column : nullptr, residual ? residual + column : nullptr, activation, slope}; }
  __device__ float operator()(float sum, int64_t at, int column) const {
    if (bias) sum += bias[column];
    if (residual) sum += residual[at];
    return activated(sum, activation, slope);
  }
};

/// y = activation(y + residual), in place; launches nothing where that is y.
void finish_outputs(float* y, const float* residual, int64_t size, int64_t activation, float slope, Queue& queue);

}  // namespace rescunet::cuda
