// Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011), the same stream as on the cpu: element i of a draw is
// word i % 4 of block counter + i / 4. The state lies on the device, so that a captured step draws anew at every replay.
#include "kernels.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

struct Four { uint32_t word[4]; };

__device__ inline Four philox(const int32_t* state, uint64_t index) {
  uint32_t k0 = uint32_t(state[0]), k1 = uint32_t(state[1]);
  const uint64_t counter = (uint64_t(uint32_t(state[3])) << 32 | uint32_t(state[2])) + index;
  uint32_t c0 = uint32_t(counter), c1 = uint32_t(counter >> 32), c2 = 0, c3 = 0;
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = uint64_t(0xD2511F53u) * c0, p1 = uint64_t(0xCD9E8D57u) * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ k0, c1 = uint32_t(p1);
    c2 = uint32_t(p0 >> 32) ^ c3 ^ k1, c3 = uint32_t(p0);
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

__device__ inline float unit(uint32_t bits) { return float(bits >> 8) * 0x1p-24f; }  // [0, 1)

template <bool kNormal> __global__ void draw(const int32_t* state, float* y, int64_t size) {
  for (int64_t b = thread_number(); b * 4 < size; b += grid_threads()) {
    const Four bits = philox(state, uint64_t(b));
    float four[4];
    for (int i = 0; i < 4; i++) four[i] = unit(bits.word[i]);
    if (kNormal)
      for (int i = 0; i < 4; i += 2) {  // Box-Muller; 1 - u lies in (0, 1]
        const float r = std::sqrt(-2 * std::log(1 - four[i])), t = 6.2831853f * four[i + 1];
        four[i] = r * std::cos(t), four[i + 1] = r * std::sin(t);
      }
    for (int64_t i = 0; i < 4 && b * 4 + i < size; i++) y[b * 4 + i] = four[i];
  }
}

__global__ void advance(int32_t* state, int64_t size) {
  if (threadIdx.x) return;
  const uint64_t counter = (uint64_t(uint32_t(state[3])) << 32 | uint32_t(state[2])) + uint64_t(size + 3) / 4;
  state[2] = int32_t(uint32_t(counter)), state[3] = int32_t(uint32_t(counter >> 32));
}

}  // namespace

void random_uniform(const random_uniform_args& p, Queue& queue) { launch<draw<false>>(queue, {grid_for(ceil_divide(p.size, 4), kBlock), kBlock}, p.state, p.y, p.size); }
void random_normal(const random_normal_args& p, Queue& queue) { launch<draw<true>>(queue, {grid_for(ceil_divide(p.size, 4), kBlock), kBlock}, p.state, p.y, p.size); }
void random_advance(const random_advance_args& p, Queue& queue) { launch<advance>(queue, {1, 32}, p.state, p.size); }

}  // namespace rescunet::cuda
