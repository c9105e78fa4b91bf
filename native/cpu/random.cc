// Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011). Element i of a draw is word i % 4 of block
// counter + i / 4, so the numbers depend on neither threads nor vector width.
#include <cmath>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

struct Block { uint32_t word[4]; };

static Block philox(const int32_t* state, uint64_t index) {
  uint32_t k0 = uint32_t(state[0]), k1 = uint32_t(state[1]);
  uint64_t counter = (uint64_t(uint32_t(state[3])) << 32 | uint32_t(state[2])) + index;
  uint32_t c0 = uint32_t(counter), c1 = uint32_t(counter >> 32), c2 = 0, c3 = 0;
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = uint64_t(0xD2511F53u) * c0, p1 = uint64_t(0xCD9E8D57u) * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ k0, c1 = uint32_t(p1);
    c2 = uint32_t(p0 >> 32) ^ c3 ^ k1, c3 = uint32_t(p0);
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

static float unit(uint32_t bits) { return float(bits >> 8) * 0x1p-24f; }  // [0, 1)

template <class F> static void blocks(const int32_t* state, float* y, int64_t size, Pool& pool, const F& draw) {
  pool.split((size + 3) / 4, 1 << 12, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) {
      float four[4];
      draw(philox(state, uint64_t(b)), four);
      for (int64_t i = 0; i < 4 && b * 4 + i < size; i++) y[b * 4 + i] = four[i];
    }
  });
}

void random_uniform(const random_uniform_args& p, Pool& pool) {
  blocks(p.state, p.y, p.size, pool, [](const Block& b, float* four) {
    for (int i = 0; i < 4; i++) four[i] = unit(b.word[i]);
  });
}

void random_normal(const random_normal_args& p, Pool& pool) {
  blocks(p.state, p.y, p.size, pool, [](const Block& b, float* four) {
    for (int i = 0; i < 4; i += 2) {  // Box-Muller; 1 - u lies in (0, 1]
      double r = std::sqrt(-2 * std::log(1 - double(unit(b.word[i])))), t = 6.283185307179586 * unit(b.word[i + 1]);
      four[i] = float(r * std::cos(t)), four[i + 1] = float(r * std::sin(t));
    }
  });
}

void random_advance(const random_advance_args& p, Pool&) {
  uint64_t counter = (uint64_t(uint32_t(p.state[3])) << 32 | uint32_t(p.state[2])) + uint64_t(p.size + 3) / 4;
  p.state[2] = int32_t(uint32_t(counter)), p.state[3] = int32_t(uint32_t(counter >> 32));
}

}  // namespace rescunet::cpu::RESCUNET_ISA
