// One Adam step (Kingma and Ba 2015, algorithm 1) of all parameters, with PyTorch's placement of eps and of the L2 weight decay.
#include <algorithm>
#include <cmath>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

// The parameters are cut as if they lay one after the other, so that a thousand small ones are one piece of work.
void adam(const adam_args& p, Pool& pool) {
  const double step = p.step[0], lr = p.lr[0];
  const float size1 = float(lr / (1 - std::pow(double(p.beta1), step))), root2 = float(1 / std::sqrt(1 - std::pow(double(p.beta2), step)));
  int64_t total = 0;
  for (int64_t k = 0; k < p.sizes.count; k++) total += p.sizes[k];
  pool.split(total, 1 << 16, [&](int64_t begin, int64_t end) {
    // Copies: what a lambda holds by reference could change with every store, and the loop would go by single numbers.
    const float b1 = p.beta1, b2 = p.beta2, eps = p.eps, decay = p.weight_decay, rate = size1, root = root2;
    for (int64_t k = 0, at = 0; at < end; at += p.sizes[k], k++) {
      float *__restrict w = p.parameter[k], *__restrict m = p.m[k], *__restrict v = p.v[k];
      const float* __restrict g = p.gradient[k];
      const int64_t stop = std::min(p.sizes[k], end - at);
      for (int64_t i = std::max<int64_t>(0, begin - at); i < stop; i++) {
        float d = g[i] + decay * w[i];
        m[i] += (1 - b1) * (d - m[i]);
        v[i] = b2 * v[i] + (1 - b2) * d * d;
        w[i] -= rate * m[i] / (std::sqrt(v[i]) * root + eps);
      }
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
