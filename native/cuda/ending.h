// What follows a norm, a product or a convolution: nothing, ReLU or leaky ReLU, and a residual before it; NaN passes through.
#pragma once
#include "stored.h"

namespace rescunet::cuda {

enum Activation { kNone, kRelu, kLeaky };  // as kernels.def numbers them

__device__ inline float activated(float z, int64_t activation, float slope) {
  return activation == kNone || !(z < 0) ? z : activation == kRelu ? 0 : slope * z;
}

/// A map, which may hold bf16, from its element `at` on.
inline const float* map_behind(const float* map, int64_t at, bool stored) { return stored ? reinterpret_cast<const float*>(as<Bf16>(map) + at) : map + at; }
inline float* map_behind(float* map, int64_t at, bool stored) { return const_cast<float*>(map_behind(static_cast<const float*>(map), at, stored)); }

/// What a product's sums become on their way out: activation(sum + bias [columns] + residual). The residual lies as the output does; `stored`: both are bf16;
/// slopes: one per column instead of the slope, or null.
struct Ending {
  const float *bias, *residual, *slopes;
  int64_t activation;
  float slope;
  bool stored;

  Ending(const float* bias = nullptr, const float* residual = nullptr, int64_t activation = kNone, float slope = 0, bool stored = false, const float* slopes = nullptr)
      : bias(bias), residual(residual), slopes(slopes), activation(activation), slope(slope), stored(stored) {}
  /// What ends the columns from `column` on.
  Ending behind(int64_t column) const {
    return {bias ? bias + column : nullptr, residual ? map_behind(residual, column, stored) : nullptr, activation, slope, stored, slopes ? slopes + column : nullptr};
  }
  __device__ float ended(float sum, int64_t at, int column) const {
    if (bias) sum += bias[column];
    if (residual) sum += stored ? number(as<Bf16>(residual)[at]) : residual[at];
    return activated(sum, activation, slopes ? slopes[column] : slope);
  }
  /// Writes element `at` of y, and says what.
  __device__ float operator()(float* y, int64_t at, int column, float sum) const {
    sum = ended(sum, at, column);
    if (!stored) return y[at] = sum;
    Bf16 rounded;
    put(rounded, sum);
    as<Bf16>(y)[at] = rounded;
    return number(rounded);
  }
  /// And the one behind it, where an even number of elements lies before both.
  __device__ float2 pair(float* y, int64_t at, int column, float first, float second) const {
    first = ended(first, at, column), second = ended(second, at + 1, column + 1);
    if (!stored) return reinterpret_cast<float2*>(y)[at / 2] = {first, second};
    const uint32_t two = reinterpret_cast<uint32_t*>(y)[at / 2] = to_bf16x2(first, second);
    return {__uint_as_float(two << 16), __uint_as_float(two & 0xffff0000u)};
  }
};

/// Sums as they are, in f32: a weight gradient's.
struct Unended {
  __device__ void operator()(float* y, int64_t at, int, float sum) const { y[at] = sum; }
};

}  // namespace rescunet::cuda
