// Adding to chosen rows, in one order whatever the threads do: a block owns a range of rows, walks all sources in chunks, keeps
// a list of those that hit its range, and adds them in the order of the list. Used by the adjoints of everything that reads
// by index.
#pragma once
#include "kernels.h"

namespace rescunet::cuda {

inline constexpr int kScatterBlock = 256;

/// A source adds weight * value[source] to row `row`.
struct Hit {
  int64_t row;
  float weight;
};

/// The threads that want it append to the list, in their order; returns its length. All threads call it; the list may be read
/// on return, and written again after a barrier.
template <class T> __device__ int append_in_order(bool wanted, const T& value, T* list) {
  SHARED(int[kScatterBlock / 32], counts);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const uint32_t set = __ballot_sync(~0u, wanted);
  if (lane == 0) counts[warp] = __popc(set);
  __syncthreads();
  int before = __popc(set & ((1u << lane) - 1)), total = 0;
  for (int w = 0; w < kScatterBlock / 32; w++) {
    before += w < warp ? counts[w] : 0;
    total += counts[w];
  }
  if (wanted) list[before] = value;
  __syncthreads();
  return total;
}

/// x [outer, rows, c] = sums of value [outer, sources, c]. hits(source, k) for k < kHits gives row -1 for nothing.
/// grid (ranges of `range` rows, outer); `lanes`: threads that share a row, a power of two.
template <int kHits, class Hits>
__global__ void __launch_bounds__(kScatterBlock) scatter_rows(Hits hits, const float* value, float* x, int64_t sources, int64_t rows, int64_t c, int64_t range, int lanes) {
  struct Entry { int64_t row, source; float weight; };
  SHARED(Entry[kScatterBlock], list);
  const int64_t first = blockIdx.x * range, last = first + range < rows ? first + range : rows;
  const int group = threadIdx.x / lanes, lane = threadIdx.x % lanes, groups = kScatterBlock / lanes;
  value += blockIdx.y * sources * c, x += blockIdx.y * rows * c;
  for (int64_t row = first + group; row < last; row += groups)
    for (int64_t j = lane; j < c; j += lanes) x[row * c + j] = 0;
  for (int64_t begin = 0; begin < sources; begin += kScatterBlock)
    for (int k = 0; k < kHits; k++) {
      const int64_t source = begin + threadIdx.x;
      const Hit hit = source < sources ? hits(source, k) : Hit{-1, 0};
      const int count = append_in_order(hit.row >= first && hit.row < last, Entry{hit.row, source, hit.weight}, list);
      for (int i = 0; i < count; i++) {
        const Entry entry = list[i];
        if (((entry.row - first) & (groups - 1)) != group) continue;  // a power of two
        for (int64_t j = lane; j < c; j += lanes) x[entry.row * c + j] += entry.weight * value[entry.source * c + j];
      }
      __syncthreads();
    }
}

template <int kHits, class Hits> void scatter(Queue& queue, const Hits& hits, const float* value, float* x, int64_t outer, int64_t sources, int64_t rows, int64_t c) {
  int lanes = 1;
  while (lanes < c && lanes < kScatterBlock) lanes *= 2;
  constexpr int64_t kBlocks = 512;  // enough for a large device; each walks all sources, so no more than that
  const int64_t range = std::max<int64_t>(ceil_divide(rows, kBlocks), kScatterBlock / lanes);
  launch<scatter_rows<kHits, Hits>>(queue, {dim3(unsigned(ceil_divide(rows, range)), unsigned(outer)), kScatterBlock}, hits, value, x, sources, rows, c, range, lanes);
}

}  // namespace rescunet::cuda
