// What follows a norm or a convolution in the same pass: y = activation(y + residual).
#pragma once
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

enum Activation { kNone, kRelu, kLeaky };  // as kernels.def numbers them

template <int A, class T> static inline T activated(T z, T slope) {
  if constexpr (A == kRelu) return z < 0 ? T{} : z;  // NaN passes through
  if constexpr (A == kLeaky) return z < 0 ? slope * z : z;
  return z;
}

template <class T> static inline T activated(T z, int64_t activation, T slope) {
  return activation == kRelu ? activated<kRelu>(z, slope) : activation == kLeaky ? activated<kLeaky>(z, slope) : z;
}

// Of a convolution's outputs, while they are in cache.
struct Ending {
  const float* y = nullptr;         // where the outputs start, and
  const float* residual = nullptr;  // what is added to them, of the same layout; or null
  int64_t activation = kNone;
  float slope = 0;
  const float* slopes = nullptr;    // one per channel instead, or null

  bool empty() const { return !residual && activation == kNone; }

  // The values that go to `at`, so many of them, from `channel` on.
  Vec operator()(const float* at, int64_t channel, Vec v, int64_t count) const {
    return activated(residual ? v + load(residual + (at - y), count) : v, activation, slopes ? load(slopes + channel, count) : splat(slope));
  }

  void row(float* at, int64_t columns) const {
    for (int64_t j = 0; j < columns; j += kLanes) store(at + j, (*this)(at + j, j, load(at + j, columns - j), columns - j), columns - j);
  }
};

}  // namespace rescunet::cpu::RESCUNET_ISA
