// What follows a norm, a product or a convolution: nothing, ReLU or leaky ReLU, and a residual before it; NaN passes through.
#pragma once
#include "kernels.h"

namespace rescunet::cuda {

enum Activation { kNone, kRelu, kLeaky };  // as kernels.def numbers them

__device__ inline float activated(float z, int64_t activation, float slope) {
  return activation == kNone || !(z < 0) ? z : activation == kRelu ? 0 : slope * z;
}

using bf16 = uint16_t;  // its bits

__device__ inline float widened(bf16 x) { return __uint_as_float(uint32_t(x) << 16); }
__device__ inline float widened(float x) { return x; }
__device__ inline bf16 rounded(float x) { return bf16(to_bf16x2(x, 0)); }

/// A map as what it holds: kernels.def calls every map a float's.
template <class T> const T* map_of(const float* map) { return reinterpret_cast<const T*>(map); }
/// A map, which may hold bf16, from its element `at` on.
inline const float* map_behind(const float* map, int64_t at, bool stored) { return stored ? reinterpret_cast<const float*>(map_of<bf16>(map) + at) : map + at; }
inline float* map_behind(float* map, int64_t at, bool stored) { return const_cast<float*>(map_behind(static_cast<const float*>(map), at, stored)); }
/// Elements in 16 bytes.
template <class T> inline constexpr int kVector = 16 / int(sizeof(T));

/// What a product's sums become on their way out: activation(sum + bias [columns] + residual). The residual lies as the output does; `stored`: both are bf16.
struct Ending {
  const float *bias, *residual;
  int64_t activation;
  float slope;
  bool stored;

  Ending(const float* bias = nullptr, const float* residual = nullptr, int64_t activation = kNone, float slope = 0, bool stored = false)
      : bias(bias), residual(residual), activation(activation), slope(slope), stored(stored) {}
  /// What ends the columns from `column` on.
  Ending behind(int64_t column) const { return {bias ? bias + column : nullptr, residual ? map_behind(residual, column, stored) : nullptr, activation, slope, stored}; }
  /// Writes element `at` of y.
  __device__ void operator()(float* y, int64_t at, int column, float sum) const {
    if (bias) sum += bias[column];
    if (residual) sum += stored ? widened(reinterpret_cast<const bf16*>(residual)[at]) : residual[at];
    sum = activated(sum, activation, slope);
    if (stored) reinterpret_cast<bf16*>(y)[at] = rounded(sum);
    else y[at] = sum;
  }
};

}  // namespace rescunet::cuda
