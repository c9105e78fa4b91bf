// Tests of the emulation itself: a kernel per bug that a GPU would punish, each with its correct twin. Prints one line per
// kernel and order, `name order ok|wrong|failed: message`; test/sim_emulation.test.ts reads them.
#include <cstdio>
#include <exception>
#include <vector>
#include "gpu.h"
#include "sim_hopper.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 128, kStages = 3, kSteps = 8;

struct TestQueue : Queue {
  void* workspace(size_t, Room) override { return nullptr; }
  unsigned long long* failure() override { return nullptr; }
  int64_t failed_at() override { return -1; }
  void read(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
};

// Every thread reads its mirror image's number, several times over the same memory.
template <bool kBefore, bool kAfter> __global__ void mirror(const float* x, float* y) {
  SHARED(float[kBlock], tile);
  float sum = 0;
  for (int step = 0; step < kSteps; step++) {
    tile[threadIdx.x] = x[step * kBlock + threadIdx.x];
    if (kBefore) __syncthreads();
    sum += tile[kBlock - 1 - threadIdx.x];
    if (kAfter) __syncthreads();
  }
  y[threadIdx.x] = sum;
}

// The same through asynchronous copies, three stages deep.
template <bool kWait, bool kBarrier, bool kTooEarly> __global__ void pipeline(const float* x, float* y) {
  SHARED(float[kStages][kBlock], tile);
  const auto load = [&](int step) {
    if (step < kSteps) copy_async4(shared_address(&tile[step % kStages][threadIdx.x]), x + step * kBlock + threadIdx.x, 4);
    copy_async_commit();
  };
  float sum = 0;
  for (int step = 0; step < kStages - 1; step++) load(step);
  for (int step = 0; step < kSteps; step++) {
    if (kTooEarly) load(step + kStages - 1);  // its stage is still being read
    if (kWait) copy_async_wait<kStages - 2>();
    if (kBarrier) __syncthreads();
    if (!kTooEarly) load(step + kStages - 1);
    sum += tile[step % kStages][kBlock - 1 - threadIdx.x];
  }
  y[threadIdx.x] = sum;
}

template <bool kWarpBarrier> __global__ void mirror_warp(const float* x, float* y) {
  SHARED(float[kBlock], tile);
  float sum = 0;
  for (int step = 0; step < kSteps; step++) {
    tile[threadIdx.x] = x[step * kBlock + threadIdx.x];
    if (kWarpBarrier) __syncwarp();
    sum += tile[threadIdx.x ^ 31];
    if (kWarpBarrier) __syncwarp();
  }
  y[threadIdx.x] = sum;
}

__global__ void half_a_barrier(const float* x, float* y) {
  if (threadIdx.x < kBlock / 2) __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

__global__ void divergent_shuffle(const float* x, float* y) {
  float v = x[threadIdx.x];
  if (threadIdx.x % 32 < 16) v = __shfl_xor_sync(~0u, v, 1);
  y[threadIdx.x] = v;
}

__global__ void crooked_copy(const float* x, float* y) {
  SHARED(float[kBlock + 4], tile);
  copy_async16(shared_address(&tile[threadIdx.x]), x, 16);
  copy_async_commit();
  copy_async_wait<0>();
  y[threadIdx.x] = tile[threadIdx.x];
}

// One 16x8x16 product, with its operands in shared memory.
template <bool kWarpBarrier> __global__ void product(const float* x, float* y) {
  SHARED(uint32_t[16][8], a);  // [16, 16] bf16
  SHARED(uint32_t[16][8], b);  // [8 columns and 8 unused, 16] bf16
  const int lane = threadIdx.x % 32;
  if (threadIdx.x >= 32) return;
  for (int i = lane; i < 128; i += 32) a[i / 8][i % 8] = to_bf16x2(x[2 * i], x[2 * i + 1]), b[i / 8][i % 8] = to_bf16x2(x[256 + 2 * i], x[257 + 2 * i]);
  if (kWarpBarrier) __syncwarp();
  uint32_t ra[4], rb[4];
  load_matrix_x4(ra, shared_address(&a[lane % 16][lane / 16 * 4]));
  load_matrix_x4(rb, shared_address(&b[lane % 8 + lane / 16 * 8][lane / 8 % 2 * 4]));
  float c[4] = {};
  multiply_bf16(c, ra, rb[0], rb[1]);
  for (int i = 0; i < 4; i++) y[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = c[i];
}

// Eight tiles, two stages, by the tensor memory accelerator: each is multiplied with itself by the warpgroup.
template <bool kWaitForProduct, bool kReleaseLate> __global__ void tiles(const float* x, float* y) {
  const uint32_t base = shared_address(dynamic_shared<char>()), full = base + 2 * 8192, empty = full + 16;
  const TensorMap map = matrix_map(x, {32, 32, 1, 32, 1024}, 64);
  if (threadIdx.x == 0)
    for (int s = 0; s < 2; s++) mbarrier_init(full + 8 * s, 1), mbarrier_init(empty + 8 * s, kBlock);
  __syncthreads();
  const auto load = [&](int step) {
    if (step >= 2) mbarrier_wait(empty + 8 * (step % 2), (step / 2 - 1) & 1);
    mbarrier_arrive_expecting(full + 8 * (step % 2), 8192);
    copy_matrix(base + step % 2 * 8192, &map, full + 8 * (step % 2), 0, 4 * step, 0);
  };
  float d[32] = {};
  if (threadIdx.x == 0) load(0);
  for (int step = 0; step < kSteps; step++) {
    const uint32_t tile = base + step % 2 * 8192;
    mbarrier_wait(full + 8 * (step % 2), step / 2 & 1);
    warpgroup_fence();
    for (int k = 0; k < 4; k++) warpgroup_multiply<float, 64, false, false>(d, tile_descriptor(tile + k * 32), tile_descriptor(tile + k * 32));
    warpgroup_commit();
    if (kReleaseLate && kWaitForProduct) warpgroup_wait<0>();
    mbarrier_arrive(empty + 8 * (step % 2));
    if (threadIdx.x == 0 && step + 1 < kSteps) load(step + 1);
  }
  if (kWaitForProduct) warpgroup_wait<0>();
  y[threadIdx.x] = d[0];
}

// A warpgroup that copies and one that multiplies: tiles of bf16 read across, each with itself. x is a matrix [32, 64] of bf16, every other one the upper half
// of a number and those between them zero.
template <bool kWaitForTile, bool kWaitForProduct> __global__ void specialised(const float* x, float* y) {
  const uint32_t base = shared_address(dynamic_shared<char>()), full = base + 2 * 8192, empty = full + 16;
  const TensorMap map = matrix_map(reinterpret_cast<const Bf16*>(x), {64, 32, 1, 64, 2048}, 64);
  if (threadIdx.x == 0)
    for (int s = 0; s < 2; s++) mbarrier_init(full + 8 * s, 1), mbarrier_init(empty + 8 * s, 1);
  __syncthreads();
  if (threadIdx.x >= kBlock) {
    for (int step = 0; step < kSteps && threadIdx.x == kBlock; step++) {
      if (step >= 2) mbarrier_wait(empty + 8 * (step % 2), (step / 2 - 1) & 1);
      mbarrier_arrive_expecting(full + 8 * (step % 2), 8192);
      copy_matrix(base + step % 2 * 8192, &map, full + 8 * (step % 2), 0, 4 * step, 0);
    }
    return;
  }
  float d[32] = {};
  for (int step = 0; step < kSteps; step++) {
    const uint32_t tile = base + step % 2 * 8192;
    if (kWaitForTile) mbarrier_wait(full + 8 * (step % 2), step / 2 & 1);
    warpgroup_fence();
    for (int k = 0; k < 4; k++) warpgroup_multiply<Bf16, 64, true, true>(d, tile_descriptor(tile + k * 2048), tile_descriptor(tile + k * 2048));
    warpgroup_commit();
    if (kWaitForProduct) warpgroup_wait<0>();
    if (threadIdx.x == 0) mbarrier_arrive(empty + 8 * (step % 2));
  }
  warpgroup_wait<0>();
  y[threadIdx.x] = d[1];
}

std::vector<float> columns(const std::vector<float>& x) {
  std::vector<float> y(kBlock);
  for (int step = 0; step < kSteps; step++)
    for (int i = 0; i < kBlock; i++) {
      const int row = i / 32 * 16 + i % 32 / 4, column = i % 4 * 2 + 1;
      for (int k = 4 * step; k < 32 && row % 2; k++) y[i] += x[k * 32 + row / 2] * x[k * 32 + column / 2];
    }
  return y;
}

std::vector<float> squares(const std::vector<float>& x) {
  std::vector<float> y(kBlock);
  for (int step = 0; step < kSteps; step++)
    for (int i = 0; i < kBlock; i++) {
      const int row = 4 * step + i / 32 * 16 + i % 32 / 4, column = 4 * step + i % 4 * 2;
      for (int k = 0; k < 32 && row < 32 && column < 32; k++) y[i] += x[row * 32 + k] * x[column * 32 + k];
    }
  return y;
}

std::vector<float> sums(const std::vector<float>& x, bool warp) {
  std::vector<float> y(kBlock);
  for (int step = 0; step < kSteps; step++)
    for (int i = 0; i < kBlock; i++) y[i] += x[step * kBlock + (warp ? i ^ 31 : kBlock - 1 - i)];
  return y;
}

std::vector<float> products(const std::vector<float>& x) {
  std::vector<float> y(kBlock);
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 8; j++)
      for (int k = 0; k < 16; k++) y[i * 8 + j] += x[i * 16 + k] * x[256 + j * 16 + k];
  return y;
}

template <auto kKernel> void run(const char* name, const std::vector<float>& x, const std::vector<float>& expected, unsigned threads = kBlock) {
  const char* orders[] = {"ascending", "descending", "random"};
  for (int order = 0; order < 3; order++) {
    TestQueue queue;
    sim::Settings settings{sim::Order(order), name};
    queue.stream = &settings;
    std::vector<float> y(kBlock);
    std::printf("%s %s ", name, orders[order]);
    try {
      launch<kKernel>(queue, {1, threads, 3 * 8192}, x.data(), y.data());
      std::printf("%s\n", y == expected ? "ok" : "wrong");
    } catch (const std::exception& e) {
      std::printf("failed: %s\n", e.what());
    }
  }
}

}  // namespace
}  // namespace rescunet::cuda

int main() {
  using namespace rescunet::cuda;
  std::vector<float> x(kSteps * kBlock);
  for (size_t i = 0; i < x.size(); i++) x[i] = float(i * 7 % 61);  // small whole numbers: every sum is exact
  const auto block = sums(x, false), warp = sums(x, true), none = std::vector<float>(kBlock);
  run<mirror<true, true>>("mirror", x, block);
  run<mirror<false, true>>("mirror-without-first-barrier", x, block);
  run<mirror<true, false>>("mirror-without-last-barrier", x, block);
  run<pipeline<true, true, false>>("pipeline", x, block);
  run<pipeline<false, true, false>>("pipeline-without-wait", x, block);
  run<pipeline<true, false, false>>("pipeline-without-barrier", x, block);
  run<pipeline<true, true, true>>("pipeline-released-early", x, block);
  run<mirror_warp<true>>("warp", x, warp);
  run<mirror_warp<false>>("warp-without-barrier", x, warp);
  run<product<true>>("product", x, products(x));
  run<product<false>>("product-without-barrier", x, products(x));
  run<tiles<true, true>>("tiles", x, squares(x));
  run<tiles<false, true>>("tiles-without-wait-for-products", x, squares(x));
  run<tiles<true, false>>("tiles-released-early", x, squares(x));
  run<specialised<true, true>>("specialised", x, columns(x), 2 * kBlock);
  run<specialised<false, true>>("specialised-without-wait-for-tiles", x, columns(x), 2 * kBlock);
  run<specialised<true, false>>("specialised-released-early", x, columns(x), 2 * kBlock);
  run<half_a_barrier>("half-a-barrier", x, none);
  run<divergent_shuffle>("divergent-shuffle", x, none);
  run<crooked_copy>("crooked-copy", x, none);
}
