// CUDA on the cpu, for tests: every thread of a block is a fiber, barriers and warp instructions switch between them, and what
// hardware is free to delay or hasten is delayed or hastened. Three ways of running (Order) cover thread orders and the landing
// of asynchronous copies; shared memory starts as NaN; a block that cannot go on is reported with its kernel and lines.
//
// Not covered: data races inside one stretch between barriers that no order shows, ordering between blocks, bank conflicts, time.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __grid_constant__

struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };

namespace rescunet::sim {

/// ascending: threads and blocks in order, asynchronous effects as late as allowed. descending: the other way round, effects at
/// once. random: seeded, each effect early or late.
enum class Order { ascending, descending, random };

struct Settings {
  Order order = Order::ascending;
  const char* kernel = "?";  // named in messages
};

/// Runs body once per thread of the grid. Throws std::runtime_error when a block deadlocks or breaks a rule of the hardware.
void launch(const Settings& settings, dim3 grid, dim3 block, size_t dynamic, const std::function<void()>& body);

/// A place in a kernel, for messages.
struct Site {
  const char* file;
  int line;
};
#define RESCUNET_SITE ::rescunet::sim::Site site = {__builtin_FILE(), __builtin_LINE()}

/// What the threads of the running block can see.
struct Position { uint3 thread, block; dim3 block_size, grid_size; unsigned linear; };
extern Position here;

[[noreturn]] void fail(const char* what, Site site);

/// Threads [0, threads) ... of barrier `id` wait for one another.
void barrier(int id, unsigned threads, Site site);
/// The lanes of `mask` meet; the last to arrive runs combine over what each of the 32 brought (null: not in the mask).
void meet(uint32_t mask, void* mine, void (*combine)(void** lanes), Site site);
/// The 128 threads of a warpgroup meet.
void meet_warpgroup(void* mine, void (*combine)(void** threads), Site site);

/// Shared memory of the block: `bytes` for the declaration at `site`, the same for every thread; or the dynamic part.
void* shared(size_t bytes, size_t alignment, Site site);
void* dynamic_shared();
uint32_t address_of(const void* p);
void* at_address(uint32_t address, unsigned bytes, unsigned alignment, Site site);

/// For what is waited for in other ways (sim_hopper.cc): the thread stops here until another wakes it.
void wait_here(const char* what, Site site);
void wake(unsigned thread);
/// Whether the next effect lands at once. And a number that no two blocks share.
bool hasten();
uint64_t block_number();

/// An effect of the calling thread that lands when it waits for its group, or at once.
void later(std::function<void()> effect);
void close_group();
void land_groups(int pending);

template <class T, class F> void meet_as(uint32_t mask, T& mine, F, Site site) {
  static_assert(std::is_empty_v<F>, "a combining function sees what the lanes bring and nothing else");
  meet(mask, &mine, [](void** lanes) { F()(reinterpret_cast<T**>(lanes)); }, site);
}

}  // namespace rescunet::sim

#define threadIdx (::rescunet::sim::here.thread)
#define blockIdx (::rescunet::sim::here.block)
#define blockDim (::rescunet::sim::here.block_size)
#define gridDim (::rescunet::sim::here.grid_size)

inline void __syncthreads(RESCUNET_SITE) {
  const dim3& b = blockDim;
  rescunet::sim::barrier(0, b.x * b.y * b.z, site);
}
inline void __syncwarp(uint32_t mask = ~0u, RESCUNET_SITE) {
  char nothing;
  rescunet::sim::meet_as(mask, nothing, [](char**) {}, site);
}

template <class T> struct ShuffleLane { T in, out; int argument; };
// Lanes outside the mask, or beyond the warp, leave a lane its own value; reading them is undefined on hardware.
template <class T, class From> T shuffle(uint32_t mask, T value, int argument, From, rescunet::sim::Site site) {
  ShuffleLane<T> mine{value, value, argument};
  rescunet::sim::meet_as(mask, mine, [](ShuffleLane<T>** lanes) {
    for (int i = 0; i < 32; i++)
      if (lanes[i]) {
        const int from = From()(i, lanes[i]->argument);
        if (from >= 0 && from < 32 && lanes[from]) lanes[i]->out = lanes[from]->in;
      }
  }, site);
  return mine.out;
}
template <class T> T __shfl_sync(uint32_t mask, T v, int lane, RESCUNET_SITE) { return shuffle(mask, v, lane, [](int, int from) { return from & 31; }, site); }
template <class T> T __shfl_xor_sync(uint32_t mask, T v, int bits, RESCUNET_SITE) { return shuffle(mask, v, bits, [](int i, int bits) { return i ^ bits; }, site); }
template <class T> T __shfl_down_sync(uint32_t mask, T v, unsigned by, RESCUNET_SITE) { return shuffle(mask, v, int(by), [](int i, int by) { return i + by; }, site); }
inline uint32_t __ballot_sync(uint32_t mask, int predicate, RESCUNET_SITE) {
  ShuffleLane<uint32_t> mine{predicate != 0, 0, 0};
  rescunet::sim::meet_as(mask, mine, [](ShuffleLane<uint32_t>** lanes) {
    uint32_t set = 0;
    for (int i = 0; i < 32; i++) set |= lanes[i] && lanes[i]->in ? 1u << i : 0;
    for (int i = 0; i < 32; i++)
      if (lanes[i]) lanes[i]->out = set;
  }, site);
  return mine.out;
}

inline unsigned long long atomicMin(unsigned long long* p, unsigned long long v) {
  const unsigned long long old = *p;
  *p = std::min(old, v);
  return old;
}
inline unsigned long long atomicMax(unsigned long long* p, unsigned long long v) {
  const unsigned long long old = *p;
  *p = std::max(old, v);
  return old;
}
inline float __uint_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t __float_as_uint(float f) { return std::bit_cast<uint32_t>(f); }
inline int __popc(uint32_t bits) { return std::popcount(bits); }

namespace rescunet::cuda {

using gpuStream_t = sim::Settings*;

#define SHARED(type, name) auto& name = *static_cast<std::type_identity_t<type>*>(::rescunet::sim::shared(sizeof(type), alignof(type), {__FILE__, __LINE__}))

template <class T> T* dynamic_shared() { return static_cast<T*>(sim::dynamic_shared()); }
inline uint32_t shared_address(const void* p) { return sim::address_of(p); }
inline void barrier(int id, int threads, RESCUNET_SITE) { sim::barrier(id, unsigned(threads), site); }

inline void copy_async(uint32_t to, const void* from, int bytes, unsigned size, sim::Site site) {
  void* target = sim::at_address(to, size, size, site);
  if (reinterpret_cast<uintptr_t>(from) % size) sim::fail("the source of an asynchronous copy is not aligned", site);
  sim::later([=] {
    std::memcpy(target, from, bytes);
    std::memset(static_cast<char*>(target) + bytes, 0, size - bytes);
  });
}
inline void copy_async16(uint32_t to, const void* from, int bytes, RESCUNET_SITE) { copy_async(to, from, bytes, 16, site); }
inline void copy_async4(uint32_t to, const void* from, int bytes, RESCUNET_SITE) { copy_async(to, from, bytes, 4, site); }
inline void copy_async_commit() { sim::close_group(); }
template <int kPending> void copy_async_wait() { sim::land_groups(kPending); }

void load_matrix_x4(uint32_t (&r)[4], uint32_t address, RESCUNET_SITE);
void multiply_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, RESCUNET_SITE);
void multiply_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, RESCUNET_SITE);

/// To nearest, ties away from zero, 10 bits of mantissa.
inline uint32_t to_tf32(float x) { return (std::bit_cast<uint32_t>(x) + 0x1000) & ~0x1fffu; }
inline uint32_t to_bf16x2(float low, float high) {
  const auto round = [](float f) {
    const uint32_t bits = std::bit_cast<uint32_t>(f);
    return f != f ? bits >> 16 | 64 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  };
  return round(low) | round(high) << 16;
}

}  // namespace rescunet::cuda
