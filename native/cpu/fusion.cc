// Fast normalised fusion: a weighted mean of two maps, and its gradients in one pass over them.
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

namespace {

constexpr int64_t kGrain = 1 << 13, kParts = 32, kRun = 64;  // vectors summed in f32 before f64 takes over

// The shares of a and b, and what they are divided by.
struct Shares {
  float a, b, sum;
  Shares(const float* weight, float eps) {
    const float w0 = weight[0] < 0 ? 0 : weight[0], w1 = weight[1] < 0 ? 0 : weight[1];
    sum = w0 + w1 + eps, a = w0 / sum, b = w1 / sum;
  }
};

}  // namespace

void fusion(const fusion_args& p, Pool& pool) {
  const Shares share(p.weight, p.eps);
  pool.split(p.size, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) p.y[i] = share.a * p.a[i] + share.b * p.b[i];
  });
}

void fusion_grad(const fusion_grad_args& p, Pool& pool) {
  const Shares share(p.weight, p.eps);
  const int64_t vectors = (p.size + kLanes - 1) / kLanes;
  double of_a[kParts] = {}, of_b[kParts] = {};  // sums of dy a and dy b
  pool.run(kParts, [&](int64_t part) {
    const int64_t end = (part + 1) * vectors / kParts;
    for (int64_t begin = part * vectors / kParts; begin < end; begin += kRun) {
      Vec with_a = {}, with_b = {};
      for (int64_t i = begin * kLanes; i < std::min(begin + kRun, end) * kLanes; i += kLanes) {
        const int64_t count = p.size - i;
        const Vec dy = load(p.dy + i, count);
        with_a += dy * load(p.a + i, count), with_b += dy * load(p.b + i, count);
        store(p.da + i, share.a * dy, count), store(p.db + i, share.b * dy, count);
      }
      of_a[part] += double(total(with_a)), of_b[part] += double(total(with_b));
    }
  });
  for (int64_t part = 1; part < kParts; part++) of_a[0] += of_a[part], of_b[0] += of_b[part];
  const double of_y = double(share.a) * of_a[0] + double(share.b) * of_b[0];
  p.dweight[0] = p.weight[0] > 0 ? float((of_a[0] - of_y) / double(share.sum)) : 0.f;
  p.dweight[1] = p.weight[1] > 0 ? float((of_b[0] - of_y) / double(share.sum)) : 0.f;
}

}  // namespace rescunet::cpu::RESCUNET_ISA
