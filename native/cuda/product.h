// c [m, n] = a [m, k] b [k, n] with an ending (ending.h), all operands gathered (operands.h): tiles travel to shared memory by asynchronous
// copies, kStages deep, while the ones before are multiplied (tile_math.h). Long sums of few outputs are split over blocks into
// parts that are added in order; how, depends on the shape alone.
#pragma once
#include "moments.h"
#include "operands.h"
#include "tile_math.h"

namespace rescunet::cuda {

inline constexpr int kStages = 3;

struct ProductSize { int batch, m, n, k; };

template <int kRows, class Operand> using TileOf = SharedTile<kRows, Operand::kAlongK, Element<Operand>>;

/// Copies kRows x kDepth elements from (first, k0) on; kWhole: by 16 bytes.
template <int kRows, bool kWhole, class Operand> __device__ void load_tile(const Operand& o, Element<Operand>* tile, int first, int rows, int k0, int k_end) {
  using T = Element<Operand>;
  using Tile = TileOf<kRows, Operand>;
  constexpr int kVector = kWhole ? 16 / int(sizeof(T)) : 1, kPerLine = Tile::kLength / kVector, kPieces = Tile::kLines * kPerLine;
#pragma unroll
  for (int i = 0; i < ceil_divide(kPieces, kThreads); i++) {
    const int piece = i * kThreads + int(threadIdx.x), line = piece / kPerLine, along = piece % kPerLine * kVector;
    if (kPieces % kThreads && piece >= kPieces) break;
    const int row = first + (Operand::kAlongK ? line : along), k = k0 + (Operand::kAlongK ? along : line);
    const T* from = row < rows && k < k_end ? o.at(row, k) : nullptr;
    T* to = tile + line * Tile::kLine + along;
    // Nothing is read where no bytes are, but the address has to be one. A single bf16 is less than an asynchronous copy takes.
    if constexpr (kWhole) copy_async16(shared_address(to), from ? from : o.origin(), from ? 16 : 0);
    else if constexpr (sizeof(T) == 4) copy_async4(shared_address(to), from ? from : o.origin(), from ? 4 : 0);
    else *to = from ? *from : T{};
  }
}

template <class Sums, int kM, int kN, bool kWhole, class A, class B, class C, class End>
__global__ void __launch_bounds__(kThreads) multiply(A a, B b, C c, ProductSize size, End end, float* parts, int splits) {
  using TileA = TileOf<kM, A>;
  using TileB = TileOf<kN, B>;
  char* memory = dynamic_shared<char>();
  const auto tile_a = [&](int step) { return reinterpret_cast<Element<A>*>(memory + step % kStages * (TileA::kBytes + TileB::kBytes)); };
  const auto tile_b = [&](int step) { return reinterpret_cast<Element<B>*>(memory + step % kStages * (TileA::kBytes + TileB::kBytes) + TileA::kBytes); };
  const int m0 = blockIdx.x * kM, n0 = blockIdx.y * kN, batch = blockIdx.z / splits, split = blockIdx.z % splits;
  float* y = c.y;
  a.select(batch), b.select(batch), c.select(batch);
  const int all = (size.k + kDepth - 1) / kDepth, share = (all + splits - 1) / splits, begin = split * share;
  const int steps = begin + share < all ? share : begin < all ? all - begin : 0;

  const auto load = [&](int step) {
    if (step < steps) {
      load_tile<kM, kWhole>(a, tile_a(step), m0, size.m, (begin + step) * kDepth, size.k);
      load_tile<kN, kWhole>(b, tile_b(step), n0, size.n, (begin + step) * kDepth, size.k);
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
  if constexpr (kMeasures<End>) {
    const TileMoments<kM, kN, kThreads> tile{memory};
    __syncthreads();  // everybody has left the stages
    sums.each([&](int i, int j, float v) {
      if (m0 + i < size.m && n0 + j < size.n) tile.at(i, j) = end(y, c.line(m0 + i) - y + n0 + j, n0 + j, v);
    });
    Moments* partial = end.partial + (int64_t(batch) * gridDim.x + blockIdx.x) * size.n + n0;
    tile.leave(partial, size.m - m0 < kM ? size.m - m0 : kM, size.n - n0, [] { __syncthreads(); });
  } else sums.each([&](int i, int j, float v) {
    if (m0 + i >= size.m || n0 + j >= size.n) return;
    end(y, c.line(m0 + i) - y + n0 + j, n0 + j, v);
  });
}

/// Adds the parts of an element and ends it: what add_splits does for all, and part_moments on its way over them.
template <class C> struct SplitSums {
  const float* parts;  // [batch, splits, m, n]
  C c;
  ProductSize size;
  Ending end;
  int splits;

  __device__ float operator()(int64_t row, int64_t column) const {
    const int batch = int(row) / size.m, line = int(row) - batch * size.m;
    C to = c;
    to.select(batch);
    const int64_t count = int64_t(size.m) * size.n;
    const float* part = parts + batch * splits * count + int64_t(line) * size.n + column;
    float sum = 0;
    for (int s = 0; s < splits; s++) sum += part[s * count];
    return end(c.y, to.line(line) - c.y + column, int(column), sum);
  }
};

template <class C, class End> __global__ void add_splits(const float* parts, C c, ProductSize size, End end, int splits) {
  float* y = c.y;
  c.select(blockIdx.y);
  const int64_t count = int64_t(size.m) * size.n;
  parts += blockIdx.y * splits * count;
  for (int64_t i = thread_number(); i < count; i += grid_threads()) {
    const int row = int(i / size.n), column = int(i % size.n);
    float sum = 0;
    for (int s = 0; s < splits; s++) sum += parts[s * count + i];
    end(y, c.line(row) - y + column, column, sum);
  }
}

/// Launches a product, and what leaves its columns' statistics: its `tiles` of rows each do, or, where sums are split, who adds them.
template <class C, class F>
void measured(Queue& queue, int64_t tiles, const C& c, const ProductSize& size, Measured end, const float* parts, int splits, const F& multiply_with) {
  if (splits == 1) end.partial = room_for_moments(queue, tiles, size.n);
  multiply_with(end);
  if (splits == 1) merge_moments(queue, end.partial, tiles, size.n, end.mean, end.variance);
  else moments_of(queue, SplitSums<C>{parts, c, size, end, splits}, int64_t(size.batch) * size.m, size.n, end.mean, end.variance);
}

/// Parts of the sum over k, so that there are blocks for a large device, each with enough to do.
inline int splits_of(const ProductSize& size, int64_t tiles) {
  constexpr int64_t kBlocks = 264, kLeast = 16 * kDepth, kMost = 64;
  return int(std::clamp<int64_t>(std::min(kBlocks / tiles, size.k / kLeast), 1, kMost));
}

template <template <int, int, int> class Sums, int kM, int kN, int kWarpsM, bool kWhole, class A, class B, class C, class End>
void product_tiled(Queue& queue, const A& a, const B& b, const C& c, const ProductSize& size, const End& end) {
  constexpr size_t kTiles = size_t(kStages) * (TileOf<kM, A>::kBytes + TileOf<kN, B>::kBytes);
  constexpr size_t kBytes = kMeasures<End> ? std::max(kTiles, TileMoments<kM, kN, kThreads>::kBytes) : kTiles;
  const unsigned down = unsigned(ceil_divide(size.m, kM)), across = unsigned(ceil_divide(size.n, kN));
  const int splits = splits_of(size, int64_t(down) * across * size.batch);
  float* parts = splits > 1 ? queue.workspace<float>(int64_t(splits) * size.batch * size.m * size.n) : nullptr;
  const auto multiply_with = [&](const End& end) {
    launch<multiply<Sums<kM, kN, kWarpsM>, kM, kN, kWhole, A, B, C, End>>(queue, {dim3(down, across, unsigned(size.batch * splits)), kThreads, kBytes}, a, b, c, size, end, parts, splits);
  };
  if constexpr (kMeasures<End>) measured(queue, int64_t(down) * size.batch, c, size, end, parts, splits, multiply_with);
  else {
    multiply_with(end);
    if (splits > 1)
      launch<add_splits<C, End>>(queue, {dim3(grid_for(int64_t(size.m) * size.n, kThreads).x, unsigned(size.batch)), kThreads}, parts, c, size, end, splits);
  }
}

template <template <int, int, int> class Sums, class A, class B, class C, class End>
void product_in(Queue& queue, const A& a, const B& b, const C& c, const ProductSize& size, const End& end, bool vectors) {
  if constexpr (!kMeasures<End>)
    if (!vectors) return product_tiled<Sums, 64, 64, 2, false>(queue, a, b, c, size, end);
  if (size.n <= 32) return product_tiled<Sums, 128, 32, 8, true>(queue, a, b, c, size, end);
  const int64_t large = ceil_divide(size.m, 128) * ceil_divide(size.n, 128) * size.batch;
  if (size.n <= 64 || (large < 132 && size.k < 2048)) return product_tiled<Sums, 64, 64, 2, true>(queue, a, b, c, size, end);
  if constexpr (requires(const A& o) { o.beside; }) product_tiled<Sums, 64, 64, 2, true>(queue, a, b, c, size, end);  // in larger tiles its addresses spill registers
  else product_tiled<Sums, 128, 128, 2, true>(queue, a, b, c, size, end);
}

/// vectors: whether 16 bytes may be read at once everywhere (sizes along memory and addresses multiples of them). Operands of bf16 are multiplied in it.
/// One that measures wants vectors: single addresses and statistics together spill registers.
template <class A, class B, class C, class End = Ending>
void product(Queue& queue, const A& a, const B& b, const C& c, const ProductSize& size, const End& end, bool vectors) {
  if (size.batch == 0 || size.m == 0 || size.n == 0) return;
  if constexpr (sizeof(Element<A>) == 2 || sizeof(Element<B>) == 2) return product_in<SumsBf16>(queue, a, b, c, size, end, vectors);
  else switch (queue.precision) {
    case Precision::f32: return product_in<SumsF32>(queue, a, b, c, size, end, vectors);
    case Precision::tf32: return product_in<SumsTf32>(queue, a, b, c, size, end, vectors);
    case Precision::bf16: return product_in<SumsBf16>(queue, a, b, c, size, end, vectors);
  }
}

}  // namespace rescunet::cuda
