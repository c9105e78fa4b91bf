// c [m, n] = a [m, k] b [n, k]^T on a warpgroup machine (sm_90a): one thread of a producer warpgroup keeps kStages tiles under way by the tensor memory
// accelerator, kGroups warpgroups multiply them. A tile is kM rows by kN columns by 128 bytes of k of one tap. A factor lies along k (neighbours are
// neighbours in k, one box of lines) or across (neighbours are rows, boxes of 64 rows by so many lines of k), and is a matrix or pixels of an image under
// a tap.
#pragma once
#include "moments.h"
#include "operands.h"
#ifdef __CUDACC__
#include "hopper.h"
#else
#include "sim_hopper.h"
#endif

namespace rescunet::cuda {

inline constexpr int kGroups = 2, kTileRows = 64 * kGroups, kTileStages = 4, kTileThreads = 128 * (kGroups + 1);

/// How the sum is walked: `steps` tiles of k, `blocks` to a tap. Columns come in chunks of 64, `chunks` to each of `turns` runs of `width`: the turns are
/// the taps of a weight gradient, whose k runs over pixels, and otherwise one.
struct Walk {
  int m, width, chunks, turns, blocks, steps;
  int taps_across, under, down, across;  // columns of the second factor's matrix at the first tap, from one down to the next, and across
  bool pixels_a, pixels_b;
  TapAxis y, x;  // positions of an image's lines
  Divisor columns, rows;
};

template <int kN> inline constexpr int kTileBytes = (kTileRows + kN) * 128;

/// Lends a factor's tiles to the stages.
struct Fetch {
  const TensorMap* map;
  bool pixels;

  __device__ void operator()(const Walk& walk, uint32_t to, uint32_t bar, int column, int line, int tap, int batch) const {
    if (!pixels) return copy_matrix(to, map, bar, column, line, batch);
    int x = line;
    int y = walk.columns.split(x);
    const int n = walk.rows.split(y);
    copy_pixels(to, map, bar, column, x * walk.x.step + walk.x.first, y * walk.y.step + walk.y.first, n, tap % walk.taps_across * walk.x.tap_step,
                tap / walk.taps_across * walk.y.tap_step);
  }
};

// A producer's stages are numbered through; stage s of round r is full in phase r, and empty again in phase r.
template <class T, int kN, bool kAcrossA, bool kAcrossB>
__device__ void produce(const Fetch& a, const Fetch& b, const Walk& walk, int begin, int steps, int batch, uint32_t tiles, uint32_t full, uint32_t empty) {
  constexpr int kLine = kLineElements<T>, kBox = kLine * 128;  // bytes of a box across
  const int m0 = blockIdx.x * kTileRows, chunk0 = blockIdx.y * (kN / 64), all = walk.chunks * walk.turns;
  for (int i = 0; i < steps; i++) {
    const int stage = i % kTileStages, round = i / kTileStages, tap = (begin + i) / walk.blocks, k = (begin + i) % walk.blocks * kLine;
    const uint32_t to_a = tiles + stage * kTileBytes<kN>, to_b = to_a + kTileRows * 128, bar = full + 8 * stage;
    if (round > 0) mbarrier_wait(empty + 8 * stage, (round - 1) & 1);
    mbarrier_arrive_expecting(bar, kTileBytes<kN>);
    if (kAcrossA)
      for (int j = 0; j < kTileRows / 64; j++) a(walk, to_a + j * kBox, bar, m0 + 64 * j, k, tap, batch);
    else a(walk, to_a, bar, k, m0, tap, batch);
    const int under = walk.under + tap / walk.taps_across * walk.down + tap % walk.taps_across * walk.across;
    if (kAcrossB)
      for (int j = 0; j < kN / 64; j++) {
        const int chunk = chunk0 + j < all ? chunk0 + j : all - 1;  // what nobody keeps is read like the last
        b(walk, to_b + j * kBox, bar, under + chunk % walk.chunks * 64, k, tap + chunk / walk.chunks, batch);
      }
    else b(walk, to_b, bar, under + k, chunk0 * 64, tap, batch);
  }
}

template <class T, int kN, bool kAcrossA, bool kAcrossB> __device__ void consume(float (&sums)[kN / 2], int steps, uint32_t tiles, uint32_t full, uint32_t empty) {
  constexpr int kLine = kLineElements<T>, kBox = kLine * 128, kDepth = kLine / 4;  // four instructions to a line
  const int group = threadIdx.x / 128;
  for (int step = 0; step < steps; step++) {
    const int stage = step % kTileStages;
    mbarrier_wait(full + 8 * stage, step / kTileStages & 1);
    const uint32_t a = tiles + stage * kTileBytes<kN> + group * (kAcrossA ? kBox : 64 * 128), b = tiles + stage * kTileBytes<kN> + kTileRows * 128;
    warpgroup_fence();
#pragma unroll
    for (int i = 0; i < 4; i++)
      warpgroup_multiply<T, kN, kAcrossA, kAcrossB>(sums, tile_descriptor(a + i * (kAcrossA ? kDepth * 128 : 32), kBox), tile_descriptor(b + i * (kAcrossB ? kDepth * 128 : 32), kBox));
    warpgroup_commit();
    warpgroup_wait<1>();  // the products of the step before are done with their tiles
    if (step > 0 && threadIdx.x % 128 == 0) mbarrier_arrive(empty + 8 * ((step - 1) % kTileStages));
  }
  warpgroup_wait<0>();
}

template <int kN> using ColumnsOf = TileMoments<kTileRows, kN, 128 * kGroups>;

/// Grid: tiles of rows, tiles of columns, (batch, split). Splits write parts [batch, splits, m, turns * width] for add_splits (product.h).
template <class T, int kN, bool kAcrossA, bool kAcrossB, class End>
__global__ void __launch_bounds__(kTileThreads, 1)
    multiply_tiles(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, Walk walk, Scattered c, End end, float* parts, int splits) {
#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  char* memory = dynamic_shared<char>();
  const uint32_t tiles = shared_address(memory), full = tiles + kTileStages * kTileBytes<kN>, empty = full + 8 * kTileStages;
  if (threadIdx.x == 0) {
    for (int s = 0; s < kTileStages; s++) mbarrier_init(full + 8 * s, 1), mbarrier_init(empty + 8 * s, kGroups);
    mbarrier_publish();
  }
  __syncthreads();
  const int batch = blockIdx.z / splits, share = (walk.steps + splits - 1) / splits, begin = blockIdx.z % splits * share;
  const int steps = begin + share < walk.steps ? share : begin < walk.steps ? walk.steps - begin : 0;
  if (threadIdx.x >= 128 * kGroups) {
    keep_registers<40>();
    if (threadIdx.x == 128 * kGroups)
      produce<T, kN, kAcrossA, kAcrossB>({&a, walk.pixels_a}, {&b, walk.pixels_b}, walk, begin, steps, batch, tiles, full, empty);
    return;
  }
  take_registers<232>();
  float sums[kN / 2] = {};
  consume<T, kN, kAcrossA, kAcrossB>(sums, steps, tiles, full, empty);
  const auto meet = [] { barrier(1, 128 * kGroups); };
  const ColumnsOf<kN> measured{memory};
  if (kMeasures<End> && splits == 1) meet();  // both groups have left the stages

  const int first = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4, pair = threadIdx.x % 4 * 2, across = walk.turns * walk.width;
  const bool pairs = walk.width % 2 == 0 && c.pixel % 2 == 0 && reinterpret_cast<uintptr_t>(c.y) % 8 == 0;
#pragma unroll
  for (int h = 0; h < 2; h++) {
    const int row = blockIdx.x * kTileRows + first + 8 * h;
    if (row >= walk.m) continue;
    float* part = parts + (int64_t(blockIdx.z) * walk.m + row) * across;
    const int64_t at = c.line(batch * walk.m + row) - c.y;
#pragma unroll
    for (int q = 0; q < kN / 64; q++) {
      const int chunk = blockIdx.y * (kN / 64) + q, turn = chunk / walk.chunks, channel = chunk % walk.chunks * 64 + pair, column = turn * walk.width + channel;
      if (turn >= walk.turns) break;
#pragma unroll
      for (int j = 0; j < 8; j++) {
        const float first = sums[q * 32 + j * 4 + h * 2], second = sums[q * 32 + j * 4 + h * 2 + 1];
        const int left = walk.width - channel - 8 * j, to = column + 8 * j;
        if (left <= 0) continue;
        if (splits > 1) {
          part[to] = first;
          if (left > 1) part[to + 1] = second;
          continue;
        }
        float2 two = {};
        if (pairs) two = end.pair(c.y, at + to, to, first, second);
        else {
          two.x = end(c.y, at + to, to, first);
          if (left > 1) two.y = end(c.y, at + to + 1, to + 1, second);
        }
        if constexpr (kMeasures<End>) reinterpret_cast<float2&>(measured.at(row - int(blockIdx.x) * kTileRows, q * 64 + j * 8 + pair)) = two;
      }
    }
  }
  if constexpr (kMeasures<End>) {
    const int row0 = blockIdx.x * kTileRows, column0 = blockIdx.y * kN;
    if (splits == 1) measured.leave(end.partial + int64_t(blockIdx.x) * across + column0, walk.m - row0 < kTileRows ? walk.m - row0 : kTileRows, across - column0, meet);
  }
#endif
}

}  // namespace rescunet::cuda
