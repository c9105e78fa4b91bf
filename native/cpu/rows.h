// The rows of a strided walk: the first five of its six dimensions one after the other, without a division per row.
#pragma once
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

/// Where row `row` of `shape` begins in each of K operands, and with `next` the one after.
template <int K> struct Rows {
  const Ints& shape;
  const Ints* const (&strides)[K];
  int64_t index[5], at[K];

  Rows(const Ints& shape, const Ints* const (&strides)[K], int64_t row) : shape(shape), strides(strides) {
    for (int k = 0; k < K; k++) at[k] = 0;
    for (int d = 4; d >= 0; d--) {
      index[d] = row % shape[d];
      row /= shape[d];
      for (int k = 0; k < K; k++) at[k] += index[d] * (*strides[k])[d];
    }
  }

  void next() {
    for (int d = 4; d >= 0; d--) {
      const bool wraps = ++index[d] == shape[d];
      for (int k = 0; k < K; k++) at[k] += (wraps ? 1 - shape[d] : 1) * (*strides[k])[d];
      if (!wraps) return;
      index[d] = 0;
    }
  }
};

}  // namespace rescunet::cpu::RESCUNET_ISA
