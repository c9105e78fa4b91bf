// One Adam step (Kingma and Ba 2015, algorithm 1) with PyTorch's placement of eps and of the L2 weight decay. Step and learning
// rate lie on the device, so that a captured step goes on.
#include "kernels.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

__global__ void step(adam_args p) {
  const double number = p.step[0];
  const float size1 = float(p.lr[0] / (1 - std::pow(double(p.beta1), number))), root2 = float(1 / std::sqrt(1 - std::pow(double(p.beta2), number)));
  for (int64_t i = thread_number(); i < p.size; i += grid_threads()) {
    const float d = p.gradient[i] + p.weight_decay * p.parameter[i];
    const float m = p.m[i] + (1 - p.beta1) * (d - p.m[i]), v = p.beta2 * p.v[i] + (1 - p.beta2) * d * d;
    p.m[i] = m, p.v[i] = v;
    p.parameter[i] -= size1 * m / (std::sqrt(v) * root2 + p.eps);
  }
}

}  // namespace

void adam(const adam_args& p, Queue& queue) { launch<step>(queue, {grid_for(p.size, kBlock), kBlock}, p); }

}  // namespace rescunet::cuda
