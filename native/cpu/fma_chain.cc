// What the benches hold products against: multiplications and additions that neither wait for memory nor for one another.
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

void fma_chain(const fma_chain_args& a, Pool& pool) {
  constexpr int kChains = 12;  // as many as latency times throughput of today's cores
  pool.split(a.size, kChains * kLanes, [&](int64_t begin, int64_t end) {
    alignas(64) float values[kChains * kLanes];
    for (int64_t i = 0; i < kChains * kLanes; i++) values[i] = begin + i < end ? a.x[begin + i] : 0.f;
    Vec chain[kChains];
    for (int k = 0; k < kChains; k++) chain[k] = load(values + k * kLanes);
    const Vec factor = splat(a.factor), term = splat(a.term);
    for (int64_t round = 0; round < a.rounds; round++)
#pragma GCC unroll 12
      for (int k = 0; k < kChains; k++) chain[k] = chain[k] * factor + term;
    for (int k = 0; k < kChains; k++) store(values + k * kLanes, chain[k]);
    for (int64_t i = begin; i < end; i++) a.y[i] = values[i - begin];
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
