// Sums over a warp or a block in one order: the shape of the tree depends on the block's size alone.
#pragma once
#include "kernels.h"

namespace rescunet::cuda {

/// The sum of all 32 lanes' x, known to all of them.
template <class T> __device__ T warp_sum(T x) {
  for (int bits = 16; bits > 0; bits /= 2) x += __shfl_xor_sync(~0u, x, bits);
  return x;
}

/// The sum of every thread's x, known to all of them. kBlock: threads of the block. Ends with a barrier.
template <int kBlock, class T> __device__ T block_sum(T x) {
  SHARED(T[32], parts);
  x = warp_sum(x);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  T total = 0;
  for (int w = 0; w < kBlock / 32; w++) total += parts[w];
  __syncthreads();
  return total;
}

}  // namespace rescunet::cuda
