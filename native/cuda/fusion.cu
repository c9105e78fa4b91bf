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

template <class T> __global__ void mix(fusion_args p) {
  const Shares share(p.weight, p.eps);
  for (int64_t i = thread_number(); i < p.size; i += grid_threads()) put(as<T>(p.y)[i], share.a * number(as<T>(p.a)[i]) + share.b * number(as<T>(p.b)[i]));
}

// partial [kParts][2]: sums of dy a and dy b
template <class T> __global__ void __launch_bounds__(kBlock) unmix(fusion_grad_args p, double* partial) {
  const Shares share(p.weight, p.eps);
  double with_a = 0, with_b = 0;
  for (int64_t i = thread_number(); i < p.size; i += grid_threads()) {
    const float dy = number(as<T>(p.dy)[i]), a = number(as<T>(p.a)[i]), b = number(as<T>(p.b)[i]);
    put(as<T>(p.da)[i], share.a * dy), put(as<T>(p.db)[i], share.b * dy);
    with_a += double(dy * a), with_b += double(dy * b);
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
  of_stored_type(p.stored, [&](auto type) { launch<mix<decltype(type)>>(queue, {grid_for(p.size, kBlock), kBlock}, p); });
}

void fusion_grad(const fusion_grad_args& p, Queue& queue) {
  auto* partial = queue.workspace<double>(2 * kParts);
  of_stored_type(p.stored, [&](auto type) { launch<unmix<decltype(type)>>(queue, {dim3(unsigned(kParts)), kBlock}, p, partial); });
  launch<finish>(queue, {dim3(1), 32}, p, partial);
}

}  // namespace rescunet::cuda
