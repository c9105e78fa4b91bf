// Fast normalised fusion: a weighted mean of two maps, and its gradients in one pass over them.
#include "stored.h"
#include "sums.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int64_t kParts = 256;

// The shares of a and b, and what they are divided by.
struct Shares {
  float a, b, sum;
  __device__ Shares(const float* weight, float eps) {
    const float w0 = weight[0] < 0 ? 0 : weight[0], w1 = weight[1] < 0 ? 0 : weight[1];
    sum = w0 + w1 + eps, a = w0 / sum, b = w1 / sum;
  }
};

template <class T, int kCount> __global__ void mix(fusion_args p) {
  const Shares share(p.weight, p.eps);
  for (int64_t i = kCount * thread_number(); i < p.size; i += kCount * grid_threads()) {
    float a[kCount], b[kCount];
    read(as<T>(p.a) + i, a), read(as<T>(p.b) + i, b);
#pragma unroll
    for (int k = 0; k < kCount; k++) a[k] = share.a * a[k] + share.b * b[k];
    write(as<T>(p.y) + i, a);
  }
}

// partial [kParts][2]: sums of dy a and dy b
template <class T, int kCount> __global__ void __launch_bounds__(kBlock) unmix(fusion_grad_args p, double* partial) {
  const Shares share(p.weight, p.eps);
  double with_a = 0, with_b = 0;
  for (int64_t i = kCount * thread_number(); i < p.size; i += kCount * grid_threads()) {
    float dy[kCount], a[kCount], b[kCount];
    read(as<T>(p.dy) + i, dy), read(as<T>(p.a) + i, a), read(as<T>(p.b) + i, b);
#pragma unroll
    for (int k = 0; k < kCount; k++) {
      with_a += double(dy[k] * a[k]), with_b += double(dy[k] * b[k]);
      a[k] = share.a * dy[k], b[k] = share.b * dy[k];
    }
    write(as<T>(p.da) + i, a), write(as<T>(p.db) + i, b);
  }
  with_a = block_sum<kBlock>(with_a), with_b = block_sum<kBlock>(with_b);
  if (threadIdx.x == 0) partial[2 * blockIdx.x] = with_a, partial[2 * blockIdx.x + 1] = with_b;
}

__global__ void finish(fusion_grad_args p, const double* partial) {
  const Shares share(p.weight, p.eps);
  double with_a = 0, with_b = 0;
  for (int64_t k = threadIdx.x; k < kParts; k += 32) with_a += partial[2 * k], with_b += partial[2 * k + 1];
  with_a = warp_sum(with_a), with_b = warp_sum(with_b);
  const double with_y = double(share.a) * with_a + double(share.b) * with_b;
  if (threadIdx.x > 0) return;
  p.dweight[0] = p.weight[0] > 0 ? float((with_a - with_y) / double(share.sum)) : 0.f;
  p.dweight[1] = p.weight[1] > 0 ? float((with_b - with_y) / double(share.sum)) : 0.f;
}

}  // namespace

void fusion(const fusion_args& p, Queue& queue) {
  by_packs(p.stored, p.size, [&](auto type, auto count) {
    launch<mix<decltype(type), count>>(queue, {grid_for(p.size / count, kBlock), kBlock}, p);
  }, p.a, p.b, p.y);
}

void fusion_grad(const fusion_grad_args& p, Queue& queue) {
  auto* partial = queue.workspace<double>(2 * kParts);
  by_packs(p.stored, p.size, [&](auto type, auto count) {
    launch<unmix<decltype(type), count>>(queue, {dim3(unsigned(kParts)), kBlock}, p, partial);
  }, p.a, p.b, p.dy, p.da, p.db);
  launch<finish>(queue, {dim3(1), 32}, p, partial);
}

}  // namespace rescunet::cuda
