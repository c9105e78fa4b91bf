// c [m, n] = a [m, k] b [k, n] with an ending (ending.h), all operands gathered (operands.h): tiles travel to shared memory by asynchronous
// copies, kStages deep, while the ones before are multiplied (tile_math.h). Long sums of few outputs are split over blocks into
// parts that are added in order; how, depends on the shape alone.
#pragma once
#include "ending.h"
#include "operands.h"
#include "tile_math.h"

namespace rescunet::cuda {

inline constexpr int kStages = 3;

struct ProductSize { int batch, m, n, k; };

/// Copies kRows x kDepth elements from (first, k0) on; kVector neighbours at a time.
template <int kRows, int kVector, class Operand> __device__ void load_tile(const Operand& o, float* tile, int first, int rows, int k0, int k_end) {
  using Tile = SharedTile<kRows, Operand::kAlongK>;
  constexpr int kPerLine = Tile::kLength / kVector, kPieces = Tile::kLines * kPerLine;
#pragma unroll
  for (int i = 0; i < ceil_divide(kPieces, kThreads); i++) {
    const int piece = i * kThreads + int(threadIdx.x), line = piece / kPerLine, along = piece % kPerLine * kVector;
    if (kPieces % kThreads && piece >= kPieces) break;
    const int row = first + (Operand::kAlongK ? line : along), k = k0 + (Operand::kAlongK ? along : line);
    const float* from = row < rows && k < k_end ? o.at(row, k) : nullptr;
    const uint32_t to = shared_address(tile + line * Tile::kLine + along);
    // Nothing is read where no bytes are, but the address has to be one.
    if (kVector == 4) copy_async16(to, from ? from : o.origin(), from ? 16 : 0);
    else copy_async4(to, from ? from : o.origin(), from ? 4 : 0);
  }
}

template <class Sums, int kM, int kN, int kVector, class A, class B, class C>
__global__ void __launch_bounds__(kThreads) multiply(A a, B b, C c, ProductSize size, Ending end, float* parts, int splits) {
  using TileA = SharedTile<kM, A::kAlongK>;
  using TileB = SharedTile<kN, B::kAlongK>;
  float* memory = dynamic_shared<float>();
  const auto tile_a = [&](int step) { return memory + step % kStages * (TileA::kFloats + TileB::kFloats); };
  const auto tile_b = [&](int step) { return tile_a(step) + TileA::kFloats; };
  const int m0 = blockIdx.x * kM, n0 = blockIdx.y * kN, batch = blockIdx.z / splits, split = blockIdx.z % splits;
  const float* y = c.y;
  a.select(batch), b.select(batch), c.select(batch);
  const int all = (size.k + kDepth - 1) / kDepth, share = (all + splits - 1) / splits, begin = split * share;
  const int steps = begin + share < all ? share : begin < all ? all - begin : 0;

  const auto load = [&](int step) {
    if (step < steps) {
      load_tile<kM, kVector>(a, tile_a(step), m0, size.m, (begin + step) * kDepth, size.k);
      load_tile<kN, kVector>(b, tile_b(step), n0, size.n, (begin + step) * kDepth, size.k);
    }
    copy_async_commit();
  };
  Sums sums;
  for (int step = 0; step < kStages - 1; step++) load(step);
  for (int step = 0; step < steps; step++) {
    copy_async_wait<kStages - 2>();
    __syncthreads();
    load(step + kStages - 1);  // into the stage that everybody has left
    sums.add(TileA{tile_a(step)}, TileB{tile_b(step)});
  }

  if (splits > 1) {  // parts [batch, splits, m, n]
    sums.each([&](int i, int j, float v) {
      if (m0 + i < size.m && n0 + j < size.n) parts[(int64_t(blockIdx.z) * size.m + m0 + i) * size.n + n0 + j] = v;
    });
    return;
  }
  sums.each([&](int i, int j, float v) {
    if (m0 + i >= size.m || n0 + j >= size.n) return;
    float* to = c.line(m0 + i) + n0 + j;
    *to = end(v, to - y, n0 + j);
  });
}

template <class C> __global__ void add_splits(const float* parts, C c, ProductSize size, Ending end, int splits) {
  const float* y = c.y;
  c.select(blockIdx.y);
  const int64_t count = int64_t(size.m) * size.n;
  parts += blockIdx.y * splits * count;
  for (int64_t i = thread_number(); i < count; i += grid_threads()) {
    const int row = int(i / size.n), column = int(i % size.n);
    float sum = 0;
    for (int s = 0; s < splits; s++) sum += parts[s * count + i];
    float* to = c.line(row) + column;
    *to = end(sum, to - y, column);
  }
}

/// Parts of the sum over k, so that there are blocks for a large device, each with enough to do.
inline int splits_of(const ProductSize& size, int64_t tiles) {
  constexpr int64_t kBlocks = 264, kLeast = 16 * kDepth, kMost = 64;
  return int(std::clamp<int64_t>(std::min(kBlocks / tiles, size.k / kLeast), 1, kMost));
}

template <template <int, int, int> class Sums, int kM, int kN, int kWarpsM, int kVector, class A, class B, class C>
void product_tiled(Queue& queue, const A& a, const B& b, const C& c, const ProductSize& size, const Ending& end) {
  constexpr size_t kBytes = sizeof(float) * kStages * (SharedTile<kM, A::kAlongK>::kFloats + SharedTile<kN, B::kAlongK>::kFloats);
  const unsigned down = unsigned(ceil_divide(size.m, kM)), across = unsigned(ceil_divide(size.n, kN));
  const int splits = splits_of(size, int64_t(down) * across * size.batch);
  float* parts = splits > 1 ? queue.workspace<float>(int64_t(splits) * size.batch * size.m * size.n) : nullptr;
  launch<multiply<Sums<kM, kN, kWarpsM>, kM, kN, kVector, A, B, C>>(queue, {dim3(down, across, unsigned(size.batch * splits)), kThreads, kBytes}, a, b, c, size, end, parts, splits);
  if (splits > 1)
    launch<add_splits<C>>(queue, {dim3(grid_for(int64_t(size.m) * size.n, kThreads).x, unsigned(size.batch)), kThreads}, parts, c, size, end, splits);
}

template <template <int, int, int> class Sums, class A, class B, class C>
void product_in(Queue& queue, const A& a, const B& b, const C& c, const ProductSize& size, const Ending& end, bool vectors) {
  if (!vectors) return product_tiled<Sums, 64, 64, 2, 1>(queue, a, b, c, size, end);
  if (size.n <= 32) return product_tiled<Sums, 128, 32, 8, 4>(queue, a, b, c, size, end);
  const int64_t large = ceil_divide(size.m, 128) * ceil_divide(size.n, 128) * size.batch;
  if (size.n <= 64 || (large < 132 && size.k < 2048)) return product_tiled<Sums, 64, 64, 2, 4>(queue, a, b, c, size, end);
  if constexpr (std::is_same_v<A, SideBySide>) product_tiled<Sums, 64, 64, 2, 4>(queue, a, b, c, size, end);  // in larger tiles its addresses spill registers
  else product_tiled<Sums, 128, 128, 2, 4>(queue, a, b, c, size, end);
}

/// vectors: whether four neighbours may be read at once everywhere (sizes along memory and addresses multiples of four floats).
template <class A, class B, class C>
void product(Queue& queue, const A& a, const B& b, const C& c, const ProductSize& size, const Ending& end, bool vectors) {
  if (size.batch == 0 || size.m == 0 || size.n == 0) return;
  switch (queue.precision) {
    case Precision::f32: return product_in<SumsF32>(queue, a, b, c, size, end, vectors);
    case Precision::tf32: return product_in<SumsTf32>(queue, a, b, c, size, end, vectors);
    case Precision::bf16: return product_in<SumsBf16>(queue, a, b, c, size, end, vectors);
  }
}

}  // namespace rescunet::cuda
