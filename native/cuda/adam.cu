// One Adam step (Kingma and Ba 2015, algorithm 1) of all parameters, with PyTorch's placement of eps and of the L2 weight decay.
// Step and learning rate lie on the device, so that a captured step goes on. A launch takes kTensors parameters, whose addresses
// travel as its arguments; a block takes a piece of one of them.
#include "kernels.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256, kTensors = 64;
constexpr int64_t kPiece = 4 * kBlock;

struct Tensors {
  struct One {
    float *parameter, *m, *v;
    const float* gradient;
    int64_t size;
    unsigned first_block;
  };
  One of[kTensors];
  int count;
};

struct Rates { float beta1, beta2, eps, weight_decay; };

__global__ void __launch_bounds__(kBlock) step(const __grid_constant__ Tensors tensors, const float* number, const float* lr, Rates rates) {
  int k = 0;
  while (k + 1 < tensors.count && tensors.of[k + 1].first_block <= blockIdx.x) k++;
  const Tensors::One& t = tensors.of[k];
  const double n = number[0];
  const float size1 = float(lr[0] / (1 - std::pow(double(rates.beta1), n))), root2 = float(1 / std::sqrt(1 - std::pow(double(rates.beta2), n)));
  const int64_t begin = (blockIdx.x - t.first_block) * kPiece;
  for (int64_t i = begin + threadIdx.x; i < t.size && i < begin + kPiece; i += kBlock) {
    const float d = t.gradient[i] + rates.weight_decay * t.parameter[i];
    const float m = t.m[i] + (1 - rates.beta1) * (d - t.m[i]), v = rates.beta2 * t.v[i] + (1 - rates.beta2) * d * d;
    t.m[i] = m, t.v[i] = v;
    t.parameter[i] -= size1 * m / (std::sqrt(v) * root2 + rates.eps);
  }
}

}  // namespace

void adam(const adam_args& p, Queue& queue) {
  Tensors tensors{};
  unsigned blocks = 0;
  for (int64_t k = 0; k < p.sizes.count; k++) {
    tensors.of[tensors.count++] = {p.parameter[k], p.m[k], p.v[k], p.gradient[k], p.sizes[k], blocks};
    blocks += unsigned(ceil_divide(p.sizes[k], kPiece));
    if (tensors.count < kTensors && k + 1 < p.sizes.count) continue;
    launch<step>(queue, {blocks, kBlock}, tensors, p.step, p.lr, Rates{p.beta1, p.beta2, p.eps, p.weight_decay});
    tensors.count = 0, blocks = 0;
  }
}

}  // namespace rescunet::cuda
