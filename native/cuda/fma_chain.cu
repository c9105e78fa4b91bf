// What the benches hold products against: multiplications and additions that neither wait for memory nor for one another.
#include "kernels.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

__global__ void chain(fma_chain_args p) {
  for (int64_t i = thread_number(); i < p.size; i += grid_threads()) {
    float value = p.x[i];
    for (int64_t round = 0; round < p.rounds; round++) value = value * p.factor + p.term;
    p.y[i] = value;
  }
}

}  // namespace

void fma_chain(const fma_chain_args& p, Queue& queue) { launch<chain>(queue, {grid_for(p.size, kBlock), kBlock}, p); }

}  // namespace rescunet::cuda
