// The CPU kernels' common ground: declarations of every kernel for one instruction set, and the vector type they share.
// Each file of this folder is compiled once per instruction set, with RESCUNET_ISA naming its namespace.
#pragma once
#include <algorithm>
#include <cstring>
#include "../kernels.h"
#include "pool.h"

#if defined(__AVX2__) && !defined(RESCUNET_LANES)
#include <immintrin.h>
#endif

#ifndef RESCUNET_ISA
#define RESCUNET_ISA baseline
#endif

namespace rescunet::cpu {

/// One entry per kernel, in the order of kernels.def; takes the kernel's argument struct.
using KernelTable = void (*const*)(const void* args, Pool& pool);

}  // namespace rescunet::cpu

namespace rescunet::cpu::RESCUNET_ISA {

#define KERNEL(name, fields) void name(const name##_args& a, Pool& pool);
#include "../kernels.def"
#undef KERNEL

#if defined(RESCUNET_LANES)  // tests: any width on any machine
inline constexpr int kLanes = RESCUNET_LANES;
#elif defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif
typedef float Vec __attribute__((vector_size(kLanes * 4)));

static inline Vec load(const float* p) { Vec v; std::memcpy(&v, p, sizeof v); return v; }
static inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
static inline Vec splat(float s) { return s - Vec{}; }

// The first `count` lanes, all or none of them included: the others are loaded as zeros, and not stored.
#if defined(__AVX512F__) && !defined(RESCUNET_LANES)
static inline __mmask16 first(int64_t count) { return count >= kLanes ? 0xffff : count <= 0 ? 0 : __mmask16(0xffff >> (kLanes - count)); }
static inline Vec load(const float* p, int64_t count) { return (Vec)_mm512_maskz_loadu_ps(first(count), p); }
static inline void store(float* p, Vec v, int64_t count) { _mm512_mask_storeu_ps(p, first(count), (__m512)v); }
#elif defined(__AVX2__) && !defined(RESCUNET_LANES)
static inline __m256i first(int64_t count) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(std::min<int64_t>(count, kLanes))), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }
static inline Vec load(const float* p, int64_t count) { return (Vec)_mm256_maskload_ps(p, first(count)); }
static inline void store(float* p, Vec v, int64_t count) { _mm256_maskstore_ps(p, first(count), (__m256)v); }
#else
static inline Vec load(const float* p, int64_t count) {
  if (count >= kLanes) return load(p);
  Vec v{};
  for (int64_t i = 0; i < count; i++) v[i] = p[i];
  return v;
}
static inline void store(float* p, Vec v, int64_t count) {
  if (count >= kLanes) return store(p, v);
  for (int64_t i = 0; i < count; i++) p[i] = v[i];
}
#endif

// The sum of its lanes, halves added to halves.
template <int kN> struct Lanes { typedef float V __attribute__((vector_size(kN * 4))); };
template <int kN = kLanes> static inline float total(typename Lanes<kN>::V v) {
  if constexpr (kN == 1) return v[0];
  else {
    typename Lanes<kN / 2>::V halves[2];
    std::memcpy(halves, &v, sizeof v);
    return total<kN / 2>(halves[0] + halves[1]);
  }
}

}  // namespace rescunet::cpu::RESCUNET_ISA
