// The tf32 convolution of sm_90a: one thread of a producer warpgroup keeps kStages tiles under way by the tensor memory
// accelerator (pixels under a tap, and weights), kGroups warpgroups multiply them. Tiles are 64 kGroups pixels by kN outputs by
// 32 channels of one tap. x is rounded by the hardware, which drops the low bits.
#include "convolve.h"
#ifdef __CUDACC__
#include "hopper.h"
#else
#include "sim_hopper.h"
#endif

namespace rescunet::cuda {
namespace {

constexpr int kGroups = 2, kM = 64 * kGroups, kChannels = 32, kStages = 4, kThreads = 128 * (kGroups + 1);
constexpr int kRowBytes = kChannels * 4, kTileA = kM * kRowBytes;

struct Walk { int rows, oc, blocks, kw, steps, oh, ow, sh, sw, ph, pw, dh, dw; };

template <int kN> constexpr int kStageBytes = kTileA + kN * kRowBytes;

// A producer's stages are numbered through; stage s of round r is full in phase r, and empty again in phase r.
template <int kN> __device__ void produce(const TensorMap* x, const TensorMap* w, const Walk& walk, uint32_t tiles, uint32_t full, uint32_t empty) {
  const int m0 = blockIdx.x * kM, n0 = blockIdx.y * kN;
  const int image = m0 / (walk.oh * walk.ow), rest = m0 % (walk.oh * walk.ow);
  const int y = rest / walk.ow * walk.sh - walk.ph, at_x = rest % walk.ow * walk.sw - walk.pw;
  for (int step = 0; step < walk.steps; step++) {
    const int stage = step % kStages, round = step / kStages, tap = step / walk.blocks, block = step % walk.blocks;
    if (round > 0) mbarrier_wait(empty + 8 * stage, (round - 1) & 1);
    mbarrier_arrive_expecting(full + 8 * stage, kStageBytes<kN>);
    copy_pixels(tiles + stage * kStageBytes<kN>, x, full + 8 * stage, block * kChannels, at_x, y, image, tap % walk.kw * walk.dw, tap / walk.kw * walk.dh);
    copy_matrix(tiles + stage * kStageBytes<kN> + kTileA, w, full + 8 * stage, step * kChannels, n0);
  }
}

template <int kN> __device__ void consume(float (&sums)[kN / 64][32], int steps, uint32_t tiles, uint32_t full, uint32_t empty) {
  const int group = threadIdx.x / 128;
  for (int step = 0; step < steps; step++) {
    const int stage = step % kStages;
    mbarrier_wait(full + 8 * stage, step / kStages & 1);
    const uint32_t a = tiles + stage * kStageBytes<kN> + group * 64 * kRowBytes, b = tiles + stage * kStageBytes<kN> + kTileA;
    warpgroup_fence();
#pragma unroll
    for (int k = 0; k < kChannels / 8; k++)
#pragma unroll
      for (int j = 0; j < kN / 64; j++) warpgroup_multiply_tf32(sums[j], tile_descriptor(a + k * 32), tile_descriptor(b + j * 64 * kRowBytes + k * 32));
    warpgroup_commit();
    warpgroup_wait<1>();  // the products of the step before are done with their tiles
    if (step > 0 && threadIdx.x % 128 == 0) mbarrier_arrive(empty + 8 * ((step - 1) % kStages));
  }
  warpgroup_wait<0>();
}

template <int kN>
__global__ void __launch_bounds__(kThreads, 1)
    convolve_tf32(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap w, Walk walk, const float* bias, float* y) {
#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  const uint32_t tiles = shared_address(dynamic_shared<char>()), full = tiles + kStages * kStageBytes<kN>, empty = full + 8 * kStages;
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; s++) mbarrier_init(full + 8 * s, 1), mbarrier_init(empty + 8 * s, kGroups);
    mbarrier_publish();
  }
  __syncthreads();
  if (threadIdx.x >= 128 * kGroups) {
    if (threadIdx.x == 128 * kGroups) produce<kN>(&x, &w, walk, tiles, full, empty);
    return;
  }
  float sums[kN / 64][32] = {};
  consume<kN>(sums, walk.steps, tiles, full, empty);

  const int warp = threadIdx.x / 32, line = threadIdx.x % 32 / 4, pair = threadIdx.x % 4 * 2;
#pragma unroll
  for (int j = 0; j < kN / 64; j++)
#pragma unroll
    for (int i = 0; i < 32; i++) {
      const int row = blockIdx.x * kM + warp * 16 + line + i / 2 % 2 * 8, column = blockIdx.y * kN + j * 64 + i / 4 * 8 + pair + i % 2;
      if (row < walk.rows && column < walk.oc) y[int64_t(row) * walk.oc + column] = bias ? sums[j][i] + bias[column] : sums[j][i];
    }
#endif
}

template <int kN> void convolve_tiled(const Convolution& c, const Walk& walk, Queue& queue) {
  const WalkAxis y{walk.sh, walk.ph, int(c.kh - 1) * walk.dh}, x{walk.sw, walk.pw, int(c.kw - 1) * walk.dw};
  launch<convolve_tf32<kN>>(queue, {dim3(unsigned(ceil_divide(walk.rows, kM)), unsigned(ceil_divide(c.oc, kN))), kThreads,
                                    size_t(kStages) * kStageBytes<kN> + 16 * kStages},
                            pixels_map(c.x, c.n, c.ih, c.iw, c.ic, y, x, kM), matrix_map(c.w, c.oc, c.kh * c.kw * c.ic, kN), walk, c.bias, c.y);
}

}  // namespace

bool convolve_by_warpgroups(const Convolution& c, Queue& queue) {
  // The corners of the walk and the offsets of the taps travel as bytes.
  const bool near = c.ph < 128 && c.pw < 128 && (c.kh - 1) * c.dh < 128 && (c.kw - 1) * c.dw < 128 && c.sh <= 8 && c.sw <= 8;
  if (queue.precision != Precision::tf32 || queue.architecture < 90 || c.ic % kChannels || !near || !aligned16(c.x, c.w)) return false;
  const Walk walk{int(c.n * c.oh * c.ow), int(c.oc), int(c.ic / kChannels), int(c.kw), int(c.kh * c.kw * c.ic / kChannels), int(c.oh), int(c.ow),
                  int(c.sh), int(c.sw), int(c.ph), int(c.pw), int(c.dh), int(c.dw)};
  if (c.oc <= 64) convolve_tiled<64>(c, walk, queue);
  else convolve_tiled<128>(c, walk, queue);
  return true;
}

}  // namespace rescunet::cuda
