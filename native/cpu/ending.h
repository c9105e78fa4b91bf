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

  bool empty() const { return !residual && activation == kNone; }

  // The value that goes to `at`.
  Vec operator()(const float* at, Vec v) const { return activated(residual ? v + load(residual + (at - y)) : v, activation, splat(slope)); }
  float operator()(const float* at, float v) const { return activated(residual ? v + residual[at - y] : v, activation, slope); }

  void row(float* at, int64_t columns) const {
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) store(at + j, (*this)(at + j, load(at + j)));
    for (; j < columns; j++) at[j] = (*this)(at + j, at[j]);
  }
};

}  // namespace rescunet::cpu::RESCUNET_ISA
