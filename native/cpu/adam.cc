// One Adam step (Kingma and Ba 2015, algorithm 1) with PyTorch's placement of eps and of the L2 weight decay.
#include <cmath>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

void adam(const adam_args& p, Pool& pool) {
  const double step = p.step[0], lr = p.lr[0];
  const float size1 = float(lr / (1 - std::pow(double(p.beta1), step))), root2 = float(1 / std::sqrt(1 - std::pow(double(p.beta2), step)));
  pool.split(p.size, 1 << 14, [&](int64_t begin, int64_t end) {
    float *__restrict w = p.parameter, *__restrict m = p.m, *__restrict v = p.v;
    const float* __restrict g = p.gradient;
    const float b1 = p.beta1, b2 = p.beta2, eps = p.eps, decay = p.weight_decay;
    for (int64_t i = begin; i < end; i++) {
      float d = g[i] + decay * w[i];
      m[i] += (1 - b1) * (d - m[i]);
      v[i] = b2 * v[i] + (1 - b2) * d * d;
      w[i] -= size1 * m[i] / (std::sqrt(v[i]) * root2 + eps);
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
