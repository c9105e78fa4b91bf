// The CPU kernels' common ground: declarations of every kernel for one instruction set, and the vector type they share.
// Each file of this folder is compiled once per instruction set, with RESCUNET_ISA naming its namespace.
#pragma once
#include <cstring>
#include "../kernels.h"
#include "pool.h"

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
